"""What the 48 pose numbers of an annotation file mean: the files look alike, and nothing in the released ones says it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from occhand.data.index import Hands
from occhand.data.record import DataError
from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.skeleton import BONES
from occhand.types import SIDES

PoseFrame = Literal["opencv", "opengl"]
PoseMean = Literal["included", "excluded"]

_MIRROR = np.tile([1.0, -1.0, -1.0], 16)
"""Of axis-angle numbers: the pose of a left hand as its mirror, a right hand, has it."""
_MAX_ERROR_DEG = 20.0
"""Mean angle between bones: the right meaning gives 0 (more with another hand than was posed); a wrong mean 45, wrong axes 110."""
_MIN_RATIO = 1.5
"""By how much the second best must be worse."""
_SAMPLES = 64


class PoseEncoding(NamedTuple):
    """The axes of the root rotation, and whether the hand model's mean pose is in the 45 finger numbers (`flat_hand_mean=True`)."""

    frame: PoseFrame
    mean: PoseMean


HOUSE = PoseEncoding("opencv", "included")
HANDOCCNET = PoseEncoding("opencv", "excluded")
"""Of the files that HandOccNet's page links to, HO-3D v2 and DexYCB."""
HANDGCAT_V3 = PoseEncoding("opengl", "included")
"""Of what HandGCAT's script makes for HO-3D v3: joints in OpenCV's axes, the root rotation left in OpenGL's."""
_CANDIDATES = (HOUSE, HANDOCCNET, HANDGCAT_V3, PoseEncoding("opengl", "excluded"))


def mean_poses(hands: Hands, is_left: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n 45"]:
    """The mean pose of each hand's own model, radians; NaN where the user gave no model of that side."""
    known = {side: layer.hands_mean.double().cpu().numpy() for side, layer in hands.items()}
    right, left = (known.get(side, np.full(45, np.nan)) for side in SIDES)
    return np.where(is_left[:, None], left, right)


def to_house(pose: Float[np.ndarray, "n 48"], encoding: PoseEncoding, means: Float[np.ndarray, "n 45"]) -> Float[np.ndarray, "n 48"]:
    """Poses as `HandSample` has them: OpenCV axes, mean included.

    Args:
        pose: Axis-angle, radians, encoded.
        encoding: How.
        means: What was taken out of each where `encoding` says so; a pose whose mean is NaN becomes NaN, root and all.
    """
    house = pose.astype(np.float64)
    if encoding.frame == "opengl":
        house[:, :3] = _flipped_roots(house[:, :3])
    if encoding.mean == "excluded":
        house[:, 3:] += means
        house[np.isnan(means).any(1)] = np.nan
    return house


def detect_encoding(
    pose: Float[np.ndarray, "n 48"], joints_cam: Float[np.ndarray, "n 21 3"], is_left: Bool[np.ndarray, "n"], hands: Hands
) -> PoseEncoding:
    """The encoding whose posed hand points its bones where the annotated joints are.

    Directions of bones depend little on the shape of a hand, so the open hand can judge where there is no MANO.

    Args:
        pose: Axis-angle, radians; rows that are not finite are passed over.
        joints_cam: Metres, OpenCV axes, house order.
        is_left: Which are left hands.
        hands: The user's MANO by side; the open hand stands in where there is no right one.

    Raises:
        DataError: Nothing to compare, no encoding agrees, or two agree about as well.
    """
    known = np.flatnonzero(np.isfinite(pose).all(1) & np.isfinite(joints_cam).all((1, 2)))
    if not len(known):
        raise DataError("no sample with both pose and joints, so that nothing tells what the pose means.")
    chosen = known[np.linspace(0, len(known) - 1, min(len(known), _SAMPLES)).astype(int)]
    is_left = is_left[chosen, None]
    as_right = np.where(is_left, pose[chosen] * _MIRROR, pose[chosen])
    joints_as_right = joints_cam[chosen] * np.where(is_left[..., None], (-1.0, 1.0, 1.0), 1.0)
    judge = hands.get("right") or load_hand("open")
    means = np.tile(judge.hands_mean.double().cpu().numpy(), (len(chosen), 1))
    errors = {encoding: _bone_error_deg(to_house(as_right, encoding, means), joints_as_right, judge) for encoding in _CANDIDATES}
    best, second, *_ = sorted(errors, key=lambda encoding: errors[encoding])
    if errors[best] > _MAX_ERROR_DEG or errors[second] < _MIN_RATIO * errors[best]:
        found = ", ".join(f"{frame} with the mean {mean} {error:.0f}" for (frame, mean), error in errors.items())
        raise DataError(f"the pose numbers do not tell what they mean: angle between posed and annotated bones in degrees: {found}.")
    return best


def _bone_error_deg(pose: Float[np.ndarray, "n 48"], joints_cam: Float[np.ndarray, "n 21 3"], hand: HandLayer) -> float:
    """Median over hands of the mean angle between the bones of the posed hand and of the joints."""
    with torch.no_grad():
        rotations = hand.rotations_from_axis_angle(torch.from_numpy(pose).to(hand.v_template))
        posed = hand(rotations, hand.v_template.new_zeros(len(pose), 10)).joints.cpu().numpy()
    cosine = (_bones(posed) * _bones(joints_cam)).sum(-1).clip(-1, 1)
    return float(np.median(np.rad2deg(np.arccos(cosine)).mean(1)))


def _bones(joints: np.ndarray) -> np.ndarray:
    """Unit vectors, (n, 20, 3); a bone without length points nowhere, at 90 degrees to all."""
    parents, children = np.array(BONES).T
    bones = joints[:, children] - joints[:, parents]
    return bones / np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1e-9)


def _flipped_roots(roots: np.ndarray) -> np.ndarray:
    """Root rotations with y and z of the camera turned round: OpenGL's axes to OpenCV's, and back."""
    flip = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    return matrix_to_axis_angle(flip[:, None] * axis_angle_to_matrix(torch.from_numpy(roots))).numpy()
