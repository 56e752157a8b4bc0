"""Rotations against scipy and the released networks' conversions."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from occhand.geometry.rotation import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    mirror_rotation,
    sixd_to_matrix,
)
from tests.golden.networks import golden_recipe
from tests.golden.networks.compare import excess

GOLDEN = np.load("tests/golden/networks/handoccnet.npz")
RANDOM = Rotation.random(200, random_state=0)


def test_axis_angle_to_matrix_matches_scipy():
    axis_angle = torch.from_numpy(RANDOM.as_rotvec())
    np.testing.assert_allclose(axis_angle_to_matrix(axis_angle), RANDOM.as_matrix(), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 9.9e-3, 1.01e-2, 1.0, math.pi - 1e-6, math.pi])
def test_axis_angle_matches_scipy_at_any_angle(angle):
    axis_angle = torch.from_numpy(Rotation.random(20, random_state=1).as_rotvec())
    axis_angle = angle * axis_angle / axis_angle.norm(dim=-1, keepdim=True)
    R = axis_angle_to_matrix(axis_angle)
    np.testing.assert_allclose(R, Rotation.from_rotvec(axis_angle).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(axis_angle_to_matrix(matrix_to_axis_angle(R)), R, atol=1e-10)


def test_quaternion_matches_scipy():
    quaternion = RANDOM.as_quat(canonical=True, scalar_first=True)
    np.testing.assert_allclose(matrix_to_quaternion(torch.from_numpy(RANDOM.as_matrix())), quaternion, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-3, 1.0, math.pi])
def test_gradients_are_finite_at_the_identity_and_at_pi(angle):
    axis_angle = torch.tensor([[angle, 0.0, 0.0], [0.0, angle, 0.0], [0.0, 0.0, -angle]], requires_grad=True)
    weights = torch.linspace(-1, 1, 9).view(3, 3)
    R = axis_angle_to_matrix(axis_angle)
    (R * weights).sum().backward()
    assert torch.isfinite(axis_angle.grad).all()
    leaf = R.detach().requires_grad_()
    (matrix_to_axis_angle(leaf) * torch.arange(1.0, 4.0)).sum().backward()
    assert torch.isfinite(leaf.grad).all()


def test_axis_angle_gradients_match_finite_differences():
    axis_angle = torch.from_numpy(RANDOM.as_rotvec()[:8]).requires_grad_()
    tiny = (1e-3 * axis_angle.detach()).requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_matrix, (axis_angle,))
    assert torch.autograd.gradcheck(axis_angle_to_matrix, (tiny,))
    assert torch.autograd.gradcheck(lambda x: matrix_to_axis_angle(axis_angle_to_matrix(x)), (axis_angle,))


def test_mirror_rotation_is_a_mirrored_rotation():
    mirror = np.diag([-1.0, 1.0, 1.0])
    R = torch.from_numpy(RANDOM.as_matrix())
    np.testing.assert_allclose(mirror_rotation(R), mirror @ RANDOM.as_matrix() @ mirror, atol=1e-14)


def test_conversions_agree_with_the_released_networks():
    sixd = torch.from_numpy(golden_recipe.rot_inputs()).float()
    R = sixd_to_matrix(sixd)
    assert excess("rot/mat", GOLDEN["rot/mat"], R) <= 1
    assert excess("rot/aa", GOLDEN["rot/aa"], matrix_to_axis_angle(R)) <= 1
    pose = torch.from_numpy(golden_recipe.mano_inputs()[0]).float()
    assert excess("rot/rodrigues", GOLDEN["rot/rodrigues"], axis_angle_to_matrix(pose.view(-1, 3))) <= 1
