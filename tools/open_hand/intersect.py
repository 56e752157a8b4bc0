"""Which faces of a mesh pass through each other, exactly."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

_EDGES = ((0, 1), (1, 2), (2, 0))


def self_intersections(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "pairs 2"]:
    """Pairs of faces of which an edge of one crosses the other; corners that two faces share do not count.

    Two triangles in general position meet only so. Faces that share an edge cannot cross, only fold.
    """
    pairs = _overlapping_boxes(vertices, faces)
    shared = (faces[pairs[:, 0]][:, :, None] == faces[pairs[:, 1]][:, None, :]).any(2).sum(1)
    pairs = pairs[shared < 2]
    crossing = np.zeros(len(pairs), bool)
    for one, other in ((0, 1), (1, 0)):
        triangle = faces[pairs[:, one]]
        for a, b in _EDGES:
            edge = faces[pairs[:, other]][:, [a, b]]
            apart = ~(edge[:, :, None] == triangle[:, None, :]).any((1, 2))
            crossing |= apart & _crosses(vertices[edge], vertices[triangle])
    return pairs[crossing]


def _overlapping_boxes(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[faces]
    low, high = corners.min(1), corners.max(1)
    meet = np.ones((len(faces), len(faces)), bool)
    for axis in range(3):
        meet &= low[:, None, axis] <= high[None, :, axis]
    meet &= meet.T
    return np.argwhere(np.triu(meet, 1))


def _crosses(edges: Float[np.ndarray, "n 2 3"], triangles: Float[np.ndarray, "n 3 3"]) -> np.ndarray:
    """Whether a segment crosses a triangle: its ends lie on either side, and its line passes inside all three sides."""

    def volume(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
        return np.sign((np.cross(b - a, c - a) * (d - a)).sum(1))

    p, q = edges[:, 0], edges[:, 1]
    a, b, c = (triangles[:, i] for i in range(3))
    sides = volume(p, q, a, b), volume(p, q, b, c), volume(p, q, c, a)
    return (volume(a, b, c, p) * volume(a, b, c, q) <= 0) & (sides[0] == sides[1]) & (sides[1] == sides[2])
