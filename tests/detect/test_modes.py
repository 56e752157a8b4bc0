from __future__ import annotations

import numpy as np
import pytest

from occhand.detect.modes import Reading, group, joint_distance, overlap, suppress
from occhand.detect.window import Window

HAND = np.random.default_rng(0).uniform(0, 100, (21, 2))


def reading(joints_img: np.ndarray, presence: float) -> Reading:
    return Reading(Window((0.0, 0.0), 1.0), joints_img, np.zeros((21, 3)), presence)


def test_overlap() -> None:
    assert overlap(np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 15, 10])) == pytest.approx(1 / 3)
    assert overlap(np.array([0.0, 0, 10, 10]), np.array([20.0, 0, 30, 10])) == 0
    assert overlap(np.zeros(4), np.zeros(4)) == 0


def test_joint_distance_is_in_hand_sizes() -> None:
    moved = HAND + np.array([0.0, 10.0])
    assert joint_distance(HAND, moved) == pytest.approx(10 / np.ptp(HAND, axis=0).max())
    assert joint_distance(3 * HAND, 3 * moved) == pytest.approx(joint_distance(HAND, moved))
    assert joint_distance(HAND, 3 * HAND) == joint_distance(3 * HAND, HAND)


def test_agreeing_readings_are_counted_and_the_surest_kept() -> None:
    other = HAND[::-1].copy()
    modes = group([reading(HAND, 0.7), reading(other, 0.9), reading(HAND + 2, 0.8), reading(HAND - 2, 0.6)])
    assert [(mode.support, mode.reading.presence) for mode in modes] == [(3, 0.8), (1, 0.9)]
    modes = group([reading(HAND, 0.5), reading(HAND + 2, 0.5), reading(other, 0.8)])
    assert [(mode.support, mode.reading.presence) for mode in modes] == [(1, 0.8), (2, 0.5)]  # two are not twice as good as one
    assert group([]) == []


def test_one_mode_per_hand() -> None:
    flipped = HAND * np.array([-1, 1]) + np.array([100, 0])  # the same box, other joints
    beside = HAND + np.array([80, 0])
    kept = suppress(group([reading(HAND, 0.9), reading(flipped, 0.8), reading(beside, 0.7)]))
    assert [mode.reading.presence for mode in kept] == [0.9, 0.7]
    near = HAND + 22
    assert overlap(reading(HAND, 0.9).bbox_xyxy, reading(near, 0.8).bbox_xyxy) < 0.5
    assert [mode.reading.presence for mode in suppress(group([reading(HAND, 0.9), reading(near, 0.8)]))] == [0.9]


def test_a_finger_is_no_hand_even_where_it_is_surer() -> None:
    finger = HAND * 0.2 + 60
    kept = suppress(group([reading(finger, 0.99), reading(HAND, 0.8)]))
    assert [mode.reading.presence for mode in kept] == [0.8]
    far = HAND * 0.2 + 500
    assert len(suppress(group([reading(far, 0.99), reading(HAND, 0.8)]))) == 2
    smaller_hand = HAND[::-1] * 0.55 + 20
    assert len(suppress(group([reading(smaller_hand, 0.99), reading(HAND, 0.8)]))) == 2
