"""Fit the hand to 21 2D joints: damped Gauss-Newton on the reprojection under pose and shape priors, all hands and starts in one batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize, pad

from occhand.fit.kinematics import ANGLES, BETAS, ROTATION, WRIST, HandState, JointChain
from occhand.fit.posterior import Evidence, Expansion, bone_vectors, estimate_noise, estimate_spread, expand, prior_precision
from occhand.fit.translation import solve_translation
from occhand.fit.views import find_starts
from occhand.geometry.camera import project
from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.hand.hand_layer import HandLayer
from occhand.hand.prior import PosePrior, angles_from_rotations, load_prior, rotations_from_angles

# Starts of each hand and their steps, those kept and theirs, then rounds and steps of the best one while the noise is estimated.
# 20 starts and 6 survivors lower PA-MPJPE by 0.01 mm; 8 and 3 raise it by 0.1 mm on clean joints.
_STARTS, _SCREENING_STEPS = 12, 4
_SURVIVORS, _FITTING_STEPS = 4, 5
_NOISE_ROUNDS, _STEPS_PER_ROUND = 5, 3
_REFINEMENT_SPREAD = 0.7
"""How far a network's pose is off, in standard deviations of the prior, before that is estimated from its joints."""
_TURN_PER_SPREAD = 0.3
"""Radians that a network's hand as a whole is off for each such deviation; chosen on `open-val`."""
_MIN_JOINTS = 4
_LARGEST_TURN = 0.7
"""Radians that one step may turn the hand (about each axis) or bend a joint."""
_DAMPING = (1e-2, 1e-6, 1e4)
"""First, least and most damping, as a share of the Hessian's diagonal."""


class HandFit(NamedTuple):
    """Hands fitted to 2D joints; camera frame, metres, pixels."""

    rotations: Float[Tensor, "B 16 3 3"]
    betas: Float[Tensor, "B 10"]
    translation: Float[Tensor, "B 3"]
    """What added to the hand layer's output gives the camera frame."""
    vertices: Float[Tensor, "B 778 3"]
    joints: Float[Tensor, "B 21 3"]
    error_px: Float[Tensor, "B 21"]
    """Distance of each reprojected joint from the given one."""
    noise_px: Float[Tensor, "B"]
    """Estimated standard deviation of the given joints, per coordinate."""


def fit_hand(
    hand: HandLayer,
    joints_img: Float[Tensor, "B 21 2"],
    K: Float[Tensor, "B 3 3"],
    weights: Float[Tensor, "B 21"] | None = None,
    joints_world: Float[Tensor, "B 21 3"] | None = None,
    prior: PosePrior | None = None,
) -> HandFit:
    """Find the pose, shape and place of right hands from their 2D joints. No gradients; deterministic.

    One view leaves size and distance tied: the hand comes out near the mean size, at the distance that goes with it.

    Args:
        hand: A right hand; mirror left hands before, with their joints and K.
        joints_img: House order, pixels in the image that `K` describes.
        K: Pinhole intrinsics, pixels.
        weights: Inverse variance of each joint relative to the hand's other joints; 0 for a joint that is not known, which then may hold
            anything, even NaN. All alike if None.
        joints_world: A rough guess of the joints in 3D along the camera's axes, any origin and scale (a detector's "world" joints). Only
            the directions of its bones count, and little, to tell a hand bent towards the camera from one bent away.
        prior: Of the pose; the open hand's if None.

    Raises:
        ValueError: Not a right hand; fewer than 4 known joints, or all in one place; a number that is not finite; a focal length that is
            not positive.
    """
    prior = prior_for(hand, prior)
    with torch.inference_mode():
        B = len(joints_img)
        pose_mean, betas_mean = prior.mean.expand(B, -1), prior.mean.new_zeros(B, 10)
        precision = prior_precision(prior, prior.mean.new_ones(B))
        evidence = _gather(hand, joints_img, K, weights, joints_world, pose_mean, betas_mean, precision)
        chain = JointChain(hand, prior)
        starts = find_starts(chain, prior, _rays(evidence), evidence.weights, _STARTS)
        states = _keep_best(chain, prior, evidence, starts, _SCREENING_STEPS, _SURVIVORS)
        states = _keep_best(chain, prior, evidence, states, _FITTING_STEPS, 1)
        fit = _finish(hand, chain, prior, evidence, states, joints_img, K)
    return _usable(fit)


def refine_hand(
    hand: HandLayer,
    rotations: Float[Tensor, "B 16 3 3"],
    betas: Float[Tensor, "B 10"],
    joints_img: Float[Tensor, "B 21 2"],
    K: Float[Tensor, "B 3 3"],
    weights: Float[Tensor, "B 21"] | None = None,
    prior: PosePrior | None = None,
) -> HandFit:
    """Move a given right hand, say a network's, towards its 2D joints. No gradients; deterministic.

    The given pose and shape take the place of the prior's mean, and the hand is drawn to the given direction as well; how far they are
    off is estimated hand by hand, as the noise of the joints is, so that clean joints move the hand far and poor ones little. Rotations
    that no muscle makes are kept as they are.

    Args:
        hand: A right hand; mirror left hands before, with their joints and K.
        rotations: Of each MANO joint relative to its parent; the root's turns the hand into the camera's axes.
        betas: Shape.
        joints_img: House order, pixels in the image that `K` describes.
        K: Pinhole intrinsics, pixels.
        weights: As for `fit_hand`.
        prior: Its covariance and limits count; the open hand's if None.

    Raises:
        ValueError: As for `fit_hand`.
    """
    prior = prior_for(hand, prior)
    with torch.inference_mode():
        rotations, betas = rotations.to(hand.v_template), betas.to(hand.v_template)
        angles = angles_from_rotations(rotations, prior.axes)
        angles[:, 0] = 0
        spread = betas.new_full((len(betas),), _REFINEMENT_SPREAD)
        evidence = _gather(hand, joints_img, K, weights, None, prior.active(angles), betas, prior_precision(prior, spread))
        evidence = evidence._replace(rotation_mean=rotations[:, 0], rotation_spread=_TURN_PER_SPREAD * spread)
        chain = JointChain(hand, prior)
        state = HandState(rotations[:, 0], torch.zeros_like(betas[:, :3]), angles, betas)
        wrist = solve_translation(chain.joints(state), evidence.target, evidence.intrinsics, evidence.weights)
        fit = _finish(hand, chain, prior, evidence, state._replace(wrist=wrist), joints_img, K, _REFINEMENT_SPREAD)
    return _usable(fit)


def _usable(fit: HandFit) -> HandFit:
    """Tensors that training may take, as those made in inference mode are not."""
    return HandFit._make(field.clone() for field in fit)


def prior_for(hand: HandLayer, prior: PosePrior | None = None) -> PosePrior:
    """The prior, the open hand's if None, in the numbers of a right hand.

    Raises:
        ValueError: A left hand.
    """
    if hand.side != "right":
        raise ValueError("The fit takes right hands. Mirror a left hand's joints and K, fit, and mirror the result.")
    prior = prior or load_prior()
    fields = (prior.axes, prior.mean, prior.covariance, prior.lower, prior.upper)
    return PosePrior(*(field.to(hand.v_template) for field in fields))


def _gather(
    hand: HandLayer,
    joints_img: Float[Tensor, "B 21 2"],
    K: Float[Tensor, "B 3 3"],
    weights: Float[Tensor, "B 21"] | None,
    joints_world: Float[Tensor, "B 21 3"] | None,
    pose_mean: Float[Tensor, "B active"],
    betas_mean: Float[Tensor, "B 10"],
    precision: Float[Tensor, "B parameters parameters"],
) -> Evidence:
    """Check what came from outside, and bring it together."""
    weights = torch.ones_like(joints_img[..., 0]) if weights is None else weights
    _check(joints_img, K, weights)
    evidence = Evidence.of(joints_img, K, weights, pose_mean, betas_mean, precision)
    if (evidence.box <= 0).any():
        raise ValueError("All 2D joints of a hand lie in one place. Give pixels, not fractions, and check the order of the axes.")
    if joints_world is not None:
        if not torch.isfinite(joints_world).all():
            raise ValueError("A 3D joint has a number that is not finite. Leave the 3D joints out if some are not known.")
        evidence = evidence._replace(directions=normalize(bone_vectors(joints_world), dim=-1))
    return Evidence._make(None if field is None else field.to(hand.v_template) for field in evidence)


def _check(joints_img: Float[Tensor, "B 21 2"], K: Float[Tensor, "B 3 3"], weights: Float[Tensor, "B 21"]) -> None:
    if len(joints_img) == 0:
        raise ValueError("No hand was given to fit. Leave the call out.")
    if not torch.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("A joint's weight is negative or not finite. Weights are 0 for a joint that is not known, else positive.")
    is_known = weights > 0
    if (is_known.sum(-1) < _MIN_JOINTS).any():
        raise ValueError(f"Fitting a hand needs at least {_MIN_JOINTS} of its 21 joints. Give more joints, or leave this hand out.")
    if not torch.isfinite(joints_img[is_known]).all() or not torch.isfinite(K).all():
        raise ValueError("A 2D joint or K has a number that is not finite. Give a joint that is not known the weight 0.")
    if (K.diagonal(dim1=-2, dim2=-1)[..., :2] <= 0).any():
        raise ValueError("K has a focal length that is not positive. Give fx and fy in pixels.")


def _rays(evidence: Evidence) -> Float[Tensor, "N 21 2"]:
    pixels = pad(evidence.target, (0, 1), value=1.0)
    return torch.linalg.solve(evidence.intrinsics, pixels.mT).mT[..., :2]


def _keep_best(chain: JointChain, prior: PosePrior, evidence: Evidence, states: HandState, steps: int, count: int) -> HandState:
    """Descend from several states per hand, which stand in a row, and keep those of the lowest cost."""
    B, per_hand = len(evidence.box), len(states.wrist) // len(evidence.box)
    rows = torch.arange(B, device=evidence.box.device)
    states, expansion = _descend(chain, prior, evidence.select(rows.repeat_interleave(per_hand)), states, steps)
    best = expansion.cost.view(B, per_hand).topk(count, largest=False).indices
    return states.select((rows[:, None] * per_hand + best).flatten())


def _finish(
    hand: HandLayer,
    chain: JointChain,
    prior: PosePrior,
    evidence: Evidence,
    states: HandState,
    joints_img: Float[Tensor, "B 21 2"],
    K: Float[Tensor, "B 3 3"],
    first_spread: float | None = None,
) -> HandFit:
    """Descend further while the noise is estimated, and where a first one is given the spread of poses and directions, then pose the whole
    hand."""
    for _ in range(_NOISE_ROUNDS):
        states, expansion = _descend(chain, prior, evidence, states, _STEPS_PER_ROUND)
        noise = estimate_noise(evidence, expansion)
        if first_spread is not None:
            spread = estimate_spread(prior, evidence, expansion, states, first_spread)
            evidence = evidence._replace(precision=prior_precision(prior, spread), rotation_spread=_TURN_PER_SPREAD * spread)
        evidence = evidence._replace(noise=noise)
    rotations = rotations_from_angles(states.angles, prior.axes)
    rotations[:, 0] = states.rotation
    posed = hand(rotations, states.betas)
    translation = states.wrist - posed.joints[:, 0]
    joints = posed.joints + translation[:, None]
    return HandFit(
        rotations=rotations,
        betas=states.betas,
        translation=translation,
        vertices=posed.vertices + translation[:, None],
        joints=joints,
        error_px=(project(joints, K.to(joints)) - joints_img).norm(dim=-1),
        noise_px=evidence.noise * evidence.box,
    )


def _descend(chain: JointChain, prior: PosePrior, evidence: Evidence, states: HandState, steps: int) -> tuple[HandState, Expansion]:
    """Levenberg-Marquardt steps, each state with a damping of its own; a step that does not lower the cost is not taken."""
    first, least, most = _DAMPING
    expansion = expand(chain, prior, evidence, states)
    damping = torch.full_like(expansion.cost, first)
    for _ in range(steps):
        diagonal = expansion.hessian.diagonal(dim1=-2, dim2=-1)
        damped = expansion.hessian + torch.diag_embed(damping[:, None] * diagonal)
        step = -torch.linalg.solve_ex(damped, expansion.gradient[..., None]).result.squeeze(-1)
        candidate = _move(chain, states, step)
        there = expand(chain, prior, evidence, candidate)
        is_lower = there.cost < expansion.cost
        damping = torch.where(is_lower, 0.2 * damping, 5.0 * damping).clamp(least, most)
        states = HandState(*_where(is_lower, candidate, states))
        expansion = Expansion(*_where(is_lower, there, expansion))
    return states, expansion


def _where(choice: Bool[Tensor, "N"], yes: tuple[Tensor, ...], no: tuple[Tensor, ...]) -> list[Tensor]:
    return [torch.where(choice.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in zip(yes, no, strict=True)]


def _move(chain: JointChain, states: HandState, step: Float[Tensor, "N parameters"]) -> HandState:
    turned = step.clamp(-_LARGEST_TURN, _LARGEST_TURN)
    angles = states.angles.flatten(1).index_add(1, chain.active, turned[:, ANGLES])
    turn = axis_angle_to_matrix(turned[:, ROTATION])
    return HandState(turn @ states.rotation, states.wrist + step[:, WRIST], angles.view_as(states.angles), states.betas + step[:, BETAS])
