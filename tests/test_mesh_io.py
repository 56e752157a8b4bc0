"""Meshes come back from disk as they were."""

import numpy as np
import pytest
import trimesh

from occhand.hand.assets import load_parameters
from occhand.mesh_io import MESH_FORMATS, save_mesh

HAND = load_parameters("open")
VERTICES = HAND.v_template + np.array([0.0, 0.0, 0.5])


@pytest.mark.parametrize("kind", MESH_FORMATS)
def test_round_trip_keeps_vertices_faces_and_units(tmp_path, kind):
    path = save_mesh(tmp_path / f"hand.{kind}", VERTICES, HAND.faces)
    loaded = trimesh.load(path, process=False, force="mesh")
    axes = np.array([1.0, -1.0, -1.0]) if kind == "glb" else 1.0
    np.testing.assert_allclose(loaded.vertices, VERTICES * axes, atol=1e-6)
    np.testing.assert_array_equal(loaded.faces, HAND.faces)


def test_faces_look_outwards():
    closed = trimesh.Trimesh(HAND.v_template, HAND.faces, process=False)
    trimesh.repair.fill_holes(closed)
    assert closed.volume > 0


def test_another_ending_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="Unknown mesh format 'stl2'; choose obj, ply, glb"):
        save_mesh(tmp_path / "hand.stl2", VERTICES, HAND.faces)
    assert not list(tmp_path.iterdir())
