"""The hand's 21 joints and their exact derivatives, without its 778 vertices: all that a fit to joints needs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from occhand.hand.hand_layer import HandLayer
from occhand.hand.prior import ACTIVE_ANGLES, AXIS_NAMES, PosePrior, rotations_from_angles
from occhand.hand.skeleton import FINGERS, MANO_FINGERS, MANO_JOINT_NAMES

_HOUSE_FINGERS = tuple(MANO_FINGERS.index(finger) for finger in FINGERS)
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

    A fingertip vertex is taken to move with its last bone alone, as it does in the open hand (in a MANO file other bones carry a few
    thousandths of it). The correctives' own derivative is left out: they shift a tip by fractions of a millimetre.
    """

    def __init__(self, hand: HandLayer, prior: PosePrior) -> None:
        tips = list(hand.tip_ids)
        shapes = hand.blend_directions[:10].unflatten(1, (3, -1)).mT
        template = torch.cat([hand.joint_template[None], hand.joint_directions.unflatten(1, (16, 3))])  # 11 16 3
        tip_template = torch.cat([hand.v_template[None, tips], shapes[:, tips]])
        fingers = template[:, 1:].unflatten(1, (5, 3))
        tip_template = tip_template[:, [FINGERS.index(finger) for finger in MANO_FINGERS], None]
        wrist = template[:, :1, None].expand(-1, 5, 1, 3)
        points = torch.cat([wrist, fingers, tip_template], dim=2)
        self.bones = points.diff(dim=2).permute(1, 2, 3, 0).contiguous()  # finger(MANO) bone xyz (1 + betas)
        self.axes = prior.axes.to(self.bones)
        self.active = [3 * joint + axis for joint, axis in zip(_ACTIVE_JOINTS, _ACTIVE_AXES, strict=True)]
        correctives = hand.blend_directions[10:].unflatten(1, (3, -1)).mT[:, tips]
        self.tip_correctives = correctives[:, [FINGERS.index(finger) for finger in MANO_FINGERS]].flatten(1)  # 135 15

        finger = torch.tensor(_ACTIVE_JOINTS, device=self.bones.device).sub(1).div(3, rounding_mode="floor")
        level = (torch.tensor(_ACTIVE_JOINTS, device=self.bones.device) - 1) % 3
        moves = torch.zeros(NUM_ACTIVE, 5, 4, dtype=self.bones.dtype, device=self.bones.device)
        for row, (f, at) in enumerate(zip(finger.tolist(), level.tolist(), strict=True)):
            moves[row, f, at + 1 :] = 1
        self.moves = moves[:, list(_HOUSE_FINGERS)].flatten(1)  # active 20
        self.pivot = finger * 4 + level  # of MANO-ordered fingers
        self.active_axis = torch.tensor(_ACTIVE_AXES, device=self.bones.device)
        self.active_level = finger * 3 + level

    def _frames(self, state: HandState) -> tuple[Float[Tensor, "N 5 4 3 3"], Float[Tensor, "N 5 4 3 11"]]:
        """Rotation of the wrist and the three joints of each finger, and joints from the wrist as linear functions of (1, betas)."""
        local = rotations_from_angles(state.angles, self.axes)
        fingers = local[:, 1:].unflatten(1, (5, 3))
        frames = [state.rotation[:, None].expand(-1, 5, 3, 3)]
        for level in range(3):
            frames.append(frames[-1] @ fingers[:, :, level])
        rotations = torch.stack(frames, dim=2)
        bones = rotations @ self.bones
        identity = torch.eye(3, dtype=local.dtype, device=local.device)
        shift = ((local[:, 1:] - identity).flatten(1) @ self.tip_correctives).unflatten(1, (5, 3))
        bones[:, :, 3, :, 0] += (rotations[:, :, 3] @ shift[..., None]).squeeze(-1)
        return rotations, bones.cumsum(dim=2)

    def joints(self, state: HandState) -> Float[Tensor, "N 21 3"]:
        """House order, metres, camera frame."""
        _, reach = self._frames(state)
        joints = reach[..., 0] + (reach[..., 1:] @ state.betas[:, None, None, :, None]).squeeze(-1)
        return torch.cat([state.wrist[:, None], state.wrist[:, None] + joints[:, list(_HOUSE_FINGERS)].flatten(1, 2)], dim=1)

    def linearize(self, state: HandState) -> tuple[Float[Tensor, "N 21 3"], Float[Tensor, "N 21 3 parameters"]]:
        """Joints, and their derivative by (rotation about camera axes, wrist, active angles, betas)."""
        rotations, reach = self._frames(state)
        N = len(reach)
        by_betas = reach[..., 1:]
        arm = reach[..., 0] + (by_betas @ state.betas[:, None, None, :, None]).squeeze(-1)  # N 5 4 3, from the wrist

        # R = R_flexion R_abduction R_twist: each axis as the rotations before it have turned it.
        sine, cosine = state.angles[:, 1:, 0, None].sin(), state.angles[:, 1:, 0, None].cos()
        flexion, abduction, twist = self.axes[1:].unbind(1)
        parent, own = rotations[:, :, :3].flatten(1, 2), rotations[:, :, 1:].flatten(1, 2)
        turned = torch.stack([flexion.expand(N, -1, -1), cosine * abduction + sine * twist], dim=-1)
        axis = torch.cat([parent @ turned, own @ twist[..., None]], dim=-1)  # N 15 3 axes
        axis = axis[:, self.active_level, :, self.active_axis].transpose(0, 1)  # N active 3

        house = arm[:, list(_HOUSE_FINGERS)].flatten(1, 2)  # N 20 3
        pivot = arm.flatten(1, 2)[:, self.pivot]
        lever = house[:, None] - pivot[:, :, None]  # N active 20 3
        by_angles = torch.linalg.cross(axis[:, :, None].expand_as(lever), lever) * self.moves[..., None]

        jacobian = house.new_zeros(N, 21, 3, NUM_PARAMETERS)
        x, y, z = house.unbind(-1)
        jacobian[:, 1:, 1, 0], jacobian[:, 1:, 2, 0] = -z, y
        jacobian[:, 1:, 0, 1], jacobian[:, 1:, 2, 1] = z, -x
        jacobian[:, 1:, 0, 2], jacobian[:, 1:, 1, 2] = -y, x
        jacobian[..., WRIST] = torch.eye(3, dtype=house.dtype, device=house.device)
        jacobian[:, 1:, :, ANGLES] = by_angles.permute(0, 2, 3, 1)
        jacobian[:, 1:, :, BETAS] = by_betas[:, list(_HOUSE_FINGERS)].flatten(1, 2)
        joints = torch.cat([state.wrist[:, None], state.wrist[:, None] + house], dim=1)
        return joints, jacobian
