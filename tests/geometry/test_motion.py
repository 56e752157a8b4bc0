"""Smoothing over time: what is smooth stays, jitter and outliers go, and only neighbours count."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from occhand.geometry.motion import (
    interpolate_rotations,
    matrices,
    quaternions,
    reach,
    smooth_quaternions,
    smooth_rotations,
    smooth_vectors,
)

TIMES = np.arange(90) / 30
SPAN = 0.2


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def wave(times):
    return np.stack([np.sin(2 * times), np.cos(3 * times), times**2], axis=1)


def test_quaternions_agree_with_scipy(rng):
    rotations = Rotation.random(200, rng)
    ours, theirs = quaternions(rotations.as_matrix()), rotations.as_quat(canonical=True, scalar_first=True)
    np.testing.assert_allclose(ours * np.sign((ours * theirs).sum(-1, keepdims=True)), theirs, atol=1e-12)
    np.testing.assert_allclose(matrices(ours), rotations.as_matrix(), atol=1e-12)


def test_a_parabola_stays_what_it_is_even_at_its_ends_and_at_uneven_times(rng):
    times = np.sort(rng.uniform(0, 3, 90))
    values = np.stack([times**2 - times, 3 * times], axis=1)
    np.testing.assert_allclose(smooth_vectors(times, values, np.ones(90), 0.4), values, atol=2e-3)


def test_jitter_goes_and_the_motion_stays(rng):
    noisy = wave(TIMES) + rng.normal(0, 0.01, (90, 3))
    smooth = smooth_vectors(TIMES, noisy, np.ones(90), SPAN)
    assert np.abs(smooth - wave(TIMES)).mean() < 0.65 * np.abs(noisy - wave(TIMES)).mean()
    bend = [np.abs(np.diff(values, 2, axis=0) - np.diff(wave(TIMES), 2, axis=0)).mean() for values in (smooth, noisy)]
    assert bend[0] < 0.15 * bend[1]


def test_rotations_lose_their_jitter_also_across_half_a_turn(rng):
    true = Rotation.from_rotvec(np.outer(2.5 * TIMES, [0.6, 0.0, 0.8]))  # more than a full turn
    noisy = (true * Rotation.from_rotvec(rng.normal(0, 0.03, (90, 3)))).as_matrix()[:, None]
    smooth = smooth_rotations(TIMES, noisy, np.ones(90), SPAN)
    before, after = ((true.inv() * Rotation.from_matrix(values[:, 0])).magnitude() for values in (noisy, smooth))
    assert after.mean() < 0.65 * before.mean()
    np.testing.assert_allclose(smooth @ smooth.swapaxes(-1, -2), np.broadcast_to(np.eye(3), smooth.shape), atol=1e-12)


def test_the_sign_of_a_quaternion_says_nothing(rng):
    turns = quaternions(Rotation.from_rotvec(wave(TIMES)).as_matrix()[:, None])
    plain, signed = (smooth_quaternions(TIMES, sign * turns, np.ones(90), SPAN) for sign in (1, rng.choice([-1, 1], (90, 1, 1))))
    np.testing.assert_allclose(matrices(signed), matrices(plain), atol=1e-12)


def test_an_outlier_has_no_say(rng):
    """A hand flipped over for one frame."""
    noisy = Rotation.from_rotvec(rng.normal(0, 0.02, (90, 3)))
    flipped = noisy.as_matrix()
    flipped[40] = Rotation.from_rotvec([2.5, 0.0, 0.0]).as_matrix()
    smooth = smooth_rotations(TIMES, flipped[:, None], np.ones(90), SPAN)[:, 0]
    assert Rotation.from_matrix(smooth).magnitude().max() < 0.06
    values = wave(TIMES)
    values[40] += 1.0
    assert np.abs(smooth_vectors(TIMES, values, np.ones(90), SPAN) - wave(TIMES)).max() < 0.02


def test_trusted_measurements_count_more():
    values = np.where(np.arange(90)[:, None] % 2, 1.0, 0.0)
    weights = np.where(np.arange(90) % 2, 1.0, 0.01)
    assert smooth_vectors(TIMES, values, weights, SPAN)[10:-10].min() > 0.9


def test_only_what_is_within_reach_counts(rng):
    noisy = wave(TIMES) + rng.normal(0, 0.01, (90, 3))
    turns = Rotation.from_rotvec(noisy).as_matrix()[:, None]
    low, high = TIMES[40] - reach(SPAN) - 1e-9, TIMES[50] + reach(SPAN) + 1e-9
    chosen = (low <= TIMES) & (high >= TIMES)
    assert chosen.sum() < 45
    for smooth, values in ((smooth_vectors, noisy), (smooth_rotations, turns)):
        whole, part = smooth(TIMES, values, np.ones(90), SPAN), smooth(TIMES[chosen], values[chosen], np.ones(chosen.sum()), SPAN)
        first = int(np.flatnonzero(chosen)[0])
        np.testing.assert_allclose(part[40 - first : 51 - first], whole[40:51], atol=1e-12)


def test_motion_that_runs_backwards_is_smoothed_alike(rng):
    times, noisy = np.sort(rng.uniform(0, 3, 90)), wave(TIMES) + rng.normal(0, 0.01, (90, 3))
    forth, back = smooth_vectors(times, noisy, np.ones(90), SPAN), smooth_vectors(-times[::-1], noisy[::-1], np.ones(90), SPAN)
    np.testing.assert_allclose(back[::-1], forth, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_measurements_stay(count, rng):
    values, turns = rng.normal(size=(count, 3)), Rotation.random(count, rng).as_matrix()[:, None]
    far = np.arange(count) * 1.0
    np.testing.assert_allclose(smooth_vectors(far, values, np.ones(count), SPAN), values, atol=1e-9)
    np.testing.assert_allclose(smooth_rotations(far, turns, np.ones(count), SPAN), turns, atol=1e-9)


def test_interpolation_is_slerp(rng):
    ends = Rotation.random(2, rng)
    shares = np.linspace(0, 1, 7)
    ours = interpolate_rotations(ends[0].as_matrix()[None], ends[1].as_matrix()[None], shares)[:, 0]
    np.testing.assert_allclose(ours, Slerp([0, 1], ends)(shares).as_matrix(), atol=1e-12)
