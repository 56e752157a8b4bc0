"""The loss of the small open models, and the errors and paint that its batches get."""

import numpy as np
import pytest
import torch

from occhand.data.augment import Jitter
from occhand.data.joint_errors import DetectorErrors, FixedErrors, hand_extent
from occhand.data.paint import Paint
from occhand.data.transforms import TrainingCrop, cut_crop
from occhand.geometry.camera import project
from occhand.hand.skeleton import JOINT_NAMES
from occhand.joint_sets import turned_hands
from occhand.models.presets import create_model
from occhand.open_losses import OpenLoss, hand_terms
from occhand.synth.generate import generate_sample
from occhand.types import ModelInput

LEFT_TIP = JOINT_NAMES.index("middle4")
"""Another vertex of left hands, as published."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def crop():
    crops = [cut_crop(generate_sample(5, index, 96), Jitter(), 128) for index in range(6)]
    return TrainingCrop(*map(torch.stack, zip(*crops, strict=True)))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create_model("handgcat-open-s").eval()


def test_exact_joints_stay_and_hidden_ones_are_worse(crop):
    assert torch.equal(FixedErrors(0.0, 0.0)(crop, generator()), crop.joints_crop)
    many = TrainingCrop(*(part.repeat(200, *[1] * (part.ndim - 1)) for part in crop))
    error = ((FixedErrors(0.02, 0.06)(many, generator()) - many.joints_crop) / hand_extent(many.joints_crop)).square().mean(-1)
    seen = many.joints_visible
    assert error[seen].mean().sqrt() == pytest.approx(0.02, rel=0.05)
    assert error[~seen].mean().sqrt() == pytest.approx(0.06, rel=0.05)


def test_missing_joints_are_nan(crop):
    given = FixedErrors(missing="hidden")(crop, generator())
    assert torch.equal(given.isfinite().all(-1), crop.joints_visible)


def test_a_detector_errs_in_every_way(crop):
    many = TrainingCrop(*(part.repeat(100, *[1] * (part.ndim - 1)) for part in crop))
    given = DetectorErrors()(many, generator())
    is_known = given.isfinite().all(-1)
    assert 0.08 < (~is_known).all(-1).float().mean() < 0.16  # no joint at all
    assert is_known[many.joints_visible].float().mean() > is_known[~many.joints_visible].float().mean()
    error = (given - many.joints_crop).norm(dim=-1) / hand_extent(many.joints_crop)[..., 0]
    assert error[is_known].median() < 0.05
    assert (error[is_known] > 0.25).float().mean() > 0.01  # gross
    assert torch.equal(given.nan_to_num(), DetectorErrors()(many, generator()).nan_to_num())


def test_paint_keeps_what_is_drawn_and_hides_what_it_covers(crop):
    painted = Paint(cover=1.0)(crop, generator())
    assert painted.image.shape == crop.image.shape
    assert painted.image.min() >= 0
    assert painted.image.max() <= 1
    assert not (painted.joints_visible & ~crop.joints_visible).any()
    assert (painted.joints_visible != crop.joints_visible).any()
    nothing = Paint(*[0.0] * 10)(crop, generator())
    torch.testing.assert_close(nothing.image, crop.image, atol=2e-4, rtol=0)


def test_turned_hands_are_seen_by_their_camera(crop, model):
    turned = turned_hands(crop, 32, generator())
    torch.testing.assert_close(project(turned.joints_cam, turned.K), turned.joints_crop, atol=1e-5, rtol=0)
    posed = model.hand(model.hand.rotations_from_axis_angle(turned.pose), turned.betas).joints
    relative = turned.joints_cam - turned.joints_cam[:, :1]
    others = [joint for joint in range(21) if joint != LEFT_TIP]
    torch.testing.assert_close((posed - posed[:, :1])[:, others], relative[:, others], atol=1e-4, rtol=0)


def test_the_truth_costs_nothing(crop, model):
    rotations = model.hand.rotations_from_axis_angle(crop.pose)
    posed = model.hand(rotations, crop.betas)
    truth = model(ModelInput(crop.image, crop.joints_crop))._replace(
        vertices=posed.vertices, joints=posed.joints, rotations=rotations, betas=crop.betas
    )
    terms = hand_terms(truth, crop, model.hand)
    assert float(terms.pop("reprojection")) < 2e-3  # the annotated tip of a left hand's middle finger
    assert all(float(term) < 1e-4 for term in terms.values())


def test_the_loss_falls_and_is_the_generators(crop):
    torch.manual_seed(0)
    model = create_model("handgcat-open-s").train()
    loss, optimiser = OpenLoss(joint_sets=16), torch.optim.AdamW(model.parameters(), 1e-3)
    totals = []
    for step in range(12):
        losses = loss(model, crop, DetectorErrors(none=0.0)(crop, generator(step)), generator(step))
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        totals.append(losses.total.item())
    assert np.mean(totals[-3:]) < 0.85 * np.mean(totals[:3])
    model.eval()
    with torch.no_grad():
        again = [loss(model, crop, crop.joints_crop, generator()).total.item() for _ in range(2)]
    assert again[0] == again[1]


def test_networks_without_a_lifter_are_refused(crop):
    with pytest.raises(ValueError, match="lifter"):
        OpenLoss()(create_model("handgcat-s"), crop, crop.joints_crop, generator())


def test_a_network_does_without_joints_and_without_a_picture(crop, model):
    """NaN joints say nothing wherever they would be, and a black crop says nothing whatever the trunk makes of black."""
    with torch.no_grad():
        none = torch.full_like(crop.joints_crop, torch.nan)
        blind = model(ModelInput(crop.image, none))
        assert all(part.isfinite().all() for part in blind)
        one = crop.joints_crop.clone()
        one[:, 3] = torch.nan
        assert not torch.equal(model(ModelInput(crop.image, one)).joints, blind.joints)
        black = model(ModelInput(torch.zeros_like(crop.image), crop.joints_crop)).joints
        features = []
        handle = model.cat.register_forward_hook(lambda module, args, output: features.append(args[0]))
        model(ModelInput(torch.zeros_like(crop.image), crop.joints_crop))
        handle.remove()
    assert not features[0].any()
    assert black.isfinite().all()
