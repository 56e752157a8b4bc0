"""Held-out hands seen by a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from occhand.geometry.camera import project
from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.prior import load_prior
from occhand.synth.pose import PoseSampler


@dataclass(frozen=True)
class SeenHands:
    rotations: Tensor
    betas: Tensor
    joints: Tensor
    """Camera frame."""
    K: Tensor
    joints_img: Tensor

    @property
    def box(self) -> Tensor:
        return (self.joints_img.amax(1) - self.joints_img.amin(1)).amax(-1)


@pytest.fixture(scope="session")
def hand() -> HandLayer:
    return load_hand()


@pytest.fixture(scope="session")
def seen(hand: HandLayer) -> SeenHands:
    """32 hands of the sampler, any view, 0.35 to 1 m away, under a camera with skew and unequal focal lengths."""
    rng = np.random.default_rng(4)
    count = 32
    prior = load_prior()
    rotations = prior.rotations(prior.active(torch.from_numpy(PoseSampler.load().sample_batch(rng, count))))
    rotations[:, 0] = axis_angle_to_matrix(torch.from_numpy(rng.normal(0, 2, (count, 3)).astype(np.float32)))
    betas = torch.from_numpy(rng.standard_normal((count, 10)).clip(-2.5, 2.5).astype(np.float32))
    joints = hand(rotations, betas).joints
    depth = rng.uniform(0.35, 1.0, count)
    place = np.stack([rng.uniform(-0.25, 0.25, count) * depth, rng.uniform(-0.25, 0.25, count) * depth, depth], axis=1)
    joints = joints - joints[:, 9:10] + torch.from_numpy(place.astype(np.float32))[:, None]
    K = torch.tensor([[1000.0, 3.0, 320.0], [0.0, 980.0, 240.0], [0.0, 0.0, 1.0]]).repeat(count, 1, 1)
    return SeenHands(rotations, betas, joints, K, project(joints, K))
