"""Cast shadows: what a far light sees, as a depth map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int
from numba import njit

from occhand.render.raster import rasterize

_FAR = 20.0
"""Distance of the light from the middle of the scene, in radii: far enough for its rays to be nearly parallel."""


@dataclass(frozen=True)
class ShadowMap:
    """How far the light sees into the scene along each of its rays."""

    depth: Float32[np.ndarray, "size size"]
    """Metres from the light; inf where it meets nothing."""
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
    forward = -np.asarray(towards_light, dtype=np.float64)
    aside = np.array([0.0, 1.0, 0.0]) if abs(forward[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(aside, forward)
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    light_from_cam = np.column_stack([R, np.array([0.0, 0.0, _FAR * radius]) - R @ centre])
    focal_px = 0.5 * (size - 1) * _FAR
    K = np.array([[focal_px, 0.0, (size - 1) / 2], [0.0, focal_px, (size - 1) / 2], [0.0, 0.0, 1.0]])
    depth = rasterize(vertices_cam @ R.T + light_from_cam[:, 3], faces, K, size, size).depth
    return ShadowMap(depth, light_from_cam, K)


@njit(cache=True, fastmath=True)
@no_type_check
def lit_share(depth, light_from_cam, K, x, y, z, slack):
    """Share of the light that reaches a point, from the four map pixels around it: 0 in the shadow, 1 in the light.

    `slack` is the depth (metres) that a surface may lie behind what the light sees and still be lit: the map's own coarseness.
    """
    M = light_from_cam
    lz = M[2, 0] * x + M[2, 1] * y + M[2, 2] * z + M[2, 3]
    u = K[0, 0] * (M[0, 0] * x + M[0, 1] * y + M[0, 2] * z + M[0, 3]) / lz + K[0, 2]
    v = K[1, 1] * (M[1, 0] * x + M[1, 1] * y + M[1, 2] * z + M[1, 3]) / lz + K[1, 2]
    column, row = int(np.floor(u)), int(np.floor(v))
    if column < 1 or row < 1 or column + 2 >= depth.shape[1] or row + 2 >= depth.shape[0]:
        return 1.0
    # A tent over 3 x 3 map pixels: soft, and free of the map's grid.
    du, dv = u - column, v - row
    lit, total = 0.0, 0.0
    for j in range(-1, 3):
        wy = max(0.0, 2.0 - abs(j - dv))
        for i in range(-1, 3):
            weight = wy * max(0.0, 2.0 - abs(i - du))
            total += weight
            if depth[row + j, column + i] > lz - slack:
                lit += weight
    return lit / total
