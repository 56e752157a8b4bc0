"""From 2D joints to a hand: what 21 points in a picture already say of pose and shape (ours, for the small open models)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occhand.hand.skeleton import MANO_JOINT_NAMES, NUM_BETAS
from occhand.models.config import ModelConfig
from occhand.models.hourglass import NUM_JOINTS, Heatmaps

_STRETCH = 4.0
"""Brings 2D joints, which fill the middle of the crop, to about -1..1."""
_SHARPEST = 0.02
"""Of a heat map, in sides of the crop; finer differences say nothing."""


class Evidence2D(NamedTuple):
    """2D joints that the network saw itself, and those it was given; 0..1 over the crop."""

    joints_crop: Float[Tensor, "B 21 2"]
    """The network's own."""
    spread: Float[Tensor, "B 21 2"]
    """Standard deviation of its heat maps along x and y."""
    given: Float[Tensor, "B 21 2"] | None
    """NaN where a joint is not known; None for networks that take none."""


class LiftedHand(NamedTuple):
    """What the 2D joints say, before the picture corrects it."""

    sixd: Float[Tensor, "B 16 6"]
    """Joint rotations, as `sixd_to_matrix` takes them."""
    betas: Float[Tensor, "B 10"]
    hidden: Float[Tensor, "B width"]
    """What led to them."""


class Lifter(nn.Module):
    """A residual perceptron."""

    def __init__(self, config: ModelConfig, takes_joints: bool) -> None:
        super().__init__()
        width, self.takes_joints = config.lifter_width, takes_joints
        numbers = NUM_JOINTS * (7 if takes_joints else 4)
        self.enter = nn.Linear(numbers, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
            for _ in range(config.lifter_blocks)
        )
        self.leave = nn.LayerNorm(width)
        self.pose = nn.Linear(width, 6 * len(MANO_JOINT_NAMES))
        self.shape = nn.Linear(width, NUM_BETAS)

    def forward(self, evidence: Evidence2D) -> LiftedHand:
        """The hand behind the 2D joints."""
        numbers = [_STRETCH * (evidence.joints_crop - 0.5), torch.log(evidence.spread + _SHARPEST) + 3.0]
        if self.takes_joints and evidence.given is not None:
            known = evidence.given.isfinite().all(-1, keepdim=True)
            centred = torch.where(known, _STRETCH * (evidence.given - 0.5), 0.0)
            numbers += [centred, known.to(centred)]
        x = self.enter(torch.cat(numbers, dim=-1).flatten(1))
        for block in self.blocks:
            x = x + block(x)
        hidden = self.leave(x)
        return LiftedHand(self.pose(hidden).unflatten(1, (-1, 6)), self.shape(hidden), hidden)


def heatmap_evidence(heatmaps: Heatmaps, given: Float[Tensor, "B 21 2"] | None) -> Evidence2D:
    """The 2D joints of heat maps with their spread, beside given ones."""
    height, width = heatmaps.probabilities.shape[-2:]
    spreads = []
    for axis, size, mean in ((2, width, heatmaps.joints_crop[..., 0]), (3, height, heatmaps.joints_crop[..., 1])):
        centres = (torch.arange(size, device=mean.device, dtype=mean.dtype) + 0.5) / size
        squared = (centres - mean[..., None]).square()
        spreads.append((heatmaps.probabilities.sum(axis) * squared).sum(-1).clamp_min(0).add(1e-8).sqrt())
    return Evidence2D(heatmaps.joints_crop, torch.stack(spreads, dim=-1), given)
