from __future__ import annotations

import numpy as np
import pytest
import torch

from occhand.hand.assets import load_parameters
from occhand.hand.capsules import fit_capsules
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.prior import rotations_from_angles
from occhand.hand.skeleton import MANO_JOINT_NAMES, tip_vertices
from occhand.synth.closing import deepest_overlap, place
from occhand.synth.grasp import DEEPEST_PENETRATION, Grasp, GraspSampler
from occhand.synth.holds import TOUCH
from occhand.synth.objects import Grip, SolidObject, make_object
from occhand.synth.pose import OVERLAP_TOLERANCE
from occhand.synth.primitives import join, rounded_box
from tests.synth.penetration import PenetrationGauge


@pytest.fixture(scope="module")
def sampler() -> GraspSampler:
    return GraspSampler.load()


@pytest.fixture(scope="module")
def hand() -> HandLayer:
    return load_hand()


@pytest.fixture(scope="module")
def grasps(sampler: GraspSampler) -> list[Grasp]:
    rng = np.random.default_rng(11)
    return [sampler.sample(rng, np.clip(rng.standard_normal(10), -2.5, 2.5)) for _ in range(60)]


def posed(hand: HandLayer, sampler: GraspSampler, grasp: Grasp) -> np.ndarray:
    axes = torch.as_tensor(sampler.shapes.axes, dtype=torch.float32)
    rotations = rotations_from_angles(torch.as_tensor(grasp.angles, dtype=torch.float32), axes)
    return hand(rotations, torch.as_tensor(grasp.betas, dtype=torch.float32)).vertices.double().numpy()


def test_same_generator_same_grasp(sampler: GraspSampler) -> None:
    first, again, other = (sampler.sample(np.random.default_rng(seed), np.zeros(10)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.angles, again.angles)
    np.testing.assert_array_equal(first.solid_t, again.solid_t)
    assert np.abs(first.angles - other.angles).max() > 0.05


def test_hand_of_the_layer_touches_and_does_not_enter(hand: HandLayer, sampler: GraspSampler, grasps: list[Grasp]) -> None:
    depths_mm = []
    for grasp in grasps:
        distance = grasp.solid.signed_distance((posed(hand, sampler, grasp) - grasp.solid_t) @ grasp.solid_R)
        depths_mm.append(1e3 * max(0.0, -distance.min()))
        assert depths_mm[-1] == pytest.approx(grasp.penetration_mm, abs=0.01)
        touched = {MANO_JOINT_NAMES[s] for s in sampler.segments[distance < TOUCH - 1e-5]}
        assert touched <= set(grasp.touching)
    assert max(depths_mm) < 1e3 * DEEPEST_PENETRATION + 0.01
    assert np.median(depths_mm) < 3


def test_the_thumb_touches_and_others(grasps: list[Grasp]) -> None:
    for grasp in grasps:
        assert {"thumb2", "thumb3"} & set(grasp.touching)
        assert len(grasp.touching) >= (3 if grasp.hold == "power" else 2)
    assert np.mean([len(grasp.touching) >= 3 for grasp in grasps]) > 0.8
    assert {grasp.hold for grasp in grasps} == {"power", "precision"}


def test_angles_keep_limits_and_leave_the_wrist(sampler: GraspSampler, grasps: list[Grasp]) -> None:
    angles = np.stack([grasp.angles for grasp in grasps])
    assert (angles >= sampler.limits.lower - 1e-9).all()
    assert (angles <= sampler.limits.upper + 1e-9).all()
    assert (angles[:, 0] == 0).all()


def test_objects_are_placed_rigidly(grasps: list[Grasp]) -> None:
    for grasp in grasps:
        np.testing.assert_allclose(grasp.solid_R @ grasp.solid_R.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(grasp.solid_R) == pytest.approx(1)


def test_no_digit_runs_through_another_on_the_mesh(hand: HandLayer, sampler: GraspSampler, grasps: list[Grasp]) -> None:
    parameters = load_parameters("open")
    gauge = PenetrationGauge(parameters.faces, parameters.weights)
    deepest_mm = [1e3 * gauge.depth(posed(hand, sampler, grasp)).max() for grasp in grasps]
    assert max(deepest_mm) < 5.0
    assert np.mean(np.array(deepest_mm) > 4.0) < 0.02


def test_overlap_is_that_of_the_capsules(sampler: GraspSampler) -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(sampler.limits.lower, sampler.limits.upper)
    betas = rng.standard_normal(10)
    vertices, compiled = sampler.shapes.shaped(betas)
    overlap = deepest_overlap(compiled, place(compiled, angles, np.eye(3), np.zeros(3)))
    faces = load_parameters("open").faces.astype(np.int64)
    axes = sampler.shapes.axes
    fitted = fit_capsules(vertices, faces, compiled.joints, vertices[list(tip_vertices())], axes, dtype=torch.float64)
    expected = fitted.overlap(rotations_from_angles(torch.from_numpy(angles), torch.from_numpy(axes))).max()
    assert overlap == pytest.approx(float(expected), abs=OVERLAP_TOLERANCE)  # radii are linear in the betas only nearly


@pytest.mark.parametrize("name", ["mug", "pen", "book", "bottle", "hammer"])
def test_a_given_thing_is_grasped(sampler: GraspSampler, name: str) -> None:
    rng = np.random.default_rng(3)
    solid = make_object(name, rng)
    assert sampler.sample(rng, np.zeros(10), solid).solid is solid


@pytest.mark.parametrize("name", ["drill", "hammer", "knife"])
def test_handles_lie_across_the_palm(sampler: GraspSampler, name: str) -> None:
    palm = sampler.shapes.shaped(np.zeros(10))[1].joints[[4, 10]].mean(0)  # between the middle and the ring finger's base
    for seed in range(6):
        rng = np.random.default_rng(seed)
        solid = make_object(name, rng)
        grasp = sampler.sample(rng, np.zeros(10), solid)
        R, grip = grasp.solid_R, solid.grips[0]
        along = R @ grip.along
        assert abs(along[1]) < 1e-9
        assert abs(along[2]) > 0.8
        assert (R @ grip.centre + grasp.solid_t)[1] < palm[1] - 0.01  # before the palm, which looks along -y
        if name == "drill":
            np.testing.assert_allclose(R @ grip.facing, (0, 1, 0), atol=1e-9)


def test_pens_lean_on_the_index_fingers_base(sampler: GraspSampler) -> None:
    base = sampler.shapes.shaped(np.zeros(10))[1].joints[1]
    for seed in range(6):
        rng = np.random.default_rng(seed)
        pen = make_object("pen", rng)
        grasp = sampler.sample(rng, np.zeros(10), pen)
        from_grip = base - (grasp.solid_R @ pen.grips[0].centre + grasp.solid_t)
        assert grasp.solid_R[:, 2] @ from_grip > 0.6 * np.linalg.norm(from_grip)


def test_contacts_press_from_more_than_one_side(sampler: GraspSampler, hand: HandLayer, grasps: list[Grasp]) -> None:
    step = 1e-4 * np.concatenate([np.eye(3), -np.eye(3)])
    for grasp in grasps:
        points = (posed(hand, sampler, grasp) - grasp.solid_t) @ grasp.solid_R
        distance = grasp.solid.signed_distance(points)
        nearest = [min(np.flatnonzero(sampler.segments == MANO_JOINT_NAMES.index(s)), key=distance.__getitem__) for s in grasp.touching]
        around = grasp.solid.signed_distance((points[nearest][:, None] + step).reshape(-1, 3)).reshape(-1, 2, 3)
        normals = around[:, 0] - around[:, 1]
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        assert np.linalg.norm(normals.mean(0)) < 0.8


def test_what_no_hand_can_hold_is_named(sampler: GraspSampler) -> None:
    vertices, faces, parts = join([rounded_box((0.5, 0.5, 0.5), 0.01)])
    wall = SolidObject("wall", "box", vertices, faces, parts, (Grip("power", (0.0,) * 3, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), 0.5),))
    with pytest.raises(ValueError, match=r"no grasp of 'wall' in 300 tries.*within the hand's reach"):
        sampler.sample(np.random.default_rng(0), np.zeros(10), wall)
