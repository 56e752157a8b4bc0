"""The loss of the small open models, and the errors and paint that its batches get."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from occhand.data.augment import Jitter
from occhand.data.joint_errors import DetectorErrors, FixedErrors, hand_extent
from occhand.data.paint import Paint
from occhand.data.transforms import TrainingCrop, cut_crop
from occhand.geometry.camera import project
from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.hand.skeleton import JOINT_NAMES
from occhand.joint_sets import turned_hands
from occhand.models.presets import create_model
from occhand.open_losses import OpenLoss, hand_terms, target_heatmaps
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


def test_whole_fingers_err_the_more_the_nearer_to_their_tips_and_hidden_joints_by_their_factor(crop):
    many = TrainingCrop(*(part.repeat(500, *[1] * (part.ndim - 1)) for part in crop))
    plain = {"visible": (0.02, 0.02), "gross": 0.0, "missing": 0.0, "hidden_missing": 0.0, "none": 0.0}

    def deviation(**options):
        errors = (DetectorErrors(**plain, **options)(many, generator()) - many.joints_crop) / hand_extent(many.joints_crop)
        return errors.square().mean(-1)

    by_joint = deviation(hidden_factor=(1.0, 1.0)).mean(0).sqrt()
    assert by_joint[0] == pytest.approx(0.02, rel=0.03)
    for k in (1, 2, 3, 4):
        assert by_joint[k::4].tolist() == pytest.approx([0.02 * (1 + (k / 4) ** 2) ** 0.5] * 5, rel=0.03)
    worse = deviation(hidden_factor=(3.0, 3.0), finger=0.0)
    assert worse[many.joints_visible].mean().sqrt() == pytest.approx(0.02, rel=0.03)
    assert worse[~many.joints_visible].mean().sqrt() == pytest.approx(0.06, rel=0.03)


def test_hidden_joints_are_missing_twice_as_often(crop):
    many = TrainingCrop(*(part.repeat(500, *[1] * (part.ndim - 1)) for part in crop))
    seen = many.joints_visible

    def missing(**options):
        exact = {"gross": 0.0, "missing": 0.0, "hidden_missing": 0.0, "none": 0.0}
        return DetectorErrors(**exact | options)(many, generator()).isnan()[..., 0]

    some = missing(missing=1.0, missing_joints=0.5)
    assert some[seen].float().mean() == pytest.approx(0.25, abs=0.01)
    assert some[~seen].float().mean() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(missing(hidden_missing=1.0), ~seen)


def test_half_of_the_gross_errors_lie_at_another_joint(crop):
    many = TrainingCrop(*(part.repeat(100, *[1] * (part.ndim - 1)) for part in crop))
    exact = {"visible": (1e-9, 1e-9), "missing": 0.0, "hidden_missing": 0.0, "none": 0.0}
    given = DetectorErrors(**exact, gross=1.0, gross_joints=1.0)(many, generator())
    distances = torch.cdist(given, many.joints_crop)
    is_at_its_own = distances.diagonal(dim1=1, dim2=2) < 1e-4
    is_at_another = (distances.amin(-1) < 1e-4) & ~is_at_its_own
    assert is_at_another.float().mean() == pytest.approx(0.25 * 20 / 21, abs=0.03)
    assert is_at_its_own.float().mean() == pytest.approx(0.5, abs=0.03)


def test_paint_keeps_what_is_drawn_and_hides_what_it_covers(crop):
    painted = Paint(cover=1.0)(crop, generator())
    assert painted.image.shape == crop.image.shape
    assert painted.image.min() >= 0
    assert painted.image.max() <= 1
    assert not (painted.joints_visible & ~crop.joints_visible).any()
    assert (painted.joints_visible != crop.joints_visible).any()
    nothing = Paint(*[0.0] * 10)(crop, generator())
    torch.testing.assert_close(nothing.image, crop.image, atol=2e-4, rtol=0)


def only(**strengths):
    return Paint(**{part.name: strengths.get(part.name, 0.0) for part in fields(Paint)})


def test_joints_count_as_hidden_where_the_picture_is_covered(crop):
    many = TrainingCrop(*(part.repeat(20, *[1] * (part.ndim - 1)) for part in crop))
    painted = only(cover=1.0)(many, generator())
    column, row = (many.joints_crop * many.image.shape[-1]).long().clamp(0, many.image.shape[-1] - 1).unbind(-1)
    is_changed = ((painted.image - many.image).abs().amax(1) > 1e-3)[torch.arange(len(row))[:, None], row, column]
    some = many.joints_visible & (many.joints_crop > 0).all(-1) & (many.joints_crop < 1).all(-1)
    assert 0.2 < is_changed[some].float().mean() < 0.8
    assert (is_changed == ~painted.joints_visible)[some].float().mean() > 0.95


def test_spectra_are_mixed_with_another_picture(crop):
    mixed = only(spectrum=1.0)(crop, generator()).image
    assert (mixed - crop.image).abs().mean((1, 2, 3)).min() > 0.005
    same = crop._replace(image=crop.image[:1].expand_as(crop.image))
    torch.testing.assert_close(only(spectrum=1.0)(same, generator()).image, same.image.clamp_min(1e-4), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "dims"), [("contrast", (2, 3)), ("saturation", (1,))])
def test_contrast_and_saturation_vary_about_what_they_were(crop, name, dims):
    many = TrainingCrop(*(part.repeat(20, *[1] * (part.ndim - 1)) for part in crop))
    after, before = (
        (image - image.mean(dims, keepdim=True)).square().mean((1, 2, 3)).sqrt()
        for image in (only(**{name: 0.1})(many, generator()).image, many.image)
    )
    assert (after / before).mean() == pytest.approx(1, abs=0.05)
    assert (after / before).std() == pytest.approx(0.1, rel=0.3)


def test_turned_hands_are_seen_by_their_camera(crop, model):
    turned = turned_hands(crop, 32, generator())
    torch.testing.assert_close(project(turned.joints_cam, turned.K), turned.joints_crop, atol=1e-5, rtol=0)
    posed = model.hand(model.hand.rotations_from_axis_angle(turned.pose), turned.betas).joints
    relative = turned.joints_cam - turned.joints_cam[:, :1]
    others = [joint for joint in range(21) if joint != LEFT_TIP]
    torch.testing.assert_close((posed - posed[:, :1])[:, others], relative[:, others], atol=1e-4, rtol=0)
    source = torch.cdist(turned.pose[:, 3:], crop.pose[:, 3:]).argmin(1)
    assert torch.equal(turned.betas, crop.betas[source])
    assert torch.equal(turned.is_mirrored, crop.is_mirrored[source])
    assert crop.is_mirrored[source].unique().numel() == 2


def test_the_truth_costs_nothing(crop, model):
    rotations = model.hand.rotations_from_axis_angle(crop.pose)
    posed = model.hand(rotations, crop.betas)
    truth = model(ModelInput(crop.image, crop.joints_crop))._replace(
        vertices=posed.vertices, joints=posed.joints, rotations=rotations, betas=crop.betas
    )
    terms = hand_terms(truth, crop, model.hand)
    assert float(terms.pop("reprojection")) < 2e-3  # the annotated tip of a left hand's middle finger
    assert all(float(term) < 1e-4 for term in terms.values())


def test_terms_are_of_hands_on_their_wrists_and_articulation_forgives_a_turn(crop, model):
    rotations = model.hand.rotations_from_axis_angle(crop.pose)
    posed = model.hand(rotations, crop.betas)
    truth = model(ModelInput(crop.image, crop.joints_crop))._replace(
        vertices=posed.vertices + 0.3, joints=posed.joints + 0.3, rotations=rotations, betas=crop.betas
    )
    terms = hand_terms(truth, crop, model.hand)
    assert all(float(term) < 1e-4 for name, term in terms.items() if name != "reprojection")
    turn = axis_angle_to_matrix(torch.tensor([0.3, -0.5, 0.9]))
    turned = truth._replace(joints=truth.joints @ turn.mT, rotations=torch.cat([turn @ rotations[:, :1], rotations[:, 1:]], 1))
    terms = hand_terms(turned, crop, model.hand)
    assert terms["articulation"] < 1e-6
    assert terms["joints"] > 0.01
    behind = truth._replace(joints=truth.joints - torch.cat([torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 5.0]]).expand(20, 3)]))
    assert hand_terms(behind, crop, model.hand)["reprojection"] <= 1


def test_target_heatmaps_stand_where_the_joints_are():
    joints = torch.tensor([[0.7, 0.2], [0.4, 0.8], [0.015, 0.5], [0.5, 0.985], [1.3, 0.5]]).repeat(5, 1)[None, :21]
    maps, is_inside = target_heatmaps(joints, 16)
    assert is_inside[0].tolist() == [k % 5 < 2 for k in range(21)]
    centres = (torch.arange(16) + 0.5) / 16
    maps = maps[0, :2].unflatten(-1, (16, 16))
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(2))
    place = torch.stack([(maps.sum(1) * centres).sum(-1), (maps.sum(2) * centres).sum(-1)], -1)
    torch.testing.assert_close(place, joints[0, :2], atol=1e-3, rtol=0)


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
