"""Pose correctives: what linear blend skinning takes from a bent finger, given back by MANO-shaped blend shapes.

The target moves a vertex that skinning brought too close to its finger's bones back to almost its rest distance. The target is unposed and
fitted, vertex by vertex, by ridge regression on the rotation features of those joints that move the vertex.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from occhand.hand.assets import HandParameters
from occhand.hand.hand_layer import HandLayer
from occhand.hand.prior import rotations_from_angles
from occhand.hand.skeleton import MANO_FINGERS, TIP_JOINTS, HOUSE_FROM_HO3D

POSES, HELD_OUT, RIDGE = 1200, 200, 2.0
KEPT_DISTANCE, LARGEST_MOVE = 0.97, 0.0045
"""Share of the rest distance to the bone that is restored, and the furthest a vertex is moved, metres."""


def random_angles(limits: Float[np.ndarray, "16 3 2"], count: int, seed: int) -> Float[np.ndarray, "count 16 3"]:
    """Angles that fill the joints' limits: half of them with one closure for all joints, half joint by joint."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0, 1, (count, 16, 3))
    closure = rng.uniform(0, 1, (count, 1)) + 0.15 * rng.standard_normal((count, 16))
    share[::2, :, 0] = np.clip(closure, 0, 1)[::2]
    return limits[..., 0] + share * (limits[..., 1] - limits[..., 0])


def _owners(weights: np.ndarray) -> np.ndarray:
    """The finger (0-4) a vertex belongs to, -1 for the palm."""
    members = np.stack([weights[:, 1 + 3 * i : 4 + 3 * i].sum(1) for i in range(5)], axis=1)
    return np.where(members.max(1) > 0.3, members.argmax(1), -1)


def _from_bones(vertices: np.ndarray, chains: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of finger vertices to their own bones, and the unit vector away from them.

    Args:
        vertices: (B, 778, 3).
        chains: (B, 5, 4, 3) joints and tip of each finger.
        owners: Finger of each vertex, -1 for none.
    """
    best, away = np.full(vertices.shape[:2], np.inf), np.zeros(vertices.shape)
    for finger in range(5):
        mine = np.flatnonzero(owners == finger)
        points = vertices[:, mine]
        for k in range(3):
            a, b = chains[:, finger, None, k], chains[:, finger, None, k + 1]
            bone = b - a
            t = np.clip(((points - a) * bone).sum(-1) / (bone * bone).sum(-1), 0, 1)
            offset = points - a - t[..., None] * bone
            distance = np.linalg.norm(offset, axis=-1)
            closer = distance < best[:, mine]
            best[:, mine] = np.where(closer, distance, best[:, mine])
            away[:, mine] = np.where(closer[..., None], offset / np.maximum(distance[..., None], 1e-9), away[:, mine])
    return best, away


def finger_chains(joints: Float[np.ndarray, "b 21 3"]) -> Float[np.ndarray, "b 5 4 3"]:
    """Joints and tip of each finger in MANO's finger order, from joints in the house order."""
    house = {"thumb": 0, "index": 1, "middle": 2, "ring": 3, "pinky": 4}
    return np.stack([joints[:, 1 + 4 * house[f] : 5 + 4 * house[f]] for f in MANO_FINGERS], axis=1)


def fit_correctives(
    hand: HandParameters, axes: Float[np.ndarray, "16 3 3"], limits: Float[np.ndarray, "16 3 2"], seed: int = 0
) -> Float[np.ndarray, "778 3 135"]:
    """Displacements in metres per rotation feature (R - I of joints 1 to 15, row by row)."""
    layer = HandLayer(hand).double()
    angles = torch.from_numpy(random_angles(limits, POSES + HELD_OUT, seed))
    angles[:, 0] = 0
    rotations = rotations_from_angles(angles, torch.from_numpy(axes))
    with torch.no_grad():
        rest = layer(torch.eye(3).double().expand(1, 16, 3, 3), torch.zeros(1, 10).double())
        posed = layer(rotations, torch.zeros(len(rotations), 10).double())
    owners = _owners(hand.weights)
    rest_distance, _ = _from_bones(rest.vertices.numpy(), finger_chains(rest.joints.numpy()), owners)
    distance, away = _from_bones(posed.vertices.numpy(), finger_chains(posed.joints.numpy()), owners)
    lost = np.where(owners >= 0, np.clip(KEPT_DISTANCE * np.where(owners >= 0, rest_distance, 0) - np.where(owners >= 0, distance, 0), 0, LARGEST_MOVE), 0)
    blended = np.einsum("vj,bjac->bvac", hand.weights, posed.transforms.numpy()[:, :, :3, :3])
    target = np.linalg.solve(blended, (lost[..., None] * away)[..., None])[..., 0]
    features = (rotations[:, 1:] - torch.eye(3)).flatten(1).numpy()

    posedirs = np.zeros((len(hand.v_template), 3, 135))
    for v in np.flatnonzero(owners >= 0):
        joints = np.flatnonzero(hand.weights[v, 1:] > 0.01)
        columns = (9 * joints[:, None] + np.arange(9)).ravel()
        A = features[:POSES, columns]
        posedirs[v, :, columns] = np.linalg.solve(A.T @ A + RIDGE * np.eye(len(columns)), A.T @ target[:POSES, v])
    return posedirs
