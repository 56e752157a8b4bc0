"""Crops of a held-out split, cut as a predictor would cut them, with what is needed to score a hand on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occhand.data.augment import Jitter
from occhand.data.transforms import TrainingCrop, cut_crop
from occhand.files import atomic_path
from occhand.synth.dataset import SynthDataset, load_split
from occhand.synth.generate import GENERATOR_VERSION


@dataclass(frozen=True)
class HeldOut:
    """Hands in order of the split; every array has one row per hand."""

    crop: TrainingCrop
    ratio: Float[Tensor, "n"]
    """Share of the hand that is hidden, 0..1."""

    def __len__(self) -> int:
        return len(self.ratio)


def load_held_out(split: str, count: int, size: int, kept: Path | None = None) -> HeldOut:
    """The first hands of a split, generated anew or kept from an earlier call.

    Args:
        split: Of the open data.
        count: At most so many.
        size: Side of the crops, pixels.
        kept: Folder for the crops; None keeps nothing.
    """
    path = None if kept is None else kept / f"{split}-{count}-{size}-generator{GENERATOR_VERSION}.npz"
    if path is not None and path.is_file():
        return _read(path)
    dataset = load_split(split)
    held_out = _cut(SynthDataset(dataset.seed, dataset.indices[:count], dataset.size, split), size)
    if path is not None:
        arrays = {name: getattr(held_out.crop, name).numpy() for name in TrainingCrop._fields}
        with atomic_path(path) as temporary:
            np.savez(temporary, **(arrays | {"image": (255 * arrays["image"]).round().astype(np.uint8), "ratio": held_out.ratio.numpy()}))
        return _read(path)  # as later calls read it, rounded to 8 bits
    return held_out


def _read(path: Path) -> HeldOut:
    with np.load(path) as arrays:
        fields = {name: torch.from_numpy(arrays[name]) for name in TrainingCrop._fields}
        return HeldOut(TrainingCrop(**fields | {"image": fields["image"].float() / 255}), torch.from_numpy(arrays["ratio"]))


def _cut(dataset: SynthDataset, size: int) -> HeldOut:
    crops, ratios = [], []
    for sample in dataset:
        assert sample.occlusion is not None, "the generator knows it"
        crops.append(cut_crop(sample, Jitter(), size))
        ratios.append(sample.occlusion.ratio)
    return HeldOut(TrainingCrop(*map(torch.stack, zip(*crops, strict=True))), torch.tensor(ratios))
