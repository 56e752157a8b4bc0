"""How far an exported network is from the one it was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from occhand.metrics.functional import pa_mpjpe
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.runtimes.choice import Precision
from occhand.types import ModelInput, ModelOutput

_LIMIT_MM: dict[Precision, float] = {"fp32": 0.01, "bf16": 5.0, "int8": 15.0}
"""Mean distance of vertices beyond which an export has failed. fp32 only differs in the order of its sums."""


@dataclass(frozen=True)
class Parity:
    """Differences to the plain network in fp32, over some crops."""

    crops: int
    vertices_mean_mm: float
    vertices_max_mm: float
    joints_aligned_mean_mm: float
    """After similarity alignment: what is left of the pose's change."""
    joints_crop_max: float
    """Of the 2D joints, in sides of the crop."""


@torch.inference_mode()
def compare(
    model: HandOccNet | HandGCAT, ready: Callable[[ModelInput], ModelOutput], inputs: Sequence[ModelInput], precision: Precision
) -> Parity:
    """Run both on the same crops.

    Raises:
        ValueError: They differ by more than the precision explains.
    """
    distances, aligned, places, crops = [], [], [], 0
    for some in inputs:
        expected, mine = model(some), ready(some)
        crops += len(some.image)
        distances.append((expected.vertices - mine.vertices).norm(dim=-1).flatten())
        aligned.append(pa_mpjpe(mine.joints, expected.joints).flatten())
        places.append((expected.joints_crop - mine.joints_crop).abs().max())
    vertices = 1e3 * torch.cat(distances)
    parity = Parity(
        crops, vertices.mean().item(), vertices.max().item(), 1e3 * torch.cat(aligned).mean().item(), torch.stack(places).max().item()
    )
    if not parity.vertices_mean_mm <= _LIMIT_MM[precision]:  # also NaN
        raise ValueError(
            f"The exported network is {parity.vertices_mean_mm:.3g} mm from the original on average; at most {_LIMIT_MM[precision]:g} mm "
            f"are expected of {precision}. Nothing was written; try another precision, or more calibration samples."
        )
    return parity
