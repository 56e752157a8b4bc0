"""Perturbations: exact shares, growing with the level, the same in every run, without a look at annotations that real data lacks."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from occhand.data.degrade import gaussian_blur
from occhand.stress.families import FAMILIES
from occhand.stress.trial import NoiseModel, Trial, is_outside, main_occluder, skeleton_mask
from tests.stress.conftest import make_sample

HIDING = [name for name, family in FAMILIES.items() if family.hides]


@pytest.fixture(params=[True, False], ids=["rendered", "real"])
def trials(request, samples, unannotated):
    return [Trial.of(sample, NoiseModel()) for sample in (samples if request.param else unannotated)[:8]]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_repeats_itself_and_leaves_the_sample_alone(name, trials):
    family = FAMILIES[name]
    before = trials[1].image.copy()
    first, again = (family.perturb(trials[1], family.levels[-1], 3) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.keypoints(3), again.keypoints(3))
    assert np.array_equal(trials[1].image, before)
    changed = (
        not np.array_equal(first.image, before)
        or not np.array_equal(first.bbox_xyxy, trials[1].bbox_xyxy)
        or not np.array_equal(first.keypoints(3), trials[1].keypoints(3))
    )
    assert changed


@pytest.mark.parametrize("name", HIDING)
def test_more_is_hidden_at_every_level(name, trials):
    family = FAMILIES[name]
    for trial in trials:
        harder = [trial, *(family.perturb(trial, level, 0) for level in family.levels)]
        ratios = [0.0 if np.isnan(each.ratio) else each.ratio for each in harder]
        assert all(a <= b + 1e-9 for a, b in pairwise(ratios))
        assert all((harder[k].is_hidden <= harder[k + 1].is_hidden).all() for k in range(len(harder) - 1))
        assert not (harder[-1].hand_mask & ~trial.hand_mask).any()


def test_the_eraser_and_the_border_hide_the_share_they_are_told(trials):
    for name in ("eraser", "truncation"):
        for trial in trials:
            seen = trial.hand_mask.sum()
            left = FAMILIES[name].perturb(trial, 0.4, 0).hand_mask.sum()
            assert left / seen == pytest.approx(0.6, abs=0.06), name


@pytest.mark.parametrize("name", sorted({*HIDING} - {"cutouts"}))  # their edges are soft
def test_what_is_covered_is_painted_over_and_what_is_seen_is_not(name, trials):
    for trial in trials:
        harder = FAMILIES[name].perturb(trial, FAMILIES[name].levels[1], 0)
        changed, covered = (harder.image != trial.image).any(-1), trial.hand_mask & ~harder.hand_mask
        assert changed[covered].sum() >= 0.9 * covered.sum()
        assert not changed[harder.hand_mask].any()


def test_boxes_move_and_grow_by_what_is_said(trials):
    for trial in trials:
        low, high = trial.bbox_xyxy.reshape(2, 2)
        for share in FAMILIES["box_shift"].levels:
            moved = FAMILIES["box_shift"].perturb(trial, share, 0).bbox_xyxy.reshape(2, 2) - (low, high)
            np.testing.assert_allclose(moved[0], moved[1])
            assert np.linalg.norm(moved[0]) == pytest.approx(share * (high - low).max())
        for factor in FAMILIES["box_scale"].levels:
            grown = FAMILIES["box_scale"].perturb(trial, factor, 0).bbox_xyxy.reshape(2, 2)
            np.testing.assert_allclose(grown.mean(0), (low + high) / 2)
            np.testing.assert_allclose(np.diff(grown, axis=0)[0], factor * (high - low))


def test_blur_darkness_and_noise_are_as_strong_as_is_said(trials):
    for trial in trials[:3]:
        blurred = FAMILIES["blur"].perturb(trial, 0.04, 0).image
        np.testing.assert_array_equal(blurred, gaussian_blur(trial.image, 0.04 * float(np.ptp(trial.sample.joints_img, axis=0).max())))
        light = [FAMILIES["low_light"].perturb(trial, stops, 0).image.mean() for stops in FAMILIES["low_light"].levels]
        assert all(brighter > darker for brighter, darker in pairwise([trial.image.mean(), *light]))
    assert FAMILIES["joint_noise"].perturb(Trial.of(trials[0].sample, NoiseModel(0.5, 0.25)), 2.0, 0).noise == NoiseModel(1.0, 0.5)


def test_covered_fingers_are_hidden_and_the_others_are_not(hand):
    """Of a flat hand before the camera, where no finger lies behind another."""
    flat = hand(torch.eye(3).expand(16, 3, 3), torch.zeros(10))
    beside_each_other = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    sample = make_sample(hand, 0, *(points.double().numpy() @ beside_each_other.T for points in (flat.vertices, flat.joints)))
    trial, chosen = Trial.of(sample, NoiseModel()), set()
    for count in FAMILIES["fingers"].levels:
        for seed in range(6):
            hidden = FAMILIES["fingers"].perturb(trial, count, seed).is_hidden[1:].reshape(5, 4).sum(axis=1)
            assert sorted(hidden) == [0] * (5 - int(count)) + [4] * int(count)
            chosen |= set(np.flatnonzero(hidden))
    assert len(chosen) == 5


def test_hidden_joints_get_the_larger_noise(samples):
    trial = Trial.of(samples[20], NoiseModel(visible=0.0, hidden=0.06))
    miss = np.abs(trial.keypoints(0) - trial.sample.joints_img).max(axis=1)
    assert trial.is_hidden.any()
    assert np.array_equal(miss > 0, trial.is_hidden)


def test_noise_is_in_longer_sides_of_the_box(samples):
    trial = Trial.of(samples[20], NoiseModel(visible=0.02, hidden=0.06))
    miss = np.array([trial.keypoints(seed) for seed in range(300)]) - trial.sample.joints_img
    side = (trial.sample.joints_img.max(0) - trial.sample.joints_img.min(0)).max()
    assert miss[:, ~trial.is_hidden].std() == pytest.approx(0.02 * side, rel=0.05)
    assert miss[:, trial.is_hidden].std() == pytest.approx(0.06 * side, rel=0.05)
    other = Trial.of(replace(samples[20], key="another"), trial.noise)
    assert not np.array_equal(other.keypoints(0), trial.keypoints(0))


def test_what_hides_a_joint_is_itself_anything_else_or_the_border(samples):
    sample = samples[20]
    by_self, moved = np.zeros(21, bool), sample.joints_img.copy()
    first, second, *_ = np.flatnonzero(~sample.occlusion.joints_by_other)
    by_self[first], moved[second] = True, (-30.0, 10.0)
    trial = Trial.of(replace(sample, joints_img=moved, occlusion=replace(sample.occlusion, joints_by_self=by_self)), NoiseModel())
    assert np.flatnonzero(trial.is_hidden).tolist() == sorted({first, second, *np.flatnonzero(sample.occlusion.joints_by_other)})
    np.testing.assert_array_equal(trial.hand_mask, sample.occlusion.labels == 1)
    points = np.full((21, 2), 40.0)
    points[:5] = [[-0.5, -0.5], [199.5, 49.5], [199.6, 10.0], [10.0, 49.6], [-0.6, 5.0]]
    assert np.flatnonzero(is_outside(points, height=50, width=200)).tolist() == [2, 3, 4]


def test_covering_adds_up(samples):
    trial = Trial.of(samples[15], NoiseModel())
    size = trial.image.shape[0]
    left = np.arange(size)[None, :] < np.full((size, 1), np.median(np.nonzero(trial.hand_mask)[1]))
    half = trial.covered(left, trial.image)
    share = (trial.hand_mask & left).sum() / trial.hand_mask.sum()
    assert 0 < trial.ratio < half.ratio == pytest.approx(1 - (1 - trial.ratio) * (1 - share))
    under = np.rint(trial.sample.joints_img[:, 0]) < left[0].sum()
    np.testing.assert_array_equal(half.is_hidden, trial.is_hidden | under)
    everything = half.covered(np.ones_like(left), trial.image)
    assert everything.ratio == 1
    assert everything.is_hidden.all()


def test_the_mirror_image_of_the_picture_is_seen_as_the_picture(samples):
    """As a hand of the other side is shown to an estimator in a mirror."""
    for sample in samples[:2]:
        trial = Trial.of(sample, NoiseModel())
        straight, mirrored = trial.view(3), trial.mirrored_view(3)
        np.testing.assert_array_equal(mirrored.picture, straight.picture)
        for name in ("K", "bbox_xyxy"):
            np.testing.assert_allclose(getattr(mirrored, name), getattr(straight, name), err_msg=name)
        np.testing.assert_allclose(mirrored.keypoints.joints_img, straight.keypoints.joints_img)


def test_the_skeletons_outline_is_about_the_hands(samples):
    exact = Trial.of(samples[0], NoiseModel()).hand_mask
    outline = skeleton_mask(samples[0])
    assert (exact & outline).sum() / (exact | outline).sum() > 0.6


def test_the_occluder_is_named(samples, unannotated):
    assert main_occluder(samples[25]) == "object"
    assert main_occluder(samples[0]) == "nothing"
    assert main_occluder(unannotated[0]) == ""
    truth = samples[25].occlusion
    for label, name in ((3, "sleeve"), (4, "second hand")):
        labels = np.where(truth.labels == 2, label, truth.labels)
        assert main_occluder(replace(samples[25], occlusion=replace(truth, labels=labels))) == name
    far = samples[25].joints_img + np.array([200.0, 0.0])
    assert main_occluder(replace(samples[25], joints_img=far)) == "picture border"
    partly = np.where(np.arange(21)[:, None] < 5, (-30.0, 40.0), (40.0, 40.0))
    hidden = replace(truth, labels=np.full_like(truth.labels, 2), joints_by_other=np.arange(21) < 8)
    assert main_occluder(replace(samples[25], joints_img=partly, occlusion=hidden)) == "picture border"  # of 5, the object of 3
