"""What a network costs: weights, and multiply-accumulates for one crop. Counting takes a second for each, so presets' lie in a file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from occhand.models.config import ModelConfig, config_to_json
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.types import ModelInput

COSTS = Path(__file__).with_name("costs.json")
"""Of the presets, by `config_digest`; `python -m tools.model_costs` counts them anew."""


@dataclass(frozen=True)
class Cost:
    """Size and work."""

    parameters: int
    gmacs: float
    """Multiply-accumulates for one crop, in units of 1e9: convolutions, matrix products and attention."""


@cache
def known_costs() -> dict[str, Cost]:
    """What `COSTS` holds."""
    return {digest: Cost(entry["parameters"], entry["gmacs"]) for digest, entry in json.loads(COSTS.read_text(encoding="utf-8")).items()}


def config_digest(config: ModelConfig) -> str:
    """Of all that decides a network's cost."""
    return hashlib.sha256(json.dumps(config_to_json(config), sort_keys=True).encode()).hexdigest()[:16]


def count_cost(model: HandOccNet | HandGCAT) -> Cost:
    """Count on PyTorch's meta device.

    Args:
        model: On that device; what is not counted and slow to trace is taken out of it.
    """
    from torch.utils.flop_counter import FlopCounterMode

    parameters, size = sum(p.numel() for p in model.parameters()), model.config.input_size
    for module in list(model.eval().modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.LeakyReLU | nn.ReLU):
                setattr(module, name, nn.Identity())
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
        model(ModelInput(torch.empty(1, 3, size, size), torch.empty(1, 21, 2)))
    return Cost(parameters, counter.get_total_flops() / 2e9)
