"""How far off the joints of a fitted hand may be, by the curvature of its posterior (Laplace's approximation)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from occhand.fit.kinematics import HandState, JointChain
from occhand.fit.posterior import Evidence, estimate_noise, expand, prior_precision
from occhand.fit.solver import prior_for
from occhand.hand.hand_layer import HandLayer
from occhand.hand.prior import angles_from_rotations

_NOISE_ROUNDS = 5


@torch.no_grad()
def joint_sigma(
    hand: HandLayer,
    rotations: Float[Tensor, "B 16 3 3"],
    betas: Float[Tensor, "B 10"],
    wrist: Float[Tensor, "B 3"],
    joints_img: Float[Tensor, "B 21 2"],
    K: Float[Tensor, "B 3 3"],
    weights: Float[Tensor, "B 21"],
) -> Float[Tensor, "B 21"]:
    """Standard deviation of each joint of right hands that were fitted to 2D joints, along each axis, where truth and fit have the same
    mean joint.

    It knows the fit's own prior and its estimate of the 2D joints' noise, and one solution: not that a hand may be flipped in depth.

    Args:
        hand: A right hand; mirror left hands before.
        rotations: Of each MANO joint relative to its parent; the root's turns the hand into the camera's axes.
        betas: Shape.
        wrist: Metres, camera frame.
        joints_img: What was fitted to, pixels.
        K: Pinhole intrinsics, pixels.
        weights: Trust in each 2D joint; 0 where it is not known.

    Returns:
        Metres.
    """
    prior = prior_for(hand)
    chain = JointChain(hand, prior)
    joints_img, K, weights = (given.to(hand.v_template) for given in (joints_img, K, weights))
    precision = prior_precision(prior, torch.ones_like(betas[:, 0]))
    evidence = Evidence.of(joints_img, K, weights, prior.mean.expand(len(betas), -1), torch.zeros_like(betas), precision)
    state = HandState(rotations[:, 0], wrist, angles_from_rotations(rotations, prior.axes), betas)
    for _ in range(_NOISE_ROUNDS):
        evidence = evidence._replace(noise=estimate_noise(evidence, expand(chain, prior, evidence, state)))
    covariance = expand(chain, prior, evidence, state).covariance
    jacobian = chain.linearize(state)[1]
    jacobian = jacobian - jacobian.mean(1, keepdim=True)
    variance = torch.einsum("bjxp, bpq, bjxq -> bjx", jacobian, covariance, jacobian)
    return variance.mean(-1).clamp_min(0).sqrt()
