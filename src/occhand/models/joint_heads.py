"""What the network says of each joint beside its place: whether it is seen, and how far off it may be (ours)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occhand.models.config import ModelConfig
from occhand.models.hourglass import NUM_JOINTS, Heatmaps

_WIDTH = 128
_MIDDLING_ERROR = 0.005
"""Metres; an untrained head says this."""


class JointReports(NamedTuple):
    """One number per joint each."""

    sigma: Float[Tensor, "B 21"]
    """Standard deviation per axis, metres; see `ModelOutput.joint_sigma`."""
    visibility: Float[Tensor, "B 21"]
    """Probability that nothing hides the joint, 0..1."""


class JointHeads(nn.Module):
    """The same small perceptron for every joint, on the feature under its heat map and what the hand's head knows."""

    calibration: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.look = nn.Linear(config.channels + 3, _WIDTH)
        self.know = nn.Linear(config.head_widths[1], NUM_JOINTS * _WIDTH)
        self.report = nn.Sequential(nn.GELU(), nn.Linear(_WIDTH, _WIDTH), nn.GELU(), nn.Linear(_WIDTH, 2))
        self.register_buffer("calibration", torch.ones(()))  # set after training, on held-out samples

    def forward(self, heatmaps: Heatmaps, hidden: Float[Tensor, "B narrow"]) -> JointReports:
        """Uncertainty and visibility of each joint."""
        probabilities = heatmaps.probabilities.flatten(2)
        seen = probabilities @ heatmaps.features.to(probabilities.dtype).flatten(2).mT
        peak = probabilities.amax(-1, keepdim=True)
        place = 2 * heatmaps.joints_crop - 1
        known = self.know(hidden).unflatten(1, (NUM_JOINTS, _WIDTH))
        logits = self.report(self.look(torch.cat([seen, peak, place], dim=-1)) + known)
        sigma = self.calibration * _MIDDLING_ERROR * torch.exp(logits[..., 0].clamp(-5, 5))
        return JointReports(sigma, torch.sigmoid(logits[..., 1]))
