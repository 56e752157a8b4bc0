"""Where to start a fit: the views under which a typical hand looks most like the 2D joints."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from occhand.fit.kinematics import HandState, JointChain
from occhand.geometry.camera import look_at
from occhand.hand.prior import PosePrior

_VIEWS = 128
"""Directions on the sphere, 15 degrees apart or so; the turn about each is found in closed form."""
_APART = math.cos(math.radians(35))
"""Two starts look at the hand from directions at least this far apart."""
_POSE_SPREAD = 1.5
"""Standard deviations along the prior's first two components at which the hand is tried, besides its mean."""


def start_poses(prior: PosePrior) -> Float[Tensor, "poses active"]:
    """The mean pose, and the hand more open, more closed and so on: steps along the first two components of the prior."""
    values, vectors = torch.linalg.eigh(prior.covariance)
    steps = _POSE_SPREAD * (values[-2:].sqrt() * vectors[:, -2:]).mT
    return prior.clamp(torch.cat([prior.mean[None], prior.mean + steps, prior.mean - steps]))


def _fibonacci_sphere(count: int) -> Float[Tensor, "count 3"]:
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * index / count
    longitude = math.pi * (3 - math.sqrt(5)) * index
    radius = (1 - z * z).sqrt()
    return torch.stack([radius * longitude.cos(), radius * longitude.sin(), z], dim=-1)


def find_starts(
    chain: JointChain, prior: PosePrior, rays: Float[Tensor, "B 21 2"], weights: Float[Tensor, "B 21"], count: int
) -> HandState:
    """The best views, by scaled orthography seen along the mean ray, as hands in the camera frame.

    For a direction v, the image plane's axes e1, e2 and centred joints P, q: with A = sum w P q^T and C = sum w P P^T the best turn
    about v explains |(e1.A1 + e2.A2, e1.A2 - e2.A1)|^2 / (trace C - v^T C v) of the squared spread of q. So a view costs a few products,
    and a depth flip is simply another view.

    Args:
        rays: Camera rays through the 2D joints, at z = 1.
        weights: Of each joint.
        count: Starts per hand.

    Returns:
        States with batch `B * count`, the starts of a hand in a row.
    """
    B = len(rays)
    poses = start_poses(prior)
    angles = prior.angles(poses)
    T = len(poses)
    identity = torch.eye(3, dtype=rays.dtype, device=rays.device)
    rest = chain.joints(HandState(identity.expand(T, 3, 3), rays.new_zeros(T, 3), angles, rays.new_zeros(T, 10)))

    # A virtual camera that looks at the hand makes orthography a good approximation.
    w = (weights / weights.sum(-1, keepdim=True))[..., None]
    to_camera = look_at((w * rays).sum(1), identity.expand(B, 3, 3))
    seen = torch.cat([rays, torch.ones_like(rays[..., :1])], dim=-1) @ to_camera
    q = seen[..., :2] / seen[..., 2:]
    q_mean = (w * q).sum(1, keepdim=True)
    P_mean = (w[:, None] * rest).sum(2, keepdim=True)  # B T 1 3
    P = rest - P_mean
    A = (w[:, None] * P).mT @ (q - q_mean)[:, None]  # B T 3 2
    C = (w[:, None] * P).mT @ P

    v = _fibonacci_sphere(_VIEWS).to(rays)
    e1 = normalize(torch.linalg.cross(v, identity[v.abs().argmin(1)]), dim=-1)
    e2 = torch.linalg.cross(v, e1)
    along1, along2 = A.mT @ e1.mT, A.mT @ e2.mT  # B T 2 views
    even, odd = along1[:, :, 0] + along2[:, :, 1], along1[:, :, 1] - along2[:, :, 0]
    spread = C.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - ((v @ C) * v).sum(-1)  # B T views
    explained = (even.square() + odd.square()) / spread

    best, pose = explained.max(dim=1)  # B views
    view = _pick_apart(best, v, count)  # B count
    hand = torch.arange(B, device=rays.device)[:, None]
    pose = pose[hand, view]
    even, odd, spread = even[hand, pose, view], odd[hand, pose, view], spread[hand, pose, view]
    turn = torch.atan2(odd, even)
    sine, cosine = turn.sin()[..., None], turn.cos()[..., None]
    rotation = torch.stack([cosine * e1[view] - sine * e2[view], sine * e1[view] + cosine * e2[view], v[view]], dim=-2)
    depth = (spread / torch.hypot(even, odd))[..., None]
    centre = torch.cat([q_mean.expand(B, count, 2), torch.ones_like(depth)], dim=-1) * depth
    wrist = centre - (rotation @ P_mean[hand, pose, 0][..., None]).squeeze(-1)
    to_camera = to_camera[:, None]
    return HandState(
        (to_camera @ rotation).flatten(0, 1),
        (to_camera @ wrist[..., None]).squeeze(-1).flatten(0, 1),
        angles[pose].flatten(0, 1),
        rays.new_zeros(B * count, 10),
    )


def _pick_apart(score: Float[Tensor, "B views"], directions: Float[Tensor, "views 3"], count: int) -> Int[Tensor, "B count"]:
    """The best views one after the other, each away from those before."""
    too_near = directions @ directions.mT > _APART
    score = score.clone()
    picks = []
    for _ in range(count):
        pick = score.argmax(-1)
        picks.append(pick)
        score.masked_fill_(too_near[pick], -1.0)
    return torch.stack(picks, dim=-1)
