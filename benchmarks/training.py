"""A training step (forward, loss, backward, Adam) of both released networks, as published against quickened, in turns, one run.

python benchmarks/training.py --networks handoccnet handgcat --batch 4 --threads 2 --rounds 5
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import numpy as np
import torch
from released_twin import ReleasedAttention, as_released
from torch import nn

from occhand.losses import LossConfig, hand_losses
from occhand.models.attention import Attention
from occhand.models.fuse import quicken_training
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.presets import create_model
from occhand.types import ModelInput, ModelTarget


def stepper(model: HandOccNet | HandGCAT, batch: int, is_bf16: bool, is_fused_adam: bool) -> Callable[[], float]:
    """A function that takes one step and gives its loss."""
    generator = torch.Generator().manual_seed(0)
    size = model.config.input_size
    image, joints = torch.rand(batch, 3, size, size, generator=generator), torch.rand(batch, 21, 2, generator=generator)
    inputs = ModelInput(image, joints)
    target = ModelTarget(0.1 * torch.randn(batch, 48, generator=generator), torch.zeros(batch, 10), joints)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, fused=is_fused_adam)
    model.train()

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            output = model(inputs)
        output = output._replace(**{name: value.float() for name, value in output._asdict().items() if value is not None})
        loss = hand_losses(output, target, inputs, model.hand, model.config.flat_hand_mean, LossConfig()).total
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def with_explicit_softmax(model: nn.Module) -> nn.Module:
    """Attention as matrices."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Attention):
                setattr(module, name, ReleasedAttention(child))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["handoccnet", "handgcat"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.networks:
        torch.manual_seed(0)
        model = create_model(name)
        quick = lambda: quicken_training(copy.deepcopy(model))  # noqa: B023, E731 (used before the next)
        steps = {
            "released": stepper(as_released(copy.deepcopy(model)), options.batch, False, False),
            "plain": stepper(copy.deepcopy(model), options.batch, False, False),
            "quick fp32": stepper(quick(), options.batch, False, True),
            "quick bf16": stepper(quick(), options.batch, True, True),
            "quick bf16, explicit softmax": stepper(with_explicit_softmax(quick()), options.batch, True, True),
        }
        times: dict[str, list[tuple[float, float]]] = {variant: [] for variant in steps}
        for turn in range(options.rounds + 1):
            for variant, step in steps.items():
                wall, processor = time.perf_counter(), time.process_time()
                loss = step()
                if turn:
                    times[variant].append((time.perf_counter() - wall, time.process_time() - processor))
                elif not np.isfinite(loss):
                    raise SystemExit(f"{name}, {variant}: the loss is {loss}")
        base = np.median(times["released"], axis=0)
        for variant, pairs in times.items():
            wall, processor = np.median(pairs, axis=0)
            print(
                f"{name:10} batch {options.batch}, {options.threads} threads  {variant:30} {1e3 * wall:7.0f} ms  "
                f"ratio {base[0] / wall:.2f} by the clock, {base[1] / processor:.2f} by processor time",
                flush=True,
            )


if __name__ == "__main__":
    main()
