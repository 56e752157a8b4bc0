"""From the implicit surface to exactly 778 vertices, 1538 faces and one open wrist loop of 16 edges.

Marching cubes, then rounds of collapse, split, flip and tangential relaxation onto the surface (Botsch and Kobbelt 2004), with a target
edge length that is finer on the fingers and, along a finger, finer still at its joints, so that creases get rings of vertices. A factor
on the target is steered to the vertex count; the last few edges are collapsed or split one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from skimage.measure import marching_cubes

from occhand.hand.skeleton import MANO_FINGERS
from tools.open_hand.anatomy import HandShape, distance_to_segment, skeleton
from tools.open_hand.field import Field, hand_field
from tools.open_hand.mesh import EditableMesh, boundary_loop, mesh_edges

VERTEX_COUNT, WRIST_LOOP = 778, 16
CUT_AT_MM = -26.0
"""The wrist loop lies in the plane this far behind the wrist joint."""
PALM_EDGE_MM = 10.6
FINGER_EDGE_MM = {"index": 7.6, "middle": 7.6, "ring": 7.6, "pinky": 6.8, "thumb": 8.4}
ROUNDS = 14


@dataclass(frozen=True)
class Sizing:
    """Target edge length at points, and the axis along which edges count longer than they are."""

    length: Float[np.ndarray, "n"]
    axis: Float[np.ndarray, "n 3"]
    stretch: Float[np.ndarray, "n"]

    def relative_length(self, points: Float[np.ndarray, "n 3"], edges: Int[np.ndarray, "e 2"]) -> Float[np.ndarray, "e"]:
        """Edge lengths over their targets."""
        a, b = edges.T
        edge = points[b] - points[a]
        axis = self.axis[a] + self.axis[b]
        norm = np.linalg.norm(axis, axis=1, keepdims=True)
        along = (edge * axis / np.maximum(norm, 1e-9)).sum(1) * (norm[:, 0] > 1.0)
        stretch = 0.5 * (self.stretch[a] + self.stretch[b])
        return np.sqrt((edge**2).sum(1) + (stretch**2 - 1) * along**2) / (0.5 * (self.length[a] + self.length[b]))


def sizing(points: Float[np.ndarray, "n 3"], chains: dict[str, np.ndarray]) -> Sizing:
    """Where the mesh is to be how fine."""
    length, stretch, axis = np.full(len(points), PALM_EDGE_MM), np.ones(len(points)), np.zeros((len(points), 3))
    nearest = np.full(len(points), np.inf)
    for finger in MANO_FINGERS:
        chain = chains[finger]
        is_thumb = finger == "thumb"
        for k in range(1 if is_thumb else 0, 3):
            a, b = chain[k], chain[k + 1]
            distance = distance_to_segment(points, a, b)
            t = (points - a) @ (b - a) / ((b - a) @ (b - a))
            off_finger = np.clip((distance - 11) / 14, 0, 1)
            here = FINGER_EDGE_MM[finger] + (PALM_EDGE_MM - FINGER_EDGE_MM[finger]) * off_finger
            if k == 0:
                here = np.where(t < 0.25, np.maximum(here, 8.6), here)
            if k == 2:
                here = np.where(t > 0.75, 0.82 * FINGER_EDGE_MM[finger], here)
            closer = distance < nearest
            nearest = np.minimum(nearest, distance)
            length = np.where(closer, here, length)
            axis[closer] = (b - a) / np.linalg.norm(b - a)
            stretch = np.where(closer, np.where(off_finger > 0.6, 1.0, 1 + 0.75 * _near_joint(points, chain, is_thumb)), stretch)
    return Sizing(length, axis, stretch)


def _near_joint(points: np.ndarray, chain: np.ndarray, is_thumb: bool) -> np.ndarray:
    """1 at the finger's joints, falling to 0 some 15 mm away; the knuckle's reach is wider."""
    reach = (0.7, 1.0, 1.0)
    distance = np.min([np.linalg.norm(points - chain[k], axis=1) / reach[k] for k in range(1 if is_thumb else 0, 3)], axis=0)
    return np.exp(-((np.clip(distance - 7, 0, None) / 7) ** 2))


def extract(field: Field, step_mm: float) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Marching cubes; the grid begins at the wrist cut, which leaves the mesh open there."""
    low, high = np.array([CUT_AT_MM, -75.0, -52.0]), np.array([215.0, 110.0, 40.0])
    axes = [np.arange(lo, hi, step_mm) for lo, hi in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = field.distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(step_mm,) * 3)
    vertices = vertices.astype(np.float64) + low
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    if (a * np.cross(b, c)).sum() < 0:
        faces = faces[:, ::-1]
    return vertices, faces.astype(np.int64)


def _relaxed(points: np.ndarray, faces: np.ndarray, field: Field, chains: dict[str, np.ndarray], rounds: int) -> np.ndarray:
    """Move vertices to the middle of their neighbours along the surface; the wrist loop along its own curve."""
    edges, loop = mesh_edges(faces), np.array(boundary_loop(faces))
    both = np.concatenate([edges, edges[:, ::-1]])
    on_loop = np.zeros(len(points))
    on_loop[loop] = 1
    for _ in range(rounds):
        size = sizing(points, chains)
        # Weighting by length over target keeps dense places dense.
        weight = np.linalg.norm(points[both[:, 0]] - points[both[:, 1]], axis=1) / size.length[both[:, 1]]
        mean = csr_matrix((weight, (both[:, 0], both[:, 1])), shape=(len(points),) * 2)
        goal = (mean @ points) / np.asarray(mean.sum(1))
        goal[loop] = 0.5 * points[loop] + 0.25 * (points[np.roll(loop, 1)] + points[np.roll(loop, -1)])
        _, normal = field.distance_and_gradient(points)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        move = goal - points
        points = points + 0.6 * (move - (move * normal).sum(1, keepdims=True) * normal)
        points[loop, 0] = CUT_AT_MM
        points = field.project(points, 2, in_plane=on_loop)
        points[loop, 0] = CUT_AT_MM
    return points


def _collapse_short(mesh: EditableMesh, points: np.ndarray, size: Sizing, spare_neighbours: bool) -> None:
    edges = np.array(mesh.edges())
    relative = size.relative_length(points, edges)
    touched: set[int] = set()
    for i in np.argsort(relative, kind="stable"):
        a, b = edges[i].tolist()
        if relative[i] > 0.8:
            break
        if a not in touched and b not in touched and mesh.collapse(a, b):
            touched |= {a, b} | (mesh.neighbours(a) if spare_neighbours else set())


def _split_long(mesh: EditableMesh, points: np.ndarray, size: Sizing) -> None:
    edges = np.array(mesh.edges())
    relative = size.relative_length(points, edges)
    for i in np.argsort(-relative, kind="stable"):
        if relative[i] < 1.33:
            break
        mesh.split(*edges[i].tolist())


def _adjust_count(
    points: np.ndarray, faces: np.ndarray, chains: dict[str, np.ndarray], boundary: bool
) -> tuple[np.ndarray, np.ndarray, bool]:
    """One collapse or split towards the exact number of boundary or of all vertices; False when it is reached."""
    loop = set(boundary_loop(faces))
    excess = len(loop) - WRIST_LOOP if boundary else len(points) - VERTEX_COUNT
    if excess == 0:
        return points, faces, False
    mesh = EditableMesh(points, faces)
    edges = np.array([e for e in mesh.edges() if (len(mesh.beside(*e)) == 1 if boundary else not loop & set(e))])
    order = np.argsort(sizing(points, chains).relative_length(points, edges), kind="stable")
    if excess > 0:
        next(i for i in order if mesh.collapse(*edges[i].tolist()))
    else:
        mesh.split(*edges[order[-1]].tolist())
    return *mesh.arrays(), True


def remesh(shape: HandShape) -> tuple[Float[np.ndarray, "778 3"], Int[np.ndarray, "1538 3"]]:
    """The hand's mesh in mm, every vertex on the surface, faces wound outwards."""
    field, chains = hand_field(shape), skeleton(shape)
    points, faces = extract(field, step_mm=2.0)
    factor = 1.0
    for i in range(ROUNDS):
        mesh = EditableMesh(points, faces)
        size = sizing(points, chains)
        _collapse_short(mesh, points, Sizing(size.length * factor, size.axis, size.stretch), spare_neighbours=i > 3)
        points, faces = mesh.arrays()
        if i > 1:
            mesh, size = EditableMesh(points, faces), sizing(points, chains)
            _split_long(mesh, points, Sizing(size.length * factor, size.axis, size.stretch))
        mesh.even_valences()
        mesh.even_valences()
        points, faces = mesh.arrays()
        points = _relaxed(points, faces, field, chains, 3 if i > 2 else 1)
        if 3 <= i < ROUNDS - 2:
            factor *= np.clip((len(points) / VERTEX_COUNT) ** 0.5, 0.9, 1.1)
    for boundary in (True, False):
        unfinished = True
        while unfinished:
            points, faces, unfinished = _adjust_count(points, faces, chains, boundary)
        points = _relaxed(points, faces, field, chains, 1)
    for _ in range(3):
        mesh = EditableMesh(points, faces)
        mesh.even_valences()
        points, faces = mesh.arrays()
        points = _relaxed(points, faces, field, chains, 4)
    return field.project(points, 2, in_plane=(points[:, 0] == CUT_AT_MM).astype(float)), faces
