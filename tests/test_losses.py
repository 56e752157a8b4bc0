"""The networks' loss: zero where it should be, its weights, and HandGCAT's released target. Golden values: models/test_golden.py."""

import pytest
import torch

from occhand.hand.hand_layer import load_hand
from occhand.losses import LossConfig, hand_losses
from occhand.models.presets import PRESETS, build_model
from occhand.types import ModelTarget
from tests.models.conftest import small, small_inputs


@pytest.fixture(scope="module")
def hand():
    return load_hand("open")


@pytest.fixture(scope="module", params=["handoccnet", "handgcat"])
def case(request, hand):
    torch.manual_seed(0)
    config = small(PRESETS[request.param].config)
    inputs = small_inputs(config)
    model = build_model(config, hand).eval()
    torch.nn.init.normal_(model.regressor.mano_head.pose.bias)  # away from the rest pose
    with torch.no_grad():
        output = model(inputs)
    return inputs, output, ModelTarget(output.pose, output.betas, output.joints_crop), config.flat_hand_mean


def test_nothing_is_lost_on_the_target(case, hand):
    inputs, output, target, flat_hand_mean = case
    losses = hand_losses(output, target, inputs, hand, flat_hand_mean)
    assert losses.total < 1e-4


def test_the_mean_pose_matters(case, hand):
    inputs, output, target, flat_hand_mean = case
    losses = hand_losses(output, target, inputs, hand, not flat_hand_mean)
    assert losses.vertices > 0.1
    assert losses.rotations < 1e-5


def test_terms_and_weights(case, hand):
    inputs, output, target, flat_hand_mean = case
    moved = output._replace(
        vertices=output.vertices + 0.01, joints=output.joints - 0.02, betas=output.betas + 1, joints_crop=output.joints_crop + 0.1
    )
    losses = hand_losses(moved, target, inputs, hand, flat_hand_mean)
    assert losses.vertices.item() == pytest.approx(1e4 * 0.01**2, rel=1e-3)
    assert losses.joints.item() == pytest.approx(1e4 * 0.02**2, rel=1e-3)
    assert losses.betas.item() == pytest.approx(0.1, rel=1e-4)
    assert losses.joints_crop.item() == pytest.approx(1.0, rel=1e-3)
    assert losses.total.item() == pytest.approx(sum(term.item() for term in losses), rel=1e-5)
    halved = hand_losses(moved, target, inputs, hand, flat_hand_mean, LossConfig(vertices=5e3))
    assert halved.vertices.item() == pytest.approx(losses.vertices.item() / 2)


def test_released_target_of_the_2d_joints_is_the_noisy_input(case, hand):
    inputs, output, target, flat_hand_mean = case
    noisy = inputs._replace(joints_crop=output.joints_crop + 0.05)
    config = LossConfig(joints_crop_target="input")
    assert hand_losses(output, target, noisy, hand, flat_hand_mean).joints_crop < 1e-9
    assert hand_losses(output, target, noisy, hand, flat_hand_mean, config).joints_crop.item() == pytest.approx(100 * 0.05**2, rel=1e-3)
    with pytest.raises(ValueError, match="use 'annotation'"):
        hand_losses(output, target, inputs._replace(joints_crop=None), hand, flat_hand_mean, config)
