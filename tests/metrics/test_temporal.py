"""Errors of motion against motions whose derivatives are known."""

import numpy as np
import pytest

from occhand.metrics.temporal import acceleration_error, accelerations, jitter, track_switches


@pytest.fixture(params=["even", "uneven"])
def times(request):
    return np.arange(60) / 30 if request.param == "even" else np.sort(np.random.default_rng(0).uniform(0, 2, 60))


DIRECTION = np.tile([0.6, 0.0, 0.8], (1, 21, 1))


def polynomial(times, *factors):
    return sum(factor * times**power for power, factor in enumerate(factors))[:, None, None] * DIRECTION


def test_accelerations_of_a_parabola_are_exact(times):
    np.testing.assert_allclose(accelerations(times, polynomial(times, 1.0, -2.0, 3.0)), polynomial(times[1:-1], 6.0), atol=1e-6)


def test_error_is_the_distance_of_accelerations_and_ignores_a_steady_drift(times):
    truth = polynomial(times, 0.0, 0.0, 1.0)
    np.testing.assert_allclose(acceleration_error(times, polynomial(times, 5.0, 1.0, 1.0), truth), 0.0, atol=1e-6)
    np.testing.assert_allclose(acceleration_error(times, polynomial(times, 0.0, 0.0, 2.5), truth), 3.0, rtol=1e-5)


def test_jitter_is_the_third_derivative(times):
    np.testing.assert_allclose(jitter(times, polynomial(times, 0.0, 0.0, 0.0, 1.0)), 6.0, rtol=1e-4)


def test_gaps_are_not_measured():
    times = np.arange(20) / 30
    joints = polynomial(times, 0.0, 1.0)
    joints[10] = np.nan
    assert np.isnan(acceleration_error(times, joints, polynomial(times, 0.0, 1.0))).sum() == 3


def test_switches_count_changes_but_not_losses():
    assert track_switches(np.array([[0, 1], [0, -1], [-1, -1], [0, 1], [0, 1]])) == 0
    assert track_switches(np.array([[0, 1], [1, 0], [1, 0]])) == 2
    assert track_switches(np.array([[0], [-1], [3], [3], [0]])) == 2
