from __future__ import annotations

import torch

from occhand.fit import fit_hand
from occhand.fit.uncertainty import joint_sigma
from occhand.hand.hand_layer import HandLayer
from occhand.hand.skeleton import JOINT_NAMES
from tests.fit.conftest import SeenHands

RING_TIP = JOINT_NAMES.index("ring4")
RING = [k for k, name in enumerate(JOINT_NAMES) if name.startswith("ring")]


def fit_and_sigma(hand: HandLayer, seen: SeenHands, weights: torch.Tensor, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Errors after the mean joints were laid upon each other, per axis, and what is said of them; metres."""
    shape = seen.joints_img.shape
    points = seen.joints_img + noise * seen.box[:, None, None] * torch.randn(shape, generator=torch.Generator().manual_seed(5))
    fit = fit_hand(hand, points, seen.K, weights)
    sigma = joint_sigma(hand, fit.rotations, fit.betas, fit.joints[:, 0], points, seen.K, weights)
    error = (fit.joints - fit.joints.mean(1, keepdim=True)) - (seen.joints - seen.joints.mean(1, keepdim=True))
    return error.square().mean(-1).sqrt(), sigma


def test_says_about_as_much_as_it_is_off(hand: HandLayer, seen: SeenHands) -> None:
    error, sigma = fit_and_sigma(hand, seen, torch.ones(seen.joints_img.shape[:2]), noise=0.02)
    assert 0.5 < (error / sigma).median() < 1.6


def test_a_hidden_finger_is_less_sure_and_others_hardly(hand: HandLayer, seen: SeenHands) -> None:
    weights = torch.ones(seen.joints_img.shape[:2])
    _, seen_sigma = fit_and_sigma(hand, seen, weights, noise=0.02)
    weights[:, RING[1:]] = 0
    error, sigma = fit_and_sigma(hand, seen, weights, noise=0.02)
    growth = (sigma / seen_sigma).median(0).values
    assert growth[RING_TIP] > 1.5
    assert growth[[k for k in range(21) if k not in RING]].mean() < 1.3
    assert 0.4 < (error / sigma)[:, RING_TIP].median() < 1.6
