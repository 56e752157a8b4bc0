"""Which vertices and joints the camera sees, and what hides the others: exact, by a ray to each of them.

Definitions:
- A **vertex** is hidden by *self* if any other face of the hand crosses the ray from the camera to it in front of it, its own back side
  included; by *other* if any face of something else does. It is visible if neither holds. Both may hold.
- A **joint** lies inside the flesh. It is hidden by *other* if any face of something else crosses its ray in front of the joint itself;
  by *self* if the first face of the hand on its ray lies more than the hand's local thickness in front of it (`flesh_depth`), so that
  what is seen there is another part of the hand, or the same finger lengthwise.

The border of the image plays no role here.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int, UInt8
from numba import njit

from occhand.hand.skeleton import JOINT_NAMES
from occhand.render.raster import edge_line

HAND_LABEL = 1
_NEAR = 0.01
"""Faces nearer than this hide nothing, metres along z, as in `occhand.render.raster.rasterize`."""

_FLESH_MM = {"wrist": 20.0, "thumb1": 18.0, "thumb2": 14.0, "thumb3": 11.5, "thumb4": 9.0, "1": 15.0, "2": 10.5, "3": 9.0, "4": 7.5}
"""Half-thickness of the mean hand around each joint (of all fingers, where only the number is given)."""


def flesh_depth() -> Float[np.ndarray, "21"]:
    """How far before each joint (house order) its own flesh may begin, metres: 1.6 times the half-thickness, as flesh is met at a slant."""
    return np.array([1.6e-3 * _FLESH_MM.get(name, _FLESH_MM.get(name[-1], 0.0)) for name in JOINT_NAMES])


def first_crossings(
    points_cam: Float[np.ndarray, "points 3"],
    own_vertex: Int[np.ndarray, "points"],
    vertices_cam: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    labels: UInt8[np.ndarray, "faces"],
    K: Float[np.ndarray, "3 3"],
) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
    """Depth at which the ray to each point first crosses the hand, and first crosses anything else; inf if it does not.

    Args:
        points_cam: Metres, in front of the camera.
        own_vertex: Vertex that the point is, whose faces, the forearm's at the wrist too, do not count as crossed; -1 for a point
            off the surface.
        vertices_cam: Of everything, metres.
        faces: Of everything.
        labels: Of each face; 1 is the hand.
        K: Of any camera at the same place; the result does not depend on it.
    """
    return _cross(points_cam, own_vertex, vertices_cam, faces, labels, K)


@njit(cache=True, error_model="numpy")
@no_type_check
def _bucket_points(points):
    """Image points sorted into square buckets, about one each: their order, where each bucket starts, corner, size, columns and rows."""
    low, high = np.array([np.inf, np.inf]), np.array([-np.inf, -np.inf])
    for point in range(len(points)):
        for axis in range(2):
            low[axis], high[axis] = min(low[axis], points[point, axis]), max(high[axis], points[point, axis])
    cell = max(high[0] - low[0], high[1] - low[1]) / np.sqrt(len(points)) + 1e-9
    columns, rows = int((high[0] - low[0]) / cell) + 1, int((high[1] - low[1]) / cell) + 1
    starts, bucket = np.zeros(rows * columns + 1, np.int64), np.empty(len(points), np.int64)
    for point in range(len(points)):
        bucket[point] = int((points[point, 1] - low[1]) / cell) * columns + int((points[point, 0] - low[0]) / cell)
        starts[bucket[point] + 1] += 1
    for index in range(rows * columns):
        starts[index + 1] += starts[index]
    order, filled = np.empty(len(points), np.int64), starts.copy()
    for point in range(len(points)):
        order[filled[bucket[point]]] = point
        filled[bucket[point]] += 1
    return order, starts, low, cell, columns, rows


@njit(cache=True, error_model="numpy")
@no_type_check
def _to_image(points, K):
    """Homogeneous pixel coordinates, skew allowed."""
    image = np.empty(points.shape)
    for point in range(len(points)):
        x, y, z = points[point, 0], points[point, 1], points[point, 2]
        image[point, 0], image[point, 1], image[point, 2] = K[0, 0] * x + K[0, 1] * y + K[0, 2] * z, K[1, 1] * y + K[1, 2] * z, z
    return image


@njit(cache=True, error_model="numpy")
@no_type_check
def _cross(points_cam, own_vertex, vertices_cam, faces, labels, K):
    by_hand, by_other = np.full(len(points_cam), np.inf), np.full(len(points_cam), np.inf)
    vertices, image = _to_image(vertices_cam, K), _to_image(points_cam, K)
    for point in range(len(image)):
        image[point, 0], image[point, 1] = image[point, 0] / image[point, 2], image[point, 1] / image[point, 2]
    order, starts, low, cell, columns, rows = _bucket_points(image)
    # Where each vertex falls among the buckets; what is behind the camera falls nowhere.
    place = np.full((len(vertices), 2), np.nan)
    for vertex in range(len(vertices)):
        if vertices[vertex, 2] > _NEAR:
            place[vertex, 0] = (vertices[vertex, 0] / vertices[vertex, 2] - low[0]) / cell
            place[vertex, 1] = (vertices[vertex, 1] / vertices[vertex, 2] - low[1]) / cell
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        x_min, x_max = min(place[i, 0], place[j, 0], place[k, 0]), max(place[i, 0], place[j, 0], place[k, 0])
        y_min, y_max = min(place[i, 1], place[j, 1], place[k, 1]), max(place[i, 1], place[j, 1], place[k, 1])
        if x_max < 0.0 or y_max < 0.0 or x_min >= columns or y_min >= rows:
            continue
        left, right, top, bottom = 0, columns - 1, 0, rows - 1
        if vertices[i, 2] > _NEAR and vertices[j, 2] > _NEAR and vertices[k, 2] > _NEAR:
            left, right = int(max(0.0, x_min)), int(min(columns - 1.0, x_max))
            top, bottom = int(max(0.0, y_min)), int(min(rows - 1.0, y_max))
        elif vertices[i, 2] <= _NEAR and vertices[j, 2] <= _NEAR and vertices[k, 2] <= _NEAR:
            continue
        inside = False
        for row in range(top, bottom + 1):
            inside = inside or starts[row * columns + left] < starts[row * columns + right + 1]
        if not inside:
            continue
        # Lines through two corners (see `edge_line`); with them 1 / z over the image.
        ax, ay, a1 = edge_line(vertices, j, k)
        bx, by, b1 = edge_line(vertices, k, i)
        cx, cy, c1 = edge_line(vertices, i, j)
        volume = ax * vertices[i, 0] + ay * vertices[i, 1] + a1 * vertices[i, 2]
        if volume == 0.0:
            continue
        is_hand = labels[face] == HAND_LABEL
        for row in range(top, bottom + 1):
            for at in range(starts[row * columns + left], starts[row * columns + right + 1]):
                point = order[at]
                x, y = image[point, 0], image[point, 1]
                a, b, c = ax * x + ay * y + a1, bx * x + by * y + b1, cx * x + cy * y + c1
                if not ((a >= 0.0 and b >= 0.0 and c >= 0.0) or (a <= 0.0 and b <= 0.0 and c <= 0.0)):
                    continue
                depth = volume / (a + b + c) if a + b + c != 0.0 else np.inf
                if depth < _NEAR:
                    continue
                own = own_vertex[point]
                if own in (i, j, k):
                    continue
                if is_hand:
                    by_hand[point] = min(depth, by_hand[point])
                else:
                    by_other[point] = min(depth, by_other[point])
    return by_hand, by_other
