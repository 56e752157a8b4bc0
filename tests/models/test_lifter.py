"""What the lifter is told between its steps."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.models.checkpoint import bundled_weights, load_checkpoint
from occhand.models.hourglass import Heatmaps
from occhand.models.joint_heads import Sight
from occhand.models.lifter import Evidence2D, Lifter, Targets, heatmap_evidence
from occhand.models.presets import PRESETS

SCALE, SHIFT = 5.0, torch.tensor([0.48, 0.53])


@pytest.fixture(scope="module")
def lifter():
    torch.manual_seed(0)
    return Lifter(replace(PRESETS["handgcat-open-s"].config, lifter_width=32), takes_joints=True)


@pytest.fixture(scope="module")
def posed(open_hand):
    generator = torch.Generator().manual_seed(0)
    rotations = axis_angle_to_matrix(0.4 * torch.randn(6, 16, 3, generator=generator))
    betas = torch.randn(6, 10, generator=generator)
    return rotations, betas, open_hand.skeleton(rotations, betas).centred()


def in_crop(joints):
    return SCALE * joints[..., :2] + SHIFT


def feedback(lifter, posed, given, seen=6.0, depth=None, spread=0.01):
    depth = posed[2].joints[..., 2] if depth is None else depth
    sight = Sight(torch.as_tensor(seen).expand(6, 21), depth, torch.full((6, 21), spread))
    evidence = Evidence2D(in_crop(posed[2].joints), torch.full((6, 21, 2), 0.1), given, sight)
    parts = lifter._feedback(Targets.of(evidence), posed[2], posed[1]).split([63, 9, 10, 1, 2, 42, 48, 42, 48, 21, 48], dim=1)
    names = ("joints", "wrist", "betas", "scale", "shift", "own", "own_turns", "given", "given_turns", "depth", "depth_turns")
    return dict(zip(names, parts, strict=True))


def test_a_hand_that_fits_is_asked_for_nothing(lifter, posed):
    said = feedback(lifter, posed, in_crop(posed[2].joints))
    torch.testing.assert_close(5 * said["scale"], torch.full((6, 1), SCALE), atol=1e-4, rtol=0)
    torch.testing.assert_close(said["shift"] + 0.5, SHIFT.expand(6, 2), atol=1e-5, rtol=0)
    assert max(said[name].abs().max() for name in ("own", "own_turns", "given", "given_turns", "depth", "depth_turns")) < 1e-3


def test_joints_that_are_not_known_ask_for_nothing(lifter, posed):
    given = in_crop(posed[2].joints).clone()
    given[:, 8] = torch.nan
    said = feedback(lifter, posed, given)
    assert all(part.isfinite().all() for part in said.values())
    assert said["given"].abs().max() < 1e-3


def test_hidden_joints_ask_for_less(lifter, posed):
    given = in_crop(posed[2].joints).clone()
    given[:, 8] += 0.03
    asked = []
    for seen in (-6.0, 6.0):
        logits = torch.full((6, 21), 6.0)
        logits[:, 8] = seen
        asked.append(feedback(lifter, posed, given, logits)["given_turns"].norm(dim=1))
    assert (asked[0] < 0.6 * asked[1]).all()


def test_a_depth_that_is_hardly_known_asks_for_less(lifter, posed):
    depth = posed[2].joints[..., 2].clone()
    depth[:, 8] += 0.02
    clear, vague = (feedback(lifter, posed, in_crop(posed[2].joints), depth=depth, spread=spread) for spread in (0.003, 0.05))
    torch.testing.assert_close(clear["depth"][:, 8], torch.full((6,), 20 * 0.02), atol=1e-4, rtol=0)
    assert (vague["depth_turns"].norm(dim=1) < 0.7 * clear["depth_turns"].norm(dim=1)).all()
    assert clear["given_turns"].abs().max() < 1e-3


@pytest.mark.parametrize("axes", [slice(2), slice(2, 3)], ids=["across", "along"])
@pytest.mark.parametrize("joint", [0, 1, 3, 15])
def test_the_asked_turn_points_where_the_error_falls(lifter, posed, open_hand, joint, axes):
    """Against finite differences: the gradient of the squared error by a turn of the joint, in its own frame."""
    rotations, betas, skeleton = posed
    off = torch.zeros(6, 21, 3)
    off[..., axes] = 0.004 * torch.randn(6, 21, 3, generator=torch.Generator().manual_seed(1))[..., axes]
    asked = lifter._asked_turns(skeleton, off, torch.ones(6, 21, 1))[:, joint]
    centre = skeleton.centres[:, :1] - open_hand.skeleton(rotations, betas).centres[:, :1]
    turn = torch.zeros(6, 3, requires_grad=True)
    turned = rotations.clone()
    turned[:, joint] = rotations[:, joint] @ axis_angle_to_matrix(turn)
    error = open_hand.skeleton(turned, betas).joints + centre - skeleton.joints - off
    error[..., axes].square().sum().backward()
    torch.testing.assert_close(normalize(asked, dim=-1), normalize(-turn.grad, dim=-1), atol=1e-3, rtol=0)
    assert asked.norm(dim=-1).max() < 1


@pytest.fixture
def trained():
    """The bundled lifter, in float64."""
    return load_checkpoint(bundled_weights("handgcat-open-s")).regressor.lifter.double().eval()


@pytest.fixture(scope="module")
def seen(open_hand):
    """What is seen of hands near the rest pose, with errors, one joint missing."""
    generator = torch.Generator().manual_seed(2)
    rotations = axis_angle_to_matrix(0.2 * torch.randn(6, 16, 3, generator=generator))
    joints = open_hand.skeleton(rotations, torch.zeros(6, 10)).centred().joints.double()
    own = in_crop(joints)
    given = own + 0.02 * torch.randn(own.shape, generator=generator)
    given[:, 3] = torch.nan
    spread = 0.05 + torch.rand(own.shape, generator=generator).double() / 50
    return Evidence2D(own, spread, given, Sight(torch.ones(6, 21).double(), joints[..., 2], torch.full((6, 21), 0.02).double()))


@torch.no_grad()
def test_the_mean_of_turns_turns_with_the_crop(trained, seen, open_hand):
    """What a lifter makes of a turned crop is the turned hand, exactly, if it is asked at all quarter turns; without, only nearly."""
    hand, turn, off = deepcopy(open_hand).double(), trained.quarter_turns[1], {}
    for turns in (1, 4):
        trained.turns = turns
        straight, turned = (trained(some, hand) for some in (seen, seen.turned(turn)))
        expected = straight.rotations.clone()
        expected[:, 0, :2] = turn @ straight.rotations[:, 0, :2]
        off[turns] = (turned.rotations - expected).abs().max(), (turned.betas - straight.betas).abs().max()
    assert max(off[4]) < 1e-9
    assert min(off[1]) > 1e-3


@torch.no_grad()
def test_turns_that_do_not_agree_leave_the_crop_as_it_is(lifter, seen, open_hand):
    """A lifter that turns nothing says the same of every turned crop; the mean of what that means for the crop would be no rotation."""
    lifter, hand = deepcopy(lifter).double().eval(), deepcopy(open_hand).double()
    for step in lifter.steps:
        step.pose.weight.zero_()
        step.pose.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]).repeat(16))
    lifted = lifter(seen, hand)
    torch.testing.assert_close(lifted.rotations, torch.eye(3).double().expand(6, 16, 3, 3))
    lifter.turns = 1
    torch.testing.assert_close(lifter(seen, hand).betas, lifted.betas)


def test_the_spread_of_a_heat_map_is_its_standard_deviation_along_each_axis():
    x, y = (torch.arange(32) + 0.5) / 32, (torch.arange(32) + 0.5) / 32
    along_x, along_y = torch.exp(-0.5 * ((x - 0.6) / 0.08).square()), torch.exp(-0.5 * ((y - 0.4) / 0.05).square())
    one = along_y[:, None] * along_x
    probabilities = (one / one.sum()).expand(2, 21, 32, 32)
    heatmaps = Heatmaps(torch.tensor([0.6, 0.4]).expand(2, 21, 2), probabilities, torch.zeros(2, 1, 32, 32))
    torch.testing.assert_close(heatmap_evidence(heatmaps, None).spread, torch.tensor([0.08, 0.05]).expand(2, 21, 2), atol=1e-3, rtol=0)
