from __future__ import annotations

import pytest
import torch

from occhand.fit import HandFit, fit_hand, refine_hand
from occhand.fit.kinematics import ANGLES, NUM_PARAMETERS, HandState, JointChain
from occhand.fit.posterior import Evidence, estimate_spread, expand, prior_precision
from occhand.fit.solver import _move
from occhand.geometry.align import procrustes_align
from occhand.geometry.camera import project
from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.prior import PosePrior, angles_from_rotations, load_prior
from tests.fit.conftest import SeenHands


def pa_mpjpe_mm(fit: HandFit, seen: SeenHands) -> torch.Tensor:
    joints = seen.joints[: len(fit.joints)]
    return 1e3 * (procrustes_align(fit.joints, joints) - joints).norm(dim=-1).mean(-1)


def normal(shape: torch.Size, seed: int = 5) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def clean_fit(hand: HandLayer, seen: SeenHands) -> HandFit:
    return fit_hand(hand, seen.joints_img, seen.K)


def test_clean_joints(clean_fit: HandFit, seen: SeenHands) -> None:
    assert pa_mpjpe_mm(clean_fit, seen).median() < 2.5
    assert (clean_fit.error_px / seen.box[:, None]).mean() < 0.003
    assert (clean_fit.noise_px < 0.01 * seen.box).all()


def test_noisy_joints(hand: HandLayer, seen: SeenHands) -> None:
    noise = 0.03 * seen.box
    fit = fit_hand(hand, seen.joints_img + noise[:, None, None] * normal(seen.joints_img.shape), seen.K)
    assert pa_mpjpe_mm(fit, seen).median() < 5.5
    assert 0.7 < (fit.noise_px / noise).median() < 1.4


def test_thrown_joints_cost_little(hand: HandLayer, seen: SeenHands) -> None:
    points = seen.joints_img.clone()
    points[:, [3, 12, 17]] += 0.4 * seen.box[:, None, None] * normal(torch.Size([32, 3, 2]))
    assert pa_mpjpe_mm(fit_hand(hand, points, seen.K), seen).median() < 3.5


def test_result_is_the_layers_hand_in_the_camera(hand: HandLayer, clean_fit: HandFit, seen: SeenHands) -> None:
    posed = hand(clean_fit.rotations, clean_fit.betas)
    torch.testing.assert_close(posed.vertices + clean_fit.translation[:, None], clean_fit.vertices)
    torch.testing.assert_close(posed.joints + clean_fit.translation[:, None], clean_fit.joints)
    error = (project(clean_fit.joints, seen.K) - seen.joints_img).norm(dim=-1)
    torch.testing.assert_close(error, clean_fit.error_px)


def test_stays_within_the_joints_limits(clean_fit: HandFit) -> None:
    prior = load_prior()
    active = prior.active(angles_from_rotations(clean_fit.rotations, prior.axes))
    assert (active - prior.clamp(active)).abs().max() < 0.05


def test_a_joint_without_weight_may_hold_anything(hand: HandLayer, seen: SeenHands) -> None:
    weights = torch.ones(8, 21)
    weights[:, 7] = 0
    points = seen.joints_img[:8].clone()
    points[:, 7] = torch.nan
    fit = fit_hand(hand, points, seen.K[:8], weights)
    points[:, 7] = 1e4
    other = fit_hand(hand, points, seen.K[:8], weights)
    torch.testing.assert_close(fit.joints, other.joints)
    assert pa_mpjpe_mm(fit, seen).median() < 4


def test_weights_count_beside_the_other_joints_of_their_hand(hand: HandLayer, seen: SeenHands) -> None:
    """Inverse variances bring a hand nearer than equal weights; their size, and the other hands', does not matter."""
    noise = torch.tensor([0.005, 0.06]).repeat(11)[:21]
    points = seen.joints_img + (noise * seen.box[:, None])[..., None] * normal(seen.joints_img.shape)
    weights = noise.square().reciprocal().expand(32, 21)
    fit = fit_hand(hand, points, seen.K, weights)
    assert pa_mpjpe_mm(fit, seen).median() < 0.9 * pa_mpjpe_mm(fit_hand(hand, points, seen.K), seen).median()
    scaled = fit_hand(hand, points, seen.K, weights * 4.0 ** torch.arange(-6, 2).repeat(4)[:, None])
    torch.testing.assert_close(scaled.noise_px, fit.noise_px)
    torch.testing.assert_close(scaled.joints, fit.joints)


def test_noise_is_found_from_the_joints_that_are_known(hand: HandLayer, seen: SeenHands) -> None:
    weights = torch.zeros(32, 21)
    weights[:, ::2] = 1
    noise = 0.03 * seen.box
    fit = fit_hand(hand, seen.joints_img + noise[:, None, None] * normal(seen.joints_img.shape), seen.K, weights)
    assert 0.7 < (fit.noise_px / noise).median() < 1.4


def test_a_batch_is_its_hands_one_by_one(hand: HandLayer, clean_fit: HandFit, seen: SeenHands) -> None:
    alone = [fit_hand(hand, seen.joints_img[k : k + 1], seen.K[k : k + 1]).joints for k in range(6)]
    # Single precision sums differ with the batch's size, and the steps follow.
    distance_mm = 1e3 * (torch.cat(alone) - clean_fit.joints[:6]).norm(dim=-1)
    assert distance_mm.median() < 0.05
    assert distance_mm.max() < 3


def test_deterministic(hand: HandLayer, clean_fit: HandFit, seen: SeenHands) -> None:
    again = fit_hand(hand, seen.joints_img, seen.K)
    assert torch.equal(again.vertices, clean_fit.vertices)


def test_a_moved_and_scaled_image_gives_the_same_hand(hand: HandLayer, clean_fit: HandFit, seen: SeenHands) -> None:
    other_from_img = torch.tensor([[2.0, 0.0, 130.0], [0.0, 2.0, -75.0], [0.0, 0.0, 1.0]])
    moved = 2 * seen.joints_img + torch.tensor([130.0, -75.0])
    other = fit_hand(hand, moved, other_from_img @ seen.K)
    distance_mm = 1e3 * (other.joints - clean_fit.joints).norm(dim=-1)
    assert distance_mm.median() < 0.05

    is_moved = torch.arange(32)[:, None, None] % 2 == 1  # each hand has a camera of its own
    mixed = fit_hand(hand, torch.where(is_moved, moved, seen.joints_img), torch.where(is_moved, other_from_img @ seen.K, seen.K))
    distance_mm = 1e3 * (mixed.joints - clean_fit.joints).norm(dim=-1)
    assert distance_mm.median() < 0.05
    assert distance_mm.median(-1).values.quantile(0.9) < 1


def test_3d_cue_resolves_depth(hand: HandLayer, seen: SeenHands) -> None:
    """A rough cue of any scale and origin makes noisy hands better."""
    points = seen.joints_img + 0.04 * seen.box[:, None, None] * normal(seen.joints_img.shape)
    cue = 7 * (seen.joints + 0.01 * normal(seen.joints.shape, seed=6)) + 3
    without = pa_mpjpe_mm(fit_hand(hand, points, seen.K), seen)
    with_cue = pa_mpjpe_mm(fit_hand(hand, points, seen.K, joints_world=cue), seen)
    assert with_cue.mean() < 0.9 * without.mean()


def test_hands_may_take_part_in_training(clean_fit: HandFit, hand: HandLayer, seen: SeenHands) -> None:
    refined = refine_hand(hand, clean_fit.rotations, clean_fit.betas, seen.joints_img, seen.K)
    assert not any(field.is_inference() for fit in (clean_fit, refined) for field in fit)


def test_refinement_brings_a_rough_hand_to_its_joints(hand: HandLayer, seen: SeenHands) -> None:
    prior = load_prior()
    angles = angles_from_rotations(seen.rotations, prior.axes)
    rough = prior.rotations(prior.active(angles) + 0.12 * normal(torch.Size([32, 21])))
    rough[:, 0] = axis_angle_to_matrix(0.15 * normal(torch.Size([32, 3]), 6)) @ seen.rotations[:, 0]
    before = hand(rough, seen.betas).joints
    before_mm = 1e3 * (procrustes_align(before, seen.joints) - seen.joints).norm(dim=-1).mean(-1)
    fit = refine_hand(hand, rough, seen.betas, seen.joints_img, seen.K)
    assert pa_mpjpe_mm(fit, seen).mean() < 0.5 * before_mm.mean()
    assert (fit.joints - seen.joints).norm(dim=-1).mean() < 0.02


def test_a_good_hand_withstands_poor_joints(hand: HandLayer, seen: SeenHands) -> None:
    """The spread of given poses is estimated: where they are right, noise of 4 % of the box moves them far less than it moves the fit."""
    points = seen.joints_img + 0.04 * seen.box[:, None, None] * normal(seen.joints_img.shape)
    refined = refine_hand(hand, seen.rotations, seen.betas, points, seen.K)
    assert pa_mpjpe_mm(refined, seen).mean() < 0.5 * pa_mpjpe_mm(fit_hand(hand, points, seen.K), seen).mean()


def test_a_right_direction_withstands_poor_joints(hand: HandLayer, seen: SeenHands) -> None:
    """Hands of the mean pose that face the right way, five joints known and all poor: without alignment they stay nearer than a fit's."""
    rough, few = load_prior().rotations(load_prior().mean.expand(32, -1)), torch.zeros(32, 21)
    rough[:, 0], few[:, ::5] = seen.rotations[:, 0], 1.0
    points = seen.joints_img + 0.05 * seen.box[:, None, None] * normal(seen.joints_img.shape)
    refined = refine_hand(hand, rough, seen.betas, points, seen.K, few)
    fitted = fit_hand(hand, points, seen.K, few)
    turned = [matrix_to_axis_angle(fit.rotations[:, 0] @ seen.rotations[:, 0].mT).norm(dim=-1).mean() for fit in (refined, fitted)]
    assert turned[0] < 0.3 < 0.6 * turned[1], turned


@pytest.fixture(scope="module")
def judged(seen: SeenHands) -> tuple[JointChain, PosePrior, Evidence, HandState]:
    """Eight hands in float64, off in all that a fit moves, some joints beyond their limits; all 2D joints poor, of unlike weights."""
    prior, hand = load_prior(torch.float64), load_hand().double()
    angles = angles_from_rotations(seen.rotations[:8].double(), prior.axes)
    angles[:, 1:] += 0.3 * normal(torch.Size([8, 15, 3])).double()
    states = HandState(seen.rotations[:8, 0].double(), seen.joints[:8, 0].double() + 0.01, angles, seen.betas[:8].double() + 0.5)
    points = (seen.joints_img + 0.05 * seen.box[:, None, None] * normal(seen.joints_img.shape))[:8].double()
    weights, precision = torch.linspace(0.2, 1, 21).expand(8, 21).double(), prior_precision(prior, torch.full((8,), 0.7).double())
    means = prior.mean.expand(8, -1), torch.full((8, 10), 0.2).double()
    return JointChain(hand, prior), prior, Evidence.of(points, seen.K[:8].double(), weights, *means, precision), states


def test_derivatives_of_the_cost(judged: tuple[JointChain, PosePrior, Evidence, HandState]) -> None:
    """By finite differences; an angle's leave out how it shifts a fingertip's skin."""
    chain, prior, evidence, states = judged
    there, costs = expand(chain, prior, evidence, states), []
    assert (prior.active(states.angles) != prior.clamp(prior.active(states.angles))).any(1).all()
    for step in 1e-5 * torch.cat([torch.eye(NUM_PARAMETERS), -torch.eye(NUM_PARAMETERS)]).double():
        costs.append(expand(chain, prior, evidence, _move(chain, states, step.expand(8, -1))).cost)
    slope = (torch.stack(costs[:NUM_PARAMETERS]) - torch.stack(costs[NUM_PARAMETERS:])).T / 2e-5
    angles = slice(ANGLES.start, ANGLES.stop)
    torch.testing.assert_close(2 * there.gradient[:, angles], slope[:, angles], atol=1.0, rtol=0.02)
    slope[:, angles] = 2 * there.gradient[:, angles]
    torch.testing.assert_close(2 * there.gradient, slope, atol=1e-3, rtol=1e-5)


def test_a_hand_behind_the_camera_is_out_of_the_question(judged: tuple[JointChain, PosePrior, Evidence, HandState]) -> None:
    chain, prior, evidence, states = judged
    behind = states._replace(wrist=states.wrist * torch.linspace(1, -1, 8).double()[:, None])
    assert torch.equal(expand(chain, prior, evidence, behind).cost.isinf(), chain.joints(behind)[..., 2].amin(-1) < 0.01)


def test_derivatives_of_the_cost_of_a_direction(hand: HandLayer, seen: SeenHands) -> None:
    """By finite differences, with all that draws to something but the direction made weak."""
    prior, few = load_prior(), 1e-8 * torch.ones(32, 21)
    angles = angles_from_rotations(seen.rotations, prior.axes)
    states = HandState(
        axis_angle_to_matrix(0.05 * normal(torch.Size([32, 3]))) @ seen.rotations[:, 0], seen.joints[:, 0], angles, seen.betas
    )
    weak = torch.zeros(32, NUM_PARAMETERS, NUM_PARAMETERS)
    evidence = Evidence.of(seen.joints_img, seen.K, torch.ones(32, 21), prior.active(angles), seen.betas, weak)._replace(
        weights=few, noise=torch.ones(32), rotation_mean=seen.rotations[:, 0], rotation_spread=torch.full((32,), 0.2)
    )
    chain = JointChain(hand, prior)
    there = expand(chain, prior, evidence, states)
    for axis in range(3):
        costs = []
        for step in (-1e-2, 1e-2):
            turn = torch.zeros(32, 3)
            turn[:, axis] = step
            moved = states._replace(rotation=axis_angle_to_matrix(turn) @ states.rotation)
            costs.append(expand(chain, prior, evidence, moved).cost)
        torch.testing.assert_close((costs[1] - costs[0]) / 2e-2, 2 * there.gradient[:, axis], atol=0.02, rtol=0.02)


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_the_spread_of_given_poses_is_found(hand: HandLayer, seen: SeenHands, spread: float) -> None:
    """From clean joints, which tell most angles."""
    prior = load_prior()
    whitener = torch.linalg.inv(torch.linalg.cholesky(prior.covariance))
    off = spread * torch.linalg.solve(whitener, normal(torch.Size([32, 21]))[..., None]).squeeze(-1)
    true = prior.active(angles_from_rotations(seen.rotations, prior.axes))
    states = HandState(seen.rotations[:, 0], seen.joints[:, 0], angles_from_rotations(seen.rotations, prior.axes), seen.betas)
    evidence = Evidence.of(seen.joints_img, seen.K, torch.ones(32, 21), true + off, seen.betas, prior_precision(prior, torch.ones(32)))
    evidence, chain = evidence._replace(noise=torch.full((32,), 0.002)), JointChain(hand, prior)
    found = estimate_spread(prior, evidence, expand(chain, prior, evidence, states), states, guess=0.7)
    assert found.median() == pytest.approx(spread, rel=0.4)


@pytest.mark.parametrize("broken", ["few", "nan", "focal", "point", "weights", "world"])
def test_refuses_bad_input(hand: HandLayer, seen: SeenHands, broken: str) -> None:
    points, K, weights, world = seen.joints_img[:2].clone(), seen.K[:2].clone(), torch.ones(2, 21), seen.joints[:2].clone()
    if broken == "few":
        weights[1, 3:] = 0
    elif broken == "nan":
        points[0, 4, 1] = torch.nan
    elif broken == "focal":
        K[0, 1, 1] = 0
    elif broken == "point":
        points[1] = 100.0
    elif broken == "weights":
        weights[0, 0] = -1
    else:
        world[0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"joint|K has"):
        fit_hand(hand, points, K, weights, world)


def test_refuses_a_left_hand(seen: SeenHands) -> None:
    with pytest.raises(ValueError, match="right hands"):
        fit_hand(load_hand(side="left"), seen.joints_img, seen.K)
