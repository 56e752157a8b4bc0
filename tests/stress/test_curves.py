"""Summaries and curves against what is known of made-up errors."""

import numpy as np
import pytest

from occhand.stress.curves import Curve, bin_members, running_median, summarize


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_intervals_hold_the_median_as_often_as_they_say(rng):
    hits = 0
    for _ in range(200):
        low, high = summarize(rng.normal(10, 2, 60), rng, 200).median_interval
        hits += low <= 10 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_a_summary_leaves_out_what_is_not_known(rng):
    summary = summarize(np.array([np.nan, 1.0, 3.0]), rng, 50)
    assert (summary.count, summary.median, summary.median_interval) == (2, 2.0, None)
    assert summarize(np.array([np.nan]), rng, 50).median is None


def test_intervals_are_as_wide_as_theory_says(rng):
    """Of the median of normal errors: 1.96 standard errors of sqrt(pi / 2) sigma / sqrt(n) on either side."""
    intervals = [summarize(rng.normal(10, 2, 400), rng, 400).median_interval for _ in range(40)]
    assert np.mean(np.diff(intervals)) == pytest.approx(2 * 1.96 * np.sqrt(np.pi / 2) * 2 / 20, rel=0.08)


def test_the_tail_is_the_measures(rng):
    values, ratio = rng.uniform(0, 100, 500), rng.uniform(0, 1, 500)
    for tail in (10.0, 90.0):
        assert summarize(values, rng, 20, tail).tail == np.percentile(values, tail)
    assert (running_median(ratio, values, rng, 20, 10.0).tail < running_median(ratio, values, rng, 20).median - 20).all()


def test_a_point_stands_where_its_hands_are_and_has_its_share_of_all(rng):
    ratio = np.concatenate([rng.uniform(0, 0.2, 980), np.full(20, 0.9)])
    curve = running_median(ratio, ratio, rng, 20)
    assert curve.occlusion[-1] == pytest.approx(np.sort(ratio)[-80:].mean())  # 8 % of 1000
    assert (np.diff(curve.occlusion) > 0).all()


def test_strata_hold_every_hand_once():
    ratio = np.array([0.0, 0.2, 0.39, 0.8, 1.0, np.nan])
    members = np.stack([inside for _, inside in bin_members(ratio)])
    assert members.sum(axis=0).tolist() == [1, 1, 1, 1, 1, 0]
    assert bin_members(ratio)[1][0] == "20-40 %"


def test_a_straight_curve_has_its_area_and_doubles_where_it_should(rng):
    ratio = rng.uniform(0, 0.8, 2000)
    curve = running_median(ratio, 4 + 10 * ratio + rng.normal(0, 0.3, 2000), rng, 100)
    assert curve.area == pytest.approx(4 + 10 * 0.4, abs=0.1)
    first = curve.median[0]
    assert curve.doubled_at == pytest.approx((2 * first - 4) / 10, abs=0.03)
    assert (curve.low <= curve.median).all()
    assert (curve.median <= curve.high).all()
    assert (curve.tail >= curve.median).all()


def test_doubling_that_never_comes_is_none():
    flat = Curve(np.array([0.0, 0.5]), *np.ones((4, 2)))
    assert flat.doubled_at is None
    assert flat.area == 1
    assert Curve(*np.zeros((5, 0))).area is None
    assert Curve(np.array([0.0, 0.09]), *np.ones((4, 2))).area is None


def test_few_hands_make_no_curve(rng):
    assert len(running_median(np.zeros(4), np.ones(4), rng, 10).median) == 0
