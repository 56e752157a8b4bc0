"""Whole samples: repeatable, and true in every field, against the hand layer and ray casting."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from occhand.geometry.camera import project
from occhand.hand.hand_layer import load_hand
from occhand.synth.contacts import CONTACT, touching
from occhand.synth.generate import _sample_kind, generate_sample
from occhand.synth.hand_surface import load_surface
from occhand.synth.objects import OBJECTS
from occhand.synth.scene import SCENE_SHARES, sample_scene
from occhand.synth.surfaces import Surfaces
from occhand.synth.visibility import HAND_LABEL, first_crossings, flesh_depth
from occhand.types import SIDES

SIZE = 96


@pytest.fixture(scope="module")
def samples():
    return [generate_sample(3, index, SIZE) for index in range(40)]


@pytest.mark.parametrize("side", SIDES)
def test_parameters_lead_to_vertices_and_joints(samples, side):
    hand = load_hand("open", side).double()
    chosen = [sample for sample in samples if sample.side == side]
    assert len(chosen) > 5
    for sample in chosen:
        posed = hand(hand.rotations_from_axis_angle(torch.from_numpy(sample.pose)), torch.from_numpy(sample.betas))
        np.testing.assert_allclose(posed.vertices.numpy() + sample.translation, sample.vertices_cam, atol=1e-7)
        np.testing.assert_allclose(posed.joints.numpy() + sample.translation, sample.joints_cam, atol=1e-7)


def test_joints_project_into_the_picture(samples):
    for sample in samples:
        points = sample.joints_cam @ sample.K.T
        np.testing.assert_allclose(points[:, :2] / points[:, 2:], sample.joints_img, atol=1e-6)
        np.testing.assert_allclose(sample.bbox_xyxy, [*sample.joints_img.min(0), *sample.joints_img.max(0)])


def test_visible_vertices_lie_on_the_depth_map(samples):
    """Pixels of the hand are where its visible vertices are, and as deep; also in mirrored samples."""
    agreeing = total = 0
    for sample in samples:
        seen = sample.occlusion
        points = sample.vertices_cam @ sample.K.T
        pixels = np.round(points[:, :2] / points[:, 2:]).astype(int)
        visible = ~(seen.vertices_by_self | seen.vertices_by_other)
        visible &= ((pixels > 0) & (pixels < SIZE - 1)).all(1)
        x, y = pixels[visible].T
        # At a silhouette the pixel's centre may miss the surface that a neighbour's sees.
        around = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        hits = [
            (np.abs(seen.depth[y + dy, x + dx] - points[visible, 2]) < 0.01) & (seen.labels[y + dy, x + dx] == HAND_LABEL)
            for dx, dy in around
        ]
        agreeing, total = agreeing + np.any(hits, axis=0).sum(), total + visible.sum()
    assert total > 2000
    assert agreeing / total > 0.99


def cast(surfaces: Surfaces, chosen: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Distance along the ray from the camera to each target at which it first meets the chosen faces; inf if it meets none."""
    mesh = trimesh.Trimesh(surfaces.vertices_cam, surfaces.faces[chosen], process=False)
    assert type(mesh.ray).__module__.endswith("ray_pyembree")
    directions = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    _, rays, points = mesh.ray.intersects_id(np.zeros_like(targets), directions, multiple_hits=False, return_locations=True)
    distance = np.full(len(targets), np.inf)
    distance[rays] = np.linalg.norm(points, axis=1)
    return distance


def agreement_with_ray_casting(count: int) -> tuple[float, float]:
    """Share of vertices on which self-, and other-occlusion, agree with trimesh and embreex."""
    same_self, same_other = [], []
    for index in range(count):
        rng = np.random.default_rng((11, index))
        scene = sample_scene(rng, list(SCENE_SHARES)[index % len(SCENE_SHARES)], "right", 0.5, SIZE)
        surfaces, targets = scene.surfaces, scene.hand.vertices_cam
        front = surfaces.front()
        by_hand, by_other = first_crossings(targets, np.arange(len(targets)), front.vertices_cam, front.faces, front.labels, scene.K)
        length = np.linalg.norm(targets, axis=1)
        is_hand = surfaces.labels == HAND_LABEL
        # A ray ends on its own vertex: what it meets within a tenth of a millimetre of it is the vertex' own skin.
        same_self.append((by_hand < targets[:, 2] - 1e-4) == (cast(surfaces, is_hand, targets) < length - 1e-4))
        same_other.append((by_other < targets[:, 2] - 1e-4) == (cast(surfaces, ~is_hand, targets) < length - 1e-4))
    return float(np.mean(same_self)), float(np.mean(same_other))


def test_visibility_equals_ray_casting():
    assert min(agreement_with_ray_casting(10)) >= 0.99


@pytest.mark.slow
def test_visibility_equals_ray_casting_over_50_scenes():
    assert min(agreement_with_ray_casting(50)) >= 0.99


def test_ratio_equals_ray_casting(samples):
    """Of the pixels through whose centre a ray would meet the hand alone, the share that belong to something else."""
    surface = load_surface()
    for sample in samples[:12]:
        mesh = trimesh.Trimesh(surface.subdivision.refine(sample.vertices_cam), surface.subdivision.faces, process=False)
        x, y = np.meshgrid(np.arange(-SIZE, 2 * SIZE), np.arange(-SIZE, 2 * SIZE))
        rays = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ np.linalg.inv(sample.K).T
        alone = mesh.ray.intersects_any(np.zeros_like(rays), rays)
        hidden = alone & (np.pad(sample.occlusion.labels, SIZE).ravel() != HAND_LABEL)
        assert sample.occlusion.ratio == pytest.approx(hidden.sum() / alone.sum(), abs=0.015)


def test_contacts_are_near_the_object():
    found = 0
    for index in range(12):
        scene = sample_scene(np.random.default_rng((7, index)), "grasp", "right", 0.5, SIZE)
        points = (scene.hand.vertices_cam - scene.solid_t) @ scene.solid_R
        mesh = trimesh.Trimesh(scene.solid.vertices, scene.solid.faces, process=False)
        distance, _ = cKDTree(mesh.sample(100_000, seed=0)).query(points)
        contacts = touching(points, scene.solid)
        assert distance[contacts].max(initial=0) < CONTACT + 0.001  # the samples lie half a millimetre apart
        missed = np.setdiff1d(np.flatnonzero(distance < CONTACT - 0.0002), contacts)
        inside = scene.solid.signed_distance(points[missed]) < 0
        assert len(missed[~inside]) == 0
        found += len(contacts)
    assert found > 50


def test_samples_do_not_depend_on_what_ran_before():
    first = generate_sample(9, 4, SIZE)
    generate_sample(9, 5, SIZE)
    again = generate_sample(9, 4, SIZE)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.occlusion.labels, again.occlusion.labels)
    for name in ("K", "joints_cam", "joints_img", "vertices_cam", "pose", "betas", "translation"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes(), name


def digest_code(threads: int) -> str:
    return (
        f"import hashlib, torch; torch.set_num_threads({threads})\n"
        "from occhand.synth.generate import generate_sample\n"
        "for index in range(6):\n"
        f"    s = generate_sample(9, index, {SIZE})\n"
        "    parts = (s.image, s.vertices_cam, s.pose, s.K, s.occlusion.labels, s.occlusion.depth, s.occlusion.vertices_by_other)\n"
        "    print(hashlib.sha256(b''.join(p.tobytes() for p in parts)).hexdigest())"
    )


@pytest.mark.slow
def test_samples_do_not_depend_on_threads_and_processes():
    printed = []
    for threads in (1, 2):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        done = subprocess.run([sys.executable, "-c", digest_code(threads)], env=environment, capture_output=True, text=True, check=True)
        printed.append(done.stdout)
    assert printed[0] == printed[1]
    assert len(set(printed[0].split())) == 6


def test_occlusion_is_spread(samples):
    ratios = np.array([sample.occlusion.ratio for sample in samples])
    assert ratios.min() >= 0
    assert ratios.max() <= 1
    assert (np.histogram(ratios, [0, 0.2, 0.4, 0.6, 1.0])[0] >= 2).all()


def test_every_kind_of_scene_and_side_occurs():
    kinds, sides = zip(*(_sample_kind(np.random.default_rng((0, index))) for index in range(400)), strict=True)
    assert set(kinds) == set(SCENE_SHARES)
    assert set(sides) == {"left", "right"}
    assert kinds.count("grasp") / 400 == pytest.approx(SCENE_SHARES["grasp"], abs=0.08)


@pytest.mark.parametrize(("seed", "index", "size"), [(-1, 0, 64), (0, -1, 64), (0, 0, 16)])
def test_bad_input_is_refused(seed, index, size):
    with pytest.raises(ValueError, match="expected no negative number and at least 32"):
        generate_sample(seed, index, size)


def test_joints_and_vertices_are_hidden_as_the_picture_shows(samples):
    """By other things where one is drawn before the point, by the hand itself where its skin is drawn before it, farther than a joint's
    flesh is thick; where neither is so, the point is visible."""
    joint_flesh, vertex_slack = flesh_depth(), np.full(778, 0.003)
    agreeing = {"self": [], "other": []}
    for sample in samples:
        seen = sample.occlusion
        for points, margin, by_self, by_other in (
            (sample.joints_cam, joint_flesh, seen.joints_by_self, seen.joints_by_other),
            (sample.vertices_cam, vertex_slack, seen.vertices_by_self, seen.vertices_by_other),
        ):
            x, y = np.round(project(points, sample.K)).astype(int).T
            is_in = (np.minimum(x, y) >= 0) & (np.maximum(x, y) < SIZE)
            label, depth = seen.labels[y[is_in], x[is_in]], seen.depth[y[is_in], x[is_in]]
            before = points[is_in, 2] - depth
            agreeing["other"].append((by_other[is_in] == ((label > HAND_LABEL) & (before > 0))).mean())
            is_hand = label == HAND_LABEL
            agreeing["self"].append((by_self[is_in] == (before > margin[is_in]))[is_hand].mean() if is_hand.any() else 1.0)
    for name, shares in agreeing.items():
        assert min(np.mean(shares[::2]), np.mean(shares[1::2])) > 0.93, name


def test_an_object_has_a_name_where_it_is_seen_and_touches_where_it_is(samples):
    touched = 0
    for index, sample in enumerate(samples):
        truth = sample.occlusion
        assert set(np.unique(truth.labels)) <= {0, 1, 2, 3, 4}
        assert (truth.object_name in OBJECTS) == (truth.object_name != "") == (truth.labels == 2).any()
        assert sample.key == f"3-{index:08d}"
        rng = np.random.default_rng((3, index))
        scene = sample_scene(rng, *_sample_kind(rng), 0.5, SIZE)
        mirror = (-1, 1, 1) if sample.side == "left" else (1, 1, 1)
        np.testing.assert_allclose(scene.hand.vertices_cam * mirror, sample.vertices_cam, atol=1e-9)
        if len(truth.contacts):
            mesh = trimesh.Trimesh(scene.solid.vertices @ scene.solid_R.T + scene.solid_t, scene.solid.faces, process=False)
            distance, _ = cKDTree(mesh.sample(20_000, seed=0)).query(scene.hand.vertices_cam[truth.contacts])
            assert distance.max() < CONTACT + 0.003
            touched += 1
    assert touched >= 12
    truth = generate_sample(3, 100, 32).occlusion  # holds something beyond the border
    assert len(truth.contacts) > 0
    assert truth.object_name == ""


def test_any_run_of_samples_has_all_tones_of_skin(monkeypatch):
    class ToldError(Exception):
        pass

    def tell(rng, kind, side, tone, size):
        raise ToldError(tone)

    monkeypatch.setattr("occhand.synth.generate.sample_scene", tell)

    def tone(seed, index):
        with pytest.raises(ToldError) as told:
            generate_sample(seed, index, SIZE)
        return told.value.args[0]

    for seed, start in ((1001, 0), (1001, 117_000), (0, 500)):
        assert {int(12 * tone(seed, start + k)) for k in range(24)} == set(range(12))
    assert len({round(tone(seed, 0), 3) for seed in range(10)}) == 10
