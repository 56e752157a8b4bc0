"""The hand's 21 joints and their exact derivatives, without its 778 vertices: all that a fit to joints needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from occhand.geometry.rotation import skew
from occhand.hand.hand_layer import HandLayer
from occhand.hand.prior import ACTIVE_ANGLES, AXIS_NAMES, PosePrior
from occhand.hand.skeleton import FINGERS, MANO_JOINT_NAMES

_FINGER_JOINTS = np.array([MANO_JOINT_NAMES.index(f"{finger}{k}") for k in (1, 2, 3) for finger in FINGERS])
"""MANO's index of each finger joint: level by level, fingers in the house's order."""
_ACTIVE_JOINTS = tuple(MANO_JOINT_NAMES.index(joint) for joint, _ in ACTIVE_ANGLES)
_ACTIVE_AXES = tuple(AXIS_NAMES.index(axis) for _, axis in ACTIVE_ANGLES)

NUM_ACTIVE = len(ACTIVE_ANGLES)
NUM_PARAMETERS = 3 + 3 + NUM_ACTIVE + 10
ROTATION, WRIST, ANGLES, BETAS = slice(0, 3), slice(3, 6), slice(6, 6 + NUM_ACTIVE), slice(6 + NUM_ACTIVE, NUM_PARAMETERS)
"""Where each group of parameters stands in a step and in a Jacobian's columns."""


class HandState(NamedTuple):
    """What a fit moves."""

    rotation: Float[Tensor, "*batch 3 3"]
    """Of the whole hand: camera frame from the hand's rest frame."""
    wrist: Float[Tensor, "*batch 3"]
    """Metres, camera frame."""
    angles: Float[Tensor, "*batch 16 3"]
    """Anatomical, radians; only the active ones move."""
    betas: Float[Tensor, "*batch 10"]

    def select(self, index: Tensor) -> HandState:
        """Rows of a state with one batch dimension."""
        return HandState(*(field[index] for field in self))


class JointChain:
    """Forward kinematics of the 21 joints, with fingertips as the layer has them, pose correctives included.

    Inside, joints stand as bone x finger, fingers in the house order; a bone ends in its finger's MCP (CMC), PIP, DIP or tip.
    A fingertip vertex is taken to move with its last bone alone, as it does in the open hand (in a MANO file other bones carry a few
    thousandths of it). The correctives' own derivative is left out: they shift a tip by fractions of a millimetre.

    One hand is most of what a user waits for, and there each call into PyTorch costs more than its arithmetic. So finger joints, or
    bones, come first and hands second, and whatever many of them need is one product.
    """

    def __init__(self, hand: HandLayer, prior: PosePrior) -> None:
        tips, joints = list(hand.tip_ids), _FINGER_JOINTS.tolist()
        directions = hand.blend_directions.unflatten(1, (3, -1)).mT[:, tips]  # 145 5 3
        rest_joints = torch.cat([hand.joint_template[None], hand.joint_directions.unflatten(1, (16, 3))])
        rest_tips = torch.cat([hand.v_template[None, tips], directions[:10]])
        points = torch.cat(
            [rest_joints[:, :1, None].expand(-1, 1, 5, 3), rest_joints[:, joints].unflatten(1, (3, 5)), rest_tips[:, None]], dim=1
        )
        axes = prior.axes.to(points)[joints]  # 15 axis xyz
        across = skew(axes.transpose(0, 1).flatten(0, 1))  # 45 3 3
        along = across @ across

        def index(values: np.ndarray) -> Int[Tensor, "_"]:
            return torch.from_numpy(values).to(points.device)

        self.bones = points.diff(dim=1).permute(1, 2, 3, 0).flatten(0, 1)
        """20 bones xyz (1, betas): at rest, as linear functions of the shape."""
        # A turn by a about an axis with cross product S: I + sin(a) S + (1 - cos(a)) S S.
        self._turn = torch.eye(3).to(points) + along, across[:, None], -along[:, None]
        self._angle = index((3 * _FINGER_JOINTS + np.arange(3)[:, None]).ravel())
        """Columns of the fingers' angles among the 48: axis x joint."""
        self._axes = axes[..., None].unbind(1)
        by_pose = directions[10:].unflatten(0, (15, 9))[_FINGER_JOINTS - 1].flatten(0, 1).flatten(1)
        self._tip_correctives = -by_pose.unflatten(0, (15, 9))[:, ::4].sum((0, 1)), by_pose
        """Of the identity, and of each entry of the finger joints' rotations."""
        self._crossed = -skew(torch.eye(3).to(points)).flatten(1)
        """Takes a vector to minus the matrix of its cross product."""

        joint, axis = (np.array(values) for values in (_ACTIVE_JOINTS, _ACTIVE_AXES))
        place = np.argmax(joint[:, None] == _FINGER_JOINTS, axis=1)  # level x finger
        pivot = 4 * (place % 5) + place // 5  # finger x bone: the joint is where that bone ends
        target = np.arange(20)[:, None]
        self.active = index(3 * joint + axis)
        """Columns of the active angles among the 48."""
        self._active_axis = index(3 * place + axis)
        self._pivot_entry = index(((3 * pivot + np.arange(3)[:, None]) * NUM_ACTIVE + np.arange(NUM_ACTIVE)).ravel())
        self._moves = torch.from_numpy((target > pivot) & (target // 4 == pivot // 4)).to(points)[:, None]
        """20 joints x 1 x active: whether the angle moves the joint."""
        self._fixed = points.new_zeros(1, 1, 3, NUM_PARAMETERS)
        self._fixed[..., WRIST] = torch.eye(3).to(points)
        """The wrist's rows of the Jacobian."""

    def joints(self, state: HandState) -> Float[Tensor, "N 21 3"]:
        """House order, metres, camera frame."""
        return _from_wrist(state, _shaped(self._pose(state).reach, state.betas))

    def linearize(self, state: HandState) -> tuple[Float[Tensor, "N 21 3"], Float[Tensor, "N 21 3 parameters"]]:
        """Joints, and their derivative by (rotation about camera axes, wrist, active angles, betas)."""
        pose = self._pose(state)
        N = len(state.wrist)
        arm = _shaped(pose.reach, state.betas)

        # R = R_flexion R_abduction R_twist: each axis as the rotations before it have turned it.
        flexion, abduction, twist = self._axes
        flexion = flexion[:, None].expand(-1, N, -1, -1).reshape(15 * N, 3, 1)
        turned = torch.cat([flexion, _each(pose.flexed, abduction), _each(pose.abducted, twist)], dim=-1)
        axes = torch.bmm(pose.frames[: 15 * N], turned)
        axes = axes.view(15, N, 3, 3).permute(1, 2, 0, 3).reshape(N, 3, 45).index_select(2, self._active_axis)

        # A joint moves by axis x (joint - pivot).
        crossed = (arm.flatten(0, 1) @ self._crossed).view(N, 60, 3)
        by_axis = torch.bmm(crossed, axes)
        of_pivot = by_axis.flatten(1).index_select(1, self._pivot_entry).view(N, 1, 3, NUM_ACTIVE)
        by_angles = (by_axis.view(N, 20, 3, NUM_ACTIVE) - of_pivot) * self._moves
        by_wrist = self._fixed[..., WRIST].expand(N, 20, 3, 3)
        rows = torch.cat([crossed.view(N, 20, 3, 3), by_wrist, by_angles, pose.reach[:, :, 1:].view(N, 20, 3, 10)], dim=-1)
        return _from_wrist(state, arm), torch.cat([self._fixed.expand(N, 1, 3, NUM_PARAMETERS), rows], dim=1)

    def _pose(self, state: HandState) -> _Pose:
        N = len(state.wrist)
        angle = state.angles.flatten(1).index_select(1, self._angle).mT.contiguous()[..., None, None]  # axis x joint, then N
        still, across, along = self._turn
        turns = torch.addcmul(torch.addcmul(still[:, None], angle.sin(), across), angle.cos(), along)
        flexed, second, third = turns.view(3, 15 * N, 3, 3)
        abducted = torch.bmm(flexed, second)
        local = torch.bmm(abducted, third)

        frames = [state.rotation.expand(5, -1, -1, -1).reshape(5 * N, 3, 3)]
        for level in local.view(3, 5 * N, 3, 3):
            frames.append(torch.bmm(frames[-1], level))
        rotations = torch.cat(frames)
        reach = _each(rotations, self.bones).view(4, 5, N, 3, 11)
        at_rest, by_pose = self._tip_correctives
        shift = torch.addmm(at_rest, local.view(15, N, 9).transpose(0, 1).reshape(N, 135), by_pose).view(N, 5, 3).transpose(0, 1)
        reach[3, ..., 0] += torch.bmm(frames[3], shift.reshape(5 * N, 3, 1)).view(5, N, 3)
        return _Pose(flexed, abducted, rotations, reach.cumsum(0).permute(2, 1, 0, 3, 4).reshape(N, 60, 11))


class _Pose(NamedTuple):
    """What forward kinematics leaves behind; `hands` counts the hands."""

    flexed: Float[Tensor, "_ 3 3"]
    """Of each finger joint, level x finger x hand: its turn by flexion."""
    abducted: Float[Tensor, "_ 3 3"]
    """Then by abduction."""
    frames: Float[Tensor, "_ 3 3"]
    """Rotation of each bone, bone x finger x hand, in the camera frame; the first three bones are finger joints' parents."""
    reach: Float[Tensor, "hands 60 11"]
    """From the wrist to each joint, finger x bone x xyz, as a linear function of (1, betas)."""


def _each(matrices: Float[Tensor, "_ 3 3"], vectors: Float[Tensor, "rows 3 columns"]) -> Float[Tensor, "_ 3 columns"]:
    """Products with columns that all hands share."""
    rows, _, columns = vectors.shape
    return torch.bmm(matrices.reshape(rows, -1, 3), vectors).view(-1, 3, columns)


def _shaped(reach: Float[Tensor, "N 60 11"], betas: Float[Tensor, "N 10"]) -> Float[Tensor, "N 20 3"]:
    return torch.baddbmm(reach[..., :1], reach[..., 1:], betas[..., None]).view(-1, 20, 3)


def _from_wrist(state: HandState, arm: Float[Tensor, "N 20 3"]) -> Float[Tensor, "N 21 3"]:
    wrist = state.wrist[:, None]
    return torch.cat([wrist, wrist + arm], dim=1)
