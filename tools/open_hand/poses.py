"""Joint limits, key poses and the pose prior of the open hand.

Limits: clinical reference ranges (American Society for Surgery of the Hand, as tabulated on eatonhand.com: MCP 45 back to 90, PIP 0 to 100,
DIP 0 to 80, thumb MCP 10 to 55 and IP 15 to 80, palmar abduction to 45, radial to 60), the fingers' sideways range after Chatzioglou et al.
2024; active range, so the MCP joints stretch back less than they can be pushed. The prior is a Gaussian over random mixtures of the key
poses: free poses, no grasps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float

from occhand.geometry.rotation import matrix_to_axis_angle
from occhand.hand.prior import first_joint, joint_axes, rotations_from_angles
from occhand.hand.skeleton import MANO_FINGERS, tip_vertices
from occhand.synth.pose import PoseSampler
from tools.open_hand.contact import ContactSolver
from tools.open_hand.key_poses import KEY_POSES

_SAMPLES = 4000
_SEED = 20

# Degrees: (lowest, highest) of flexion, abduction, twist. The thumb's palmar abduction is positive, its pronation a negative twist.
# Joints that muscles cannot turn keep a degree or a few of passive play.
_FINGER_LIMITS = (((-15, 90), (-18, 18), (-4, 4)), ((0, 106), (-1, 1), (-1, 1)), ((-3, 75), (-1, 1), (-1, 1)))
_THUMB_LIMITS = (((-20, 45), (-12, 55), (-45, 10)), ((-8, 58), (-6, 6), (-4, 4)), ((-15, 80), (-1, 1), (-1, 1)))


def joint_limits() -> Float[np.ndarray, "16 3 2"]:
    """Lowest and highest flexion, abduction and twist of each joint, radians; the wrist's are zero."""
    degrees = np.zeros((16, 3, 2))
    for finger in MANO_FINGERS:
        first = first_joint(finger)
        degrees[first : first + 3] = _THUMB_LIMITS if finger == "thumb" else _FINGER_LIMITS
    return np.deg2rad(degrees)


def build_prior(hand: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Axes, limits, key poses and the pose statistics of the open hand.

    Args:
        hand: `v_template` (778, 3) metres in MANO's right-hand axes, `faces` (1538, 3), `J_regressor` (16, 778); published tip vertices.

    Returns:
        `joint_axes` (16, 3, 3); `joint_limits` (16, 3, 2), `key_poses` (n, 16, 3), `angles_mean` (16, 3), `angles_covariance` (48, 48) in
        radians; `key_pose_names` (n,); `hands_mean` (45,), `hands_covariance` (45, 45), `hands_components` (45, 45) over axis-angles, the
        components orthonormal rows of falling variance.
    """
    vertices = hand["v_template"].astype(np.float64)
    joints = hand["J_regressor"].astype(np.float64) @ vertices
    tips = vertices[list(tip_vertices())]
    axes = joint_axes(torch.from_numpy(joints), torch.from_numpy(tips)).numpy()
    solver = ContactSolver(hand, axes, joint_limits())
    prior = {
        "joint_axes": axes,
        "joint_limits": joint_limits(),
        "key_poses": np.stack([solver.solve(pose) for pose in KEY_POSES.values()]),
        "key_pose_names": np.array(list(KEY_POSES)),
    }
    angles = PoseSampler.from_arrays({**hand, **prior}).sample_batch(np.random.default_rng(_SEED), _SAMPLES).astype(np.float64)
    rotations = rotations_from_angles(torch.from_numpy(angles), torch.from_numpy(axes))
    pose = matrix_to_axis_angle(rotations[:, 1:]).flatten(1).numpy()
    covariance = np.cov(pose.T)
    variance, columns = np.linalg.eigh(covariance)
    components = columns.T[np.argsort(-variance)]
    components *= np.sign(np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1))
    return prior | {
        "angles_mean": angles.mean(0),
        "angles_covariance": np.cov(angles.reshape(_SAMPLES, 48).T),
        "hands_mean": pose.mean(0),
        "hands_covariance": covariance,
        "hands_components": components,
    }
