"""The 2D head of both networks: hourglass, heat maps, 2D joints (Newell et al., ECCV 2016; soft-argmax)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from occhand.hand.skeleton import JOINT_NAMES
from occhand.models.backbone import NEGATIVE_SLOPE
from occhand.models.config import ModelConfig

NUM_JOINTS = len(JOINT_NAMES)


class PreActivation(nn.Module):
    """Residual bottleneck that normalises and activates before each convolution (He et al., ECCV 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // 2
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The input plus what the three convolutions make of it."""
        h = self.conv1(self.activation(self.bn1(x)))
        h = self.conv2(self.activation(self.bn2(h)))
        return x + self.conv3(self.activation(self.bn3(h)))


class Hourglass(nn.Module):
    """Halve, work at the smaller size (which is an hourglass again, to the given depth), double, and add what was kept aside."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.skip = PreActivation(channels)
        self.down = PreActivation(channels)
        self.inner = Hourglass(channels, depth - 1) if depth > 1 else PreActivation(channels)
        self.up = PreActivation(channels)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The map, refined at every scale."""
        low = self.up(self.inner(self.down(max_pool2d(x, 2))))
        return self.skip(x) + interpolate(low, scale_factor=2.0, mode="nearest")


class Heatmaps(NamedTuple):
    """What the 2D head gives."""

    joints_crop: Float[Tensor, "B 21 2"]
    """Expected place under each heat map, 0..1 over the crop."""
    probabilities: Float[Tensor, "B 21 h w"]
    """One distribution over the map per joint."""
    features: Float[Tensor, "B C h w"]
    """The map that the heat maps were read from."""


class HeatmapHead(nn.Module):
    """Hourglass to one heat map per joint to 2D joints."""

    column: Tensor
    row: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, size = config.channels, config.map_size
        self.hourglass = Hourglass(channels, config.hourglass_depth)
        self.refine = PreActivation(channels)
        self.project = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.LeakyReLU(NEGATIVE_SLOPE))
        self.score = nn.Conv2d(channels, NUM_JOINTS, 1)
        self.sharpness = nn.Parameter(torch.ones(NUM_JOINTS, 1))
        self.softmax = nn.Softmax(dim=-1)
        centres = (torch.arange(size) + 0.5) / size
        self.register_buffer("column", centres.repeat(size), persistent=False)
        self.register_buffer("row", centres.repeat_interleave(size), persistent=False)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Heatmaps:
        """Heat maps and their soft-argmax."""
        features = self.project(self.refine(self.hourglass(features)))
        logits = self.score(features).flatten(2).to(self.sharpness.dtype)  # under autocast: places need more than bf16's 8 bits
        probabilities = self.softmax(self.sharpness * logits)
        joints_crop = torch.stack([(probabilities * self.column).sum(-1), (probabilities * self.row).sum(-1)], dim=-1)
        return Heatmaps(joints_crop, probabilities.unflatten(2, features.shape[-2:]), features)
