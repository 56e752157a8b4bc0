"""Pose correctives: what linear blend skinning takes from a bent finger, given back by MANO-shaped blend shapes.

The primitives of the implicit surface move rigidly with their bones, so the surface can be posed: metacarpal heads stand out as knuckles
in a fist, pads fill the creases. A skinned vertex near a joint is projected onto the posed surface, the step is unposed, and ridge
regression finds it from the rotation features of the joints that move the vertex.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from occhand.hand.assets import HandParameters
from occhand.hand.hand_layer import HandLayer
from occhand.hand.prior import rotations_from_angles
from tools.open_hand.anatomy import METRES_FROM_MM, HandShape, to_mm
from tools.open_hand.field import Field, hand_field

GROUPS = ((1, 4, 7, 10), (2, 3, 5, 6, 8, 9, 11, 12), (13, 14, 15))
"""Joints learnt together, all others at rest: knuckles (neighbours share a web), finger ends, thumb."""
POSES_PER_GROUP, RIDGE = 400, 1.0
LARGEST_MOVE_MM = 4.5
BENDS_BELOW = 0.995
"""A vertex that follows one bone by more than this share needs no corrective."""


def group_angles(group: tuple[int, ...], limits: Float[np.ndarray, "16 3 2"], count: int, seed: int) -> Float[np.ndarray, "count 16 3"]:
    """Angles that fill the limits of some joints: half of the poses flex them together, half one by one."""
    rng = np.random.default_rng(seed)
    joints = list(group)
    share = rng.uniform(0, 1, (count, len(joints), 3))
    together = rng.uniform(0, 1, (count, 1)) + rng.normal(0, 0.12, (count, len(joints)))
    share[::2, :, 0] = np.clip(together, 0, 1)[::2]
    angles = np.zeros((count, 16, 3))
    angles[:, joints] = limits[joints, :, 0] + share * (limits[joints, :, 1] - limits[joints, :, 0])
    return angles


def bone_motions_mm(
    transforms: Float[np.ndarray, "b 16 4 4"], rest_joints: Float[np.ndarray, "16 3"]
) -> tuple[Float[np.ndarray, "b 16 3 3"], Float[np.ndarray, "b 16 3"]]:
    """How each bone moved from rest, x to R x + t, in the build frame.

    Args:
        transforms: Of the joints, from the hand layer, metres.
        rest_joints: Metres.
    """
    to_build = 1000 * METRES_FROM_MM.T
    R = to_build @ transforms[:, :, :3, :3] @ to_build.T
    return R, to_mm(transforms[:, :, :3, 3]) - np.einsum("bjac,jc->bja", R, to_mm(rest_joints))


def lost_by_skinning(
    vertices: Float[np.ndarray, "b n 3"], rotations: Float[np.ndarray, "b 16 3 3"], translations: Float[np.ndarray, "b 16 3"], field: Field
) -> Float[np.ndarray, "b n 3"]:
    """Steps from skinned vertices to the posed surface, mm, no longer than `LARGEST_MOVE_MM`.

    Args:
        vertices: Skinned, mm, build frame.
        rotations: Of the bones, from rest.
        translations: Of the bones, from rest.
        field: Surface of the rest hand.
    """
    steps = np.stack([field.posed(R, t).project(v, 3) - v for v, R, t in zip(vertices, rotations, translations, strict=True)])
    length = np.linalg.norm(steps, axis=2, keepdims=True)
    return steps * np.minimum(1, LARGEST_MOVE_MM / np.maximum(length, 1e-9))


def fit_correctives(
    hand: HandParameters, axes: Float[np.ndarray, "16 3 3"], limits: Float[np.ndarray, "16 3 2"], seed: int = 0
) -> Float[np.ndarray, "778 3 135"]:
    """Displacements in metres per rotation feature (R - I of joints 1 to 15, row by row)."""
    layer, field = HandLayer(hand).double(), hand_field(HandShape())
    rest_joints = layer.joint_template.numpy()
    posedirs = np.zeros((len(hand.v_template), 3, 135))
    for group in GROUPS:
        angles = torch.from_numpy(group_angles(group, limits, POSES_PER_GROUP, seed))
        rotations = rotations_from_angles(angles, torch.from_numpy(axes))
        with torch.no_grad():
            posed = layer(rotations, torch.zeros(len(rotations), 10).double())
        R = posed.transforms.numpy()[:, :, :3, :3]
        moved = hand.weights > 0.01
        bends = np.flatnonzero(moved[:, list(group)].any(1) & (hand.weights.max(1) < BENDS_BELOW))
        motions = bone_motions_mm(posed.transforms.numpy(), rest_joints)
        steps = lost_by_skinning(to_mm(posed.vertices.numpy()[:, bends]), *motions, field) @ METRES_FROM_MM.T
        blended = np.einsum("vj,bjac->bvac", hand.weights[bends], R)
        target = np.linalg.solve(blended, steps[..., None])[..., 0]
        features = (rotations - torch.eye(3)).flatten(2).numpy()
        for i, v in enumerate(bends):
            joints = np.array([j for j in group if moved[v, j]])
            A = features[:, joints].reshape(len(features), -1)
            solved = np.linalg.solve(A.T @ A + RIDGE * np.eye(A.shape[1]), A.T @ target[:, i])
            posedirs[v][:, (9 * (joints[:, None] - 1) + np.arange(9)).ravel()] = solved.T
    return posedirs
