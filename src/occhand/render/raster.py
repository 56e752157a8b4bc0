"""Which face, how deep and where on it, for every pixel: a z-buffer on the CPU, without OpenGL.

With homogeneous pixel coordinates `p = K v` of a triangle's corners, the pixel ray `r = (x, y, 1)` meets the triangle where
`b0 p0 + b1 p1 + b2 p2 = z r`, so the barycentrics are `b_i ~ r . (p_j x p_k)` and `1 / z` is an affine function of x and y
(Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997). Nothing is divided by a corner's depth: a triangle
that crosses the near plane needs no clipping, and the barycentrics are perspective-correct as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, Int64
from numba import njit

_MARGIN = 1e-6
"""Pixels: a corner on a pixel centre must not be lost to rounding; the edges decide."""
_ROUNDING = 4e-15
"""Six products of two reaches, each rounded some five times by half of 2.2e-16."""


@dataclass(frozen=True)
class Raster:
    """What each pixel of a `height` x `width` picture sees; pixel (x, y) is sampled at the continuous point (x, y)."""

    depth: Float32[np.ndarray, "height width"]
    """Metres along the camera's z axis; inf where nothing is seen."""
    face_ids: Int32[np.ndarray, "height width"]
    """Row of `faces`; -1 where nothing is seen."""
    barycentrics: Float32[np.ndarray, "height width 3"]
    """Weights of the face's three corners at the seen point, perspective-correct, summing to 1; 0 where nothing is seen."""


def rasterize(
    vertices_cam: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    K: Float[np.ndarray, "3 3"],
    height: int,
    width: int,
    near: float = 0.01,
) -> Raster:
    """Find the nearest face behind every pixel centre.

    Both sides of a face are seen. Faces that share an edge leave no gap along it. Of faces at the very same depth the first is kept; but
    for such ties the result does not depend on the order of the faces.

    Args:
        vertices_cam: Metres, camera frame.
        faces: Corners as rows of `vertices_cam`.
        K: Pinhole intrinsics in pixels, skew allowed.
        height: Of the picture, pixels.
        width: Of the picture, pixels.
        near: Surface nearer than this is not seen, metres along z.

    Raises:
        ValueError: A vertex that is not finite, a face that names no vertex, a `K` without a last row 0 0 1, a `near` of 0 or less.
    """
    _check(vertices_cam, faces, np.asarray(K), near)
    seen = nearest_faces(vertices_cam, faces, K, height, width, near)
    depth = np.full((height, width), np.inf, dtype=np.float32)
    barycentrics = np.zeros((height, width, 3), dtype=np.float32)
    _interpolate(*seen, depth, barycentrics)
    return Raster(depth, seen.face_ids, barycentrics)


class NearestFaces(NamedTuple):
    """What `rasterize` knows before it works out where on its face each pixel lies."""

    points: Float[np.ndarray, "vertices 3"]
    """Homogeneous pixel coordinates."""
    faces: Int64[np.ndarray, "faces 3"]
    inverse_depth: Float[np.ndarray, "height width"]
    """1 / z, 0 where nothing is seen."""
    face_ids: Int32[np.ndarray, "height width"]
    """Row of `faces`; -1 where nothing is seen."""


def nearest_faces(
    vertices_cam: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    K: Float[np.ndarray, "3 3"],
    height: int,
    width: int,
    near: float = 0.01,
) -> NearestFaces:
    """The z-buffer alone, for meshes that are known to be sound: arguments are those of `rasterize`, and nothing is checked."""
    points = np.asarray(vertices_cam, dtype=np.float64) @ np.asarray(K, dtype=np.float64).T
    corners = np.ascontiguousarray(faces, dtype=np.int64)
    inverse_depth = np.zeros((height, width))
    face_ids = np.full((height, width), -1, dtype=np.int32)
    _fill(points, corners, near, inverse_depth, face_ids)
    return NearestFaces(points, corners, inverse_depth, face_ids)


def covered_pixels(vertices_cam: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], K: Float[np.ndarray, "3 3"]) -> int:
    """How many pixels a mesh covers in a picture without border: those that `rasterize` finds a face at.

    Args:
        vertices_cam: Metres, camera frame, all in front of the camera; not checked.
        faces: Only such as show the camera their counter-clockwise side; others cover nothing.
        K: Pinhole intrinsics, pixels.
    """
    return int(_cover(vertices_cam @ K.T, np.ascontiguousarray(faces, dtype=np.int64)))


def _check(vertices_cam: np.ndarray, faces: np.ndarray, K: np.ndarray, near: float) -> None:
    if near <= 0:
        raise ValueError(f"near is {near:g} m, expected a positive distance.")
    if not (np.isfinite(K).all() and np.array_equal(K[2], (0.0, 0.0, 1.0))):
        raise ValueError(f"K is no pinhole camera: last row {K[2]}, expected 0 0 1 and finite numbers above it.")
    if not np.isfinite(vertices_cam).all():
        raise ValueError("A vertex is not finite. Was the pose or the camera translation NaN?")
    if faces.size and (faces.min() < 0 or faces.max() >= len(vertices_cam)):
        raise ValueError(f"Faces name the vertices {faces.min()} to {faces.max()}, but there are {len(vertices_cam)}.")


@njit(cache=True, error_model="numpy")
@no_type_check
def edge_line(points, i, j):
    """The line through two corners as coefficients of x, y and 1; the sign of its value at a pixel tells the side. For
    compiled code."""
    a = points[i, 1] * points[j, 2] - points[i, 2] * points[j, 1]
    b = points[i, 2] * points[j, 0] - points[i, 0] * points[j, 2]
    c = points[i, 0] * points[j, 1] - points[i, 1] * points[j, 0]
    return a, b, c


@njit(cache=True, error_model="numpy")
@no_type_check
def _line(points, reach, i, j):
    """`edge_line`, moved outwards by its rounding error, a tiny part of a pixel: faces that share an edge or a corner leave no gap, not
    even where it falls on a pixel centre."""
    a, b, c = edge_line(points, i, j)
    return a, b, c + _ROUNDING * reach[i] * reach[j]


@njit(cache=True, error_model="numpy")
@no_type_check
def _inverse_depth_plane(points, i, j, k):
    """1 / z over the image as coefficients of x, y and 1, and the facing (1, -1); 0 for a face without extent."""
    ux, uy, uz = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
    vx, vy, vz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    px, py, pz = points[i, 0], points[i, 1], points[i, 2]
    determinant = nx * px + ny * py + nz * pz
    # Edge-on or without area: the determinant is rounding noise, and so would be the depth. Too thin for a pixel, it is not missed.
    scale = (ux * ux + uy * uy + uz * uz) * (vx * vx + vy * vy + vz * vz) * (px * px + py * py + pz * pz)
    if determinant * determinant <= 1e-20 * scale:
        return 0.0, 0.0, 0.0, 0.0
    facing = 1.0 if determinant > 0.0 else -1.0
    return nx / determinant, ny / determinant, nz / determinant, facing


@njit(cache=True, error_model="numpy")
@no_type_check
def _bounds(points, i, j, k, near):
    """Smallest and largest x and y of the part of a face beyond the near plane; an empty range if there is none."""
    x_min, x_max, y_min, y_max = np.inf, -np.inf, np.inf, -np.inf
    for start, end in ((i, j), (j, k), (k, i)):
        z, z_end = points[start, 2], points[end, 2]
        if z >= near:
            x, y = points[start, 0] / z, points[start, 1] / z
            x_min, x_max, y_min, y_max = min(x_min, x), max(x_max, x), min(y_min, y), max(y_max, y)
        if (z >= near) != (z_end >= near):
            t = (near - z) / (z_end - z)
            x = (points[start, 0] + t * (points[end, 0] - points[start, 0])) / near
            y = (points[start, 1] + t * (points[end, 1] - points[start, 1])) / near
            x_min, x_max, y_min, y_max = min(x_min, x), max(x_max, x), min(y_min, y), max(y_max, y)
    return x_min, x_max, y_min, y_max


@njit(cache=True, error_model="numpy")
@no_type_check
def _fill(points, faces, near, inverse_depth, face_ids):
    """Keep the largest 1 / z, and whose it is, at every pixel."""
    height, width = face_ids.shape
    extent = max(height, width)
    pixels = np.empty((points.shape[0], 2))
    reach = np.empty(points.shape[0])  # bound of a corner's part in the terms of a line at any pixel
    for point in range(points.shape[0]):
        reach[point] = max(abs(points[point, 0]), abs(points[point, 1]), extent * abs(points[point, 2]))
        if points[point, 2] >= near:
            inverse_z = 1.0 / points[point, 2]
            pixels[point, 0], pixels[point, 1] = points[point, 0] * inverse_z, points[point, 1] * inverse_z
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        if points[i, 2] >= near and points[j, 2] >= near and points[k, 2] >= near:
            x_min, x_max = min(pixels[i, 0], pixels[j, 0], pixels[k, 0]), max(pixels[i, 0], pixels[j, 0], pixels[k, 0])
            y_min, y_max = min(pixels[i, 1], pixels[j, 1], pixels[k, 1]), max(pixels[i, 1], pixels[j, 1], pixels[k, 1])
        else:
            x_min, x_max, y_min, y_max = _bounds(points, i, j, k, near)
        # Compared before they become integers: a face behind the camera has infinite bounds.
        left, right = np.ceil(max(x_min - _MARGIN, 0.0)), np.floor(min(x_max + _MARGIN, width - 1.0))
        top, bottom = np.ceil(max(y_min - _MARGIN, 0.0)), np.floor(min(y_max + _MARGIN, height - 1.0))
        if left > right or top > bottom:
            continue
        zx, zy, z1, facing = _inverse_depth_plane(points, i, j, k)
        if facing == 0.0:
            continue
        if facing < 0.0:
            j, k = k, j
        ax, ay, a1 = _line(points, reach, j, k)
        bx, by, b1 = _line(points, reach, k, i)
        cx, cy, c1 = _line(points, reach, i, j)
        for y in range(int(top), int(bottom) + 1):
            a_row, b_row, c_row, z_row = ay * y + a1, by * y + b1, cy * y + c1, zy * y + z1
            inside = False
            for x in range(int(left), int(right) + 1):
                if ax * x + a_row >= 0.0 and bx * x + b_row >= 0.0 and cx * x + c_row >= 0.0:
                    inside = True
                    inverse_z = zx * x + z_row
                    if inverse_z > inverse_depth[y, x] and inverse_z * near <= 1.0:
                        inverse_depth[y, x] = inverse_z
                        face_ids[y, x] = face
                elif inside:
                    break  # a face is convex: left once, left for the row


@njit(cache=True, error_model="numpy")
@no_type_check
def _cover(points, faces):
    """`_fill` without depth, on a picture just as large as the mesh."""
    pixels = np.empty((points.shape[0], 2))
    x_low, y_low, x_high, y_high = np.inf, np.inf, -np.inf, -np.inf
    for point in range(points.shape[0]):
        x, y = points[point, 0] / points[point, 2], points[point, 1] / points[point, 2]
        pixels[point, 0], pixels[point, 1] = x, y
        x_low, x_high, y_low, y_high = min(x_low, x), max(x_high, x), min(y_low, y), max(y_high, y)
    first_x, first_y = np.ceil(x_low - _MARGIN), np.ceil(y_low - _MARGIN)
    covered = np.zeros((int(np.floor(y_high + _MARGIN) - first_y) + 1, int(np.floor(x_high + _MARGIN) - first_x) + 1), np.bool_)
    extent = max(abs(x_low), abs(x_high), abs(y_low), abs(y_high))
    reach = np.empty(points.shape[0])
    for point in range(points.shape[0]):
        reach[point] = max(abs(points[point, 0]), abs(points[point, 1]), extent * abs(points[point, 2]))
    count = 0
    for face in range(faces.shape[0]):
        i, k, j = faces[face, 0], faces[face, 1], faces[face, 2]  # clockwise in the picture, whose y points down
        left = np.ceil(min(pixels[i, 0], pixels[j, 0], pixels[k, 0]) - _MARGIN)
        right = np.floor(max(pixels[i, 0], pixels[j, 0], pixels[k, 0]) + _MARGIN)
        top = np.ceil(min(pixels[i, 1], pixels[j, 1], pixels[k, 1]) - _MARGIN)
        bottom = np.floor(max(pixels[i, 1], pixels[j, 1], pixels[k, 1]) + _MARGIN)
        if left > right or top > bottom:
            continue
        ax, ay, a1 = _line(points, reach, j, k)
        bx, by, b1 = _line(points, reach, k, i)
        cx, cy, c1 = _line(points, reach, i, j)
        for row in range(int(top - first_y), int(bottom - first_y) + 1):
            y = row + first_y
            a_row, b_row, c_row = ay * y + a1, by * y + b1, cy * y + c1
            inside = False
            for column in range(int(left - first_x), int(right - first_x) + 1):
                x = column + first_x
                if ax * x + a_row >= 0.0 and bx * x + b_row >= 0.0 and cx * x + c_row >= 0.0:
                    inside = True
                    if not covered[row, column]:
                        covered[row, column] = True
                        count += 1
                elif inside:
                    break
    return count


@njit(cache=True, error_model="numpy")
@no_type_check
def corner_weights(points, i, j, k, x, y):
    """Barycentrics of a pixel inside a face, perspective-correct; for compiled code."""
    ax, ay, a1 = edge_line(points, j, k)
    bx, by, b1 = edge_line(points, k, i)
    cx, cy, c1 = edge_line(points, i, j)
    a, b, c = abs(ax * x + ay * y + a1), abs(bx * x + by * y + b1), abs(cx * x + cy * y + c1)
    scale = 1.0 / (a + b + c)
    return a * scale, b * scale, c * scale


@njit(cache=True, error_model="numpy")
@no_type_check
def _interpolate(points, faces, inverse_depth, face_ids, depth, barycentrics):
    """Depth and barycentrics of the faces that won, once per pixel."""
    height, width = face_ids.shape
    for y in range(height):
        for x in range(width):
            face = face_ids[y, x]
            if face < 0:
                continue
            depth[y, x] = 1.0 / inverse_depth[y, x]
            a, b, c = corner_weights(points, faces[face, 0], faces[face, 1], faces[face, 2], x, y)
            barycentrics[y, x, 0], barycentrics[y, x, 1], barycentrics[y, x, 2] = a, b, c
