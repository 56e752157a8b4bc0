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


def test_networks_that_take_no_joints_are_given_none(sets):
    evidence, has_picture = drawn_evidence(sets, False, generator())
    assert evidence.given is None
    assert has_picture.all()


def test_depths_err_where_joints_alone_do_and_say_how_far(sets):
    evidence, has_picture = drawn_evidence(sets, True, generator())
    truth = depths(sets)
    guess = truth + 0.01 * torch.randn(truth.shape, generator=generator(2))
    sight = with_drawn_depths(evidence, sets, guess, has_picture, generator(3)).sight
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
