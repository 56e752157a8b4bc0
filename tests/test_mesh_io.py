"""Meshes come back from disk as they were."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from occhand.hand.assets import load_parameters
from occhand.mesh_io import MESH_FORMATS, save_mesh

HAND = load_parameters("open")
VERTICES = HAND.v_template + np.array([0.0, 0.0, 0.5])
VERTICES[700] = VERTICES[10]  # of one place, and still two


@pytest.mark.parametrize("kind", MESH_FORMATS)
def test_round_trip_keeps_vertices_faces_and_units(tmp_path, kind):
    path = save_mesh(tmp_path / f"hand.{kind}", VERTICES, HAND.faces)
    loaded = trimesh.load(path, process=False, force="mesh")
    axes = np.array([1.0, -1.0, -1.0]) if kind == "glb" else 1.0
    np.testing.assert_allclose(loaded.vertices, VERTICES * axes, atol=1e-6)
    np.testing.assert_array_equal(loaded.faces, HAND.faces)


def test_an_ending_in_capitals_is_the_same_format(tmp_path):
    small, capital = (save_mesh(tmp_path / f"hand.{ending}", VERTICES, HAND.faces) for ending in ("ply", "PLY"))
    assert small.read_bytes() == capital.read_bytes()


def test_a_mesh_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def export(mesh, file, file_type):
        Path(file).write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(trimesh.Trimesh, "export", export)
    (tmp_path / "hand.obj").write_text("earlier")
    with pytest.raises(OSError, match="No space left"):
        save_mesh(tmp_path / "hand.obj", VERTICES, HAND.faces)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("hand.obj", "earlier")]


def test_faces_look_outwards():
    closed = trimesh.Trimesh(HAND.v_template, HAND.faces, process=False)
    trimesh.repair.fill_holes(closed)
    assert closed.volume > 0


def test_another_ending_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="Unknown mesh format 'stl2'; choose obj, ply, glb"):
        save_mesh(tmp_path / "hand.stl2", VERTICES, HAND.faces)
    assert not list(tmp_path.iterdir())
