"""A triangle mesh that can be edited: collapse, split and flip an edge, keeping a surface with one open end."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int

Point = tuple[float, float, float]
Edge = tuple[int, int]
Face = tuple[int, int, int]


def mesh_edges(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "e 2"]:
    """Each edge once, smaller index first, sorted."""
    return np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)


def boundary_loop(faces: Int[np.ndarray, "f 3"]) -> list[int]:
    """The one open loop, in the direction of its faces' edges.

    Raises:
        ValueError: The boundary is not a single loop.
    """
    directed = {(int(f[i]), int(f[(i + 1) % 3])) for f in faces for i in range(3)}
    following = {a: b for a, b in directed if (b, a) not in directed}
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise ValueError(f"{len(following)} boundary edges, but the first loop has {len(loop)}: expected one loop")
    return loop


def triangle_quality(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "f"]:
    """4 sqrt(3) area / sum of squared sides: 1 for an equilateral triangle, 0 for a sliver."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    doubled = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    sides = sum(((p - q) ** 2).sum(1) for p, q in ((a, b), (b, c), (c, a)))
    return 2 * np.sqrt(3) * doubled / sides


def _normal(a: Point, b: Point, c: Point) -> Point:
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    return (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)


def _turned(n: Point, m: Point, least_cosine: float) -> bool:
    """Whether two (area-weighted) normals differ by more than the angle allows."""
    dot = n[0] * m[0] + n[1] * m[1] + n[2] * m[2]
    return dot < least_cosine * (((n[0] ** 2 + n[1] ** 2 + n[2] ** 2) * (m[0] ** 2 + m[1] ** 2 + m[2] ** 2)) ** 0.5)


class EditableMesh:
    """Faces by id, and the faces around each vertex. Dead vertices stay until `arrays` leaves them out."""

    def __init__(self, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> None:
        self.points: list[Point] = [tuple(p) for p in vertices.tolist()]
        self.faces: dict[int, Face] = {}
        self.around: list[set[int]] = [set() for _ in self.points]
        self._next = 0
        for face in faces.tolist():
            self._add(tuple(face))

    def arrays(self) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
        """Vertices and faces, dead vertices left out."""
        alive = [v for v, faces in enumerate(self.around) if faces]
        number = {v: i for i, v in enumerate(alive)}
        return np.array([self.points[v] for v in alive]), np.array([[number[v] for v in face] for face in self.faces.values()])

    def edges(self) -> list[Edge]:
        """Each edge once, smaller index first, sorted."""
        return sorted({(min(a, b), max(a, b)) for f in self.faces.values() for a, b in ((f[0], f[1]), (f[1], f[2]), (f[2], f[0]))})

    def neighbours(self, v: int) -> set[int]:
        """The vertices one edge away."""
        return {u for f in self.around[v] for u in self.faces[f]} - {v}

    def beside(self, a: int, b: int) -> set[int]:
        """The one or two faces of an edge; empty if it is gone."""
        return self.around[a] & self.around[b]

    def on_boundary(self, v: int) -> bool:
        """Whether the vertex lies on the open loop."""
        return len(self.neighbours(v)) != len(self.around[v])

    def _add(self, face: Iterable[int]) -> None:
        a, b, c = face
        self.faces[self._next] = (a, b, c)
        for v in (a, b, c):
            self.around[v].add(self._next)
        self._next += 1

    def _remove(self, face: int) -> None:
        for v in self.faces.pop(face):
            self.around[v].discard(face)

    def _middle(self, a: int, b: int) -> Point:
        p, q = self.points[a], self.points[b]
        return (0.5 * (p[0] + q[0]), 0.5 * (p[1] + q[1]), 0.5 * (p[2] + q[2]))

    def split(self, a: int, b: int) -> int:
        """Put a vertex in the middle of an edge."""
        new = len(self.points)
        self.points.append(self._middle(a, b))
        self.around.append(set())
        for face in sorted(self.beside(a, b)):
            old = self.faces[face]
            self._remove(face)
            self._add(new if v == b else v for v in old)
            self._add(new if v == a else v for v in old)
        return new

    def collapse(self, a: int, b: int) -> bool:
        """Merge b into a in their middle (or on the boundary, if one is on it); False where that would harm the surface."""
        shared, near_a, near_b = self.beside(a, b), self.neighbours(a), self.neighbours(b)
        a_open, b_open = self.on_boundary(a), self.on_boundary(b)
        if not shared or len(near_a & near_b) != len(shared) or len(near_a | near_b) < 5 or (a_open and b_open and len(shared) == 2):
            return False
        target = self._middle(a, b) if a_open == b_open else self.points[a if a_open else b]
        for v in (a, b):
            for face in self.around[v] - shared:
                corners = [self.points[u] for u in self.faces[face]]
                moved = [target if u == v else self.points[u] for u in self.faces[face]]
                if _turned(_normal(*corners), _normal(*moved), 0.35):
                    return False
        for face in shared:
            self._remove(face)
        for face in sorted(self.around[b]):
            old = self.faces[face]
            self._remove(face)
            self._add(a if v == b else v for v in old)
        self.points[a] = target
        return True

    def flip(self, a: int, b: int) -> bool:
        """Turn the edge of two faces to their other diagonal; False where that would fold the surface."""
        shared = sorted(self.beside(a, b))
        if len(shared) != 2:
            return False
        first, second = shared
        if not self._runs(first, a, b):
            first, second = second, first
        c, d = self._opposite(first, a, b), self._opposite(second, a, b)
        if d in self.neighbours(c):
            return False
        p, q, r, s = (self.points[v] for v in (a, b, c, d))
        one, two = _normal(p, q, r), _normal(q, p, s)
        before = (one[0] + two[0], one[1] + two[1], one[2] + two[2])
        if _turned(before, _normal(p, s, r), 0.5) or _turned(before, _normal(s, q, r), 0.5):
            return False
        self._remove(first)
        self._remove(second)
        self._add((a, d, c))
        self._add((d, b, c))
        return True

    def _runs(self, face: int, a: int, b: int) -> bool:
        f = self.faces[face]
        return (a, b) in ((f[0], f[1]), (f[1], f[2]), (f[2], f[0]))

    def _opposite(self, face: int, a: int, b: int) -> int:
        return next(v for v in self.faces[face] if v not in (a, b))

    def even_valences(self) -> None:
        """Flip every edge whose flip brings its four corners closer to 6 neighbours (4 on the boundary)."""

        def excess(v: int) -> int:
            return len(self.neighbours(v)) - (4 if self.on_boundary(v) else 6)

        for a, b in self.edges():
            shared = self.beside(a, b)
            if len(shared) != 2:
                continue
            c, d = (self._opposite(face, a, b) for face in shared)
            ends, sides = (excess(a), excess(b)), (excess(c), excess(d))
            if sum(map(abs, ends + sides)) > sum(abs(e - 1) for e in ends) + sum(abs(e + 1) for e in sides):
                self.flip(a, b)
