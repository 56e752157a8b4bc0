"""What happens to a sample on its way into a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class JointNoise:
    """Noise on the 2D joints that HandGCAT takes in training; the target keeps its own.

    The defaults are the released ones for HO-3D v2. Its training on HO-3D v3 and DexYCB has none: `JointNoise(probability=0)`.

    Raises:
        ValueError: A negative `sigma`, or a `probability` outside of 0..1.
    """

    sigma: float = 0.01
    """Standard deviation per coordinate, in sides of the crop."""
    probability: float = 0.5
    """Share of the hands that get noise, all joints of a hand or none."""

    def __post_init__(self) -> None:
        if self.sigma < 0 or not 0 <= self.probability <= 1:
            raise ValueError(f"Joint noise of sigma {self.sigma}, probability {self.probability}; expected sigma >= 0, probability 0..1.")

    def __call__(self, joints_crop: Float[Tensor, "*batch 21 2"], generator: torch.Generator | None = None) -> Float[Tensor, "*batch 21 2"]:
        """The joints with noise, 0..1 over the crop; a copy."""
        draw = torch.rand(joints_crop.shape[:-2], generator=generator)[..., None, None]
        noise = self.sigma * torch.randn(joints_crop.shape, generator=generator)
        return joints_crop + torch.where(draw < self.probability, noise, 0.0).to(joints_crop)
