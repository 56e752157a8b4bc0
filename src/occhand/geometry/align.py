"""Align point sets: similarity Procrustes, batched."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Similarity(NamedTuple):
    """`target ~ scale * source @ R^T + t`, row vectors."""

    scale: Float[Tensor, "*batch"]
    R: Float[Tensor, "*batch 3 3"]
    t: Float[Tensor, "*batch 3"]

    def apply(self, points: Float[Tensor, "*batch points 3"]) -> Float[Tensor, "*batch points 3"]:
        return self.scale[..., None, None] * points @ self.R.mT + self.t[..., None, :]


def procrustes(
    source: Float[Tensor, "*batch points 3"], target: Float[Tensor, "*batch points 3"], allow_reflection: bool = False
) -> Similarity:
    """The similarity that moves `source` onto `target` with the least squared error (Umeyama, PAMI 1991).

    Args:
        source: Points to move, any unit.
        target: Where they should go, same unit.
        allow_reflection: Let R be a reflection where that fits better, as the official evaluation of HO-3D and FreiHAND does; a
            mirrored hand then counts as right.

    Returns:
        Scale 0 where all source points coincide.
    """
    source_mean, target_mean = source.mean(-2), target.mean(-2)
    a, b = source - source_mean[..., None, :], target - target_mean[..., None, :]
    U, singular, Vh = torch.linalg.svd(b.mT @ a)
    signs = torch.ones_like(singular)
    if not allow_reflection:
        signs[..., 2] = torch.linalg.det(U @ Vh).sign()
    R = (U * signs[..., None, :]) @ Vh
    spread = a.square().sum((-2, -1))
    rounding = torch.finfo(source.dtype).eps * source.abs().amax((-2, -1))
    is_point = spread <= 3 * source.shape[-2] * rounding**2  # so much at most in each of the three coordinates
    scale = torch.where(is_point, 0.0, (singular * signs).sum(-1) / torch.where(is_point, 1.0, spread))
    t = target_mean - scale[..., None] * (R @ source_mean[..., None]).squeeze(-1)
    return Similarity(scale, R, t)


def procrustes_align(
    source: Float[Tensor, "*batch points 3"], target: Float[Tensor, "*batch points 3"], allow_reflection: bool = False
) -> Float[Tensor, "*batch points 3"]:
    """`source` moved onto `target` by `procrustes`."""
    return procrustes(source, target, allow_reflection).apply(source)
