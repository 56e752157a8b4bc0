"""What the network says of each joint beside its place: whether it is seen, and how far off it may be (ours)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occhand.models.config import ModelConfig
from occhand.models.hourglass import NUM_JOINTS, Heatmaps

_WIDTH = 128
_MIDDLING_ERROR = 0.005
"""Metres; an untrained head says this."""


class JointHead(nn.Module):
    """One number for every joint: the same small perceptron on the feature under its heat map and on what is known of all joints."""

    def __init__(self, config: ModelConfig, numbers_known: int) -> None:
        super().__init__()
        self.look = nn.Linear(config.channels + 3, _WIDTH)
        self.know = nn.Linear(numbers_known, NUM_JOINTS * _WIDTH)
        self.report = nn.Sequential(nn.GELU(), nn.Linear(_WIDTH, _WIDTH), nn.GELU(), nn.Linear(_WIDTH, 1))

    def forward(self, heatmaps: Heatmaps, known: Float[Tensor, "B numbers_known"]) -> Float[Tensor, "B 21"]:
        """The number, of any size and sign."""
        probabilities = heatmaps.probabilities.flatten(2)
        seen = probabilities @ heatmaps.features.to(probabilities.dtype).flatten(2).mT
        peak = probabilities.amax(-1, keepdim=True)
        place = 2 * heatmaps.joints_crop - 1
        known = self.know(known).unflatten(1, (NUM_JOINTS, _WIDTH))
        return self.report(self.look(torch.cat([seen, peak, place], dim=-1)) + known).squeeze(-1)


class SigmaHead(JointHead):
    """How far off each joint may be; set right after training, on held-out samples."""

    calibration: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.head_widths[1])
        self.register_buffer("calibration", torch.ones(()))

    def forward(self, heatmaps: Heatmaps, known: Float[Tensor, "B narrow"]) -> Float[Tensor, "B 21"]:
        """Standard deviation per axis, metres; see `ModelOutput.joint_sigma`."""
        return self.calibration * _MIDDLING_ERROR * torch.exp(super().forward(heatmaps, known).clamp(-5, 5))
