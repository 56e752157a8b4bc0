"""Errors of 2D joints such as a detector makes where things hide the hand: larger, in whole fingers, gross, or no joint at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occhand.data.transforms import TrainingCrop
from occhand.hand.skeleton import FINGERS

_JOINTS_PER_FINGER = 4


@dataclass(frozen=True)
class FixedErrors:
    """Errors of one known size, for evaluation; lengths are in sides of the box around the hand's joints."""

    visible: float = 0.02
    """Standard deviation per coordinate of joints that are seen."""
    hidden: float = 0.06
    """Of joints that are not."""
    gross: float = 0.0
    """Share of joints that lie at another joint of the hand."""
    missing: Literal["none", "hidden"] = "none"
    """`hidden`: joints that are not seen are not given."""

    def __call__(self, crop: TrainingCrop, generator: torch.Generator) -> Float[Tensor, "B 21 2"]:
        """The annotated joints with errors, 0..1 over the crop; NaN where a joint is missing."""
        joints, seen = crop.joints_crop, crop.joints_visible
        sigma = torch.where(seen, self.visible, self.hidden)[..., None] * hand_extent(joints)
        noisy = joints + sigma * torch.randn(joints.shape, generator=generator)
        confused = torch.rand(seen.shape, generator=generator) < self.gross
        noisy = torch.where(confused[..., None], _another_joint(noisy, generator), noisy)
        return noisy if self.missing == "none" else torch.where(seen[..., None], noisy, torch.nan)


@dataclass(frozen=True)
class DetectorErrors:
    """Errors of every size, for training; each hand draws its own. Lengths are in sides of the box around the hand's joints."""

    visible: tuple[float, float] = (0.003, 0.05)
    """Least and largest standard deviation per coordinate of joints that are seen; evenly drawn in the logarithm."""
    hidden_factor: tuple[float, float] = (1.0, 4.5)
    """Of the deviation, for joints that are not seen."""
    finger: float = 1.0
    """Deviation of whole fingers' tips, which move the finger along, in deviations of its joints."""
    gross: float = 0.3
    """Share of hands with gross errors, up to `gross_joints` of their joints: at another joint, or far off."""
    gross_joints: float = 0.3
    missing: float = 0.3
    """Share of hands with missing joints, up to `missing_joints` of those that are seen, twice as many of those that are not."""
    missing_joints: float = 0.5
    hidden_missing: float = 0.1
    """Share of hands whose hidden joints are all missing."""
    none: float = 0.12
    """Share of hands without any joint."""

    def __call__(self, crop: TrainingCrop, generator: torch.Generator) -> Float[Tensor, "B 21 2"]:
        """The annotated joints with errors, 0..1 over the crop; NaN where a joint is missing."""
        joints, seen = crop.joints_crop, crop.joints_visible
        draw = _Draws(generator, joints.shape[:-2])
        extent = hand_extent(joints)

        low, high = map(math.log, self.visible)
        level = torch.exp(low + (high - low) * draw.uniform(1))
        factor = self.hidden_factor[0] + (self.hidden_factor[1] - self.hidden_factor[0]) * draw.uniform(1)
        sigma = (level * torch.where(seen, 1.0, factor))[..., None] * extent
        noisy = joints + sigma * draw.normal(*joints.shape[-2:])
        noisy = noisy + self.finger * sigma * self._along_fingers(draw)

        share = self.gross_joints * draw.uniform(1) * draw.chance(self.gross)
        is_gross = draw.uniform(joints.shape[-2]) < share
        far = noisy + 0.25 * extent * draw.normal(*joints.shape[-2:])
        wrong = torch.where(draw.chance(0.5)[..., None], _another_joint(noisy, generator), far)
        noisy = torch.where(is_gross[..., None], wrong, noisy)

        share = self.missing_joints * draw.uniform(1) * draw.chance(self.missing)
        is_missing = draw.uniform(joints.shape[-2]) < share * torch.where(seen, 1.0, 2.0)
        is_missing |= draw.chance(self.hidden_missing) & ~seen
        is_missing |= draw.chance(self.none)
        return torch.where(is_missing[..., None], torch.nan, noisy)

    def _along_fingers(self, draw: _Draws) -> Float[Tensor, "*batch 21 2"]:
        """Shifts that grow from each finger's base to its tip; none at the wrist."""
        tips = draw.normal(len(FINGERS), 1, 2)
        growth = torch.arange(1, _JOINTS_PER_FINGER + 1)[:, None] / _JOINTS_PER_FINGER
        fingers = (tips * growth).flatten(-3, -2)
        return torch.cat([torch.zeros_like(fingers[..., :1, :]), fingers], dim=-2)


class _Draws:
    """Random numbers of some shape for every hand of a batch."""

    def __init__(self, generator: torch.Generator, batch: torch.Size) -> None:
        self._generator, self._batch = generator, batch

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*self._batch, *shape, generator=self._generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*self._batch, *shape, generator=self._generator)

    def chance(self, share: float) -> Bool[Tensor, "*batch 1"]:
        """Whether something with this chance happens to each hand."""
        return self.uniform(1) < share


def hand_extent(joints_crop: Float[Tensor, "*batch 21 2"]) -> Float[Tensor, "*batch 1 1"]:
    """The longer side of the box around the joints."""
    return (joints_crop.amax(-2) - joints_crop.amin(-2)).amax(-1)[..., None, None]


def _another_joint(joints: Float[Tensor, "*batch 21 2"], generator: torch.Generator) -> Float[Tensor, "*batch 21 2"]:
    """For each joint the place of one drawn among the hand's."""
    other = torch.randint(joints.shape[-2], joints.shape[:-1], generator=generator)
    return joints.gather(-2, other[..., None].expand_as(joints))
