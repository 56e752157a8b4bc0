"""The trunk of both networks: a ResNet, a feature pyramid on it, and one map out."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from occhand.models.config import ModelConfig

NEGATIVE_SLOPE = 0.01
"""Of every LeakyReLU in both networks."""
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Activation = Literal["leaky_relu", "relu"]


class Trunk(nn.Module):
    """RGB crop to feature map F: ResNet stages c2..c5, feature pyramid p5..p2, 3x3 convolution, average pooling."""

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.normalises = config.image_normalisation == "imagenet"
        self.register_buffer("image_mean", torch.tensor(_IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("image_std", torch.tensor(_IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.resnet = ResNet(config.trunk, config.trunk_width, config.trunk_activation)
        self.pyramid = FeaturePyramid(self.resnet.stage_channels, config.channels, config.pyramid_finest)
        self.smooth = nn.Conv2d(config.channels, config.channels, 3, padding=1)
        self.pool = nn.AvgPool2d(config.input_size // config.pyramid_stride // config.map_size)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """The feature map of a crop with values 0..1."""
        if self.normalises:
            image = (image - self.image_mean) / self.image_std
        c2, c3, c4, c5 = self.resnet(image)
        return self.pool(self.smooth(self.pyramid(c2, c3, c4, c5)))


class FeaturePyramid(nn.Module):
    """Feature pyramid network (Lin et al., CVPR 2017), top down to the finest map; linear throughout."""

    def __init__(self, stage_channels: list[int], channels: int, finest: Literal["c2", "c3"]) -> None:
        super().__init__()
        c2, c3, c4, c5 = stage_channels
        self.lateral2 = nn.Conv2d(c2, channels, 1) if finest == "c2" else None
        self.lateral3 = nn.Conv2d(c3, channels, 1)
        self.lateral4 = nn.Conv2d(c4, channels, 1)
        self.top = nn.Conv2d(c5, channels, 1)

    def forward(
        self, c2: Float[Tensor, "B _ _ _"], c3: Float[Tensor, "B _ _ _"], c4: Float[Tensor, "B _ _ _"], c5: Float[Tensor, "B _ _ _"]
    ) -> Float[Tensor, "B C h w"]:
        """The map p2 at the size of c2, or p3 at that of c3."""
        p4 = _enlarged_to(self.top(c5), c4) + self.lateral4(c4)
        p3 = _enlarged_to(p4, c3) + self.lateral3(c3)
        if self.lateral2 is None:
            return p3
        return _enlarged_to(p3, c2) + self.lateral2(c2)


def _enlarged_to(coarse: Float[Tensor, "B C _ _"], finer: Float[Tensor, "B _ h w"]) -> Float[Tensor, "B C h w"]:
    return interpolate(coarse, size=finer.shape[-2:], mode="bilinear", align_corners=False)


class ResNet(nn.Module):
    """ResNet-18 or -50 (He et al., CVPR 2016; torchvision's form, the stride on the 3x3 convolution) without its classifier.

    Keys are torchvision's, so that its ImageNet files load as they are.
    """

    def __init__(self, kind: Literal["resnet18", "resnet50"], width: int, activation: Activation) -> None:
        super().__init__()
        block: type[BasicBlock] | type[Bottleneck]
        block, counts = (BasicBlock, (2, 2, 2, 2)) if kind == "resnet18" else (Bottleneck, (3, 4, 6, 3))
        widths = [width, 2 * width, 4 * width, 8 * width]
        c2, c3, c4, c5 = self.stage_channels = [w * block.expansion for w in widths]
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.activation = _activation(activation)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

        def stage(k: int, channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
            """The k-th stage's blocks; the first of them changes the size and the channels."""
            first = block(channels_in, widths[k], stride, activation)
            return nn.Sequential(first, *(block(channels_out, widths[k], 1, activation) for _ in range(counts[k] - 1)))

        self.layer1 = stage(0, width, c2, stride=1)
        self.layer2 = stage(1, c2, c3, stride=2)
        self.layer3 = stage(2, c3, c4, stride=2)
        self.layer4 = stage(3, c4, c5, stride=2)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The outputs c2..c5 of the four stages, at 1/4 to 1/32 of the input size."""
        x = self.maxpool(self.activation(self.bn1(self.conv1(image))))
        c2 = self.layer1(x)
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return c2, c3, c4, self.layer4(c4)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.activation = _activation(activation)
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, x: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B _ _ _"]:
        """The block's output, activated after the sum."""
        h = self.activation(self.bn1(self.conv1(x)))
        return self.activation(self.bn2(self.conv2(h)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, the last four times as wide, and a shortcut."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.activation = _activation(activation)
        self.downsample = _shortcut(channels, 4 * width, stride)

    def forward(self, x: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B _ _ _"]:
        """The block's output, activated after the sum."""
        h = self.activation(self.bn1(self.conv1(x)))
        h = self.activation(self.bn2(self.conv2(h)))
        return self.activation(self.bn3(self.conv3(h)) + self.downsample(x))


def _shortcut(channels: int, width: int, stride: int) -> nn.Module:
    if stride == 1 and channels == width:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))


def _activation(kind: Activation) -> nn.Module:
    return nn.LeakyReLU(NEGATIVE_SLOPE) if kind == "leaky_relu" else nn.ReLU()
