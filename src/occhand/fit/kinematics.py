"""The hand's 21 joints and their exact derivatives, without its 778 vertices: all that a fit to joints needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from occhand.geometry.rotation import skew
from occhand.hand.hand_layer import HandLayer
from occhand.hand.prior import ACTIVE_ANGLES, AXIS_NAMES, PosePrior, rotations_from_angles
from occhand.hand.skeleton import FINGERS, MANO_JOINT_NAMES

_FINGER_JOINTS = tuple(MANO_JOINT_NAMES.index(f"{finger}{k}") for finger in FINGERS for k in (1, 2, 3))
"""MANO's index of each finger joint, in the house's order of fingers."""
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

    Inside, joints stand as finger x bone, fingers in the house order; a bone ends in its finger's MCP (CMC), PIP, DIP or tip.
    A fingertip vertex is taken to move with its last bone alone, as it does in the open hand (in a MANO file other bones carry a few
    thousandths of it). The correctives' own derivative is left out: they shift a tip by fractions of a millimetre.
    """

    def __init__(self, hand: HandLayer, prior: PosePrior) -> None:
        tips, joints = list(hand.tip_ids), list(_FINGER_JOINTS)
        directions = hand.blend_directions.unflatten(1, (3, -1)).mT[:, tips]  # 145 5 3
        rest_joints = torch.cat([hand.joint_template[None], hand.joint_directions.unflatten(1, (16, 3))])
        rest_tips = torch.cat([hand.v_template[None, tips], directions[:10]])
        points = torch.cat(
            [rest_joints[:, :1, None].expand(-1, 5, 1, 3), rest_joints[:, joints].unflatten(1, (5, 3)), rest_tips[:, :, None]], dim=2
        )
        self.bones = points.diff(dim=2).permute(1, 2, 3, 0).contiguous()
        """finger bone xyz (1, betas): rest bones as linear functions of the shape."""
        self.tip_correctives = directions[10:].flatten(1)
        self.axes = prior.axes.to(self.bones)
        self.active = [3 * joint + axis for joint, axis in zip(_ACTIVE_JOINTS, _ACTIVE_AXES, strict=True)]
        """Columns of the active angles among the 48."""

        def index(values: Iterable[int]) -> Int[Tensor, "active"]:
            return torch.tensor(list(values), device=self.bones.device)

        self._joint = index(joints.index(joint) for joint in _ACTIVE_JOINTS)
        self._axis = index(_ACTIVE_AXES)
        self._pivot = index(joints.index(joint) // 3 * 4 + joints.index(joint) % 3 for joint in _ACTIVE_JOINTS)
        target, pivot = torch.arange(20, device=self.bones.device)[:, None], self._pivot
        self._moves = ((target > pivot) & (target // 4 == pivot // 4)).to(self.bones)
        """20 joints x active: whether the angle moves the joint."""
        self._fixed = self.bones.new_zeros(1, 1, 3, NUM_PARAMETERS)
        self._fixed[..., WRIST] = torch.eye(3).to(self.bones)
        """The wrist's rows of the Jacobian."""

    def joints(self, state: HandState) -> Float[Tensor, "N 21 3"]:
        """House order, metres, camera frame."""
        wrist = state.wrist[:, None]
        return torch.cat([wrist, wrist + _shaped(self._frames(state)[1], state.betas)], dim=1)

    def linearize(self, state: HandState) -> tuple[Float[Tensor, "N 21 3"], Float[Tensor, "N 21 3 parameters"]]:
        """Joints, and their derivative by (rotation about camera axes, wrist, active angles, betas)."""
        rotations, reach = self._frames(state)
        N = len(reach)
        arm = _shaped(reach, state.betas)

        # R = R_flexion R_abduction R_twist: each axis as the rotations before it have turned it.
        flexion, abduction, twist = self.axes[list(_FINGER_JOINTS)].unbind(1)
        angle = state.angles[:, list(_FINGER_JOINTS), 0, None]
        parent, own = rotations[:, :, :3].flatten(1, 2), rotations[:, :, 1:].flatten(1, 2)
        turned = torch.stack([flexion.expand(N, -1, -1), angle.cos() * abduction + angle.sin() * twist], dim=-1)
        axes = torch.cat([parent @ turned, own @ twist[..., None]], dim=-1)
        axis = axes[:, self._joint, :, self._axis].transpose(0, 1)  # N active 3

        # axis x lever, written out: a cross product over a last dimension of 3 is several times slower.
        ax, ay, az = (axis[:, None] * self._moves[..., None]).unbind(-1)
        x, y, z = (arm[:, :, None] - arm[:, None, self._pivot]).unbind(-1)  # N 20 active
        by_angles = torch.stack([ay * z - az * y, az * x - ax * z, ax * y - ay * x], dim=2)
        by_wrist = self._fixed[..., WRIST].expand(N, 20, 3, 3)
        rows = torch.cat([-skew(arm), by_wrist, by_angles, reach[..., 1:].flatten(1, 2)], dim=-1)
        jacobian = torch.cat([self._fixed.expand(N, 1, 3, -1), rows], dim=1)
        wrist = state.wrist[:, None]
        return torch.cat([wrist, wrist + arm], dim=1), jacobian

    def _frames(self, state: HandState) -> tuple[Float[Tensor, "N 5 4 3 3"], Float[Tensor, "N 5 4 3 11"]]:
        """Rotation of each bone, and the reach from the wrist to its end as a linear function of (1, betas)."""
        local = rotations_from_angles(state.angles, self.axes)
        fingers = local[:, list(_FINGER_JOINTS)].unflatten(1, (5, 3))
        frames = [state.rotation[:, None].expand(-1, 5, 3, 3)]
        for level in range(3):
            frames.append(frames[-1] @ fingers[:, :, level])
        rotations = torch.stack(frames, dim=2)
        bones = rotations @ self.bones
        identity = torch.eye(3, dtype=local.dtype, device=local.device)
        shift = ((local[:, 1:] - identity).flatten(1) @ self.tip_correctives).unflatten(1, (5, 3))
        bones[:, :, 3, :, 0] += (rotations[:, :, 3] @ shift[..., None]).squeeze(-1)
        return rotations, bones.cumsum(dim=2)


def _shaped(reach: Float[Tensor, "N 5 4 3 11"], betas: Float[Tensor, "N 10"]) -> Float[Tensor, "N 20 3"]:
    constant, by_betas = reach[..., 0].flatten(1), reach[..., 1:].flatten(1, 3)
    return torch.baddbmm(constant[..., None], by_betas, betas[..., None]).unflatten(1, (20, 3)).squeeze(-1)
