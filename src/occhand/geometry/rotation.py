"""Rotations: axis-angle, six numbers and matrices, with finite gradients everywhere."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

_SMALL_ANGLE_SQUARED = 1e-4
"""Below it (0.01 rad) a ratio comes from its series, whose next term is under float32 rounding."""
_LEAST_SQUARED = 1e-12
"""Angles are not taken to be smaller, so that what is divided by them stays finite."""


def skew(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The matrix of the cross product: `skew(a) @ b == cross(a, b)`."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rodrigues' formula; smooth at the identity.

    Args:
        axis_angle: Radians times the unit axis; angles beyond pi are fine.
    """
    # By the half angle h: (1 - cos 2h) / (2h)^2 = (sin h / h)^2 / 2 and sin 2h / 2h = (sin h / h) cos h lose nothing near h = 0.
    half = (axis_angle * axis_angle).sum(-1)[..., None, None].clamp_min(_LEAST_SQUARED).sqrt() / 2
    ratio = half.sin() / half
    K = skew(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + ratio * half.cos() * K + ratio.square() / 2 * (K @ K)


def matrix_to_quaternion(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion (w, x, y, z) with w >= 0; the best conditioned of the four formulas is taken per matrix."""
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = R.flatten(-2).unbind(-1)
    # Row k holds q_k * (w, x, y, z) * 4; the row with the largest diagonal is well away from zero.
    products = torch.stack(
        [
            torch.stack([1 + r00 + r11 + r22, r21 - r12, r02 - r20, r10 - r01], -1),
            torch.stack([r21 - r12, 1 + r00 - r11 - r22, r10 + r01, r02 + r20], -1),
            torch.stack([r02 - r20, r10 + r01, 1 - r00 + r11 - r22, r12 + r21], -1),
            torch.stack([r10 - r01, r20 + r02, r21 + r12, 1 - r00 - r11 + r22], -1),
        ],
        dim=-2,
    )
    best = products.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = products.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)  # exports with any batch
    quaternion = normalize(row, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def matrix_to_axis_angle(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle with an angle of at most pi; gradients are finite at the identity and at pi."""
    quaternion = matrix_to_quaternion(R)
    w, xyz = quaternion[..., :1], quaternion[..., 1:]
    squared = (xyz * xyz).sum(-1, keepdim=True)
    is_small = squared < _SMALL_ANGLE_SQUARED / 4
    sine = torch.where(is_small, torch.ones_like(squared), squared).sqrt()
    # 2 asin(s) / s = 2 + s^2 / 3 + 3 s^4 / 20 + ...
    factor = torch.where(is_small, 2 + squared / 3 + 0.15 * squared**2, 2 * torch.atan2(sine, w) / sine)
    return xyz * factor


def sixd_to_matrix(sixd: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Gram-Schmidt on two vectors, which become the first two **columns** (Zhou et al., CVPR 2019)."""
    first, second = sixd[..., :3], sixd[..., 3:]
    b1 = normalize(first, dim=-1)
    b2 = normalize(second - (b1 * second).sum(-1, keepdim=True) * b1, dim=-1)
    return torch.stack([b1, b2, torch.linalg.cross(b1, b2)], dim=-1)


def mirror_rotation(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation seen in a mirror across x = 0: diag(-1, 1, 1) R diag(-1, 1, 1)."""
    signs = R.new_tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
    return R * signs
