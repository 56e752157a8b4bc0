"""The hand as a graph of 21 joints, and polynomials of its Laplacian."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occhand.hand.skeleton import BONES, FINGERS, JOINT_NAMES


def hand_adjacency(edges: Literal["bones", "bones_and_levels"]) -> Float[np.ndarray, "21 21"]:
    """Which joints are neighbours, in the house order.

    Args:
        edges: `bones`: the skeleton's 20. `bones_and_levels`: also the same joint of neighbouring fingers, and a loop at each joint
            (the graph that HandGCAT's code builds).
    """
    pairs = list(BONES)
    A = np.zeros((len(JOINT_NAMES), len(JOINT_NAMES)))
    if edges == "bones_and_levels":
        pairs += [(4 * finger + level, 4 * finger + 4 + level) for finger in range(len(FINGERS) - 1) for level in (1, 2, 3, 4)]
        np.fill_diagonal(A, 1.0)
    for a, b in pairs:
        A[a, b] = A[b, a] = 1.0
    return A


def laplacian(adjacency: Float[np.ndarray, "joints joints"], kind: Literal["normalised", "rescaled"]) -> Float[np.ndarray, "joints joints"]:
    """I - D^-1/2 A D^-1/2; `rescaled` stretches its eigenvalues to -1..1, where Chebyshev polynomials live (Defferrard et al., 2016)."""
    scale = 1 / np.sqrt(adjacency.sum(1))
    L = np.eye(len(adjacency)) - scale[:, None] * adjacency * scale
    if kind == "normalised":
        return L
    return 2 * L / np.linalg.eigvalsh(L)[-1] - np.eye(len(L))


def chebyshev(L: Float[np.ndarray, "joints joints"], order: int) -> Float[Tensor, "order joints joints"]:
    """The first `order` Chebyshev polynomials T_0 = I, T_1 = L, T_k = 2 L T_k-1 - T_k-2 of a matrix."""
    terms = [np.eye(len(L)), L]
    while len(terms) < order:
        terms.append(2 * L @ terms[-1] - terms[-2])
    return torch.from_numpy(np.stack(terms[:order])).float()
