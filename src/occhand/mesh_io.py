"""Write meshes as .obj, .ply or .glb, through trimesh."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from occhand.files import atomic_path

MESH_FORMATS = ("obj", "ply", "glb")


def check_format(kind: str) -> None:
    """Raise a ValueError unless `kind` is one of `MESH_FORMATS`."""
    if kind not in MESH_FORMATS:
        raise ValueError(f"Unknown mesh format {kind!r}; choose {', '.join(MESH_FORMATS)}.")


def save_mesh(path: str | os.PathLike[str], vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> Path:
    """Write a mesh in the camera frame; vertices keep their order and number.

    `.obj` and `.ply` hold the house frame (OpenCV: x right, y down, z forward, metres). `.glb` holds the same points in glTF's frame
    (x right, y up, z towards the viewer, metres), as its specification demands, so that viewers show the hand upright.

    Args:
        path: The ending chooses the format.
        vertices: Metres, OpenCV camera frame.
        faces: Vertex ids, counter-clockwise from outside.

    Raises:
        ValueError: Another ending.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    check_format(kind)
    import trimesh  # brings in half of scipy where that is installed

    if kind == "glb":
        vertices = vertices * np.array([1.0, -1.0, -1.0])
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    with atomic_path(path) as temporary:
        mesh.export(temporary, file_type=kind)
    return path
