"""Cast shadows: what a far light sees, as a depth map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from occhand.render.raster import nearest_faces

_FAR = 20.0
"""Distance of the light from the middle of the scene, in radii: far enough for its rays to be nearly parallel."""


@dataclass(frozen=True)
class ShadowMap:
    """How far the light sees into the scene along each of its rays."""

    inverse_depth: Float[np.ndarray, "size size"]
    """1 / metres from the light; 0 where it meets nothing."""
    light_from_cam: Float[np.ndarray, "3 4"]
    """From the camera frame to the light's own."""
    K: Float[np.ndarray, "3 3"]
    """Of the light, as if it were a camera; pixels of `depth`."""


def cast_shadows(
    vertices_cam: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    towards_light: Float[np.ndarray, "3"],
    centre: Float[np.ndarray, "3"],
    radius: float,
    size: int,
) -> ShadowMap:
    """See a ball of the scene from a far light; nothing outside of the ball is sure to cast a shadow.

    Args:
        vertices_cam: Metres, camera frame.
        faces: Corners as rows of `vertices_cam`.
        towards_light: Unit vector, camera frame.
        centre: Of the ball, metres.
        radius: Of the ball, metres.
        size: Height and width of the map, pixels.
    """
    x, y, z = (-float(c) for c in towards_light)
    # Any two directions square to the light's (Duff et al., "Building an orthonormal basis, revisited", 2017).
    sign = 1.0 if z >= 0 else -1.0
    a = -1.0 / (sign + z)
    b = x * y * a
    R = np.array([[1.0 + sign * x * x * a, sign * b, -sign * x], [b, sign + y * y * a, -y], [x, y, z]])
    light_from_cam = np.column_stack([R, np.array([0.0, 0.0, _FAR * radius]) - R @ centre])
    focal_px = 0.5 * (size - 1) * _FAR
    K = np.array([[focal_px, 0.0, (size - 1) / 2], [0.0, focal_px, (size - 1) / 2], [0.0, 0.0, 1.0]])
    return ShadowMap(nearest_faces(vertices_cam @ R.T + light_from_cam[:, 3], faces, K, size, size).inverse_depth, light_from_cam, K)


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def lit_share(inverse_depth, light_from_cam, K, x, y, z, slack):
    """Share of the light that reaches a point, from the map pixels around it: 0 in the shadow, 1 in the light.

    `slack` is the depth (metres) that a surface may lie behind what the light sees and still be lit: the map's own coarseness.
    """
    M = light_from_cam
    lz = M[2, 0] * x + M[2, 1] * y + M[2, 2] * z + M[2, 3]
    u = K[0, 0] * (M[0, 0] * x + M[0, 1] * y + M[0, 2] * z + M[0, 3]) / lz + K[0, 2]
    v = K[1, 1] * (M[1, 0] * x + M[1, 1] * y + M[1, 2] * z + M[1, 3]) / lz + K[1, 2]
    u, v = u + 0.5, v + 0.5  # the box is centred on the point
    column, row = int(np.floor(u)), int(np.floor(v))
    if column < 1 or row < 1 or column + 1 >= inverse_depth.shape[1] or row + 1 >= inverse_depth.shape[0]:
        return 1.0
    # Nine map pixels, the outer ones by the share that a box two pixels wide covers of them: soft, and free of the map's grid.
    du, dv, farthest = u - column, v - row, 1.0 / (lz - slack)
    lit = 0.0
    for j in range(-1, 2):
        weight_y = 1.0 if j == 0 else (1.0 - dv if j < 0 else dv)
        for i in range(-1, 2):
            if inverse_depth[row + j, column + i] < farthest:
                lit += weight_y * (1.0 if i == 0 else (1.0 - du if i < 0 else du))
    return 0.25 * lit
