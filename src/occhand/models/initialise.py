"""Weights before training."""

from __future__ import annotations

import torch
from torch import nn

from occhand.models.attention import PositionEmbedding
from occhand.models.backbone import ResNet
from occhand.models.config import ModelConfig
from occhand.models.lifter import LifterStep
from occhand.models.mano_head import ManoHead

_REST_POSE_6D = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def initialise(model: nn.Module, config: ModelConfig) -> None:
    """Fill a network's weights from torch's random generator, as the config says.

    The trunk: He's initialisation for the ResNet (ImageNet weights are loaded over it by `load_imagenet_trunk`), PyTorch's own for
    the pyramid and the necessity map, as released.
    """
    for module in model.modules():
        if isinstance(module, PositionEmbedding) and module.place != "none":
            nn.init.normal_(module.weight, std=config.embedding_std)
        elif isinstance(module, ResNet):
            for convolution in module.modules():
                if isinstance(convolution, nn.Conv2d):
                    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if config.initialisation == "released":
        for name, part in model.named_children():
            if name not in ("trunk", "necessity"):
                part.apply(_shrink)
    else:
        for module in model.modules():
            if isinstance(module, ManoHead | LifterStep):
                _start_at_rest(module)


def _shrink(module: nn.Module) -> None:
    """The release's small normal weights, which also override the graph layers' and perceptrons' own initialisation."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.001 if isinstance(module, nn.Conv2d) else 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def _start_at_rest(head: ManoHead | LifterStep) -> None:
    """Small outputs around the rest pose and the mean shape."""
    for output in (head.pose, head.shape):
        # The lifter has several steps, and longer vectors before them.
        nn.init.normal_(output.weight, std=0.0005 if isinstance(head, LifterStep) else 0.005)
        nn.init.zeros_(output.bias)
    if isinstance(head, LifterStep) or head.pose_output == "rotation_6d":
        head.pose.bias.copy_(torch.tensor(_REST_POSE_6D).repeat(head.pose.out_features // 6))
