"""What hides a joint, by hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from occhand.hand.skeleton import HOUSE_FROM_HO3D, JOINT_NAMES, tip_vertices
from occhand.synth.hand_surface import load_surface
from occhand.synth.visibility import HAND_LABEL, first_crossings, flesh_depth

K = np.array([[400.0, 0.0, 64.0], [0.0, 400.0, 64.0], [0.0, 0.0, 1.0]])


def flat_hand(R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fine vertices and joints (house order) of the flat hand half a metre away."""
    surface = load_surface()
    vertices, joints = surface.pose(np.tile(np.eye(3), (16, 1, 1)), np.zeros(10))
    house = np.concatenate([joints, vertices[list(tip_vertices())]])[list(HOUSE_FROM_HO3D)]
    t = np.array([0.0, 0.0, 0.5])
    return surface.subdivision.refine(vertices) @ R.T + t, house @ R.T + t


def hidden_joints(R: np.ndarray, occluder: trimesh.Trimesh | None = None) -> tuple[set[str], set[str]]:
    vertices, joints = flat_hand(R)
    faces = load_surface().subdivision.faces
    labels = np.full(len(faces), HAND_LABEL, dtype=np.uint8)
    if occluder is not None:
        faces = np.concatenate([faces, np.asarray(occluder.faces) + len(vertices)])
        vertices = np.concatenate([vertices, occluder.vertices])
        labels = np.concatenate([labels, np.full(len(occluder.faces), 2, dtype=np.uint8)])
    by_hand, by_other = first_crossings(joints, np.full(21, -1), vertices, faces, labels, K)
    names = np.array(JOINT_NAMES)
    return set(names[by_hand < joints[:, 2] - flesh_depth()]), set(names[by_other < joints[:, 2]])


FROM_THE_BACK = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Dorsal side (+y) towards the camera (-z)."""
FINGERS_FIRST = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
"""Fingers (-x) towards the camera."""


@pytest.mark.parametrize("R", [FROM_THE_BACK, np.diag([1.0, -1.0, -1.0]) @ FROM_THE_BACK], ids=["back", "palm"])
def test_a_flat_hand_hides_none_of_its_joints(R):
    assert hidden_joints(R) == (set(), set())


def test_fingers_that_point_at_the_camera_hide_their_knuckles():
    by_self, by_other = hidden_joints(FINGERS_FIRST)
    assert {"wrist", "index1", "middle1", "ring1"} <= by_self
    assert not {"index4", "middle4"} & by_self
    assert by_other == set()


def test_a_ball_in_front_hides_what_is_behind_it_and_nothing_else():
    _, joints = flat_hand(FROM_THE_BACK)
    tip = joints[JOINT_NAMES.index("middle4")]
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.012)
    ball.apply_translation(0.7 * tip)
    by_self, by_other = hidden_joints(FROM_THE_BACK, ball)
    assert by_self == set()
    assert by_other == {"middle4"}
    ball.apply_translation(0.6 * tip)
    assert hidden_joints(FROM_THE_BACK, ball)[1] == set()  # behind the hand


def test_a_surface_behind_the_camera_hides_nothing():
    wall = trimesh.creation.box(extents=(2.0, 2.0, 0.1))
    wall.apply_translation((0.0, 0.0, -0.5))
    assert hidden_joints(FROM_THE_BACK, wall)[1] == set()


def test_a_large_face_that_reaches_behind_the_camera_hides_what_it_crosses():
    # A half-plane that comes from beside the camera and passes in front of all that is right of the image's middle.
    corners = np.array([[0.0, -3.0, 0.3], [0.0, 3.0, 0.3], [1.0, 3.0, -0.5], [1.0, -3.0, -0.5]])
    sheet = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)
    _, joints = flat_hand(FROM_THE_BACK)
    expected = {name for name, joint in zip(JOINT_NAMES, joints, strict=True) if joint[0] > 0}
    assert 0 < len(expected) < 21
    assert hidden_joints(FROM_THE_BACK, sheet)[1] == expected
