"""Where a hand touches a thing."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from occhand.synth.objects import SolidObject

CONTACT = 0.003
"""Metres from the surface within which a point touches it."""


def touching(points: Float[np.ndarray, "points 3"], solid: SolidObject) -> Int[np.ndarray, "contacts"]:
    """Rows of the points that lie within `CONTACT` of a thing's faces, on either side.

    The signed distance picks the candidates; it alone would not do, as it takes a cup for full.

    Args:
        points: Metres, the thing's own frame.
        solid: The thing.
    """
    candidates = np.flatnonzero(solid.signed_distance(points) < CONTACT)
    return candidates[_near(points[candidates], solid.vertices[solid.faces])]


@njit(cache=True, error_model="numpy")
@no_type_check
def _near(points, corners):
    near, reach = np.zeros(len(points), np.bool_), np.zeros(len(corners))
    for face in range(len(corners)):  # the ball about the first corner beyond which nothing touches the face
        for corner in (1, 2):
            squared = 0.0
            for axis in range(3):
                squared += (corners[face, corner, axis] - corners[face, 0, axis]) ** 2
            reach[face] = max(reach[face], (np.sqrt(squared) + CONTACT) ** 2)
    for point in range(len(points)):
        x, y, z = points[point, 0], points[point, 1], points[point, 2]
        for face in range(len(corners)):
            dx, dy, dz = x - corners[face, 0, 0], y - corners[face, 0, 1], z - corners[face, 0, 2]
            if dx * dx + dy * dy + dz * dz < reach[face] and _squared_distance(x, y, z, corners[face]) < CONTACT * CONTACT:
                near[point] = True
                break
    return near


@njit(cache=True, error_model="numpy")
@no_type_check
def _squared_distance(x, y, z, triangle):
    """Of a point from a triangle: from its plane above it, else from the nearest of its edges."""
    ux, uy, uz = triangle[1, 0] - triangle[0, 0], triangle[1, 1] - triangle[0, 1], triangle[1, 2] - triangle[0, 2]
    vx, vy, vz = triangle[2, 0] - triangle[0, 0], triangle[2, 1] - triangle[0, 1], triangle[2, 2] - triangle[0, 2]
    px, py, pz = x - triangle[0, 0], y - triangle[0, 1], z - triangle[0, 2]
    uu, uv, vv = ux * ux + uy * uy + uz * uz, ux * vx + uy * vy + uz * vz, vx * vx + vy * vy + vz * vz
    pu, pv = px * ux + py * uy + pz * uz, px * vx + py * vy + pz * vz
    area = uu * vv - uv * uv
    if area > 0.0:
        s, t = (vv * pu - uv * pv) / area, (uu * pv - uv * pu) / area
        if s >= 0.0 and t >= 0.0 and s + t <= 1.0:
            return (px - s * ux - t * vx) ** 2 + (py - s * uy - t * vy) ** 2 + (pz - s * uz - t * vz) ** 2
    nearest = np.inf
    for corner in range(3):
        end = (corner + 1) % 3
        ex, ey, ez = (
            triangle[end, 0] - triangle[corner, 0],
            triangle[end, 1] - triangle[corner, 1],
            triangle[end, 2] - triangle[corner, 2],
        )
        qx, qy, qz = x - triangle[corner, 0], y - triangle[corner, 1], z - triangle[corner, 2]
        share = min(1.0, max(0.0, (qx * ex + qy * ey + qz * ez) / (ex * ex + ey * ey + ez * ez + 1e-30)))
        nearest = min(nearest, (qx - share * ex) ** 2 + (qy - share * ey) ** 2 + (qz - share * ez) ** 2)
    return nearest
