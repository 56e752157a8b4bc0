from __future__ import annotations

import numpy as np
import pytest
import torch

from occhand.fit.kinematics import ANGLES, BETAS, NUM_PARAMETERS, ROTATION, WRIST, HandState, JointChain
from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.prior import PosePrior, angles_from_rotations, load_prior, rotations_from_angles
from tests.fit.conftest import SeenHands


@pytest.fixture(scope="module")
def hand64() -> HandLayer:
    return load_hand().double()


@pytest.fixture(scope="module")
def prior64() -> PosePrior:
    return load_prior(torch.float64)


@pytest.fixture(scope="module")
def state(seen: SeenHands, prior64: PosePrior) -> HandState:
    rotations = seen.rotations[:4].double()
    angles = angles_from_rotations(rotations, prior64.axes)
    angles[:, 0] = 0
    # Passive angles too, as a network's hand has them.
    angles[:, 1:] += 0.05 * torch.from_numpy(np.random.default_rng(0).standard_normal((4, 15, 3)))
    return HandState(rotations[:, 0], seen.joints[:4, 0].double(), angles, seen.betas[:4].double())


def layer_joints(hand: HandLayer, prior: PosePrior, state: HandState) -> torch.Tensor:
    rotations = rotations_from_angles(state.angles, prior.axes)
    rotations = torch.cat([state.rotation[:, None], rotations[:, 1:]], dim=1)
    joints = hand(rotations, state.betas).joints
    return joints - joints[:, :1] + state.wrist[:, None]


def test_joints_are_the_layers(hand64: HandLayer, prior64: PosePrior, state: HandState) -> None:
    chain = JointChain(hand64, prior64)
    expected = layer_joints(hand64, prior64, state)
    torch.testing.assert_close(chain.joints(state), expected)
    torch.testing.assert_close(chain.linearize(state)[0], expected)


def test_jacobian_is_the_layers_derivative(hand64: HandLayer, prior64: PosePrior, state: HandState) -> None:
    chain = JointChain(hand64, prior64)
    _, jacobian = chain.linearize(state)

    def moved(step: torch.Tensor) -> torch.Tensor:
        angles = state.angles.flatten(1).clone()
        angles[:, chain.active] += step[ANGLES]
        turn = axis_angle_to_matrix(step[ROTATION])
        there = HandState(turn @ state.rotation, state.wrist + step[WRIST], angles.view_as(state.angles), state.betas + step[BETAS])
        return layer_joints(hand64, prior64, there)

    by_layer = torch.autograd.functional.jacobian(moved, torch.zeros(NUM_PARAMETERS, dtype=torch.float64))
    # Pose correctives of the fingertips are left out of the derivative, not of the joints: well under a millimetre per radian.
    torch.testing.assert_close(jacobian, by_layer, atol=1e-3, rtol=0)
    torch.testing.assert_close(jacobian[..., BETAS], by_layer[..., BETAS])
    torch.testing.assert_close(jacobian[..., ROTATION], by_layer[..., ROTATION])
