"""Where joints go when the hand is posed: the chain of rotations from the wrist to the last joints."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_FIRST_JOINTS = (1, 4, 7, 10, 13)
"""MANO's order has three joints per digit in a row, so each digit's k-th joint is its first plus k."""


def chain_transforms(
    rotations: Float[Tensor, "*batch 16 3 3"], joints_rest: Float[Tensor, "*#batch 16 3"]
) -> tuple[Float[Tensor, "*batch 16 3 3"], Float[Tensor, "*batch 16 3"]]:
    """World rotation and position of every joint; the wrist stays where it is at rest.

    All digits are three joints long: three batched products do what a loop over `PARENTS` would.

    Args:
        rotations: Of each MANO joint relative to its parent; the root first.
        joints_rest: Metres; one rest skeleton for all, or one each.
    """
    R, t = rotations[..., :1, :, :], joints_rest[..., :1, :].expand(*rotations.shape[:-3], 1, 3)
    wrist, levels = (R, t), []
    parents = [0] * 5
    for depth in range(3):
        joints = [first + depth for first in _FIRST_JOINTS]
        bone = joints_rest[..., joints, :] - joints_rest[..., parents, :]
        t = (R @ bone[..., None]).squeeze(-1) + t
        R = R @ rotations[..., joints, :, :]
        levels.append((R, t))
        parents = joints
    # From levels over all digits back to MANO's order, digit by digit.
    digits_R, digits_t = torch.stack([R for R, _ in levels], -3).flatten(-4, -3), torch.stack([t for _, t in levels], -2).flatten(-3, -2)
    return torch.cat([wrist[0], digits_R], -3), torch.cat([wrist[1], digits_t], -2)
