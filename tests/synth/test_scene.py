"""What stands in a scene, and where."""

from __future__ import annotations

import numpy as np
import pytest

from occhand.geometry.camera import project
from occhand.synth.closing import deepest_overlap, place
from occhand.synth.contacts import touching
from occhand.synth.pose import OVERLAP_TOLERANCE, PoseSampler
from occhand.synth.scene import SCENE_SHARES, Scene, SceneKind, mean_hand, middle_of, sample_lighting, sample_pose, sample_scene

SIZE = 128
DRAWN = 6


@pytest.fixture(scope="module")
def scenes() -> dict[SceneKind, list[Scene]]:
    return {
        kind: [sample_scene(np.random.default_rng((5, index)), kind, "right", 0.5, SIZE) for index in range(DRAWN)] for kind in SCENE_SHARES
    }


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("grasp", {1, 2, 3}),
        ("free", {1, 3}),
        ("occluder", {1, 2, 3}),
        ("second_hand", {1, 3, 4}),
        ("arm", {1, 3, 4}),
    ],
)
def test_surfaces_are_named_as_the_record_says(scenes, kind, labels):
    """1 hand, 2 object, 3 own forearm or sleeve, 4 another hand."""
    for scene in scenes[kind]:
        assert set(scene.surfaces.labels.tolist()) == labels
        assert (scene.solid is not None) == (2 in labels)


def test_the_annotated_hand_comes_first(scenes):
    for scene in (scene for some in scenes.values() for scene in some):
        np.testing.assert_allclose(scene.surfaces.vertices_cam[:778], scene.hand.vertices_cam, atol=1e-9)
        own = scene.surfaces.faces[scene.surfaces.labels == 1]
        assert own.max() < scene.surfaces.faces[scene.surfaces.labels != 1].max()
        assert len(own) == np.count_nonzero(scene.surfaces.labels[: len(own)] == 1)


def test_what_is_held_touches_the_hand():
    for index in range(16):  # something floats in front of every eighth
        scene = sample_scene(np.random.default_rng((6, index)), "grasp", "right", 0.5, SIZE)
        assert len(touching((scene.hand.vertices_cam - scene.solid_t) @ scene.solid_R, scene.solid)) > 0


def test_the_object_is_drawn_where_the_scene_says(scenes):
    for scene in scenes["grasp"] + scenes["occluder"]:
        points = scene.solid.vertices @ scene.solid_R.T + scene.solid_t
        drawn = scene.surfaces.faces[scene.surfaces.labels == 2]
        first = drawn[: len(scene.solid.faces)]
        np.testing.assert_allclose(scene.surfaces.vertices_cam[first], points[scene.solid.faces], atol=1e-9)
        np.testing.assert_allclose(scene.surfaces.local[first], scene.solid.vertices[scene.solid.faces], atol=1e-12)


def test_what_floats_in_front_is_clear_of_hand_and_camera(scenes):
    nearest = []
    for kind, label in (("occluder", 2), ("second_hand", 4), ("arm", 4)):
        for scene in scenes[kind]:
            other = scene.surfaces.vertices_cam[np.unique(scene.surfaces.faces[scene.surfaces.labels == label])]
            gap = np.linalg.norm(other[:, None] - scene.hand.vertices_cam[::4], axis=2).min()
            assert gap > 0.004
            nearest.append(np.linalg.norm(other, axis=1).min())
    assert np.mean(np.array(nearest) > 0.09) > 0.85


def test_another_hand_is_skin_and_its_sleeve_is_not(scenes):
    for scene in scenes["second_hand"] + scenes["arm"]:
        other = scene.surfaces.labels == 4
        skins = [k for k, material in enumerate(scene.materials) if material.pattern == 0]
        assert set(scene.surfaces.material_ids[other & (scene.surfaces.tile_ids >= 0)]) <= set(skins[1:])
        assert (np.isin(scene.surfaces.material_ids[other], skins) == scene.surfaces.is_closed[other]).all()


def test_pictures_frame_the_whole_hand_or_cut_it_off(scenes):
    cut = 0
    for kind, some in scenes.items():
        for scene in some:
            joints_img = project(scene.hand.joints_cam, scene.K)
            is_cut = bool((joints_img < -0.5).any() or (joints_img > SIZE - 0.5).any())
            assert kind == "truncated" or not is_cut
            cut += is_cut
            assert np.ptp(joints_img, axis=0).max() > 0.45 * SIZE
            assert scene.K[0, 0] == scene.K[1, 1]
            assert 0.27 < middle_of(scene.hand.vertices_cam)[2] < 1.12
    assert cut >= DRAWN // 2


def test_an_own_sleeve_reaches_over_the_palm_where_it_is_the_occluder(scenes):
    for scene in scenes["sleeve"]:
        sleeve = scene.surfaces.vertices_cam[np.unique(scene.surfaces.faces[~scene.surfaces.is_closed])]
        wrist_to_fingers = -scene.hand.rotations[0][:, 0]
        reach = ((sleeve - scene.hand.joints_cam[0]) @ wrist_to_fingers).max()
        assert reach > -0.01


def test_free_poses_of_a_scene_do_not_collide():
    hand, sampler = mean_hand(), PoseSampler.load()

    def overlap(angles):
        return deepest_overlap(hand, place(hand, angles.astype(np.float64), np.eye(3), np.zeros(3)))

    assert max(overlap(sampler.propose(np.random.default_rng(seed), 1)[0]) for seed in range(40)) > 2 * OVERLAP_TOLERANCE
    assert max(overlap(sample_pose(np.random.default_rng(seed))) for seed in range(40)) <= OVERLAP_TOLERANCE


def test_lamps_stand_above_on_the_camera_side_the_first_the_strongest():
    lights = [sample_lighting(np.random.default_rng(seed)) for seed in range(200)]
    directions = np.concatenate([light.directions for light in lights])
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)
    right, down, away = directions.mean(0)
    assert abs(right) < 0.1
    assert down < -0.2
    assert away < -0.2
    assert {len(light.directions) for light in lights} == {1, 2, 3, 4}
    assert np.mean([light.intensities.mean(1).argmax() == 0 for light in lights]) > 0.95
    assert all((light.ground < light.sky).all() for light in lights)
