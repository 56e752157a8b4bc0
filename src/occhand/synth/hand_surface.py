"""The hand as it is drawn: posed without torch, then smoothed by a subdivision that leaves the 778 vertices where they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from occhand.hand.assets import load_parameters
from occhand.hand.parameters import HandParameters
from occhand.hand.skeleton import PARENTS

_SOURCES = 24
"""Coarse vertices that a fine vertex is mixed from; the next largest share is below 1 %."""


@dataclass(frozen=True)
class Subdivision:
    """One step of Loop subdivision (1987): the finer faces, and what each fine vertex is mixed from."""

    faces: Int[np.ndarray, "fine_faces 3"]
    """Faces 4 i to 4 i + 3 lie in coarse face i."""
    sources: Int[np.ndarray, "fine sources"]
    """Coarse vertices; the first rows are the coarse vertices' own."""
    weights: Float[np.ndarray, "fine sources"]
    """Rows sum to 1; 0 where a row has fewer sources."""

    def refine(self, values: Float[np.ndarray, "coarse channels"]) -> Float[np.ndarray, "fine channels"]:
        """Values at the fine vertices."""
        return _mix_rows(self.sources, self.weights, np.ascontiguousarray(values, dtype=np.float64))


def subdivide(faces: Int[np.ndarray, "faces 3"], vertex_count: int) -> Subdivision:
    """Split each face of a mesh, open borders allowed, into four."""
    corners = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    opposite = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    edges, edge_of = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True)
    edge_of = edge_of.ravel()
    is_open = np.bincount(edge_of, minlength=len(edges)) == 1
    on_border = np.zeros(vertex_count, dtype=bool)
    on_border[edges[is_open]] = True

    shares: list[dict[int, float]] = [{} for _ in range(vertex_count + len(edges))]
    valence = np.bincount(edges.ravel(), minlength=vertex_count)
    for (a, b), is_border in zip(edges.tolist(), is_open.tolist(), strict=True):
        for vertex, other in ((a, b), (b, a)):
            if on_border[vertex]:
                if is_border:
                    shares[vertex][other] = 0.125
            else:
                shares[vertex][other] = 3 / 16 if valence[vertex] == 3 else 3 / (8 * valence[vertex])
    for vertex in range(vertex_count):
        shares[vertex][vertex] = 1 - sum(shares[vertex].values())
    for edge, (a, b) in enumerate(edges.tolist()):
        shares[vertex_count + edge] = dict.fromkeys((a, b), 0.5 if is_open[edge] else 0.375)
    for edge, vertex in zip(edge_of.tolist(), opposite.tolist(), strict=True):
        if not is_open[edge]:
            shares[vertex_count + edge][vertex] = 0.125

    width = max(map(len, shares))
    sources = np.array([[*row, *[0] * (width - len(row))] for row in shares])
    weights = np.array([[*row.values(), *[0.0] * (width - len(row))] for row in shares])
    mid_a, mid_b, mid_c = (edge_of + vertex_count).reshape(3, -1)
    a, b, c = faces.T
    fine = np.stack([(a, mid_a, mid_c), (mid_a, b, mid_b), (mid_c, mid_b, c), (mid_a, mid_b, mid_c)])  # 4 3 faces
    return Subdivision(np.ascontiguousarray(fine.transpose(2, 0, 1).reshape(-1, 3)), sources, weights)


def interpolating(step: Subdivision, vertex_count: int) -> Subdivision:
    """The same step on control points so placed that the coarse vertices stay where they are: the truth lies on what is drawn."""
    matrix = np.zeros((len(step.sources), vertex_count))
    np.add.at(matrix, (np.arange(len(matrix))[:, None], step.sources), step.weights)
    matrix = matrix @ np.linalg.inv(matrix[:vertex_count])
    sources = np.argsort(-np.abs(matrix), axis=1, kind="stable")[:, :_SOURCES]
    weights = np.take_along_axis(matrix, sources, axis=1)
    # Rounded, so that another BLAS or number of threads gives the same surface.
    weights = np.round(weights / weights.sum(1, keepdims=True), 7)
    sources[:vertex_count], weights[:vertex_count] = 0, 0.0
    sources[:vertex_count, 0], weights[:vertex_count, 0] = np.arange(vertex_count), 1.0
    return Subdivision(step.faces, np.ascontiguousarray(sources), np.ascontiguousarray(weights))


def border_loop(faces: Int[np.ndarray, "faces 3"]) -> Int[np.ndarray, "loop"]:
    """Vertices of the open border in order; the mesh lies to the left of it, seen from outside."""
    edges = {(a, b) for face in faces.tolist() for a, b in zip(face, (*face[1:], face[0]), strict=True)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loop = [min(following)]
    while (vertex := following[loop[-1]]) != loop[0]:
        loop.append(vertex)
    return np.array(loop)


@dataclass(frozen=True)
class HandSurface:
    """The right open hand, ready to be posed thousands of times a second: float64, one thread, so bit for bit repeatable.

    `HandLayer` is the reference and is what trains; this poses one hand in a tenth of its time and does not depend on torch's threads.
    """

    parameters: HandParameters
    blend_directions: Float[np.ndarray, "145 2334"]
    """Rows are 10 betas, then 135 pose features."""
    joint_template: Float[np.ndarray, "16 3"]
    joint_directions: Float[np.ndarray, "10 16 3"]
    subdivision: Subdivision
    rest_fine: Float[np.ndarray, "fine 3"]
    """Fine vertices of the mean hand at rest, in which solid textures are laid."""
    wrist_loop: Int[np.ndarray, "loop"]
    """Fine vertices around the open wrist."""

    def rest_joints(self, betas: Float[np.ndarray, "10"]) -> Float[np.ndarray, "16 3"]:
        """MANO's 16 joints of the shaped hand at rest, metres."""
        return self.joint_template + (betas[:, None, None] * self.joint_directions).sum(0)

    def pose(
        self, rotations: Float[np.ndarray, "16 3 3"], betas: Float[np.ndarray, "10"]
    ) -> tuple[Float[np.ndarray, "778 3"], Float[np.ndarray, "16 3"]]:
        """Vertices and MANO's joints as the hand layer gives them, metres, the layer's frame.

        Args:
            rotations: Of each MANO joint relative to its parent; the root first.
            betas: Shape.
        """
        hand = self.parameters
        return _pose(
            np.ascontiguousarray(rotations, dtype=np.float64),
            np.ascontiguousarray(betas, dtype=np.float64),
            hand.v_template,
            self.blend_directions,
            self.rest_joints(betas),
            hand.weights,
            np.array(PARENTS),
        )


@lru_cache(maxsize=1)
def load_surface() -> HandSurface:
    """The open hand's surface; built once per process in a quarter of a second."""
    hand = load_parameters("open")
    doubles = {
        key: np.ascontiguousarray(getattr(hand, key), dtype=np.float64) for key in ("v_template", "weights", "shapedirs", "posedirs")
    }
    hand = HandParameters(**{**hand.__dict__, **doubles})
    blend = np.concatenate([hand.shapedirs, hand.posedirs], axis=2).transpose(2, 0, 1).reshape(145, -1)
    regressor = hand.J_regressor.astype(np.float64)
    step = interpolating(subdivide(hand.faces.astype(np.int64), len(hand.v_template)), len(hand.v_template))
    return HandSurface(
        parameters=hand,
        blend_directions=np.ascontiguousarray(blend),
        joint_template=np.einsum("jv,vc->jc", regressor, hand.v_template),
        joint_directions=np.einsum("jv,vck->kjc", regressor, hand.shapedirs),
        subdivision=step,
        rest_fine=step.refine(hand.v_template),
        wrist_loop=border_loop(step.faces),
    )


@njit(cache=True, error_model="numpy")
@no_type_check
def _mix_rows(sources, weights, values):
    mixed = np.zeros((sources.shape[0], values.shape[1]))
    for row in range(sources.shape[0]):
        for k in range(sources.shape[1]):
            weight = weights[row, k]
            if weight != 0.0:
                for channel in range(values.shape[1]):
                    mixed[row, channel] += weight * values[sources[row, k], channel]
    return mixed


@njit(cache=True, error_model="numpy")
@no_type_check
def _pose(rotations, betas, template, blend_directions, rest, skin_weights, parents):
    world, placed = rotations.copy(), rest.copy()  # the root's stay
    for joint in range(1, 16):
        parent = parents[joint]
        for a in range(3):
            placed[joint, a] = placed[parent, a]
            for b in range(3):
                placed[joint, a] += world[parent, a, b] * (rest[joint, b] - rest[parent, b])
                total = 0.0
                for c in range(3):
                    total += world[parent, a, c] * rotations[joint, c, b]
                world[joint, a, b] = total

    shaped = template.copy().ravel()
    for k in range(blend_directions.shape[0]):
        if k < 10:
            amount = betas[k]
        else:
            joint, entry = 1 + (k - 10) // 9, (k - 10) % 9
            amount = rotations[joint, entry // 3, entry % 3] - (1.0 if entry % 4 == 0 else 0.0)
        if amount != 0.0:
            direction = blend_directions[k]
            for i in range(shaped.size):
                shaped[i] += amount * direction[i]

    vertices = np.zeros((template.shape[0], 3))
    for vertex in range(template.shape[0]):
        x, y, z = shaped[3 * vertex], shaped[3 * vertex + 1], shaped[3 * vertex + 2]
        for joint in range(16):
            weight = skin_weights[vertex, joint]
            if weight != 0.0:
                dx, dy, dz = x - rest[joint, 0], y - rest[joint, 1], z - rest[joint, 2]
                for a in range(3):
                    turned = world[joint, a, 0] * dx + world[joint, a, 1] * dy + world[joint, a, 2] * dz
                    vertices[vertex, a] += weight * (turned + placed[joint, a])
    return vertices, placed
