"""Skin weights from the skeleton: smooth steps across the bisector plane of each joint, fading sideways, then a little smoothing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix, diags_array

from occhand.hand.skeleton import MANO_FINGERS
from tools.open_hand.anatomy import FIRST_JOINT, distance_to_segment, unit
from tools.open_hand.mesh import mesh_edges

HALF_WIDTH_MM = {"index": (6.6, 5.6), "middle": (6.6, 5.6), "ring": (6.6, 5.6), "pinky": (5.6, 4.9), "thumb": (10.0, 8.5)}
"""Half the length over which the skin bends: PIP and DIP; MCP and IP of the thumb."""
LEAST_WEIGHT = 0.004


def smooth_step(x: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Quintic from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * x * (x * (6 * x - 15) + 10)


def distance_to_bones(points: Float[np.ndarray, "n 3"], chain: Float[np.ndarray, "4 3"]) -> Float[np.ndarray, "n"]:
    """Distance to the nearest of a finger's three segments, mm."""
    return np.min([distance_to_segment(points, chain[k], chain[k + 1]) for k in range(3)], axis=0)


def _membership(points: np.ndarray, finger: str, chain: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """How far a point belongs to the finger rather than to the palm."""
    first = unit(chain[1] - chain[0])
    if finger == "thumb":
        return smooth_step(((points - chain[0]) @ first + 10) / 26) * (1 - smooth_step((distance - 12.5) / 19))
    across_knuckle = (points - chain[0]) @ unit(first + np.array([1.0, 0, 0]))
    return smooth_step((across_knuckle + 8.5) / 20) * (1 - smooth_step((distance - 9.5) / 9))


def skin_weights(
    points: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "f 3"], chains: dict[str, np.ndarray]
) -> Float[np.ndarray, "n 16"]:
    """Weight of each of MANO's joints at each vertex of the rest hand; rows sum to 1.

    Args:
        points: Vertices in mm, build frame.
        faces: For the smoothing along edges.
        chains: The rest skeleton.
    """
    distances = np.stack([distance_to_bones(points, chains[f]) for f in MANO_FINGERS], axis=1)
    members = np.stack([_membership(points, f, chains[f], distances[:, i]) for i, f in enumerate(MANO_FINGERS)], axis=1)
    # Neighbouring fingers compete: the nearer takes nearly all of what the stronger of them claims.
    shares = members * np.exp(-(distances - distances.min(1, keepdims=True)) / 3.0)
    shares *= members.max(1, keepdims=True) / np.maximum(shares.sum(1, keepdims=True), 1e-12)

    weights = np.zeros((len(points), 16))
    for i, finger in enumerate(MANO_FINGERS):
        chain, joint = chains[finger], FIRST_JOINT[finger]
        bones = [unit(chain[k + 1] - chain[k]) for k in range(3)]
        beyond = [
            smooth_step(((points - chain[k]) @ unit(bones[k - 1] + bones[k]) / half_width + 1) / 2)
            for k, half_width in zip((1, 2), HALF_WIDTH_MM[finger], strict=True)
        ]
        weights[:, joint] = shares[:, i] * (1 - beyond[0])
        weights[:, joint + 1] = shares[:, i] * beyond[0] * (1 - beyond[1])
        weights[:, joint + 2] = shares[:, i] * beyond[0] * beyond[1]
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    return _smoothed(weights, faces, passes=2)


def _smoothed(weights: np.ndarray, faces: np.ndarray, passes: int) -> np.ndarray:
    edges = mesh_edges(faces)
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(len(weights),) * 2)
    mean = diags_array(1 / np.asarray(adjacency.sum(1)).ravel()) @ adjacency
    for _ in range(passes):
        weights = 0.5 * weights + 0.5 * (mean @ weights)
    weights = np.where(weights < LEAST_WEIGHT, 0.0, weights)
    return weights / weights.sum(1, keepdims=True)
