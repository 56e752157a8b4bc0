"""The numbers and pictures of the data card, on made-up samples."""

import numpy as np
import pytest

from occhand.types import HandSample
from tests.data.samples import make_sample
from tools.open_data.chart import Bars, draw_charts
from tools.open_data.measure import measure, panels, table

MEASURED = [measure(make_sample(0, index)) for index in range(12)]


def test_every_joint_is_counted_once():
    for index, one in enumerate(MEASURED):
        truth = make_sample(0, index).occlusion
        assert one.joints_by_self + one.joints_by_other == (truth.joints_by_self | truth.joints_by_other).sum()
        assert one.joints_visible + one.joints_by_self + one.joints_by_other + one.joints_outside >= 21
    shares = next(panel for panel in panels(MEASURED) if panel.title.startswith("joints:")).counts
    assert sum(shares) == 21 * len(MEASURED)
    assert min(shares) >= 0


def test_the_palm_of_a_flat_hand_looks_down():
    """In rest the palm looks along -Y, which the camera sees as up: from above the hand one sees its back."""
    sample = make_sample(0, 0)
    for turn, facing in ((0.0, "side"), (np.pi / 2, "towards"), (-np.pi / 2, "away")):
        turned = HandSample(**{**vars(sample), "pose": np.r_[turn, np.zeros(47)]})
        assert measure(turned).palm == facing


def test_lightness_of_grey_is_cie():
    sample = make_sample(0, 0)
    assert measure(HandSample(**{**vars(sample), "image": np.full_like(sample.image, 119)})).lightness == pytest.approx(50, abs=1)


def test_panels_and_table_are_complete():
    assert table(MEASURED).splitlines()[2] == "| samples | 12 |"
    for panel in panels(MEASURED):
        assert len(panel.labels) == len(panel.counts)
        assert sum(panel.counts) in (12, 12 * 21), panel.title


def test_bars_are_as_high_as_their_share():
    chart = draw_charts([Bars("", ("a", "b"), (30, 10))], columns=1)
    blue = (chart == (66, 122, 176)).all(2)
    left, right = (blue[:, half].any(1).sum() for half in (slice(0, 230), slice(230, 460)))
    assert left / right == pytest.approx(3, rel=0.05)
