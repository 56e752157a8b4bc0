"""Where joints go when the hand is posed: the chain of rotations from the wrist to the last joints."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def chain_transforms(
    rotations: Float[Tensor, "*batch 16 3 3"], joints_rest: Float[Tensor, "*#batch 16 3"]
) -> tuple[Float[Tensor, "*batch 16 3 3"], Float[Tensor, "*batch 16 3"]]:
    """World rotation and position of every joint; the wrist stays where it is at rest.

    All digits are three joints long: three batched products do what a loop over `PARENTS` would.

    Args:
        rotations: Of each MANO joint relative to its parent; the root first.
        joints_rest: Metres; one rest skeleton for all, or one each.
    """
    # MANO's order has three joints per digit in a row.
    digits, wrist = joints_rest[..., 1:, :].unflatten(-2, (5, 3)), joints_rest[..., :1, :]
    chains = torch.cat([wrist[..., None, :].expand(*wrist.shape[:-2], 5, 1, 3), digits], dim=-2)
    bones, turns = chains[..., 1:, :] - chains[..., :-1, :], rotations[..., 1:, :, :].unflatten(-3, (5, 3))
    R, t = rotations[..., :1, :, :], wrist.expand(*rotations.shape[:-3], 1, 3)
    levels = [(R, t)]
    for depth in range(3):
        t = (R @ bones[..., depth, :, None]).squeeze(-1) + t
        R = R @ turns[..., depth, :, :]
        levels.append((R, t))
    (wrist_R, wrist_t), *levels = levels
    digits_R, digits_t = torch.stack([R for R, _ in levels], -3).flatten(-4, -3), torch.stack([t for _, t in levels], -2).flatten(-3, -2)
    return torch.cat([wrist_R, digits_R], -3), torch.cat([wrist_t, digits_t], -2)
