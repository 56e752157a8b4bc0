"""What a run trains and validates on: the recipe's data set, cut into crops."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from occhand.data.augment import Augmentation, JitterRange
from occhand.data.datasets import HandDataset, create_dataset
from occhand.data.folder import FolderDataset
from occhand.data.loader import CropDataset, FirstSamples, load_batches, name_dead_worker
from occhand.data.shards import MANIFEST
from occhand.data.transforms import CropForTraining, TrainingCrop
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.models.presets import find_preset
from occhand.recipes import Recipe
from occhand.synth.dataset import SPLITS, load_split

logger = logging.getLogger(__name__)

_NO_JITTER = Augmentation(JitterRange(scale=0.0, rotation_probability=0.0, colour=0.0))


@dataclass(frozen=True)
class RunOptions:
    """What a run needs beside its recipe."""

    seed: int = 0
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    accumulate: int = 1
    """Passes of every process whose gradients are averaged for one step."""
    samples: int | None = None
    """Train on the first samples only."""
    workers: int = 1
    """Processes that prepare crops, per process that trains."""
    hand: str | None = None
    """Hand model, as for `load_hand`; None takes the one that the recipe's annotations mean."""
    imagenet: Path | None = None
    """Torchvision's ImageNet weights; None downloads them where a recipe asks for them."""
    start_from: Path | None = None
    """Weights of the same network to start from; None draws them."""
    val_samples: int = 1000
    """The first of the validation split; 0: no validation."""
    log_every: int = 20
    """Steps."""
    checkpoint_every: int = 200
    """Steps."""
    validate_every: int = 1000
    """Steps."""

    def __post_init__(self) -> None:
        samples = 1 if self.samples is None else self.samples
        if min(self.accumulate, samples, self.log_every, self.checkpoint_every, self.validate_every) < 1:
            raise ValueError("accumulate, samples, log_every, checkpoint_every and validate_every are counts of at least 1.")
        if min(self.val_samples, self.workers, self.seed) < 0:
            raise ValueError("val_samples, workers and seed are counts of at least 0.")


class HeldOut:
    """Validation crops, kept in memory as bytes after the first time, since generated ones cost more than the network."""

    def __init__(self, crops: CropDataset, batch: int, count: int) -> None:
        self._crops, self._batch, self._count = crops, batch, count
        self._kept: list[TrainingCrop] | None = None

    def __len__(self) -> int:
        """Samples."""
        return self._count

    def first_batches(self, batches: int) -> HeldOut:
        """The beginning of them."""
        return HeldOut(self._crops, self._batch, min(self._count, batches * self._batch))

    def batches(self, workers: int) -> Iterator[TrainingCrop]:
        """All of them, in order."""
        if self._kept is None:
            places = [range(first, min(first + self._batch, self._count)) for first in range(0, self._count, self._batch)]
            with name_dead_worker(self._crops):
                found = [batch.crop for batch in load_batches(self._crops, places, workers)]
            self._kept = [crop._replace(image=(255 * crop.image).round().byte()) for crop in found]
        return (crop._replace(image=crop.image.float() / 255) for crop in self._kept)


def recipe_hand(recipe: Recipe, options: RunOptions) -> HandLayer:
    """The hand that makes the network's mesh.

    Raises:
        ValueError: The annotations are of another hand, whose pose and shape mean something else.
        FileNotFoundError: It is MANO, and MANO was not converted yet.
    """
    hand = load_hand(options.hand or recipe.hand)
    if recipe.needs_pose and hand.name != recipe.hand:
        raise ValueError(f"This recipe learns poses and shapes of the {recipe.hand} hand, not of the {hand.name} hand. Leave --hand out.")
    return hand


def open_split(recipe: Recipe, data: str, split: str | None, options: RunOptions) -> HandDataset:
    """A part of the recipe's data set, read with the user's MANO where that is its hand."""
    hands = [hand] if (hand := recipe_hand(recipe, options)).name == "mano" else []
    if hands and options.hand in (None, "mano"):
        with suppress(FileNotFoundError):  # a data set that misses the left hand says so
            hands.append(load_hand("mano", "left"))
    samples = create_dataset(recipe.data, data, split, tuple(hands))
    return FolderDataset(samples.root, is_sparse=True) if isinstance(samples, FolderDataset) else samples


def open_training(recipe: Recipe, data: str, options: RunOptions) -> CropDataset:
    """The crops to train on.

    Raises:
        ValueError: The data set is absent, broken or empty.
    """
    config = find_preset(recipe.model).config
    size = config.input_size
    samples: HandDataset = load_split(data, size) if data in SPLITS else open_split(recipe, data, recipe.train_split, options)
    if options.samples is not None:
        samples = FirstSamples(samples, options.samples)
    cut = CropForTraining(size, recipe.augmentation, recipe.needs_pose, config.orientation == "allocentric")
    return CropDataset(samples, cut, options.seed)


def open_validation(recipe: Recipe, data: str, options: RunOptions) -> HeldOut | None:
    """The crops to validate on, without augmentation."""
    if recipe.val_split is None or not options.val_samples:
        return None
    config = find_preset(recipe.model).config
    size = config.input_size
    samples: HandDataset
    if recipe.val_split in SPLITS:
        beside = Path(data).parent / recipe.val_split
        samples = FolderDataset(beside, is_sparse=True) if (beside / MANIFEST).is_file() else load_split(recipe.val_split, size)
    else:
        samples = open_split(recipe, data, recipe.val_split, options)
    cut = CropForTraining(size, _NO_JITTER, needs_pose=False, is_allocentric=config.orientation == "allocentric")
    crops = CropDataset(samples, cut, shuffle=False)
    if not np.isfinite(crops.samples[0].joints_cam).all():
        logger.warning("%s says where no joints are, so there is no validation.", samples)
        return None
    return HeldOut(crops, recipe.batch, min(len(crops), options.val_samples))
