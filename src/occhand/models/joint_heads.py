"""What the network says of each joint beside its place: whether it is seen, how deep it lies, and how far off it may be (ours)."""

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
TYPICAL_DEPTH = 0.03
"""Metres: about how far joints lie before or behind their mean."""


class Sight(NamedTuple):
    """What the picture says of each joint beside its place."""

    seen: Float[Tensor, "B 21"]
    """Logits of how likely nothing hides it."""
    depth: Float[Tensor, "B 21"]
    """Metres along the camera's z, from the mean of the 21 joints. A feature under a joint tells it as a 2.5D heat map does (Iqbal et al.,
    ECCV 2018)."""
    depth_spread: Float[Tensor, "B 21"]
    """Standard deviation of that, metres."""

    @classmethod
    def of_nothing(cls, like: Float[Tensor, "B 21 _"]) -> Sight:
        """Where no head looks."""
        nothing = torch.zeros_like(like[..., 0])
        return cls(nothing, nothing, nothing + TYPICAL_DEPTH)


class JointHead(nn.Module):
    """Some numbers for every joint: the same small perceptron on the feature under its heat map and on what is known of all joints."""

    def __init__(self, config: ModelConfig, numbers_known: int, reports: int) -> None:
        super().__init__()
        self.look = nn.Linear(config.channels + 3, _WIDTH)
        self.know = nn.Linear(numbers_known, NUM_JOINTS * _WIDTH)
        self.report = nn.Sequential(nn.GELU(), nn.Linear(_WIDTH, _WIDTH), nn.GELU(), nn.Linear(_WIDTH, reports))

    def report_on(self, heatmaps: Heatmaps, known: Float[Tensor, "B numbers_known"]) -> Float[Tensor, "B 21 reports"]:
        """The numbers, of any size and sign."""
        probabilities = heatmaps.probabilities.flatten(2)
        seen = probabilities @ heatmaps.features.to(probabilities.dtype).flatten(2).mT
        peak = probabilities.amax(-1, keepdim=True)
        place = 2 * heatmaps.joints_crop - 1
        known = self.know(known).unflatten(1, (NUM_JOINTS, _WIDTH))
        return self.report(self.look(torch.cat([seen, peak, place], dim=-1)) + known)


class SightHead(JointHead):
    """Whether each joint is seen, and how deep it lies.

    Maps straight on the trunk's features say so for every place, so that they can be trained with the trunk alone; the heat maps choose the
    place, and the perceptron corrects.
    """

    def __init__(self, config: ModelConfig, numbers_known: int) -> None:
        super().__init__(config, numbers_known, reports=3)
        self.maps = nn.Conv2d(config.channels, 2 * NUM_JOINTS, 1)

    def forward(self, trunk_features: Float[Tensor, "B C h w"], heatmaps: Heatmaps, known: Float[Tensor, "B numbers_known"]) -> Sight:
        """Of all joints; `known` is what the network saw of their places."""
        seen, depth, spread = self.report_on(heatmaps, known).unbind(-1)
        trunk_seen, trunk_depth = self.read_maps(trunk_features, heatmaps.probabilities)
        return Sight(seen + trunk_seen, TYPICAL_DEPTH * (depth + trunk_depth), TYPICAL_DEPTH * torch.exp(spread.clamp(-4.0, 2.0)))

    def read_maps(
        self, trunk_features: Float[Tensor, "B C h w"], probabilities: Float[Tensor, "B 21 h w"]
    ) -> tuple[Float[Tensor, "B 21"], Float[Tensor, "B 21"]]:
        """Logits of visibility, and depths in units of `TYPICAL_DEPTH`, under the heat maps."""
        maps = self.maps(trunk_features).to(probabilities.dtype).unflatten(1, (2, NUM_JOINTS))
        seen, depth = (maps * probabilities[:, None]).sum((-2, -1)).unbind(1)
        return seen, depth


class SigmaHead(JointHead):
    """How far off each joint may be; set right after training, on held-out samples."""

    calibration: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.head_widths[1], reports=1)
        self.register_buffer("calibration", torch.ones(()))

    def forward(self, heatmaps: Heatmaps, known: Float[Tensor, "B narrow"]) -> Float[Tensor, "B 21"]:
        """Standard deviation per axis, metres; see `ModelOutput.joint_sigma`."""
        return self.calibration * _MIDDLING_ERROR * torch.exp(self.report_on(heatmaps, known).squeeze(-1).clamp(-5, 5))
