"""Write a generated data set to shards: in worker processes, in order, and again from where it stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from occhand.data.folder import FolderDataset
from occhand.data.record import DataError, encode_sample
from occhand.data.shards import MANIFEST, Manifest, Shard, check_shard, index_shard, read_manifest, write_manifest, write_shard
from occhand.files import remove_leftovers
from occhand.image_io import save_image
from occhand.render.gallery import contact_sheet
from occhand.synth.dataset import SynthDataset
from occhand.types import HandSample

CONTACT_SHEET = "contact.png"

_Encoded = tuple[str, Mapping[str, bytes]]
_TASK_SAMPLES = 4
_TASKS_PER_WORKER = 4
"""Waiting or running; enough that no worker idles while a shard is closed, few enough that memory stays flat."""
_SHEET_SAMPLES = 64


def write_synth(
    out: str | os.PathLike[str],
    dataset: SynthDataset,
    workers: int = 1,
    jpeg_quality: int | None = None,
    shard_samples: int = 500,
    progress: Callable[[int], None] | None = None,
) -> Manifest:
    """Write a data set to tar shards with a manifest and a contact sheet; `create_dataset("folder", out)` reads them.

    Run again with the same arguments after it was stopped, it keeps the finished shards and makes the missing or damaged ones. The same
    arguments give the same bytes, whatever `workers` is.

    Args:
        out: Folder; made if missing.
        dataset: `SynthDataset(seed, range(n), size)`, or a split.
        workers: Processes; 1 works in this one. More are started afresh, so a script of yours needs `if __name__ == "__main__":`.
        jpeg_quality: None keeps every pixel (PNG); 1 to 95 writes JPEG.
        shard_samples: Samples in a shard; what a stopped run loses at most.
        progress: Called with the number of samples that are done, those of earlier runs included.

    Returns:
        The manifest as written.

    Raises:
        ValueError: Nothing to write, or numbers out of range.
        DataError: The folder holds other data, or cannot be written; the disk is full; a worker died. Finished shards are kept.
    """
    if len(dataset) < 1 or workers < 1 or shard_samples < 1 or not (jpeg_quality is None or 1 <= jpeg_quality <= 95):
        raise ValueError("Expected at least one sample, one worker and one sample per shard, and a JPEG quality from 1 to 95.")
    out = Path(out)
    with _clear_errors(out):
        manifest = _begin(out, dataset, jpeg_quality, shard_samples)
        finished = {shard.name: shard for shard in manifest.shards}
        todo = [number for number in range(-(-len(dataset) // shard_samples)) if _shard_name(number) not in finished]
        counts = [min(shard_samples, len(dataset) - number * shard_samples) for number in todo]
        places = [number * shard_samples + k for number, count in zip(todo, counts, strict=True) for k in range(count)]
        with closing(_encode_all(dataset, places, workers, jpeg_quality)) as encoded:
            samples = _counted(encoded, len(dataset) - len(places), progress)
            for number, count in zip(todo, counts, strict=True):
                shard = write_shard(out / _shard_name(number), islice(samples, count))
                finished[shard.name] = shard
                manifest = replace(manifest, shards=tuple(finished[name] for name in sorted(finished)))
                write_manifest(out, manifest)
        save_image(_draw_contact_sheet(FolderDataset(out)), out / CONTACT_SHEET)
    return manifest


def _shard_name(number: int) -> str:
    return f"shard-{number:05d}.tar"


def _begin(out: Path, dataset: SynthDataset, jpeg_quality: int | None, shard_samples: int) -> Manifest:
    """The manifest to go on from: its shards are there, whole and wanted."""
    wanted = Manifest(f"synth {dataset.version}", dataset.name, dataset.seed, len(dataset), dataset.size, jpeg_quality, shard_samples)
    finished: tuple[Shard, ...] = ()
    if (out / MANIFEST).exists():
        found = read_manifest(out)
        theirs, ours = asdict(replace(found, shards=())), asdict(wanted)
        differences = [f"{name} {theirs[name]!r}, not {ours[name]!r}" for name in ours if theirs[name] != ours[name]]
        if not differences:
            finished = tuple(shard for shard in found.shards if _is_whole(out, shard))
            differences = _other_indices(out, dataset, finished, shard_samples)
        if differences:
            raise DataError(
                f"{out} holds other data: {'; '.join(differences)}. Its shards are kept. Choose another folder, delete that one, or use "
                "the arguments and the version of occhand that it was made with."
            )
    for pattern in (MANIFEST, "shard-*.tar", CONTACT_SHEET):
        remove_leftovers(out, pattern)
    return replace(wanted, shards=finished)


def _other_indices(out: Path, dataset: SynthDataset, finished: Sequence[Shard], shard_samples: int) -> list[str]:
    """Which finished shards do not begin with the data set's sample: the manifest counts samples, but does not list them."""
    begins = {_shard_name(number): index for number, index in enumerate(dataset.indices[::shard_samples])}
    differences = []
    for shard in finished:
        key, index = next(iter(index_shard(out / shard.name)), ""), str(begins.get(shard.name))
        if key.rpartition("-")[2].lstrip("0") != index.lstrip("0"):
            differences.append(f"{shard.name} begins with {key}, not with index {index}")
    return differences


def _is_whole(out: Path, shard: Shard) -> bool:
    try:
        check_shard(out, shard, by_content=True)
    except DataError:
        return False
    return True


@contextmanager
def _clear_errors(out: Path) -> Iterator[None]:
    """What goes wrong outside of this program, in one line with the next step."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"Cannot write to {out}: {reason}. Finished shards are kept; make room or choose another folder, then run it again."
        ) from error
    except BrokenProcessPool:
        raise DataError(
            f"A worker process died, perhaps for want of memory. Finished shards in {out} are kept; run the same command again with fewer "
            "workers."
        ) from None


def _counted(samples: Iterator[_Encoded], done: int, progress: Callable[[int], None] | None) -> Iterator[_Encoded]:
    for count, sample in enumerate(samples, start=done + 1):
        if progress is not None:
            progress(count)
        yield sample


def _encode_all(dataset: SynthDataset, places: list[int], workers: int, jpeg_quality: int | None) -> Generator[_Encoded, None, None]:
    """Encoded samples in the order of `places`."""
    if workers == 1:
        for place in places:
            yield _encode(dataset, place, jpeg_quality)
        return
    tasks = (places[start : start + _TASK_SAMPLES] for start in range(0, len(places), _TASK_SAMPLES))
    # Started afresh rather than forked: a fork inherits the locks of OpenMP and numba threads that it does not have.
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (dataset, jpeg_quality))
    waiting: deque[Future[list[_Encoded]]] = deque()
    try:
        for task in tasks:
            waiting.append(executor.submit(_encode_task, task))
            if len(waiting) >= workers * _TASKS_PER_WORKER:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _encode(dataset: SynthDataset, place: int, jpeg_quality: int | None) -> _Encoded:
    sample = dataset[place]
    return sample.key, encode_sample(sample, jpeg_quality)


_worker: tuple[SynthDataset, int | None] | None = None
"""What a worker process makes; set once there, so that a task is a few numbers."""


def _start_worker(dataset: SynthDataset, jpeg_quality: int | None) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _worker = dataset, jpeg_quality


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its workers, and they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _encode_task(places: list[int]) -> list[_Encoded]:
    assert _worker is not None
    dataset, jpeg_quality = _worker
    return [_encode(dataset, place, jpeg_quality) for place in places]


def _draw_contact_sheet(dataset: FolderDataset) -> np.ndarray:
    """Up to 64 samples from all over the data set."""
    places = np.unique(np.linspace(0, len(dataset) - 1, min(_SHEET_SAMPLES, len(dataset))).round().astype(int))
    samples = [dataset[int(place)] for place in places]
    return contact_sheet([sample.image for sample in samples], list(map(_label, samples)), columns=min(8, len(places)), cell=192)


def _label(sample: HandSample) -> str:
    assert sample.occlusion is not None, "the generator knows it"
    return f"{sample.occlusion.object_name or 'hand'}, {sample.occlusion.ratio:.0%} hidden"
