"""Joint sets without pictures err as a network's evidence does: joints and depths that come from one picture share their errors."""

import pytest
import torch

from occhand.data.augment import Jitter
from occhand.data.transforms import TrainingCrop, cut_crop
from occhand.joint_sets import depths, drawn_evidence, turned_hands, with_drawn_depths
from occhand.synth.generate import generate_sample

COUNT = 2000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def sets():
    crops = [cut_crop(generate_sample(5, index, 96), Jitter(), 128) for index in range(6)]
    return turned_hands(TrainingCrop(*map(torch.stack, zip(*crops, strict=True))), COUNT, generator(1))


def correlation(a, b):
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]


def test_own_joints_lean_on_the_given_ones(sets):
    evidence, has_picture = drawn_evidence(sets, True, generator())
    off_given = evidence.given - sets.joints_crop
    known = off_given.isfinite() & (off_given.abs() < 0.1) & (sets.joints_crop > 0.1) & (sets.joints_crop < 0.9)
    off_own = evidence.joints_crop - sets.joints_crop
    for has, low, high in ((False, 0.5, 0.7), (True, 0.2, 0.4)):
        some = known & (has_picture == has)[..., None]
        slope = (off_own * off_given)[some].sum() / off_given[some].square().sum()
        assert low < slope < high
    assert 0.3 < (~has_picture).float().mean() < 0.4


def test_hidden_joints_are_said_to_be_hidden_and_further_off(sets):
    evidence, has_picture = drawn_evidence(sets, True, generator())
    visible = sets.joints_visible
    with_picture = has_picture.expand_as(visible)
    seen, off = evidence.sight.seen, (evidence.joints_crop - sets.joints_crop).abs().mean(-1)
    assert 1.5 < seen[visible & with_picture].mean() < 4
    assert -4 < seen[~visible & with_picture].mean() < -1.5
    assert seen[with_picture].abs().mean() > 5 * seen[~with_picture].abs().mean()
    spread = evidence.spread.mean(-1)
    assert spread[~visible & with_picture].mean() > 1.1 * spread[visible & with_picture].mean()
    assert off[~visible & with_picture].mean() > 1.3 * off[visible & with_picture].mean()


def test_joints_are_hidden_finger_by_finger(sets):
    hidden = (~sets.joints_visible).float()
    assert 0.25 < hidden.mean() < 0.35  # 0.3: the product of two even draws, times 1.2
    together = torch.corrcoef(hidden.mT)
    for tip in (4, 8, 12, 16):
        assert together[tip - 1, tip] > together[tip, tip + 1] + 0.05


def test_networks_that_take_no_joints_are_given_none(sets):
    evidence, has_picture = drawn_evidence(sets, False, generator())
    assert evidence.given is None
    assert has_picture.all()


def test_depths_err_where_joints_alone_do_and_say_how_far(sets):
    evidence, has_picture = drawn_evidence(sets, True, generator())
    truth = depths(sets)
    guess = truth + 0.01 * torch.randn(truth.shape, generator=generator(2))
    sight = with_drawn_depths(evidence, sets, guess, has_picture, generator(3)).sight
    moved = with_drawn_depths(evidence, sets, guess + 0.1, has_picture, generator(3)).sight
    torch.testing.assert_close(moved.depth, sight.depth, atol=1e-5, rtol=0)
    off, off_guess = sight.depth - truth, guess - guess.mean(1, keepdim=True) - truth
    assert correlation(off, off_guess) > 0.2  # less than what depths are drawn with, as all stay near the mean
    assert correlation(off, off_guess.roll(1, 0)).abs() < 0.02
    said = off.abs() / sight.depth_spread
    assert 0.5 < said[has_picture[:, 0]].mean() < 1.1  # about what a normal law makes of a standard deviation, 0.8
    near = sight.depth_spread < sight.depth_spread.median()
    assert off[near].abs().mean() < 0.5 * off[~near].abs().mean()
    assert torch.equal(sight.seen, evidence.sight.seen)


def test_nothing_is_said_of_depths_at_first(sets):
    evidence, _ = drawn_evidence(sets, True, generator())
    assert not evidence.sight.depth.any()
