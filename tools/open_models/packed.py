"""Generated hands as two arrays on disk, cut a whole batch at a time: a tenth of the processor time that crop by crop takes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from occhand.data.folder import FolderDataset
from occhand.data.transforms import JOINTS_BOX_EXPANSION, TrainingCrop, look_at_middle, mirror_sample
from occhand.files import atomic_path
from occhand.geometry.crop import crop_image, crop_matrix, joints_bbox, square_bbox, transform_points
from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from occhand.types import HandSample

IMAGES, TRUTH = "images.npy", "truth.npy"
_PARTS = {"K": 9, "joints_cam": 63, "joints_img": 42, "pose": 48, "betas": 10, "by_self": 21, "by_other": 21, "ratio": 1}
"""Numbers of one row of the truth."""
_SCALE, _SHIFT, _MOST_TURNED = 0.12, 0.05, math.pi / 4
"""Of the jitter: standard deviations of log scale and of the place in sides of the crop, cut at two; evenly drawn turns."""


class PackedHands:
    """Right hands, left ones mirrored, in random order without end.

    Args:
        folder: As `pack` wrote it.
        seed: Of the order.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        if not (folder / TRUTH).is_file():
            raise FileNotFoundError(f"{folder} has no {TRUTH}. Write it with: python -m tools.open_models pack SHARDS {folder}")
        self._images = np.load(folder / IMAGES, mmap_mode="r")
        self._truth = np.load(folder / TRUTH, mmap_mode="r")
        self._rng = np.random.default_rng(seed)
        self._order = np.empty(0, np.int64)
        self._mild = np.nonzero(self._truth[:, -1] < 0.35)[0]

    def __len__(self) -> int:
        return len(self._truth)

    def draw(self, count: int, size: int, generator: torch.Generator, is_mild: bool = False) -> TrainingCrop:
        """Jittered crops of the next hands.

        Args:
            count: Crops.
            size: Their side, pixels.
            generator: Of the jitter.
            is_mild: Any hands that are less than 35 % hidden, instead of the next.
        """
        chosen = np.sort(self._rng.choice(self._mild, count) if is_mild else self._next(count))
        crop, crop_from_img = _cut(torch.from_numpy(self._truth[chosen]), self._images.shape[1:3], size, generator)
        images = torch.from_numpy(self._images[chosen]).permute(0, 3, 1, 2).float()
        return crop._replace(image=crop_image(images, crop_from_img, size) / 255)

    def draw_unseen(self, count: int, generator: torch.Generator) -> TrainingCrop:
        """The next hands without their pictures, which need not be read."""
        crop, _ = _cut(torch.from_numpy(self._truth[np.sort(self._next(count))]), self._images.shape[1:3], 1, generator)
        return crop

    def _next(self, count: int) -> Int64[np.ndarray, "count"]:
        if len(self._order) < count:
            self._order = self._rng.permutation(len(self))
        chosen, self._order = self._order[:count], self._order[count:]
        return chosen


def pack(shards: Path, folder: Path) -> int:
    """Write the two arrays; returns the number of hands."""
    samples = FolderDataset(shards, is_sparse=True)
    folder.mkdir(parents=True, exist_ok=True)
    side = samples[0].image.shape[0]
    rows = np.empty((len(samples), sum(_PARTS.values())), np.float32)
    with atomic_path(folder / IMAGES) as temporary:
        images = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(samples), side, side, 3))
        for number, sample in enumerate(samples):
            sample = mirror_sample(sample) if sample.side == "left" else sample
            images[number], rows[number] = sample.image, _row(sample)
        images.flush()
    with atomic_path(folder / TRUTH) as temporary, temporary.open("wb") as file:
        np.save(file, rows)
    return len(samples)


def _row(sample: HandSample) -> Float[np.ndarray, "numbers"]:
    truth, pose, betas = sample.occlusion, sample.pose, sample.betas
    assert truth is not None, "the generator knows it"
    assert pose is not None, "likewise"
    assert betas is not None, "likewise"
    parts = (sample.K, sample.joints_cam, sample.joints_img, pose, betas, truth.joints_by_self, truth.joints_by_other)
    return np.concatenate([np.ravel(part) for part in parts] + [[truth.ratio]]).astype(np.float32)


def _cut(
    rows: Float[Tensor, "B numbers"], shape: tuple[int, int], size: int, generator: torch.Generator
) -> tuple[TrainingCrop, Float[Tensor, "B 3 3"]]:
    """All but the pictures of jittered crops, and where in images of that shape they lie."""
    part = dict(zip(_PARTS, rows.split(list(_PARTS.values()), 1), strict=True))
    count = len(rows)
    joints_img, joints_cam = part["joints_img"].unflatten(1, (21, 2)), part["joints_cam"].unflatten(1, (21, 3))

    def spread(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).clamp(-2, 2)

    angle = (2 * torch.rand(count, generator=generator) - 1) * _MOST_TURNED
    box = square_bbox(joints_bbox(joints_img, JOINTS_BOX_EXPANSION), *shape)
    crop_from_img = crop_matrix(box, size, torch.exp(_SCALE * spread(count)), angle)
    crop_from_img[:, :2, 2] += _SHIFT * size * spread(count, 2)
    turn = axis_angle_to_matrix(torch.stack([torch.zeros(count), torch.zeros(count), -angle], dim=-1))
    root = matrix_to_axis_angle(turn @ axis_angle_to_matrix(part["pose"][:, :3]))
    crop = TrainingCrop(
        image=torch.zeros(count, 3, 1, 1),
        joints_crop=transform_points(crop_from_img, joints_img) / size,
        joints_cam=joints_cam @ turn.mT,
        joints_visible=(part["by_self"] + part["by_other"]) == 0,
        K=crop_from_img @ part["K"].unflatten(1, (3, 3)) @ turn.mT,
        pose=torch.cat([root, part["pose"][:, 3:]], dim=1),
        betas=part["betas"],
        is_mirrored=torch.zeros(count, dtype=torch.bool),
    )
    return look_at_middle(crop, size), crop_from_img
