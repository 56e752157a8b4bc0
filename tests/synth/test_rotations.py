"""The compiled conversions against torch's."""

from __future__ import annotations

import numpy as np
import torch

from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from occhand.hand.prior import rotations_from_angles
from occhand.synth.pose import PoseSampler
from occhand.synth.rotations import axis_angles, joint_rotations


def test_joint_rotations_equal_the_prior():
    axes = PoseSampler.load().axes.double()
    angles = np.random.default_rng(0).normal(0, 1, (16, 3))
    np.testing.assert_allclose(joint_rotations(angles, axes.numpy()), rotations_from_angles(torch.from_numpy(angles), axes), atol=1e-12)


def test_axis_angles_equal_the_geometry():
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((500, 3))
    vectors *= (rng.uniform(0, np.pi, 500) / np.linalg.norm(vectors, axis=1))[:, None]
    vectors[0] = 0
    vectors[1:7] = np.pi * 0.999999 * np.concatenate([np.eye(3), -np.eye(3)])
    R = axis_angle_to_matrix(torch.from_numpy(vectors))
    np.testing.assert_allclose(axis_angles(R.numpy()), matrix_to_axis_angle(R), atol=1e-7)
    np.testing.assert_allclose(axis_angles(R.numpy()), vectors, atol=1e-6)
