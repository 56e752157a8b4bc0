"""The hand layer: pose and shape in, vertices and joints out. One layer for the open hand and for MANO."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.hand.assets import load_parameters
from occhand.hand.kinematics import chain_transforms
from occhand.hand.parameters import HandParameters
from occhand.hand.skeleton import FINGERS, JOINT_NAMES, MANO_FINGERS, MANO_JOINT_NAMES, TipSet, tip_vertices
from occhand.types import SIDES, Side


class PosedHand(NamedTuple):
    """A posed hand in the layer's frame: the model's rest frame, turned by the root rotation about the wrist; metres."""

    vertices: Float[Tensor, "*batch 778 3"]
    joints: Float[Tensor, "*batch 21 3"]
    """House order; tips are vertices."""
    transforms: Float[Tensor, "*batch 16 4 4"]
    """Global transform of each MANO joint; the translation is the posed joint. The rest pose is not removed."""


class PosedSkeleton(NamedTuple):
    """A posed hand's joints without its mesh, in the same frame."""

    joints: Float[Tensor, "*batch 21 3"]
    """House order, metres."""
    centres: Float[Tensor, "*batch 16 3"]
    """About which MANO's joints turn, metres."""
    rotations: Float[Tensor, "*batch 16 3 3"]
    """Of MANO's joints, not relative to their parents."""

    def centred(self) -> PosedSkeleton:
        """Moved so that the 21 joints' mean is the origin."""
        middle = self.joints.mean(-2, keepdim=True)
        return self._replace(joints=self.joints - middle, centres=self.centres - middle)


_TIP_OF_DIGIT = [FINGERS.index(finger) for finger in MANO_FINGERS]
_CHAIN_NAMES = (*MANO_JOINT_NAMES, *(f"{finger}4" for finger in MANO_FINGERS))
_HOUSE_FROM_CHAIN = [_CHAIN_NAMES.index(name) for name in JOINT_NAMES]
"""From MANO's joints and then tips, digits in MANO's order."""


class HandLayer(nn.Module):
    """MANO's function (Romero et al., SIGGRAPH Asia 2017): shape and pose blend shapes, then linear blend skinning.

    Differentiable and batched over any leading dimensions. The wrist sits at the joint regressor's place for the shape; nothing is centred.
    Move it to float64 with `.double()`, to a device with `.to(device)`.

    Args:
        parameters: The hand.
        tip_set: Which published list of fingertip vertices the 21 joints use.
    """

    v_template: Tensor
    blend_directions: Tensor
    skin_weights: Tensor
    J_regressor: Tensor
    joint_template: Tensor
    joint_directions: Tensor
    hands_mean: Tensor
    hands_components: Tensor
    tip_template: Tensor
    tip_directions: Tensor
    tip_index: Tensor
    house_from_chain: Tensor
    faces: Tensor

    def __init__(self, parameters: HandParameters, tip_set: TipSet = "manopth") -> None:
        super().__init__()
        self.side, self.name, self.tip_set = parameters.side, parameters.name, tip_set
        self.tip_ids = tip_vertices(tip_set, parameters.side)

        def buffer(name: str, array: np.ndarray) -> None:
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)), persistent=False)

        # One product gives shape and pose blend shapes: rows are 10 betas, then 135 pose features; columns are all x, all y, all z.
        # Skinning goes column by column over such planes: transforms for all vertices at once would not fit the processor's cache.
        blend = np.concatenate([parameters.shapedirs, parameters.posedirs], axis=2)
        buffer("v_template", parameters.v_template)
        buffer("blend_directions", blend.transpose(2, 1, 0).reshape(145, -1))
        buffer("skin_weights", parameters.weights.T)
        buffer("J_regressor", parameters.J_regressor)
        buffer("joint_template", parameters.J_regressor @ parameters.v_template)
        buffer("joint_directions", np.einsum("jv,vck->kjc", parameters.J_regressor, parameters.shapedirs).reshape(10, -1))
        buffer("hands_mean", parameters.hands_mean)
        buffer("hands_components", parameters.hands_components)
        # Tips follow MANO's order of digits here, so that each stands beside its last joint.
        tips = np.array(self.tip_ids)[_TIP_OF_DIGIT]
        buffer("tip_template", parameters.v_template[tips])
        buffer("tip_directions", parameters.shapedirs[tips].transpose(2, 0, 1).reshape(10, -1))
        self.register_buffer("tip_index", torch.from_numpy(tips), persistent=False)
        self.register_buffer("house_from_chain", torch.tensor(_HOUSE_FROM_CHAIN), persistent=False)
        self.register_buffer("faces", torch.from_numpy(parameters.faces.astype(np.int64)), persistent=False)

    def rest_joints(self, betas: Float[Tensor, "*batch 10"]) -> Float[Tensor, "*batch 16 3"]:
        """MANO's 16 joints of the shaped hand at rest, metres."""
        return self.joint_template + (betas @ self.joint_directions).unflatten(-1, (16, 3))

    def rotations_from_axis_angle(self, pose: Float[Tensor, "*batch 48"], flat_hand_mean: bool = True) -> Float[Tensor, "*batch 16 3 3"]:
        """Joint rotations of a 48-number pose, root first.

        Args:
            pose: Axis-angle per MANO joint, radians.
            flat_hand_mean: True: zero is the flat rest pose (HandGCAT, HO-3D). False: the 45 finger numbers are relative to the mean
                pose, which is added before Rodrigues (HandOccNet, FreiHAND).
        """
        if not flat_hand_mean:
            pose = torch.cat([pose[..., :3], pose[..., 3:] + self.hands_mean], dim=-1)
        return axis_angle_to_matrix(pose.unflatten(-1, (16, 3)))

    def rotations_from_pca(
        self, global_orient: Float[Tensor, "*batch 3"], coefficients: Float[Tensor, "*batch components"], flat_hand_mean: bool = False
    ) -> Float[Tensor, "*batch 16 3 3"]:
        """Joint rotations of a root axis-angle and the first principal pose coefficients (DexYCB: all 45, mean excluded)."""
        fingers = coefficients @ self.hands_components[: coefficients.shape[-1]]
        return self.rotations_from_axis_angle(torch.cat([global_orient, fingers], dim=-1), flat_hand_mean)

    def forward(self, rotations: Float[Tensor, "*batch 16 3 3"], betas: Float[Tensor, "*batch 10"]) -> PosedHand:
        """Pose the hand.

        Args:
            rotations: Of each MANO joint relative to its parent; the root first.
            betas: Shape, standard deviations of the model's components.
        """
        batch = rotations.shape[:-3]
        rotations, betas = rotations.reshape(-1, 16, 3, 3), betas.reshape(-1, 10)
        rest = self.rest_joints(betas)
        R, t = chain_transforms(rotations, rest)

        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        features = torch.cat([betas, (rotations[:, 1:] - identity).flatten(1)], dim=1)
        shaped = torch.addmm(self.v_template.mT.flatten(), features, self.blend_directions).unflatten(1, (3, -1))  # B 3 778

        # Skinning moves rest vertices: take the rest joint out of each transform first.
        offset = t - (R @ rest[..., None]).squeeze(-1)
        planes = self._blend_over_vertices(offset)
        for axis in range(3):
            planes.addcmul_(self._blend_over_vertices(R[..., axis]), shaped[:, axis, None])  # in place: the fresh product is ours
        vertices = planes.mT

        joints = torch.cat([t, vertices.index_select(1, self.tip_index)], dim=1).index_select(1, self.house_from_chain)
        vertices = vertices.reshape(*batch, *vertices.shape[1:])  # of no hands too
        return PosedHand(vertices, joints.reshape(*batch, 21, 3), _homogeneous(R, t).reshape(*batch, 16, 4, 4))

    def skeleton(self, rotations: Float[Tensor, "*batch 16 3 3"], betas: Float[Tensor, "*batch 10"]) -> PosedSkeleton:
        """Pose the joints alone, at a tenth of the cost.

        Fingertips go with their last bone, without pose blend shapes: on the open hand, which has none there, they are `forward`'s.
        """
        rest = self.rest_joints(betas)
        R, t = chain_transforms(rotations, rest)
        tips = self.tip_template + (betas @ self.tip_directions).unflatten(-1, (5, 3))
        bones, digits_R, digits_t = tips - rest[..., 3::3, :], R[..., 3::3, :, :], t[..., 3::3, :]
        posed_tips = (digits_R @ bones[..., None]).squeeze(-1) + digits_t
        return PosedSkeleton(torch.cat([t, posed_tips], dim=-2).index_select(-2, self.house_from_chain), t, R)

    def _blend_over_vertices(self, column: Float[Tensor, "B 16 3"]) -> Float[Tensor, "B 3 778"]:
        """One column of the joints' transforms, mixed by the skin weights of each vertex."""
        return (column.mT.reshape(-1, 16) @ self.skin_weights).unflatten(0, (-1, 3))


def _homogeneous(R: Float[Tensor, "B 16 3 3"], t: Float[Tensor, "B 16 3"]) -> Float[Tensor, "B 16 4 4"]:
    top = torch.cat([R, t[..., None]], dim=-1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*top.shape[:2], 1, 4)
    return torch.cat([top, bottom], dim=-2)


def load_hand(hand: str | os.PathLike[str] = "open", side: Side = "right", tip_set: TipSet = "manopth") -> HandLayer:
    """A hand layer by name or file.

    Args:
        hand: `open` (ours), `mano` (converted before), a MANO `.pkl` or an `.npz` of ours.
        side: `right` or `left`.
        tip_set: Which published list of fingertip vertices the 21 joints use.

    Example:
        >>> hand = load_hand("open")
        >>> posed = hand(hand.rotations_from_axis_angle(torch.zeros(1, 48)), torch.zeros(1, 10))
        >>> posed.vertices.shape
        torch.Size([1, 778, 3])

    Raises:
        FileNotFoundError: No such file, or MANO was not converted yet.
        ValueError: Unknown name, side or tip set; a broken file; a file of the other side.
    """
    return HandLayer(load_parameters(hand, side), tip_set)


def load_hand_named_in(path: str | os.PathLike[str], name: str) -> HandLayer:
    """The hand that a file of weights names: as a name the file's word is enough, as a path it is not.

    Raises:
        FileNotFoundError: It names MANO, and MANO was not converted yet.
        ValueError: Any other name.
    """
    if name not in ("open", "mano"):
        raise ValueError(f"{path} names the hand {name!r}; open and mano are known by name. Give the hand (--hand FILE).")
    return load_hand(name)


def converted_mano() -> tuple[HandLayer, ...]:
    """The user's MANO hands, of the sides that 'occhand convert mano' has kept: none, one or both."""
    layers = []
    for side in SIDES:
        with suppress(FileNotFoundError):
            layers.append(load_hand("mano", side))
    return tuple(layers)
