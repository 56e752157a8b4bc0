"""The two conversions of joint rotations that a sample needs, for one hand in microseconds.

`occhand.hand.prior.rotations_from_angles` and `occhand.geometry.rotation.matrix_to_axis_angle` are the reference; torch takes a
millisecond for one hand, and its rounding depends on how many threads it has.
"""

from __future__ import annotations

from math import atan2, cos, sin, sqrt
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit


def joint_rotations(angles: Float[np.ndarray, "16 3"], axes: Float[np.ndarray, "16 3 3"]) -> Float[np.ndarray, "16 3 3"]:
    """Rotation of each joint relative to its parent from its flexion, abduction and twist, radians."""
    return _joint_rotations(np.ascontiguousarray(angles, dtype=np.float64), np.ascontiguousarray(axes, dtype=np.float64))


def axis_angles(rotations: Float[np.ndarray, "joints 3 3"]) -> Float[np.ndarray, "joints 3"]:
    """Axis-angle of each rotation, its angle at most pi."""
    return _axis_angles(np.ascontiguousarray(rotations, dtype=np.float64))


@njit(cache=True, error_model="numpy")
@no_type_check
def _joint_rotations(angles, axes):
    rotations = np.zeros((16, 3, 3))
    local = np.empty((3, 3))
    for joint in range(16):
        sf, sa, st = sin(angles[joint, 0]), sin(angles[joint, 1]), sin(angles[joint, 2])
        cf, ca, ct = cos(angles[joint, 0]), cos(angles[joint, 1]), cos(angles[joint, 2])
        local[0, 0], local[0, 1], local[0, 2] = ca * ct, -ca * st, sa
        local[1, 0], local[1, 1], local[1, 2] = cf * st + sf * sa * ct, cf * ct - sf * sa * st, -sf * ca
        local[2, 0], local[2, 1], local[2, 2] = sf * st - cf * sa * ct, sf * ct + cf * sa * st, cf * ca
        for a in range(3):
            for b in range(3):
                for i in range(3):
                    for j in range(3):
                        rotations[joint, a, b] += axes[joint, i, a] * local[i, j] * axes[joint, j, b]
    return rotations


@njit(cache=True, error_model="numpy")
@no_type_check
def _axis_angles(rotations):
    """By the quaternion whose largest part is found first, so that no small number is divided by."""
    result = np.empty((rotations.shape[0], 3))
    for joint in range(rotations.shape[0]):
        R = rotations[joint]
        trace = R[0, 0] + R[1, 1] + R[2, 2]
        if trace > 0.0:
            w = 0.5 * sqrt(1.0 + trace)
            x, y, z = (R[2, 1] - R[1, 2]) / (4.0 * w), (R[0, 2] - R[2, 0]) / (4.0 * w), (R[1, 0] - R[0, 1]) / (4.0 * w)
        elif R[0, 0] >= R[1, 1] and R[0, 0] >= R[2, 2]:
            x = 0.5 * sqrt(1.0 + R[0, 0] - R[1, 1] - R[2, 2])
            w, y, z = (R[2, 1] - R[1, 2]) / (4.0 * x), (R[0, 1] + R[1, 0]) / (4.0 * x), (R[0, 2] + R[2, 0]) / (4.0 * x)
        elif R[1, 1] >= R[2, 2]:
            y = 0.5 * sqrt(1.0 - R[0, 0] + R[1, 1] - R[2, 2])
            w, x, z = (R[0, 2] - R[2, 0]) / (4.0 * y), (R[0, 1] + R[1, 0]) / (4.0 * y), (R[1, 2] + R[2, 1]) / (4.0 * y)
        else:
            z = 0.5 * sqrt(1.0 - R[0, 0] - R[1, 1] + R[2, 2])
            w, x, y = (R[1, 0] - R[0, 1]) / (4.0 * z), (R[0, 2] + R[2, 0]) / (4.0 * z), (R[1, 2] + R[2, 1]) / (4.0 * z)
        if w < 0.0:
            w, x, y, z = -w, -x, -y, -z
        sine = sqrt(x * x + y * y + z * z)
        factor = 2.0 * atan2(sine, w) / sine if sine > 1e-12 else 2.0
        result[joint, 0], result[joint, 1], result[joint, 2] = factor * x, factor * y, factor * z
    return result
