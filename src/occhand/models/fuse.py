"""An inference copy of a network with every saving that leaves its numbers as they are.

The plain network stays the reference to read; here its forward passes are kept and their parts exchanged: batch norms vanish into
convolutions, pooling moves before the convolution it followed, affine layers in a row become one (see also `fused_attention.py`).
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from occhand.models.backbone import BasicBlock, Bottleneck, ResNet, Trunk
from occhand.models.fused_attention import FusedFIT, FusedSET, fuse_channel_transformers, is_affine, joined
from occhand.models.handgcat import GraphLayer, HandGCAT
from occhand.models.handoccnet import FIT, SET, HandOccNet, MaxMeanConv
from occhand.models.hourglass import HeatmapHead, PreActivation

NetworkT = TypeVar("NetworkT", bound=nn.Module)

_NORM_AFTER: dict[type[nn.Module], dict[str, str]] = {
    ResNet: {"conv1": "bn1"},
    BasicBlock: {"conv1": "bn1", "conv2": "bn2"},
    Bottleneck: {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3"},
    PreActivation: {"conv1": "bn2", "conv2": "bn3"},  # its bn1 reads the residual sum, which others read too
    MaxMeanConv: {"conv": "bn"},
    GraphLayer: {"linear": "bn"},
}
"""Which batch norm reads nothing but which layer's output, by the names inside a module; in an nn.Sequential it is the next one."""


def fuse(model: NetworkT) -> NetworkT:
    """A copy of a network for inference: the same input and output, less work between.

    It shares the hand layer with the original, is in evaluation mode, on the same device, and is not to be trained or saved. Its
    convolutions are channels-last.

    Args:
        model: HandOccNet or HandGCAT of any config.

    Raises:
        ValueError: Something else, or already fused.
    """
    if not isinstance(model, HandOccNet | HandGCAT) or is_fused(model):
        raise ValueError(f"Only a plain HandOccNet or HandGCAT can be fused, not a {type(model).__name__} like this one.")
    fused: Any = copy.deepcopy(model, {id(model.hand): model.hand}).eval().requires_grad_(False)  # Any: its parts change their kinds
    _fold_norms(fused)
    for trunk in (module for module in fused.modules() if isinstance(module, Trunk)):
        merge_pooling(trunk)
    if isinstance(model, HandOccNet):
        if isinstance(fused.fit, FIT):
            fused.fit = FusedFIT(fused.fit)
        for k, part in enumerate(fused.set):
            if isinstance(part, SET):
                fused.set[k] = FusedSET(part)
    else:
        for block in fused.cat.blocks:
            fuse_channel_transformers(block)
        if is_affine(fused.config):
            fused.kgc.layers = nn.ModuleList([joined([layer.linear for layer in fused.kgc.layers])])
    _fold_sharpness(fused.regressor.heatmap_head)
    return cast(NetworkT, fused.requires_grad_(False).to(memory_format=torch.channels_last))


def is_fused(model: HandOccNet | HandGCAT) -> bool:
    """Whether a network is a copy made by `fuse`: its batch norms are gone."""
    return isinstance(model.trunk.resnet.bn1, nn.Identity)


class SmoothPool(nn.Conv2d):
    """A 3x3 convolution followed by average pooling, pooled first: windows of the map are averaged where the convolution's taps will look.

    Pooling p x p after a convolution is the convolution with stride p of the map averaged over every p x p window. That is exact at the
    borders too, as the window of a border tap holds the zeros that the convolution pads, and costs 1 / p^2 of the products. (As one
    4x4 convolution, for p = 2, it would be 16 taps instead of 9.) Weights keep their names and shapes, so that it can be trained.
    """

    def __init__(self, smooth: nn.Conv2d, window: int) -> None:
        super().__init__(smooth.in_channels, smooth.out_channels, 3, device="meta")
        self.weight, self.bias = smooth.weight, smooth.bias
        self.window = window

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C_out h w"]:
        """The smoothed, pooled map."""
        if self.window == 1:
            return conv2d(x, self.weight, self.bias, padding=1)
        averaged = avg_pool2d(x, self.window, stride=1, padding=1)
        return conv2d(averaged, self.weight, self.bias, stride=self.window)


def quicken_training(model: NetworkT) -> NetworkT:
    """The savings that hold for weights that still move, in place: pooling before its convolution, memory channels-last.

    Weights keep their names, shapes and meaning, so checkpoints are as before; gradients differ by rounding only. The gate's key sum and
    fused attention are in the plain network already.
    """
    for trunk in (module for module in model.modules() if isinstance(module, Trunk)):
        merge_pooling(trunk)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def merge_pooling(trunk: Trunk) -> None:
    """Pool before the last convolution of a trunk; on the same parameters, so it serves training as well."""
    if isinstance(trunk.pool, nn.Identity):
        return  # done before
    assert isinstance(trunk.pool.kernel_size, int)
    trunk.smooth, trunk.pool = SmoothPool(trunk.smooth, trunk.pool.kernel_size), nn.Identity()  # type: ignore[assignment]


def _fold_norms(model: nn.Module) -> None:
    for module in list(model.modules()):
        pairs = _NORM_AFTER.get(type(module), {})
        if type(module) is nn.Sequential:
            names = list(module._modules)
            pairs = {name: after for name, after in pairwise(names) if isinstance(module[int(name)], nn.Conv2d)}
        for name, after in pairs.items():
            norm = getattr(module, after)
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, with_norm(getattr(module, name), norm))
                setattr(module, after, nn.Identity())


@torch.no_grad()
def with_norm(layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Conv2d | nn.Linear:
    """A convolution or linear layer that does what it and the batch norm after it do in evaluation; computed in float64."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = torch.zeros_like(scale) if layer.bias is None else layer.bias.double()
    folded = copy.deepcopy(layer)
    shape = (-1, *[1] * (layer.weight.ndim - 1))
    folded.weight = nn.Parameter((layer.weight.double() * scale.view(shape)).to(layer.weight.dtype), requires_grad=False)
    shifted = norm.bias.double() + (bias - norm.running_mean.double()) * scale
    folded.bias = nn.Parameter(shifted.to(layer.weight.dtype), requires_grad=False)
    return folded


@torch.no_grad()
def _fold_sharpness(head: HeatmapHead) -> None:
    """The heat maps' sharpness goes into the layer that scores them."""
    score, scale = head.score, head.sharpness.flatten()
    assert score.bias is not None
    score.weight.mul_(scale.view(-1, 1, 1, 1))
    score.bias.mul_(scale)
    head.sharpness.fill_(1.0)
