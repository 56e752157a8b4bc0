from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch import Tensor

from occhand.fit import solve_translation
from occhand.geometry.camera import project
from tests.fit.conftest import SeenHands
from tests.golden.networks import golden_recipe


def root_relative(seen: SeenHands) -> Tensor:
    return seen.joints - seen.joints[:, :1]


def noisy(seen: SeenHands, noise_px: float = 4.0) -> Tensor:
    return seen.joints_img + noise_px * torch.randn(seen.joints_img.shape, generator=torch.Generator().manual_seed(1))


def test_exact_without_noise(seen: SeenHands) -> None:
    found = solve_translation(root_relative(seen), seen.joints_img, seen.K)
    torch.testing.assert_close(found, seen.joints[:, 0], atol=1e-4, rtol=0)


def test_reaches_the_least_squared_error_of_scipy(seen: SeenHands) -> None:
    joints, points, K = (tensor.double() for tensor in (root_relative(seen), noisy(seen), seen.K))
    weights = torch.rand(points.shape[:2], generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = solve_translation(joints, points, K, weights)
    for hand in range(len(joints)):

        def residuals(t: np.ndarray, hand: int = hand) -> np.ndarray:
            error = project(joints[hand] + torch.from_numpy(t), K[hand]) - points[hand]
            return (weights[hand].sqrt()[:, None] * error).flatten().numpy()

        best = least_squares(residuals, seen.joints[hand, 0].double().numpy(), xtol=1e-12, ftol=1e-12)
        ours = 0.5 * (residuals(found[hand].numpy()) ** 2).sum()
        assert ours <= best.cost * (1 + 1e-6)


def test_no_larger_error_than_the_released_fit() -> None:
    case = golden_recipe.fitting_case()
    golden = np.load(Path(golden_recipe.HERE, "fitting.npz"))
    joints, points = torch.from_numpy(case["joint_cam"]), torch.from_numpy(case["joint_img"])
    K = torch.tensor([[[500.0, 0.0, case["center"][0]], [0.0, 500.0, case["center"][1]], [0.0, 0.0, 1.0]]])

    def rms_px(translation: Tensor) -> float:
        return (project(joints + translation, K) - points).square().sum(-1).mean().sqrt().item()

    assert rms_px(solve_translation(joints, points, K)) < rms_px(torch.from_numpy(golden["fit/translation"]))


def test_a_joint_without_weight_says_nothing(seen: SeenHands) -> None:
    weights = torch.ones(seen.joints_img.shape[:2])
    weights[:, 5] = 0
    thrown = seen.joints_img.clone()
    thrown[:, 5] += 300
    found = solve_translation(root_relative(seen), thrown, seen.K, weights)
    torch.testing.assert_close(found, seen.joints[:, 0], atol=1e-4, rtol=0)


def test_a_joint_without_weight_may_be_unknown(seen: SeenHands) -> None:
    weights = torch.ones_like(seen.joints_img[..., 0])
    weights[:, 7] = 0
    unknown = seen.joints_img.clone()
    unknown[:, 7] = torch.nan
    expected = solve_translation(root_relative(seen), seen.joints_img, seen.K, weights)
    torch.testing.assert_close(solve_translation(root_relative(seen), unknown, seen.K, weights), expected)


def test_batch_dimensions(seen: SeenHands) -> None:
    joints, points = root_relative(seen), noisy(seen)
    flat = solve_translation(joints, points, seen.K)
    nested = solve_translation(joints.view(4, 8, 21, 3), points.view(4, 8, 21, 2), seen.K.view(4, 8, 3, 3))
    torch.testing.assert_close(nested.view(32, 3), flat)
    torch.testing.assert_close(solve_translation(joints[3], points[3], seen.K[3]), flat[3])


def test_gradients_agree_with_finite_differences(seen: SeenHands) -> None:
    joints, points, K = (tensor[:2].double() for tensor in (root_relative(seen), noisy(seen), seen.K))
    assert torch.autograd.gradcheck(
        lambda j, p: solve_translation(j, p, K), (joints.requires_grad_(), points.requires_grad_()), eps=1e-6, atol=1e-6
    )


def test_refuses_what_cannot_be_solved(seen: SeenHands) -> None:
    joints, points, K = root_relative(seen), seen.joints_img, seen.K
    with pytest.raises(ValueError, match="at least 2 joints"):
        solve_translation(joints[:, :1], points[:, :1], K)
    weights = torch.zeros(32, 21)
    weights[:, 0] = 1
    with pytest.raises(ValueError, match="at least 2 joints"):
        solve_translation(joints, points, K, weights)
    with pytest.raises(ValueError, match="focal length"):
        solve_translation(joints, points, -K)


def test_a_hand_posed_unlike_its_joints_is_set_before_the_camera(seen: SeenHands) -> None:
    """Seen through the camera's centre a hand and its point reflection look alike: the best place of the one is behind the camera."""
    reflected = -root_relative(seen)
    translation = solve_translation(reflected, seen.joints_img, seen.K)
    assert (reflected[..., 2] + translation[..., 2:]).min() > 0
    ratio = translation[:, 2] / seen.joints[:, 0, 2]
    assert (ratio > 0.3).all()
    assert ratio.median() == pytest.approx(1.0, abs=0.5)
