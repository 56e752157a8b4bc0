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
from torch.nn.functional import pad

from occhand.fit.kinematics import ANGLES, BETAS, NUM_PARAMETERS, ROTATION, HandState, JointChain
from occhand.hand.prior import PosePrior
from occhand.hand.skeleton import BONES

_FIRST_NOISE = 0.02
"""Standard deviation of the 2D joints before it is estimated, in sides of the hand's box."""
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
    """What a state is judged by, one row per state. Lengths in the image are in sides of the hand's box."""

    target: Float[Tensor, "N 21 2"]
    """2D joints."""
    weights: Float[Tensor, "N 21"]
    camera: Float[Tensor, "N 2 3"]
    """The rows of K that give x and y."""
    box: Float[Tensor, "N"]
    """Longer side of the box around the joints, pixels."""
    noise: Float[Tensor, "N"]
    """Standard deviation of the 2D joints."""
    mean: Float[Tensor, "N parameters"]
    """Pose and shape that a hand is drawn to; 0 for rotation and wrist."""
    precision: Float[Tensor, "N parameters parameters"]
    """Inverse covariance around them; 0 for rotation and wrist."""
    directions: Float[Tensor, "N 20 3"] | None = None
    """Unit bone vectors of the 3D cue."""
    rotation_mean: Float[Tensor, "N 3 3"] | None = None
    """What the whole hand's rotation is drawn to; None: nothing is known of it."""
    rotation_spread: Float[Tensor, "N"] | None = None
    """Standard deviation from it about each axis, radians."""

    @classmethod
    def of(
        cls,
        joints_img: Float[Tensor, "N 21 2"],
        K: Float[Tensor, "N 3 3"],
        weights: Float[Tensor, "N 21"],
        pose_mean: Float[Tensor, "N active"],
        betas_mean: Float[Tensor, "N 10"],
        precision: Float[Tensor, "N parameters parameters"],
    ) -> Evidence:
        """From pixels; joints of weight 0 may hold anything. The noise is a first guess."""
        known = weights[..., None] > 0
        low = torch.where(known, joints_img, torch.inf).amin(1, keepdim=True)
        high = torch.where(known, joints_img, -torch.inf).amax(1, keepdim=True)
        box = (high - low).amax(-1, keepdim=True)
        return cls(
            target=torch.where(known, joints_img, (low + high) / 2) / box,
            weights=weights / weights.amax(-1, keepdim=True),
            camera=K[:, :2] / box,
            box=box.flatten(),
            noise=torch.full_like(box.flatten(), _FIRST_NOISE),
            mean=pad(torch.cat([pose_mean, betas_mean], dim=1), (ANGLES.start, 0)),
            precision=precision,
        )

    @property
    def intrinsics(self) -> Float[Tensor, "N 3 3"]:
        """K, of an image whose pixel is a box."""
        return torch.cat([self.camera, self.camera.new_tensor([[[0.0, 0.0, 1.0]]]).expand(len(self.camera), 1, 3)], dim=1)

    def select(self, index: Int[Tensor, "M"]) -> Evidence:
        return Evidence._make(None if field is None else field[index] for field in self)


class Expansion(NamedTuple):
    """Cost of each state, and half its gradient and Gauss-Newton Hessian."""

    cost: Float[Tensor, "N"]
    gradient: Float[Tensor, "N parameters"]
    hessian: Float[Tensor, "N parameters parameters"]
    data_hessian: Float[Tensor, "N parameters parameters"]
    error: Float[Tensor, "N 21 2"]
    """Of the reprojection."""

    @property
    def covariance(self) -> Float[Tensor, "N parameters parameters"]:
        """Of the parameters, by Laplace's approximation."""
        return torch.linalg.inv_ex(self.hessian).inverse


def prior_precision(prior: PosePrior, spread: Float[Tensor, "N"]) -> Float[Tensor, "N parameters parameters"]:
    """Inverse covariance of pose and shape around their means, of poses that spread so many standard deviations of the prior."""
    pose, shape = prior.mean.new_zeros(2, NUM_PARAMETERS, NUM_PARAMETERS)
    pose[ANGLES, ANGLES] = prior.precision
    shape.diagonal()[BETAS] = 1
    return pose / spread[:, None, None].square() + shape


def expand(chain: JointChain, prior: PosePrior, evidence: Evidence, states: HandState) -> Expansion:
    """Second-order picture of the cost around each state."""
    joints, by_parameters = chain.linearize(states)
    error, jacobian = _reproject(evidence, joints, by_parameters)
    in_noise = _in_noise(evidence, error)
    weights = _robust_weights(evidence, in_noise) / evidence.noise[:, None].square()
    weighted = (weights[..., None, None] * jacobian).flatten(1, 2).mT
    data_hessian = torch.bmm(weighted, jacobian.flatten(1, 2))
    gradient = torch.bmm(weighted, error.flatten(1)[..., None]).squeeze(-1)
    cost = (_DEGREES_OF_FREEDOM + 2) * torch.log1p(in_noise / _DEGREES_OF_FREEDOM).sum(-1)

    active = prior.active(states.angles)
    off = pad(torch.cat([active, states.betas], dim=1), (ANGLES.start, 0)) - evidence.mean
    pull = torch.bmm(evidence.precision, off[..., None]).squeeze(-1)
    gradient, hessian, cost = gradient + pull, data_hessian + evidence.precision, cost + (off * pull).sum(-1)

    cost = cost + _add_limits(prior, active, gradient, hessian)
    if evidence.rotation_mean is not None and evidence.rotation_spread is not None:
        cost = cost + _add_direction(evidence.rotation_mean, evidence.rotation_spread, states, gradient, hessian)
    if evidence.directions is not None:
        cost = cost + _add_cue(evidence.directions, joints, by_parameters, gradient, hessian)
    cost = torch.where(joints[..., 2].amin(-1) > _MIN_DEPTH, cost, torch.inf)
    return Expansion(cost, gradient, hessian, data_hessian, error)


def _reproject(
    evidence: Evidence, joints: Float[Tensor, "N 21 3"], by_parameters: Float[Tensor, "N 21 3 parameters"]
) -> tuple[Float[Tensor, "N 21 2"], Float[Tensor, "N 21 2 parameters"]]:
    """Reprojection error, and its derivative."""
    depth = joints[..., 2:]
    place = torch.bmm(joints, evidence.camera.mT) / depth
    by_joint = (evidence.camera[:, None] - pad(place[..., None], (2, 0))) / depth[..., None]
    jacobian = torch.bmm(by_joint.flatten(0, 1), by_parameters.flatten(0, 1))
    return place - evidence.target, jacobian.unflatten(0, (-1, 21))


def _add_limits(
    prior: PosePrior,
    active: Float[Tensor, "N active"],
    gradient: Float[Tensor, "N parameters"],
    hessian: Float[Tensor, "N parameters parameters"],
) -> Float[Tensor, "N"]:
    """Add what is beyond the joints' limits in place; its cost."""
    beyond = (active - prior.clamp(active)) / _LIMIT_SOFTNESS
    hessian.diagonal(dim1=-2, dim2=-1)[:, ANGLES] += (beyond != 0) / _LIMIT_SOFTNESS**2
    gradient[:, ANGLES] += beyond / _LIMIT_SOFTNESS
    return beyond.square().sum(-1)


def _add_direction(
    mean: Float[Tensor, "N 3 3"],
    spread: Float[Tensor, "N"],
    states: HandState,
    gradient: Float[Tensor, "N parameters"],
    hessian: Float[Tensor, "N parameters parameters"],
) -> Float[Tensor, "N"]:
    """Add the turn from the expected rotation in place; its cost.

    With r the columns of a rotation turned by an angle a from the expected one's, m: half of sum |r - m|^2 is 2 (1 - cos a), about a^2,
    and half of sum m x r is the sine times the axis, half its derivative.
    """
    variance = spread.square()
    # Of a Student t distribution, as the joints' errors: a network that looked the wrong way does not hold the hand back.
    in_spreads = (states.rotation - mean).square().sum((-2, -1)) / (2 * variance)
    precision = ((_DEGREES_OF_FREEDOM + 3) / (_DEGREES_OF_FREEDOM + in_spreads) / variance)[:, None]
    hessian.diagonal(dim1=-2, dim2=-1)[:, ROTATION] += precision
    gradient[:, ROTATION] += precision / 2 * torch.linalg.cross(mean, states.rotation, dim=1).sum(-1)
    return (_DEGREES_OF_FREEDOM + 3) * torch.log1p(in_spreads / _DEGREES_OF_FREEDOM)


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
    used = (expansion.covariance * expansion.data_hessian).sum((-2, -1))
    in_noise = _in_noise(evidence, expansion.error)
    left = (_robust_weights(evidence, in_noise) * expansion.error.square().sum(-1)).sum(-1)
    measured = 2 * (evidence.weights > 0).sum(-1)
    return (left / (measured - used).clamp_min(_MIN_LEFT)).sqrt().clamp(*_NOISE_RANGE)


def estimate_spread(prior: PosePrior, evidence: Evidence, expansion: Expansion, states: HandState, guess: float) -> Float[Tensor, "N"]:
    """How far poses lie from the means they are drawn to, in standard deviations of the prior, each over the angles that its joints tell.

    Args:
        prior: Of the pose.
        evidence: With the precision of the spread so far.
        expansion: Around the states.
        states: Where the descent is.
        guess: Expected before anything is seen.
    """
    off = prior.active(states.angles) - evidence.mean[:, ANGLES]
    squared = (off @ prior.precision * off).sum(-1)
    untold = (expansion.covariance * evidence.precision)[:, ANGLES, ANGLES].sum((-2, -1))
    angles = (len(prior.mean) - untold).clamp_min(0)
    return ((squared + _GUESSED_ANGLES * guess**2) / (angles + _GUESSED_ANGLES)).sqrt()


def _in_noise(evidence: Evidence, error: Float[Tensor, "N 21 2"]) -> Float[Tensor, "N 21"]:
    """Squared 2D errors in the variances of their joints."""
    return evidence.weights * error.square().sum(-1) / evidence.noise[:, None].square()


def _robust_weights(evidence: Evidence, in_noise: Float[Tensor, "N 21"]) -> Float[Tensor, "N 21"]:
    """Weights under which least squares descends on the Student t cost of 2D errors."""
    return evidence.weights * (_DEGREES_OF_FREEDOM + 2) / (_DEGREES_OF_FREEDOM + in_noise)


def bone_vectors(joints: Float[Tensor, "N 21 *rest"]) -> Float[Tensor, "N 20 *rest"]:
    parents, children = zip(*BONES, strict=True)
    return joints[:, children] - joints[:, parents]
