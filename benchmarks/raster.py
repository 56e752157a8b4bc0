"""Frames per second of `occhand.render.raster` beside embreex, one thread each, on a mesh that deforms every frame.

embreex (Embree's ray tracer, the fastest of the libraries that need no system package) rebuilds its tree in each frame, as it must when the
vertices move, and is called directly, without trimesh's wrapping. Both give depth, face ids and barycentrics.

Run: OMP_NUM_THREADS=1 python benchmarks/raster.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from occhand.render.raster import rasterize

SIZE = 256
K = np.array([[SIZE * 1.2, 0.0, SIZE / 2], [0.0, SIZE * 1.2, SIZE / 2], [0.0, 0.0, 1.0]])


def knotted_mesh() -> trimesh.Trimesh:
    """Four hand-sized surfaces that overlap, about 6000 faces."""
    parts = [
        trimesh.creation.torus(0.06, 0.02, major_sections=48, minor_sections=32),
        trimesh.creation.icosphere(subdivisions=3, radius=0.04),
        trimesh.creation.capsule(height=0.12, radius=0.018, count=[16, 16]),
        trimesh.creation.torus(0.05, 0.012, major_sections=48, minor_sections=16),
    ]
    for part, angle in zip(parts, (0.4, 0.0, 1.1, 2.0), strict=True):
        part.apply_transform(trimesh.transformations.rotation_matrix(angle, (1.0, 0.6, 0.2)))
    mesh = trimesh.util.concatenate(parts)
    mesh.apply_translation((0.0, 0.0, 0.35))
    return mesh


def embree_frame(vertices: np.ndarray, faces: np.ndarray, directions: np.ndarray, origins: np.ndarray) -> dict[str, np.ndarray]:
    scene = EmbreeScene()
    TriangleMesh(scene, vertices.astype(np.float32), faces.astype(np.int32))
    return scene.run(origins, directions, output=True)


def frames_per_second(frames: Sequence[Callable[[np.ndarray], object]], shapes: list[np.ndarray], rounds: int = 15) -> list[float]:
    """Best rate of each over several rounds, taken in turns, as the machine may be shared."""
    best = [np.inf] * len(frames)
    for _ in range(rounds):
        for which, frame in enumerate(frames):
            start = time.perf_counter()
            for vertices in shapes:
                frame(vertices)
            best[which] = min(best[which], (time.perf_counter() - start) / len(shapes))
    return [1.0 / seconds for seconds in best]


def main() -> None:
    mesh = knotted_mesh()
    faces = np.asarray(mesh.faces)
    phases = np.linspace(0.0, 2.0 * np.pi, 20, endpoint=False)
    shapes = [np.asarray(mesh.vertices + 0.004 * np.sin(40.0 * mesh.vertices[:, [1, 2, 0]] + phase)) for phase in phases]
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    directions = (np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) @ np.linalg.inv(K).T).astype(np.float32)
    origins = np.zeros_like(directions)

    start = time.perf_counter()
    raster = rasterize(shapes[0], faces, K, SIZE, SIZE)
    first_call_s = time.perf_counter() - start
    ids = embree_frame(shapes[0], faces, directions, origins)["primID"].reshape(SIZE, SIZE)
    covered, agreeing = (raster.face_ids >= 0).mean(), (ids == raster.face_ids).mean()
    print(f"{len(faces)} faces, {SIZE} x {SIZE} pixels, {covered:.0%} covered, ids equal on {agreeing:.2%}")
    print(f"first call of occhand: {first_call_s:.2f} s (compiles, or reads what an earlier run compiled)")

    ours, theirs = frames_per_second(
        [
            lambda vertices: rasterize(vertices, faces, K, SIZE, SIZE),
            lambda vertices: embree_frame(vertices, faces, directions, origins),
        ],
        shapes,
    )
    print(f"occhand {ours:.0f} frames/s, embreex {theirs:.0f} frames/s, ratio {ours / theirs:.1f}")


if __name__ == "__main__":
    main()
