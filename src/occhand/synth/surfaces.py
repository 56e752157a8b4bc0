"""Everything visible in a scene as one mesh, each face with what it belongs to and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numba import njit


@dataclass(frozen=True)
class Surfaces:
    """Meshes side by side in one set of arrays."""

    vertices_cam: Float[np.ndarray, "vertices 3"]
    """Metres."""
    local: Float[np.ndarray, "vertices 3"]
    """The same points in the frame in which their solid texture is defined, metres."""
    faces: Int[np.ndarray, "faces 3"]
    """Counter-clockwise seen from outside."""
    labels: UInt8[np.ndarray, "faces"]
    """As in `occhand.types.Occlusion.labels`."""
    material_ids: Int[np.ndarray, "faces"]
    """Row of the scene's materials."""
    tile_ids: Int[np.ndarray, "faces"]
    """Row of the skin tiles; -1 where skin is bare or there is none."""
    is_closed: Bool[np.ndarray, "faces"]
    """The inner side of the face cannot be seen."""

    def front(self) -> Surfaces:
        """Without the faces of closed surfaces that look away from the camera: half the work, the same picture."""
        kept = seen_faces(self.vertices_cam, self.faces, self.is_closed, np.zeros(3))
        per_face = (self.faces, self.labels, self.material_ids, self.tile_ids, self.is_closed)
        return Surfaces(self.vertices_cam, self.local, *(array.take(kept, axis=0) for array in per_face))

    def moved(self, R: Float[np.ndarray, "3 3"], t: Float[np.ndarray, "3"]) -> Surfaces:
        """With every point x at R x + t."""
        return replace(self, vertices_cam=self.vertices_cam @ R.T + t)

    def normals(self) -> Float[np.ndarray, "vertices 3"]:
        """At the vertices: the sum over the faces around each, weighted by area, not unit."""
        return _normals(self.vertices_cam, self.faces)


def join(parts: Sequence[Surfaces]) -> Surfaces:
    """Several as one, in their order."""
    starts = np.cumsum([0, *(len(part.vertices_cam) for part in parts)])
    return Surfaces(
        vertices_cam=np.concatenate([part.vertices_cam for part in parts]),
        local=np.concatenate([part.local for part in parts]),
        faces=np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)]),
        labels=np.concatenate([part.labels for part in parts]),
        material_ids=np.concatenate([part.material_ids for part in parts]),
        tile_ids=np.concatenate([part.tile_ids for part in parts]),
        is_closed=np.concatenate([part.is_closed for part in parts]),
    )


def seen_faces(
    vertices_cam: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    is_closed: Bool[np.ndarray, "faces"],
    eye: Float[np.ndarray, "3"],
) -> Int[np.ndarray, "kept"]:
    """Rows of the faces that an eye sees the outside of, and of all that are not part of a closed surface; the camera is at 0."""
    return _seen_faces(vertices_cam, faces, is_closed, eye)


@njit(cache=True, error_model="numpy")
@no_type_check
def _seen_faces(vertices, faces, is_closed, eye):
    kept = np.empty(faces.shape[0], dtype=np.int64)
    count = 0
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        px, py, pz = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        ux, uy, uz = vertices[j, 0] - px, vertices[j, 1] - py, vertices[j, 2] - pz
        vx, vy, vz = vertices[k, 0] - px, vertices[k, 1] - py, vertices[k, 2] - pz
        dx, dy, dz = px - eye[0], py - eye[1], pz - eye[2]
        towards = (uy * vz - uz * vy) * dx + (uz * vx - ux * vz) * dy + (ux * vy - uy * vx) * dz
        if towards < 0.0 or not is_closed[face]:
            kept[count] = face
            count += 1
    return kept[:count]


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _normals(vertices, faces):
    normals = np.zeros(vertices.shape)
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        ux, uy, uz = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        vx, vy, vz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (i, j, k):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    return normals
