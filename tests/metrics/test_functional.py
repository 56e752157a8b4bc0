"""Properties of the metrics; the official numbers are in test_golden.py."""

import pytest
import torch
from scipy.spatial import cKDTree

from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.metrics.functional import (
    align_official,
    align_scale_translation,
    auc,
    f_score,
    median_error,
    mpjpe,
    pa_mpjpe,
    pck,
    root_relative_mpjpe,
)


@pytest.fixture
def hands():
    """A prediction and a truth, (2, 3) hands."""
    generator = torch.Generator().manual_seed(3)
    truth = 0.1 * torch.randn(2, 3, 21, 3, generator=generator, dtype=torch.float64) + torch.tensor([0.1, 0.0, 0.6])
    return truth + 0.01 * torch.randn(truth.shape, generator=generator, dtype=torch.float64), truth


@pytest.fixture
def moved():
    """Any similarity of a hand."""
    R = axis_angle_to_matrix(torch.tensor([0.3, -1.2, 0.8], dtype=torch.float64))
    return lambda points: 1.7 * points @ R.mT + torch.tensor([0.2, 0.1, -0.3], dtype=torch.float64)


def test_each_alignment_forgives_what_it_should_and_no_more(hands, moved):
    _, truth = hands
    shifted = truth + 0.04
    assert mpjpe(shifted, truth) == pytest.approx(0.04 * 3**0.5)
    assert root_relative_mpjpe(shifted, truth) == pytest.approx(0, abs=1e-12)
    assert root_relative_mpjpe(1.1 * truth, truth).min() > 0.005
    assert mpjpe(align_scale_translation(1.1 * truth, truth), truth) == pytest.approx(0, abs=1e-12)
    assert pa_mpjpe(moved(truth), truth) == pytest.approx(0, abs=1e-7)


def test_only_the_official_variant_forgives_a_mirrored_hand(hands):
    _, truth = hands
    mirrored = truth * torch.tensor([-1.0, 1.0, 1.0])
    assert pa_mpjpe(mirrored, truth) == pytest.approx(0, abs=1e-7)
    assert pa_mpjpe(mirrored, truth, allow_reflection=False).min() > 0.01


def test_a_prediction_without_extent_goes_to_the_middle(hands):
    _, truth = hands
    for point in (truth[..., :1, :].expand_as(truth), 1e-12 * truth):
        assert torch.allclose(align_official(point, truth), truth.mean(-2, keepdim=True).expand_as(truth), atol=1e-6)


def test_a_batch_is_its_hands_one_by_one(hands):
    predicted, truth = hands
    for metric in (mpjpe, root_relative_mpjpe, pa_mpjpe, f_score):
        together = metric(predicted, truth)
        apart = torch.stack([metric(p, t) for p, t in zip(predicted.flatten(0, 1), truth.flatten(0, 1), strict=True)])
        assert torch.allclose(together.flatten(0, 1), apart, atol=1e-12), metric.__name__


def test_f_score_against_a_tree(hands):
    predicted, truth = hands
    for p, t, score in zip(predicted.flatten(0, 1), truth.flatten(0, 1), f_score(predicted, truth, (0.012,)).flatten(), strict=True):
        precision = (cKDTree(p).query(t)[0] < 0.012).mean()
        recall = (cKDTree(t).query(p)[0] < 0.012).mean()
        assert score.item() == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-12)
    assert f_score(truth + 10, truth).max() == 0


def test_f_score_keeps_its_digits_in_single_precision(hands):
    predicted, truth = (points.float() for points in hands)
    far = torch.tensor([0.0, 0.0, 50.0])
    assert torch.equal(f_score(truth, truth), torch.ones(2, 3, 2))
    assert torch.allclose(f_score(predicted + far, truth + far), f_score(*hands).float(), atol=0.05)


def test_thresholds_count_an_error_of_just_their_size():
    errors = torch.tensor([[0.0, 0.01], [0.02, 0.5]])
    assert pck(errors, torch.tensor([0.0, 0.01, 0.02, 1.0])).tolist() == [0.25, 0.5, 0.75, 1.0]


def test_auc_of_a_known_curve():
    # Half of the points are perfect; the others enter at the 50th of the 99 steps, which counts half.
    errors = torch.tensor([[0.0, 50 * 0.05 / 99]], dtype=torch.float64)
    assert auc(errors).item() == pytest.approx((1 + 49.5 / 99) / 2)


def test_median_takes_the_middle_of_each_joint_first():
    assert median_error(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 90.0], [9.0, 40.0]])) == (2.5 + 30.0) / 2
