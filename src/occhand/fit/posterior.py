"""How well a hand explains 2D joints: the negative log posterior that a fit lowers, with its derivatives.

The joints' errors follow a Student t distribution, so that a joint which a detector put in the wrong place costs little more than one
that is merely off. Their scale is estimated per hand, so that clean joints are followed closely and noisy ones are smoothed by the prior
(MacKay, Neural Computation 4:415, 1992, for least squares).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from occhand.fit.kinematics import ANGLES, BETAS, ROTATION, HandState, JointChain
from occhand.geometry.rotation import matrix_to_axis_angle
from occhand.hand.prior import PosePrior
from occhand.hand.skeleton import BONES

_NOISE_RANGE = (0.002, 0.1)
"""Of the estimate, in sides of the hand's box, as every noise of 2D joints here."""
_MIN_LEFT = 4
"""Measurements left to judge the noise by, at the least."""
_DEGREES_OF_FREEDOM = 4.0
"""Of the Student t distribution. With three joints of 21 thrown by a quarter of the box, PA-MPJPE is 5.8 mm; without it 9.3 mm."""
_LIMIT_SOFTNESS = 0.035
"""Radians beyond a joint's limit that cost as much as one standard deviation."""
_DIRECTION_NOISE = 0.35
"""Standard deviation per coordinate of a unit bone vector of the 3D cue: 20 degrees, what a monocular guess is worth."""
_MIN_DEPTH = 0.01
_GUESSED_ANGLES = 2.0
"""How much the first guess of a spread counts, in angles that the 2D joints tell."""


class Evidence(NamedTuple):
    """What a state is judged by, one row per state."""

    joints_img: Float[Tensor, "N 21 2"]
    weights: Float[Tensor, "N 21"]
    K: Float[Tensor, "N 3 3"]
    box: Float[Tensor, "N"]
    """Longer side of the box around the joints, pixels."""
    noise: Float[Tensor, "N"]
    """Standard deviation of the 2D joints, in boxes."""
    pose_mean: Float[Tensor, "N active"]
    whitener: Float[Tensor, "N active active"]
    """Takes a difference of poses to standard normal coordinates."""
    betas_mean: Float[Tensor, "N 10"]
    directions: Float[Tensor, "N 20 3"] | None
    """Unit bone vectors of the 3D cue."""
    rotation_mean: Float[Tensor, "N 3 3"] | None = None
    """What the whole hand's rotation is drawn to; None: nothing is known of it."""
    rotation_spread: Float[Tensor, "N"] | None = None
    """Standard deviation from it about each axis, radians."""

    def select(self, index: Int[Tensor, "M"]) -> Evidence:
        return Evidence._make(None if field is None else field[index] for field in self)


class Expansion(NamedTuple):
    """Cost of each state, and half its gradient and Gauss-Newton Hessian."""

    cost: Float[Tensor, "N"]
    gradient: Float[Tensor, "N parameters"]
    hessian: Float[Tensor, "N parameters parameters"]
    data_hessian: Float[Tensor, "N parameters parameters"]
    error: Float[Tensor, "N 21 2"]
    """Of the reprojection, in boxes."""


def expand(chain: JointChain, prior: PosePrior, evidence: Evidence, states: HandState) -> Expansion:
    """Second-order picture of the cost around each state."""
    joints, by_parameters = chain.linearize(states)
    error, jacobian = _reproject(evidence, joints, by_parameters)
    precision = 1 / evidence.noise[:, None].square()
    squared = error.square().sum(-1)
    weights = (_robust_weights(evidence, squared) * precision).repeat_interleave(2, dim=1)
    weighted = (weights[..., None] * jacobian).mT
    data_hessian = weighted @ jacobian
    gradient = (weighted @ error.flatten(1)[..., None]).squeeze(-1)
    spread = torch.log1p(evidence.weights * squared * precision / _DEGREES_OF_FREEDOM)
    cost = (_DEGREES_OF_FREEDOM + 2) * spread.sum(-1)

    hessian = data_hessian.clone()
    cost = cost + _add_priors(prior, evidence, states, gradient, hessian)
    if evidence.directions is not None:
        cost = cost + _add_cue(evidence.directions, joints, by_parameters, gradient, hessian)
    cost = torch.where((joints[..., 2] > _MIN_DEPTH).all(-1), cost, torch.inf)
    return Expansion(cost, gradient, hessian, data_hessian, error)


def _reproject(
    evidence: Evidence, joints: Float[Tensor, "N 21 3"], by_parameters: Float[Tensor, "N 21 3 parameters"]
) -> tuple[Float[Tensor, "N 21 2"], Float[Tensor, "N 42 parameters"]]:
    """Reprojection error in boxes, and its derivative."""
    box = evidence.box[:, None, None]
    focal = evidence.K[:, None, :2, :2] / box[..., None]
    inverse_depth = 1 / joints[..., 2:]
    rays = joints[..., :2] * inverse_depth
    error = (focal @ rays[..., None]).squeeze(-1) + (evidence.K[:, None, :2, 2] - evidence.joints_img) / box
    rays_by = (by_parameters[:, :, :2] - rays[..., None] * by_parameters[:, :, 2:]) * inverse_depth[..., None]
    return error, (focal @ rays_by).flatten(1, 2)


def _add_priors(
    prior: PosePrior,
    evidence: Evidence,
    states: HandState,
    gradient: Float[Tensor, "N parameters"],
    hessian: Float[Tensor, "N parameters parameters"],
) -> Float[Tensor, "N"]:
    """Add priors of pose, joint limits, shape and direction in place; their cost."""
    whitener = evidence.whitener
    active = prior.active(states.angles)
    pose = (whitener @ (active - evidence.pose_mean)[..., None]).squeeze(-1)
    beyond = (active - prior.clamp(active)) / _LIMIT_SOFTNESS
    shape = states.betas - evidence.betas_mean
    hessian[:, ANGLES, ANGLES] += whitener.mT @ whitener + torch.diag_embed((beyond != 0) / _LIMIT_SOFTNESS**2)
    gradient[:, ANGLES] += (whitener.mT @ pose[..., None]).squeeze(-1) + beyond / _LIMIT_SOFTNESS
    hessian.diagonal(dim1=-2, dim2=-1)[:, BETAS] += 1
    gradient[:, BETAS] += shape
    cost = torch.cat([pose, beyond, shape], dim=-1).square().sum(-1)
    if evidence.rotation_mean is None or evidence.rotation_spread is None:
        return cost
    # Of a Student t distribution, as the joints' errors: a network that looked the wrong way does not hold the hand back.
    turn = matrix_to_axis_angle(states.rotation @ evidence.rotation_mean.mT)  # small, so its derivative by a further turn is the identity
    in_spreads = turn.square().sum(-1) / evidence.rotation_spread.square()
    precision = (_DEGREES_OF_FREEDOM + 3) / (_DEGREES_OF_FREEDOM + in_spreads) / evidence.rotation_spread.square()
    hessian.diagonal(dim1=-2, dim2=-1)[:, ROTATION] += precision[:, None]
    gradient[:, ROTATION] += precision[:, None] * turn
    return cost + (_DEGREES_OF_FREEDOM + 3) * torch.log1p(in_spreads / _DEGREES_OF_FREEDOM)


def _add_cue(
    directions: Float[Tensor, "N 20 3"],
    joints: Float[Tensor, "N 21 3"],
    by_parameters: Float[Tensor, "N 21 3 parameters"],
    gradient: Float[Tensor, "N parameters"],
    hessian: Float[Tensor, "N parameters parameters"],
) -> Float[Tensor, "N"]:
    """Add the misses of the bones' directions in place; their cost."""
    bones = bone_vectors(joints)
    length = bones.norm(dim=-1, keepdim=True)
    miss = (bones / length - directions) / _DIRECTION_NOISE
    # The bone's length is held, which a small step changes little.
    by_bone = (bone_vectors(by_parameters) / (length * _DIRECTION_NOISE)[..., None]).flatten(1, 2)
    hessian += by_bone.mT @ by_bone
    gradient += (by_bone.mT @ miss.flatten(1)[..., None]).squeeze(-1)
    return miss.square().sum((-2, -1))


def estimate_noise(evidence: Evidence, expansion: Expansion) -> Float[Tensor, "N"]:
    """Error left over the number of measurements which the parameters have not used up."""
    used = torch.linalg.solve_ex(expansion.hessian, expansion.data_hessian).result.diagonal(dim1=-2, dim2=-1).sum(-1)
    squared = expansion.error.square().sum(-1)
    measured = 2 * (evidence.weights > 0).sum(-1)
    variance = (_robust_weights(evidence, squared) * squared).sum(-1) / (measured - used).clamp_min(_MIN_LEFT)
    return variance.sqrt().clamp(*_NOISE_RANGE)


def estimate_spread(prior: PosePrior, evidence: Evidence, expansion: Expansion, states: HandState, guess: float) -> Float[Tensor, "N"]:
    """How far poses lie from the means they are drawn to, in standard deviations of the prior, each over the angles that its joints tell.

    Args:
        prior: Of the pose.
        evidence: With the whitener of the spread so far.
        expansion: Around the states.
        states: Where the descent is.
        guess: Expected before anything is seen.
    """
    difference = (prior.active(states.angles) - evidence.pose_mean)[..., None]
    squared = (difference.mT @ torch.linalg.solve(prior.covariance, difference)).flatten()
    untold = torch.linalg.inv(expansion.hessian)[:, ANGLES, ANGLES] @ evidence.whitener.mT @ evidence.whitener
    angles = (len(prior.covariance) - untold.diagonal(dim1=-2, dim2=-1).sum(-1)).clamp_min(0)
    return ((squared + _GUESSED_ANGLES * guess**2) / (angles + _GUESSED_ANGLES)).sqrt()


def _robust_weights(evidence: Evidence, squared_error: Float[Tensor, "N 21"]) -> Float[Tensor, "N 21"]:
    """Weights under which least squares descends on the Student t cost of 2D errors."""
    in_noise = evidence.weights * squared_error / evidence.noise[:, None].square()
    return evidence.weights * (_DEGREES_OF_FREEDOM + 2) / (_DEGREES_OF_FREEDOM + in_noise)


def bone_vectors(joints: Float[Tensor, "N 21 *rest"]) -> Float[Tensor, "N 20 *rest"]:
    parents, children = zip(*BONES, strict=True)
    return joints[:, children] - joints[:, parents]
