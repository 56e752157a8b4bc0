"""Looking inside a network: what HandOccNet's Figures 4 and 7 show, and the same of HandGCAT."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occhand.models.attention import Attention, split_heads
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import Gate, HandOccNet
from occhand.types import ModelInput, ModelOutput


@dataclass
class Inspection:
    """What passed through a network; all maps have the size of its feature map."""

    output: ModelOutput
    necessity: Float[Tensor, "B h w"] | None = None
    """HandOccNet: how much of the hand is seen at each place, 0..1."""
    feature_norms: dict[str, Float[Tensor, "B h w"]] = field(default_factory=dict)
    """Length of the feature vector at each place, before and after each module. HandOccNet: trunk, primary, secondary, fit, set.
    HandGCAT: trunk, kgc, cat."""
    attention: dict[str, Float[Tensor, "B heads queries keys"]] = field(default_factory=dict)
    """Softmax weights by module, such as `fit.blocks.0`. Tokens are pixels, row by row, in HandOccNet; in HandGCAT they are channels: a
    pose token is a joint in the house order."""
    gates: dict[str, Float[Tensor, "B heads queries 1"]] = field(default_factory=dict)
    """Share of the injected feature that each pixel lets in, by block of FIT."""

    def correlation_from(self, x: float, y: float, module: str = "fit.blocks.0") -> Float[Tensor, "B h w"]:
        """Where one place of the crop takes its information from: the mean over heads of gate times attention.

        Args:
            x: Place in the crop, 0..1 from left to right.
            y: 0..1 from top to bottom.
            module: A key of `attention` whose tokens are pixels.

        Raises:
            ValueError: No such module, its tokens are channels, or a place outside of the crop.
        """
        if module not in self.attention or self.necessity is None:
            pixelwise = [name for name in self.attention if self.necessity is not None]
            raise ValueError(
                f"{module!r} has no attention between pixels here; choose one of {', '.join(pixelwise) or 'none: use HandOccNet'}."
            )
        if not (0 <= x < 1 and 0 <= y < 1):
            raise ValueError(f"The place ({x:g}, {y:g}) is outside of the crop; expected 0..1.")
        height, width = self.necessity.shape[-2:]
        query = int(y * height) * width + int(x * width)
        weights = self.attention[module][:, :, query]
        if module in self.gates:
            weights = weights * self.gates[module][:, :, query]
        return weights.mean(1).unflatten(1, (height, width))


@torch.no_grad()
def inspect(model: HandOccNet | HandGCAT, inputs: ModelInput) -> Inspection:
    """Run a network and keep what its figures show; the network itself is as before.

    Attention weights are computed anew from the queries and keys, so the plain forward pass keeps its fused attention.
    """
    seen: dict[str, Any] = {}

    def keep(name: str) -> Any:
        return lambda module, args, output: seen.__setitem__(name, (args, output))

    parts: dict[str, nn.Module] = dict(model.named_children())
    watched = {name: module for name, module in model.named_modules() if isinstance(module, Attention | Gate)}
    with ExitStack() as hooks:
        for name, module in (parts | watched).items():
            handle = module.register_forward_hook(keep(name))
            hooks.callback(handle.remove)
        hooks.callback(model.train, model.training)
        inspection = Inspection(model.eval()(inputs))

    for name, module in watched.items():
        args, output = seen[name]
        block = name.rpartition(".")[0]
        if isinstance(module, Attention):
            query, key = (split_heads(tokens, module.heads) for tokens in args[:2])
            inspection.attention[block] = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1)
        else:
            inspection.gates[block] = output
    maps = {"trunk": seen["trunk"][1]}
    if isinstance(model, HandOccNet):
        inspection.necessity = torch.sigmoid(seen["necessity"][1]).squeeze(1)
        maps["primary"], maps["secondary"] = seen["fit"][0]
    maps |= {name: seen[name][1] for name in parts if name not in ("trunk", "regressor", "necessity")}
    inspection.feature_norms = {name: features.norm(dim=1) for name, features in maps.items()}
    return inspection
