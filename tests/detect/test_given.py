from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from occhand.detect import check_boxes, check_hands, hands_from_joints, parse_box, read_boxes, read_keypoints
from occhand.detect.given import MAX_FILE_BYTES

JOINTS = [[float(10 * k), float(100 + k * k)] for k in range(21)]


def _file(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "hands.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_parse_box() -> None:
    box, side = parse_box("10, 20.5,110,220")
    np.testing.assert_array_equal(box, [10, 20.5, 110, 220])
    assert side is None
    assert parse_box("10,20,110,220,left")[1] == "left"


@pytest.mark.parametrize(
    ("text", "words"),
    [("1,2,3", "3 parts"), ("", "1 parts"), ("a,2,3,4", "no number"), ("1,2,30,40,up", "Unknown side 'up'"), ("1,2,3,4,left,5", "6 parts")],
)
def test_parse_box_errors(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_box(text)


def test_boxes_of_a_file(tmp_path: Path) -> None:
    path = _file(tmp_path, [{"bbox_xyxy": [1, 2, 30, 40], "side": "right"}, {"bbox_xyxy": [5, 6, 70, 80]}])
    boxes, sides = read_boxes(path)
    np.testing.assert_array_equal(boxes, [[1, 2, 30, 40], [5, 6, 70, 80]])
    assert sides == ["right", None]


def test_joints_of_a_file(tmp_path: Path) -> None:
    joints: list[Any] = [list(pair) for pair in JOINTS]
    joints[3] = None
    joints[4] = [None, 7]
    weights = [0.0] + [1.0] * 19 + [0.5]
    boxed = {"side": "right", "joints_img": JOINTS, "bbox_xyxy": [-5, 90, 300, 520]}
    hand, other = read_keypoints(_file(tmp_path, [{"side": "left", "joints_img": joints, "weights": weights}, boxed]))
    assert (hand.side, hand.bbox_source, hand.score) == ("left", "file", 1.0)
    assert hand.keypoints is not None
    assert hand.keypoints.source == "file"
    np.testing.assert_array_equal(hand.keypoints.weights, [0, 1, 1, 0, 0, *[1] * 15, 0.5])
    assert np.isfinite(hand.keypoints.joints_img).all()
    np.testing.assert_array_equal(hand.keypoints.joints_img[5:], JOINTS[5:])
    np.testing.assert_array_equal(hand.bbox_xyxy, [10, 101, 200, 500])  # of the known joints
    np.testing.assert_array_equal(other.bbox_xyxy, [-5, 90, 300, 520])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "Not JSON"),
        ("[" * 200_000, "Not JSON"),
        (f'[{{"bbox_xyxy": [{"9" * 6000}]}}]', "Not JSON: .*Give a list of hands"),
        ([], "lists no hand"),
        ([3], "hand 1 is a int"),
        ([{"side": "right"}], "neither bbox_xyxy nor joints_img"),
        ([{"side": "right", "joints": JOINTS}], "unknown key 'joints'"),
        ([{"side": "both", "joints_img": JOINTS}], "Unknown side 'both'"),
        ([{"joints_img": JOINTS}], "has no side"),
        ([{"side": "right", "bbox_xyxy": [1, 2, 30, 40]}], "has no joints_img"),
        ([{"side": "right", "joints_img": JOINTS[:20]}], r"shape \(20, 2\), expected \(21, 2\)"),
        ([{"side": "right", "joints_img": [[1, 2, 3]] * 21}], r"shape \(21, 3\)"),
        ([{"side": "right", "joints_img": "hand"}], "joints_img"),
        ([{"side": "right", "joints_img": [["a", "b"]] * 21}], "array of numbers"),
        ([{"side": "right", "joints_img": [*JOINTS[:20], [1]]}], "array of numbers"),
        ([{"side": "right", "joints_img": [*JOINTS[:5], *[None] * 16]}], "5 joints are known"),
        ([{"side": "right", "joints_img": JOINTS, "weights": [1] * 5 + [0] * 16}], "5 joints are known"),
        ('[{"side": "right", "joints_img": [[Infinity, 1]' + ", [1, 2]" * 20 + "]}]", "infinite"),
        ([{"side": "right", "joints_img": JOINTS, "weights": [2] * 21}], "expected 0 to 1"),
        ([{"side": "right", "joints_img": JOINTS, "weights": [1] * 20}], r"weights has shape \(20,\)"),
        ([{"side": "right", "joints_img": JOINTS, "bbox_xyxy": [30, 2, 3, 40]}], "is empty"),
        ([{"side": ["right"], "joints_img": JOINTS}], "Unknown side"),
    ],
)
def test_bad_files(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_keypoints(_file(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "hands.json"
    path.write_text(json.dumps([{"side": "right", "joints_img": JOINTS}]), encoding="utf-8-sig")
    assert read_keypoints(path)[0].side == "right"


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Check the path"):
        read_keypoints(tmp_path / "none.json")
    with pytest.raises(ValueError, match="Check the path"):
        read_keypoints(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="Not JSON"):
        read_boxes(tmp_path / "binary.json")
    (tmp_path / "large.json").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(ValueError, match="limit"):
        read_boxes(tmp_path / "large.json")
    with pytest.raises(ValueError, match="no bbox_xyxy"):
        read_boxes(_file(tmp_path, [{"side": "right", "joints_img": JOINTS}]))


def test_check_boxes() -> None:
    boxes = np.array([[-10.0, 5, 60, 90], [0, 0, 640, 480], [500, 300, 630, 470]])
    np.testing.assert_array_equal(check_boxes(boxes, 480, 640), boxes)


def test_check_boxes_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \(4,\), expected \(hands, 4\)"):
        check_boxes(np.zeros(4), 480, 640)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([700, 10, 800, 90], "700,10,800,90 is outside of the image, which is 640 x 480"),
        ([-90, 10, -10, 90], "outside"),
        ([10, 500, 90, 560], "outside"),
        ([10, 10, 10, 90], "is empty"),
        ([90, 10, 10, 90], "is empty"),
        ([10, 10, np.nan, 90], "not finite"),
        ([10, 10, np.inf, 90], "not finite"),
    ],
)
def test_check_boxes_errors(box: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_boxes(np.array([box], dtype=float), 480, 640)


def test_hands_from_joints() -> None:
    joints = np.array([JOINTS, JOINTS])
    joints[1, 7] = np.nan
    boxes = np.array([[0.0, 90.0, 210.0, 510.0], [5.0, 95.0, 215.0, 505.0]])
    for hand, box in zip(hands_from_joints(joints, ["right", "left"], boxes), boxes, strict=True):
        np.testing.assert_array_equal(hand.bbox_xyxy, box)
    first, second = hands_from_joints(joints, ["right", "left"])
    assert (first.side, second.side) == ("right", "left")
    assert (first.bbox_source, second.keypoints and second.keypoints.source) == ("given", "given")
    assert second.keypoints is not None
    assert second.keypoints.weights[7] == 0
    assert second.keypoints.weights.sum() == 20


def test_hands_from_joints_errors() -> None:
    joints = np.array([JOINTS])
    for sides in (None, [], ["right", "left"], [None]):
        with pytest.raises(ValueError, match="Give 'right' or 'left' for each"):
            hands_from_joints(joints, sides)
    with pytest.raises(ValueError, match="one per hand"):
        hands_from_joints(joints, ["right"], np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"shape \(21, 2\), expected \(hands, 21, 2\)"):
        hands_from_joints(joints[0], ["right"])
    joints[0, 4:] = np.nan
    with pytest.raises(ValueError, match="4 joints are known"):
        hands_from_joints(joints, ["right"])


def test_hands_that_are_ready_stay_as_they_are() -> None:
    hands = hands_from_joints(np.array([JOINTS]), ["right"])
    assert hands_from_joints(hands) == hands
    assert hands_from_joints([]) == []
    for beside in ({"sides": ["left"]}, {"boxes": np.array([[0.0, 0.0, 90.0, 90.0]])}):
        with pytest.raises(ValueError, match="their own sides and boxes"):
            hands_from_joints(hands, **beside)
    with pytest.raises(ValueError, match="no array of numbers"):
        hands_from_joints([*hands, JOINTS], ["right", "right"])


def test_a_box_that_nobody_gave_may_lie_outside() -> None:
    joints = np.array([JOINTS])
    joints[..., 0] -= 150.0
    (hand,) = hands_from_joints(joints, ["right"])
    check_hands([hand], 480, 640)
    with pytest.raises(ValueError, match="outside of the image"):
        check_hands([replace(hand, bbox_xyxy=hand.bbox_xyxy - 1.0)], 480, 640)
    with pytest.raises(ValueError, match="no known joint lies in the image"):
        check_hands(hands_from_joints(joints - 100.0, ["right"]), 480, 640)


def test_joints_in_a_straight_row_have_a_box() -> None:
    joints = np.array([[[50.0, 40.0 + k] for k in range(21)]])
    (hand,) = hands_from_joints(joints, ["right"])
    np.testing.assert_array_equal(hand.bbox_xyxy, [48, 40, 52, 60])
    check_hands([hand], 480, 640)
    with pytest.raises(ValueError, match="is empty"):
        check_hands(hands_from_joints(joints, ["right"], np.array([[50.0, 40.0, 50.0, 60.0]])), 480, 640)


def test_one_known_joint_must_lie_in_the_image() -> None:
    joints = np.array([JOINTS])
    check_hands(hands_from_joints(joints + np.array([485.0, 0.0]), ["right"]), 480, 640)
    below = joints + np.array([0.0, 400.0])
    below[0, 20] = 100.0
    (hand,) = hands_from_joints(below, ["right"])
    check_hands([hand], 480, 640)
    assert hand.keypoints is not None
    unseen = replace(hand.keypoints, weights=np.where(np.arange(21) == 20, 0.0, 1.0))
    with pytest.raises(ValueError, match="no known joint lies in the image"):
        check_hands([replace(hand, keypoints=unseen)], 480, 640)
