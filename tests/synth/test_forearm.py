"""Where a forearm and its sleeve go, and that they are sound surfaces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from occhand.synth.forearm import Forearm, limb_surfaces
from occhand.synth.hand_surface import load_surface
from occhand.synth.scene import mirrored
from occhand.synth.surfaces import Surfaces

STRAIGHT = Forearm(flexion=0.0, deviation=0.0, girth=1.0, sleeve_from=None, sleeve_width=1.3, wrinkle_phases=np.zeros(3))
LENGTH = 0.34


def limb(forearm: Forearm) -> tuple[Surfaces, np.ndarray]:
    """Of the flat hand, and its wrist."""
    vertices, joints = load_surface().pose(np.tile(np.eye(3), (16, 1, 1)), np.zeros(10))
    return limb_surfaces(vertices, joints[0], forearm, (1, 3), 7, 9), joints[0]


def elbow(surfaces: Surfaces) -> np.ndarray:
    """The last cross-section of a bare arm."""
    return surfaces.vertices_cam[-len(load_surface().wrist_loop) :]


def test_a_straight_arm_goes_on_from_the_wrist_away_from_the_fingers():
    surfaces, _ = limb(STRAIGHT)
    loop = surfaces.vertices_cam[load_surface().wrist_loop]
    np.testing.assert_allclose(elbow(surfaces), loop + np.array([LENGTH, 0.0, 0.0]), atol=1e-12)
    middle = elbow(surfaces).mean(0)
    thick, _ = limb(replace(STRAIGHT, girth=1.5))
    np.testing.assert_allclose(elbow(thick), middle + 1.5 * (elbow(surfaces) - middle), atol=1e-12)


def test_the_wrist_bends_about_its_joint():
    straight, wrist = limb(STRAIGHT)
    bent, _ = limb(replace(STRAIGHT, flexion=0.5, deviation=-0.3))
    turn = Rotation.from_rotvec((0.0, 0.0, 0.5)) * Rotation.from_rotvec((0.0, -0.3, 0.0))
    np.testing.assert_allclose(elbow(bent), turn.apply(elbow(straight) - wrist) + wrist, atol=1e-12)
    fine = len(load_surface().rest_fine)
    np.testing.assert_array_equal(bent.vertices_cam[:fine], straight.vertices_cam[:fine])


@pytest.mark.parametrize("side", ["right", "left"])
def test_hand_and_arm_are_one_surface_that_looks_outwards(side):
    surfaces, _ = limb(replace(STRAIGHT, flexion=-0.4, girth=1.4))
    if side == "left":
        surfaces = mirrored(surfaces)
    mesh = trimesh.Trimesh(surfaces.vertices_cam - elbow(surfaces).mean(0), surfaces.faces, process=False)  # the open end adds no volume
    assert mesh.is_winding_consistent
    assert 5e-4 < mesh.volume < 2e-3
    open_edges = trimesh.grouping.group_rows(mesh.edges_sorted, require_count=1)
    assert set(mesh.edges_sorted[open_edges].ravel()) == set(range(len(mesh.vertices) - 32, len(mesh.vertices)))


def test_faces_know_what_they_are():
    surfaces, _ = limb(replace(STRAIGHT, sleeve_from=0.03))
    hand = len(load_surface().subdivision.faces)
    arm = len(limb(STRAIGHT)[0].faces)
    sleeve = np.arange(len(surfaces.faces)) >= arm
    assert set(surfaces.labels[:hand]) == {1}
    assert set(surfaces.labels[hand:]) == {3}
    assert set(surfaces.material_ids[~sleeve]) == {7}
    assert set(surfaces.material_ids[sleeve]) == {9}
    np.testing.assert_array_equal(surfaces.is_closed, ~sleeve)
    np.testing.assert_array_equal(surfaces.tile_ids[:hand], np.arange(hand))
    np.testing.assert_array_equal(mirrored(surfaces).tile_ids[:hand], np.arange(hand, 2 * hand))
    assert set(surfaces.tile_ids[hand:]) == set(mirrored(surfaces).tile_ids[hand:]) == {-1}


@pytest.mark.parametrize("sleeve_from", [-0.04, 0.03])
def test_a_sleeve_begins_where_told_and_covers_the_arm(sleeve_from):
    bare, dressed = limb(STRAIGHT)[0], limb(replace(STRAIGHT, sleeve_from=sleeve_from))[0]
    cloth = dressed.vertices_cam[len(bare.vertices_cam) :]
    loop = bare.vertices_cam[load_surface().wrist_loop]
    assert cloth[:, 0].min() == pytest.approx(loop[:, 0].min() + sleeve_from, abs=0.005)
    far = cloth[cloth[:, 0] > loop[:, 0].max() + 0.08]
    middle = loop.mean(0)[1:]
    assert np.linalg.norm(far[:, 1:] - middle, axis=1).min() > np.linalg.norm(loop[:, 1:] - middle, axis=1).min()
    np.testing.assert_array_equal(dressed.vertices_cam[: len(bare.vertices_cam)], bare.vertices_cam)


def test_the_skin_of_an_arm_and_its_texture_lie_alike():
    surfaces, _ = limb(STRAIGHT)
    np.testing.assert_allclose(np.ptp(surfaces.local, axis=0), np.ptp(surfaces.vertices_cam, axis=0), atol=0.003)
