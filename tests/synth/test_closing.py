from __future__ import annotations

import numpy as np
import pytest
import torch

from occhand.hand.hand_layer import load_hand
from occhand.hand.prior import first_joint, rotations_from_angles
from occhand.synth.closing import ProbedHand, advance, close_digit, gap_to, open_digit, place
from occhand.synth.distance import Parts, signed_distance
from occhand.synth.grasp import GraspSampler
from occhand.synth.primitives import join, lathe, rounded_box, superquadric

INDEX = first_joint("index")
ABOVE = np.array([0.0, -1.0, 0.0])
"""Before the palm, in the hand's rest frame."""


@pytest.fixture(scope="module")
def sampler() -> GraspSampler:
    return GraspSampler.load()


@pytest.fixture(scope="module")
def hand(sampler: GraspSampler) -> ProbedHand:
    return sampler.shapes.shaped(np.zeros(10))[1]


def bar(radius: float) -> Parts:
    """A rod along z, as thick as a finger or as thin as a wire."""
    outline = np.array([[0.0, -0.2], [radius, -0.2], [radius, 0.2], [0.0, 0.2]])
    return join([lathe(outline)])[2]


def before_the_fingers(hand: ProbedHand) -> np.ndarray:
    """A point under the middle phalanges."""
    return hand.joints[INDEX + 1] + 0.03 * ABOVE


def test_skin_is_that_of_the_layer(sampler: GraspSampler) -> None:
    rng = np.random.default_rng(0)
    layer, axes = load_hand().double(), torch.from_numpy(sampler.shapes.axes)
    for _ in range(5):
        angles, betas = rng.uniform(*sampler.limits), rng.standard_normal(10)
        vertices, hand = sampler.shapes.shaped(betas)
        ours = sampler.shapes.skin(vertices, place(hand, angles, np.eye(3), np.zeros(3)))
        posed = layer(rotations_from_angles(torch.from_numpy(angles), axes), torch.from_numpy(betas))
        np.testing.assert_allclose(ours, posed.vertices.numpy(), atol=1e-6)
        np.testing.assert_allclose(hand.joints, layer.rest_joints(torch.from_numpy(betas)).numpy(), atol=1e-6)


def test_gap_is_that_of_the_nearest_probe(hand: ProbedHand) -> None:
    parts = join([superquadric((0.03, 0.02, 0.05), 0.5, 0.5)])[2]
    placed = place(hand, np.zeros((16, 3)), np.eye(3), -hand.joints[INDEX] - 0.03 * ABOVE)
    rigid = np.einsum("pk,pkab,pb->pa", hand.weights, placed.R[hand.bones], hand.probes)
    points = rigid + np.einsum("pk,pka->pa", hand.weights, placed.t[hand.bones])
    assert gap_to(hand, placed, parts) == pytest.approx((signed_distance(points, parts) - hand.radii).min(), abs=1e-9)


@pytest.mark.parametrize("radius", [0.012, 0.001])
def test_a_closing_finger_stops_at_a_rod_however_thin(sampler: GraspSampler, hand: ProbedHand, radius: float) -> None:
    parts, angles = bar(radius), np.zeros((16, 3))
    placed = place(hand, angles, np.eye(3), -before_the_fingers(hand))
    gap = close_digit(hand, placed, parts, angles, INDEX, np.array([2.0, 1.0, 0.5]), sampler.limits.upper, 0.0008)
    assert -0.002 < gap.min() < 0
    assert angles[INDEX, 0] < sampler.limits.upper[INDEX, 0] - 0.1
    assert not angles[:INDEX].any()
    assert not angles[INDEX + 3 :].any()


def test_a_finger_with_nothing_in_the_way_closes_until_it_meets_the_hand(sampler: GraspSampler, hand: ProbedHand) -> None:
    angles = np.zeros((16, 3))
    placed = place(hand, angles, np.eye(3), np.array([0.0, 0.0, 5.0]))
    close_digit(hand, placed, bar(0.01), angles, INDEX, np.array([2.0, 2.4, 1.5]), sampler.limits.upper, 0.0008)
    assert np.rad2deg(angles[INDEX : INDEX + 3, 0].sum()) > 150
    assert (angles <= sampler.limits.upper).all()


def test_an_opening_finger_comes_clear(sampler: GraspSampler, hand: ProbedHand) -> None:
    angles = np.zeros((16, 3))
    angles[INDEX : INDEX + 2, 0] = np.deg2rad([50, 40])
    parts = bar(0.012)
    placed = place(hand, angles, np.eye(3), -before_the_fingers(hand))
    assert gap_to(hand, placed, parts, INDEX, 3) < 0
    opening = np.deg2rad([[-2.5, 0, 0], [-1.0, 0, 0], [-0.3, 0, 0]])
    assert open_digit(hand, placed, parts, angles, INDEX, opening, *sampler.limits, 0.001)
    assert gap_to(hand, placed, parts, INDEX, 3) >= 0.001


def test_a_hand_advances_to_the_surface_and_no_farther(hand: ProbedHand) -> None:
    parts = join([rounded_box((0.03, 0.03, 0.03), 0.003)])[2]
    placed = place(hand, np.zeros((16, 3)), np.eye(3), -hand.joints[INDEX] - 0.15 * ABOVE)
    way = advance(hand, placed, parts, ABOVE, 0.0008)
    assert 0.05 < way < 0.15
    assert gap_to(hand, placed, parts) == pytest.approx(-0.0008, abs=0.0005)
