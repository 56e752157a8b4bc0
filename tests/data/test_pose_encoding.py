"""Every meaning of 48 pose numbers is told apart by the joints beside them, and comes back as the house's."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from occhand.data.pose_encoding import HANDGCAT_V3, HANDOCCNET, HOUSE, PoseEncoding, detect_encoding, mean_poses, to_house
from occhand.data.record import DataError
from occhand.hand.hand_layer import load_hand

MIRROR = np.tile([1.0, -1.0, -1.0], 16)
HANDS = {side: load_hand("open", side) for side in ("right", "left")}
ENCODINGS = [HOUSE, HANDOCCNET, HANDGCAT_V3, PoseEncoding("opengl", "excluded")]


@pytest.fixture(scope="module")
def hands():
    """Thirty hands of both sides and of many shapes: poses in the house's form, joints, sides."""
    rng = np.random.default_rng(5)
    right = load_hand("open")
    pose = np.concatenate(
        [Rotation.random(30, random_state=3).as_rotvec(), right.hands_mean.numpy() + rng.normal(0, 0.2, (30, 45))], axis=1
    )
    rotations = right.rotations_from_axis_angle(torch.from_numpy(pose).float())
    joints = right(rotations, torch.from_numpy(rng.normal(0, 1, (30, 10))).float()).joints.double().numpy() + np.array([0.05, 0.02, 0.6])
    is_left = np.arange(30) % 3 == 0
    return (
        np.where(is_left[:, None], pose * MIRROR, pose),
        np.where(is_left[:, None, None], joints * (-1, 1, 1), joints),
        is_left,
    )


def encoded(pose, encoding, is_left):
    """The house's pose in another form, by scipy and by hand."""
    mean = load_hand("open").hands_mean.double().numpy()
    pose = pose.copy()
    if encoding.mean == "excluded":
        pose[:, 3:] -= np.where(is_left[:, None], mean * np.tile([1, -1, -1], 15), mean)
    if encoding.frame == "opengl":
        pose[:, :3] = (Rotation.from_rotvec([np.pi, 0, 0]) * Rotation.from_rotvec(pose[:, :3])).as_rotvec()
    return pose


@pytest.mark.parametrize("encoding", ENCODINGS, ids="-".join)
@pytest.mark.parametrize("named", [True, False], ids=["hand given", "open hand judges"])
def test_detected_and_brought_home(encoding, named, hands):
    pose, joints, is_left = hands
    written = encoded(pose, encoding, is_left)
    for some in (np.full(30, True), is_left):
        assert detect_encoding(written[some], joints[some], is_left[some], HANDS if named else {}) == encoding
    back = to_house(written, encoding, mean_poses(HANDS, is_left))
    turned = (Rotation.from_rotvec(back[:, :3]).inv() * Rotation.from_rotvec(pose[:, :3])).magnitude()
    assert turned.max() < 1e-6
    assert np.abs(back[:, 3:] - pose[:, 3:]).max() < 1e-6


def test_without_mano_of_a_side_a_pose_without_its_mean_is_unknown(hands):
    pose, _, is_left = hands
    means = mean_poses({"right": HANDS["right"]}, is_left)
    assert np.array_equal(np.isnan(to_house(pose, HANDOCCNET, means)).all(1), is_left)
    assert np.isfinite(to_house(pose, HANDOCCNET, means)[~is_left]).all()
    assert np.isfinite(to_house(pose, HANDGCAT_V3, means)).all()


def test_refuses_to_guess(hands):
    pose, joints, is_left = (array.copy() for array in hands)
    shuffled = np.roll(pose, 1, axis=0)
    with pytest.raises(DataError, match=r"do not tell what they mean.*opencv with the mean included"):
        detect_encoding(shuffled, joints, is_left, {})
    half_and_half = np.where(np.arange(30)[:, None] % 2 == 0, pose, encoded(pose, HANDGCAT_V3, is_left))
    with pytest.raises(DataError, match="do not tell"):
        detect_encoding(half_and_half, joints, is_left, {})
    between = pose + 0.42 * (encoded(pose, HANDOCCNET, is_left) - pose)
    with pytest.raises(DataError, match="with the mean included 19, opencv with the mean excluded 26"):
        detect_encoding(between, joints, is_left, {})
    with pytest.raises(DataError, match="no sample with both"):
        detect_encoding(np.full_like(pose, np.nan), joints, is_left, {})
    joints[:, 7] = np.nan
    with pytest.raises(DataError, match="no sample with both"):
        detect_encoding(pose, joints, is_left, {})
