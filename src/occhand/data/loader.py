"""Batches of training crops that depend on nothing but the seed and their place in the run.

Crop number p of a run is a function of (seed, p): the order of epoch p // n is drawn from (seed, epoch), its augmentation from
(seed, epoch, place). Neither the number of workers nor where a run was resumed changes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from occhand.data.datasets import HandDataset
from occhand.data.record import DataError
from occhand.data.transforms import CropForTraining, TrainingCrop
from occhand.types import HandSample

SPECTRUM_PICTURES = 64
"""Pictures of the set whose amplitude spectra are mixed in, where the augmentation does that."""


class CropDataset(Dataset[TrainingCrop | str]):
    """Crops of an endless run through a data set, by position.

    Args:
        samples: What to cut from.
        transform: How to cut and degrade.
        seed: Decides order and augmentation.
        shuffle: False: the order of the data set.
    """

    def __init__(self, samples: HandDataset, transform: CropForTraining, seed: int = 0, shuffle: bool = True) -> None:
        self.samples, self.transform, self.seed, self.shuffle = samples, transform, seed, shuffle
        self.reading = torch.full((256, 2), -1, dtype=torch.int64).share_memory_()
        """Process and sample of what each worker reads, for when it dies."""
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        self._spectra: list[np.ndarray] | None = None

    def __len__(self) -> int:
        """Samples in an epoch."""
        return len(self.samples)

    def __getitem__(self, position: int) -> TrainingCrop | str:
        """The crop at a position of the run, or why there is none: an exception would leave a worker as a traceback of many lines."""
        index = self.index_of(position)
        try:
            epoch, place = divmod(position, len(self))
            rng = np.random.default_rng([self.seed, epoch, place])
            return self.transform(self._read(index), rng, self._pictures())
        except Exception as error:  # whatever a reader or a transform trips over
            reason = " ".join(str(error).split())
            return f"Sample {index} of {self.samples} could not be used ({type(error).__name__}): {reason}"

    def index_of(self, position: int) -> int:
        """Which sample of the data set stands at a position."""
        epoch, place = divmod(position, len(self))
        if not self.shuffle:
            return place
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self)))
        return int(self._order[1][place])

    def name_of(self, index: int) -> str:
        """A sample's place and key, for a message."""
        try:
            return f"{index} ({self.samples[index].key})"
        except Exception:  # it is being named because something is wrong with it
            return str(index)

    def _read(self, index: int) -> HandSample:
        if (worker := get_worker_info()) is not None:
            self.reading[worker.id] = torch.tensor([os.getpid(), index])
        return self.samples[index]

    def _pictures(self) -> list[np.ndarray]:
        if self.transform.augmentation.spectrum == 0:
            return []
        if self._spectra is None:
            chosen = np.random.default_rng(self.seed).integers(0, len(self), SPECTRUM_PICTURES)
            self._spectra = [self._read(int(index)).image for index in chosen]
        return self._spectra


class FirstSamples:
    """The beginning of a data set."""

    def __init__(self, dataset: HandDataset, count: int) -> None:
        if count < 1:
            raise ValueError(f"The first {count} samples of {dataset} are none; ask for at least 1.")
        self.dataset, self.count = dataset, min(count, len(dataset))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> HandSample:
        if not 0 <= index < self.count:
            raise IndexError(f"Sample {index} of {self.count}.")
        return self.dataset[index]

    def __iter__(self) -> Iterator[HandSample]:
        return (self[index] for index in range(self.count))

    def __str__(self) -> str:
        return f"first {self.count} of {self.dataset}"


class Batch(NamedTuple):
    """Crops and where they stand in the run."""

    crop: TrainingCrop
    positions: range


@dataclass(frozen=True)
class Places:
    """Positions of a run's batches: whichever way a step is split over processes and passes, it has the same chunks of crops.

    Chunk c of a step belongs to process c % processes, so two processes see in one pass what one process sees in two.
    """

    batch: int
    """Crops per process and pass."""
    chunks: int
    """Passes of all processes together, per step."""
    first_step: int
    last_step: int
    process: int = 0
    processes: int = 1

    def __iter__(self) -> Iterator[range]:
        for step in range(self.first_step, self.last_step):
            for chunk in range(self.process, self.chunks, self.processes):
                start = (step * self.chunks + chunk) * self.batch
                yield range(start, start + self.batch)


def load_batches(dataset: CropDataset, places: Iterable[range], workers: int = 0) -> Iterator[Batch]:
    """Batches of crops in order; put the loop over them in `name_dead_worker`.

    Args:
        dataset: Of crops.
        places: The positions of each batch; gone through twice.
        workers: Processes that prepare them; 0: this one.

    Raises:
        DataError: A sample that cannot be used, named.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=places,  # type: ignore[arg-type]  # ranges are all that a loader asks of a sampler
        num_workers=workers,
        collate_fn=_collate,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    for crop, positions in zip(loader, places, strict=True):
        if isinstance(crop, str):
            raise DataError(crop)
        yield Batch(crop, positions)


@contextmanager
def name_dead_worker(dataset: CropDataset) -> Iterator[None]:
    """Turn a worker's death (killed for memory, crashed in a library) into an error that names its sample.

    PyTorch raises from a signal handler, hence anywhere in the loop.

    Raises:
        DataError: A worker died.
    """
    try:
        yield
    except RuntimeError as error:
        found = re.search(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) ?(.*)", str(error))
        if found is None:
            raise
        dead, reason = [int(pid) for pid in found[1].split(",")], found[2].partition(".")[0]
        names = ", ".join(dataset.name_of(index) for pid, index in dataset.reading.tolist() if pid in dead) or "none yet"
        raise DataError(
            f"A loader worker died ({reason}) at sample {names} of {dataset.samples}. Check that sample and the free "
            "memory, use fewer workers, then go on with --resume."
        ) from error


def _collate(crops: list[TrainingCrop | str]) -> TrainingCrop | str:
    broken = [crop for crop in crops if isinstance(crop, str)]
    return broken[0] if broken else default_collate(crops)
