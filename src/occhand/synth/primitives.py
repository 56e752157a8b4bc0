"""Parts that solids are made of: a mesh and the numbers of its signed distance, each in the part's own frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from occhand.synth.distance import LATHE, RING, ROUNDED_BOX, SUPERQUADRIC, Parts

_ROUND = 32
"""Corners of a circle."""


@dataclass(frozen=True)
class Part:
    """One closed shell, faces counter-clockwise seen from outside, and its signed distance (see `occhand.synth.distance`)."""

    kind: int
    sizes: tuple[float, ...]
    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    profile: Float[np.ndarray, "points 2"] = field(default_factory=lambda: np.zeros((0, 2)))
    R: Float[np.ndarray, "3 3"] = field(default_factory=lambda: np.eye(3))
    """Object from part."""
    t: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))

    def placed(self, t: Sequence[float], R: Float[np.ndarray, "3 3"] | None = None) -> Part:
        """The part with its origin at `t`, turned by `R`."""
        return replace(self, t=np.array(t, dtype=np.float64), R=np.eye(3) if R is None else R)


def join(parts: Sequence[Part]) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "faces 3"], Parts]:
    """All shells as one mesh (they overlap, and stay closed), and their joint distance."""
    vertices = [part.vertices @ part.R.T + part.t for part in parts]
    first = np.cumsum([0, *map(len, vertices)])
    profiles = [part.profile for part in parts]
    distance = Parts(
        kinds=np.array([part.kind for part in parts]),
        sizes=np.array([[*part.sizes, *[0.0] * (5 - len(part.sizes))] for part in parts]),
        R=np.array([part.R for part in parts], dtype=np.float64),
        t=np.array([part.t for part in parts]),
        bounds=np.array([np.linalg.norm(part.vertices, axis=1).max() for part in parts]) * 1.01,
        profile=np.concatenate(profiles),
        profile_ends=np.cumsum([0, *map(len, profiles)]),
    )
    return np.concatenate(vertices), np.concatenate([part.faces + n for part, n in zip(parts, first, strict=False)]), distance


def rounded_box(half: Sequence[float], radius: float) -> Part:
    """A box with rounded edges; `half` edges from centre to face, metres."""
    sphere, corner, faces = _ball_of_octants()
    vertices = corner * (np.array(half) - radius) + radius * sphere
    return Part(ROUNDED_BOX, (*half, radius), vertices, faces)


def superquadric(half: Sequence[float], meridian: float = 1.0, girth: float = 1.0) -> Part:
    """|x/a|^(2/girth) ... = 1 with exponents of at most 1 (rounder than a box, no rounder than an ellipsoid); half axes in metres."""
    sphere, faces = _ball()
    u, v, w = (np.abs(sphere) + 1e-12).T
    f = ((u ** (2 / girth) + v ** (2 / girth)) ** (girth / meridian) + w ** (2 / meridian)) ** (meridian / 2)
    vertices = sphere / f[:, None] * np.array(half)
    return Part(SUPERQUADRIC, (*half, meridian, girth), vertices, faces)


def lathe(outline: Float[np.ndarray, "points 2"], seen: Float[np.ndarray, "seen 2"] | None = None) -> Part:
    """A solid of revolution about z.

    Args:
        outline: (radius, height) from the axis's lower end to its upper end, metres.
        seen: The mesh's outline where it differs: a vessel's with its inside, which the distance takes as full so that no finger tunnels
            through the wall.
    """
    vertices, faces = _revolve(outline if seen is None else seen)
    return Part(LATHE, (), vertices, faces, profile=np.asarray(outline, dtype=np.float64))


def ring(radius: float, tube: float, half_angle: float) -> Part:
    """An arc of a torus in the xy plane with round ends, centred on +y; `half_angle` below pi."""
    cap = np.linspace(0, np.pi / 2, 5)[:-1]
    arc = np.linspace(-half_angle, half_angle, 20)
    beyond = np.concatenate([-tube * np.cos(cap), np.zeros(len(arc)), tube * np.sin(cap[1:]), [tube]])
    angle = np.concatenate([np.full(len(cap), arc[0]), arc, np.full(len(cap), arc[-1])])
    width = np.sqrt(np.maximum(tube**2 - beyond**2, 0))
    outward, tangent = np.stack([np.sin(angle), np.cos(angle), 0 * angle], 1), np.stack([np.cos(angle), -np.sin(angle), 0 * angle], 1)
    turn = np.arange(16) * 2 * np.pi / 16
    centre = radius * outward + beyond[:, None] * tangent
    side = np.cos(turn)[None, :, None] * outward[:, None] + np.sin(turn)[None, :, None] * np.array([0.0, 0.0, 1.0])
    rings = centre[:, None] + width[:, None, None] * side
    vertices, faces = _skin_rings(rings[1:-1], centre[0], centre[-1])
    return Part(RING, (radius, tube, half_angle), vertices, faces)


def fillet(corners: Sequence[Sequence[float | int]], steps: int = 4) -> Float[np.ndarray, "points 2"]:
    """An outline through corners (radius, height, rounding), each replaced by an arc that begins `rounding` away from it."""
    table = np.array(corners, dtype=np.float64)
    points, rounding = table[:, :2], table[1:-1, 2]
    edges = np.diff(points, axis=0)
    lengths = np.hypot(*edges.T)
    directions = edges / lengths[:, None]
    reach = np.minimum(rounding, 0.45 * np.minimum(lengths[:-1], lengths[1:]))[:, None]
    middle = points[1:-1]
    start, stop = middle - reach * directions[:-1], middle + reach * directions[1:]
    s = np.linspace(0, 1, steps)[:, None, None]  # a quadratic Bezier curve is close to the arc
    curves = ((1 - s) ** 2 * start + 2 * s * (1 - s) * middle + s**2 * stop).transpose(1, 0, 2)
    bends = [curve if is_round else curve[:1] for curve, is_round in zip(curves, reach[:, 0] > 1e-6, strict=True)]
    return np.concatenate([points[:1], *bends, points[-1:]])


@cache
def _ball() -> tuple[np.ndarray, np.ndarray]:
    """A unit ball as a cube's grid blown up."""
    faces, index = _cube_grid(12)
    points = np.tan(np.linspace(-np.pi / 4, np.pi / 4, 12))[index]
    return points / np.linalg.norm(points, axis=1, keepdims=True), faces


@cache
def _ball_of_octants() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A unit ball whose octants share no vertex, the octant of each vertex by its signs, and the faces."""
    faces, index = _cube_grid(8)
    half = np.tan(np.linspace(0, np.pi / 4, 4))
    points = np.concatenate([-half[::-1], half])[index]
    return points / np.linalg.norm(points, axis=1, keepdims=True), np.repeat([-1.0, 1.0], 4)[index], faces


def _cube_grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces of a cube's grid of n points to the edge, vertices of neighbouring sides shared, and each vertex's place along x, y, z."""
    is_border = np.isin(np.arange(n), (0, n - 1))
    i, j, k = np.nonzero(is_border[:, None, None] | is_border[:, None] | is_border)
    number = np.full((n, n, n), -1)
    number[i, j, k] = np.arange(len(i))
    faces = []
    for axis in range(3):
        sides = np.moveaxis(number, axis, 0)
        for side, flip in ((sides[0], axis != 1), (sides[-1], axis == 1)):
            a, b, c, d = side[:-1, :-1].ravel(), side[1:, :-1].ravel(), side[1:, 1:].ravel(), side[:-1, 1:].ravel()
            quads = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
            faces.append(quads[:, ::-1] if flip else quads)
    return np.ascontiguousarray(np.concatenate(faces)), np.stack([i, j, k], 1)


def _revolve(outline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    turn = np.arange(_ROUND) * 2 * np.pi / _ROUND
    r, z = outline[1:-1].T
    rings = np.stack([r[:, None] * np.cos(turn), r[:, None] * np.sin(turn), np.repeat(z[:, None], _ROUND, 1)], -1)
    return _skin_rings(rings, np.array([0.0, 0.0, outline[0, 1]]), np.array([0.0, 0.0, outline[-1, 1]]))


def _skin_rings(rings: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join rings of points (counter-clockwise seen from the last ring) and close both ends by a pole."""
    return np.concatenate([rings.reshape(-1, 3), first[None], last[None]]), _ring_faces(*rings.shape[:2])


@cache
def _ring_faces(m: int, n: int) -> np.ndarray:
    """Of m rings of n points, then two poles."""
    index = np.arange(m * n).reshape(m, n)
    following = np.roll(index, -1, axis=1)
    a, b, c, d = index[:-1].ravel(), following[:-1].ravel(), following[1:].ravel(), index[1:].ravel()
    low, high = np.full(n, m * n), np.full(n, m * n + 1)
    faces = [np.stack(t, 1) for t in ((a, b, c), (a, c, d), (following[0], index[0], low), (index[-1], following[-1], high))]
    return np.concatenate(faces)
