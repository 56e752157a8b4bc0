from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from occhand.hand.hand_layer import load_hand
from occhand.hand.prior import ACTIVE_ANGLES, PosePrior, angles_from_rotations, first_joint, joint_axes, load_prior, rotations_from_angles
from occhand.hand.skeleton import FINGERS, JOINT_NAMES, TIP_JOINTS


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    return load_prior(torch.float64)


def random_angles(*batch: int) -> torch.Tensor:
    """Flexion and twist anywhere, abduction short of its singularity at 90 degrees."""
    generator = torch.Generator().manual_seed(3)
    reach = torch.deg2rad(torch.tensor([179.0, 85.0, 179.0], dtype=torch.float64))
    return (2 * torch.rand((*batch, 16, 3), generator=generator, dtype=torch.float64) - 1) * reach


def test_axes_are_right_handed_units(prior: PosePrior) -> None:
    torch.testing.assert_close(prior.axes @ prior.axes.mT, torch.eye(3, dtype=torch.float64).expand(16, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(prior.axes), torch.ones(16, dtype=torch.float64), atol=1e-6, rtol=0)


def test_axes_follow_the_skeleton(prior: PosePrior) -> None:
    hand = load_hand().double()
    posed = hand(torch.eye(3, dtype=torch.float64).expand(1, 16, 3, 3), torch.zeros(1, 10, dtype=torch.float64))
    axes = joint_axes(hand.rest_joints(torch.zeros(10, dtype=torch.float64)), posed.joints[0, list(TIP_JOINTS)])
    torch.testing.assert_close(axes, prior.axes, atol=1e-4, rtol=0)


def test_angles_survive_a_round_trip(prior: PosePrior) -> None:
    angles = random_angles(50, 4)
    again = angles_from_rotations(rotations_from_angles(angles, prior.axes), prior.axes)
    torch.testing.assert_close(again, angles, atol=5e-6, rtol=0)  # the file holds single precision


def test_rotations_are_flexion_abduction_twist_in_turn(prior: PosePrior) -> None:
    angles = random_angles()
    rotations = rotations_from_angles(angles, prior.axes)
    for joint in range(16):
        flexion, abduction, twist = (Rotation.from_rotvec((angles[joint, k] * prior.axes[joint, k]).numpy()) for k in range(3))
        np.testing.assert_allclose(rotations[joint].numpy(), (flexion * abduction * twist).as_matrix(), atol=1e-6)


@pytest.mark.parametrize(
    ("finger", "axis", "coordinate", "sign"),
    [
        *((finger, 0, 1, -1) for finger in FINGERS[1:]),  # flexion: towards the palm, -y
        *((finger, 1, 2, 1) for finger in FINGERS[1:]),  # abduction: towards the thumb, +z
        ("thumb", 0, 2, -1),  # flexion: across the palm
        ("thumb", 1, 1, -1),  # abduction: out of the palm's plane
    ],
)
def test_positive_angles_move_the_tip(prior: PosePrior, finger: str, axis: int, coordinate: int, sign: int) -> None:
    hand, tip = load_hand().double(), JOINT_NAMES.index(f"{finger}4")
    angles = torch.zeros(2, 16, 3, dtype=torch.float64)
    angles[1, first_joint(finger), axis] = 0.3
    rest, bent = hand(rotations_from_angles(angles, prior.axes), torch.zeros(2, 10, dtype=torch.float64)).joints[:, tip]
    assert sign * (bent - rest)[coordinate] > 0.01


def test_gradients_are_finite_at_zero(prior: PosePrior) -> None:
    angles = torch.zeros(16, 3, dtype=torch.float64, requires_grad=True)
    again = angles_from_rotations(rotations_from_angles(angles, prior.axes), prior.axes)
    again.square().sum().backward()
    assert torch.isfinite(angles.grad).all()


def test_precision_is_the_inverse_of_the_covariance(prior: PosePrior) -> None:
    torch.testing.assert_close(prior.precision @ prior.covariance, torch.eye(len(ACTIVE_ANGLES), dtype=torch.float64), atol=1e-8, rtol=0)


def test_active_angles_land_in_their_joints(prior: PosePrior) -> None:
    active = torch.arange(1.0, 22.0, dtype=torch.float64).expand(2, 21)
    angles = prior.angles(active)
    torch.testing.assert_close(prior.active(angles), active)
    assert angles[0, first_joint("thumb")].tolist() == [17.0, 18.0, 19.0]
    assert int((angles != 0).sum()) == 2 * 21
    flexion, abduction, twist = (angles[0] != 0).T
    bases = [first_joint(finger) for finger in FINGERS]
    assert flexion.tolist() == [False] + [True] * 15
    assert sorted(bases) == abduction.nonzero().flatten().tolist()
    assert twist.nonzero().flatten().tolist() == [first_joint("thumb")]


def test_mean_lies_within_the_limits_and_clamp_reaches_them(prior: PosePrior) -> None:
    assert ((prior.mean > prior.lower) & (prior.mean < prior.upper)).all()
    torch.testing.assert_close(prior.clamp(prior.mean + 9), prior.upper)
    torch.testing.assert_close(prior.clamp(prior.mean - 9), prior.lower)
    torch.testing.assert_close(prior.clamp(prior.mean), prior.mean)


def test_distal_joints_follow_the_proximal_ones(prior: PosePrior) -> None:
    deviation = prior.covariance.diagonal().sqrt()
    correlation = prior.covariance / deviation / deviation[:, None]
    for finger in FINGERS[1:]:
        pip, dip = (ACTIVE_ANGLES.index((f"{finger}{k}", "flexion")) for k in (2, 3))
        assert correlation[pip, dip] > 0.8


def test_mean_pose_of_the_hand_file_is_the_prior_s(prior: PosePrior) -> None:
    """`hands_mean` averages axis-angles, the prior averages angles: close, as poses vary by less than a turn."""
    hand = load_hand().double()
    rotations = hand.rotations_from_axis_angle(torch.zeros(48, dtype=torch.float64), flat_hand_mean=False)
    angles = angles_from_rotations(rotations, prior.axes)
    torch.testing.assert_close(prior.active(angles), prior.mean, atol=np.deg2rad(6.0), rtol=0)
