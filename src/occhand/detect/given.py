"""Boxes, sides and 2D joints that the user gives, checked at the border.

A JSON file holds one hand or a list of hands:

    [{"side": "right", "bbox_xyxy": [10, 20, 210, 240]},
     {"side": "left", "joints_img": [[x, y], ... 21 in the house order], "weights": [1, ... 21]}]

`joints_img` are pixels of the full image; null stands for a joint that is not known. `weights` are 0 to 1 and may be left out, and so may
`bbox_xyxy` where there are joints. `side` may be left out, or null, where there is only a box.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from occhand.broken_files import BROKEN_JSON
from occhand.detect.detector import DetectedHand, Keypoints2D
from occhand.types import SIDES, KeypointSource, Side

MAX_FILE_BYTES = 4 * 2**20
MIN_BOX_PX = 4.0
MIN_KNOWN_JOINTS = 6
"""Fewer leave the pose of a hand to chance."""


def parse_box(text: str) -> tuple[Float[np.ndarray, "4"], Side | None]:
    """A box and its side from `x1,y1,x2,y2` or `x1,y1,x2,y2,right`.

    Raises:
        ValueError: Not four numbers and perhaps a side.
    """
    parts = [part.strip() for part in text.split(",")]
    expected = "Give x1,y1,x2,y2 in pixels, then ,right or ,left if known: 10,20,210,240,right"
    if len(parts) not in (4, 5):
        raise ValueError(f"Box {text!r} has {len(parts)} parts. {expected}")
    try:
        numbers = np.array([float(part) for part in parts[:4]])
    except ValueError:
        raise ValueError(f"Box {text!r} holds something that is no number. {expected}") from None
    return numbers, check_side(parts[4]) if len(parts) == 5 else None


@dataclass(frozen=True)
class GivenHand:
    """What a file says about one hand; at least a box or joints."""

    bbox_xyxy: Float[np.ndarray, "4"] | None
    side: Side | None
    keypoints: Keypoints2D | None


def read_hands(path: str | os.PathLike[str]) -> list[GivenHand]:
    """The hands of a JSON file as described above, checked.

    Raises:
        ValueError: Unreadable, too large, not JSON, or not in the form above.
    """
    content = _read_json(Path(path))
    entries = content if isinstance(content, list) else [content]
    if not entries:
        raise ValueError(f"{path} lists no hand. Give at least one; its form is in the help of --keypoints.")
    return [_read_hand(entry, f"{path}, hand {k + 1}") for k, entry in enumerate(entries)]


def read_boxes(path: str | os.PathLike[str]) -> tuple[Float[np.ndarray, "hands 4"], list[Side | None]]:
    """Boxes and sides of a JSON file.

    Raises:
        ValueError: As `read_hands`, or a hand without a box.
    """
    hands = read_hands(path)
    boxes = []
    for k, hand in enumerate(hands):
        if hand.bbox_xyxy is None:
            raise ValueError(f"{path}, hand {k + 1} has no bbox_xyxy. Add it, or use --keypoints for a file of joints.")
        boxes.append(hand.bbox_xyxy)
    return np.stack(boxes), [hand.side for hand in hands]


def read_keypoints(path: str | os.PathLike[str]) -> list[DetectedHand]:
    """Hands with their joints from a JSON file.

    Raises:
        ValueError: As `read_hands`, or a hand without joints or side.
    """
    found = []
    for k, hand in enumerate(read_hands(path)):
        if hand.keypoints is None:
            raise ValueError(f"{path}, hand {k + 1} has no joints_img. Add 21 pairs of pixels, or use --boxes for a file of boxes.")
        if hand.side is None:
            raise ValueError(f'{path}, hand {k + 1} has no side. Add "side": "right" or "left".')
        found.append(_hand_with_joints(hand.keypoints, hand.side, hand.bbox_xyxy, "file"))
    return found


def hands_from_joints(
    keypoints: np.ndarray | Sequence[Any],
    sides: Sequence[Side | None] | None = None,
    boxes: np.ndarray | None = None,
) -> list[DetectedHand]:
    """Hands whose joints the caller gives; NaN marks an unknown joint, and gets weight 0.

    Args:
        keypoints: (hands, 21, 2), pixels, house order. Shapes are checked here, not by the annotation: this is the border. Or hands with
            their joints, as `read_keypoints` gives them.
        sides: One per hand; none for hands that have theirs.
        boxes: (hands, 4), pixels; None takes the boxes around the joints, or of hands that have theirs.

    Raises:
        ValueError: Joints of another shape, too few of them known, a side missing or unknown, or not one box per hand; sides or boxes
            beside hands that have theirs.
    """
    ready = [hand for hand in keypoints if isinstance(hand, DetectedHand)]
    if len(ready) == len(keypoints):
        if ready and (sides is not None or boxes is not None):
            raise ValueError("These hands come with their own sides and boxes. Leave sides and boxes out, or give the joints as an array.")
        return ready
    try:
        joints_img = np.asarray(keypoints, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("keypoints are no array of numbers, expected (hands, 21, 2): pixels, wrist first, thumb to pinky.") from None
    if joints_img.ndim != 3 or joints_img.shape[1:] != (21, 2):
        raise ValueError(f"keypoints have shape {joints_img.shape}, expected (hands, 21, 2): pixels, wrist first, thumb to pinky.")
    count = len(joints_img)
    if sides is None or len(sides) != count or any(side is None for side in sides):
        raise ValueError(f"{count} hands by keypoints, but sides are {sides}. Give 'right' or 'left' for each.")
    if boxes is not None and np.shape(boxes) != (count, 4):
        raise ValueError(f"boxes have shape {np.shape(boxes)}, expected ({count}, 4): one per hand, or leave them out.")
    return [
        _hand_with_joints(
            check_joints(joints, None, "given", f"keypoints, hand {k + 1}"),
            check_side(sides[k]),
            None if boxes is None else boxes[k],
            "given",
        )
        for k, joints in enumerate(joints_img)
    ]


def check_boxes(boxes: np.ndarray, height: int, width: int) -> Float[np.ndarray, "hands 4"]:
    """The boxes, (hands, 4) in pixels, as float64; the middle of each must lie in the image.

    Raises:
        ValueError: Another shape, not finite, corners swapped, smaller than `MIN_BOX_PX`, or outside of the image.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes have shape {boxes.shape}, expected (hands, 4): x1, y1, x2, y2 in pixels.")
    for box in boxes:
        _check_box(box, "Box")
        x, y = (box[:2] + box[2:]) / 2
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f"Box {_text(box)} is outside of the image, which is {width} x {height} pixels. Give x1,y1,x2,y2 inside it.")
    return boxes


def check_hands(hands: Sequence[DetectedHand], height: int, width: int) -> None:
    """Hold hands whose joints were given against the image they are said to be in.

    Raises:
        ValueError: A given box outside of the image, no known joint inside it, or joints in 0..1 instead of pixels.
    """
    for k, hand in enumerate(hands):
        if hand.keypoints is not None:
            _check_pixels(hand.keypoints.joints_img[hand.keypoints.weights > 0], f"Hand {k + 1}", height, width)
            if np.array_equal(hand.bbox_xyxy, _box_around(hand.keypoints)):
                continue  # nobody gave it: the middle of a hand that the border cuts may well lie outside
        check_boxes(hand.bbox_xyxy[None], height, width)


def _check_pixels(known: Float[np.ndarray, "known 2"], where: str, height: int, width: int) -> None:
    if ((known >= 0) & (known <= 1)).all():
        raise ValueError(f"{where}: all joints lie within 0..1, expected pixels. Multiply them by the image's {width} x {height}.")
    if not ((known >= 0) & (known < (width, height))).all(axis=1).any():
        raise ValueError(f"{where}: no known joint lies in the image, which is {width} x {height} pixels. Are they of this image?")


def check_side(side: Any) -> Side:
    """`right` or `left`.

    Raises:
        ValueError: Anything else.
    """
    if side not in SIDES:
        raise ValueError(f"Unknown side {side!r}; choose right or left (the person's own, not the viewer's).")
    return side


def check_joints(joints_img: Any, weights: Any, source: KeypointSource, where: str) -> Keypoints2D:
    """Joints and weights as arrays; a joint with NaN or null gets weight 0.

    Args:
        joints_img: 21 pairs, pixels.
        weights: 21 numbers from 0 to 1, or None for 1.
        source: Who gave them.
        where: What to call this hand in a message.

    Raises:
        ValueError: Another shape, something that is no number, infinite, a weight outside of 0 to 1, or too few joints known.
    """
    pairs = [[None, None] if pair is None else pair for pair in joints_img] if isinstance(joints_img, list) else joints_img
    joints = _to_array(pairs, (21, 2), f"{where}: joints_img")
    given = np.ones(21) if weights is None else _to_array(weights, (21,), f"{where}: weights")
    if np.isinf(joints).any():
        raise ValueError(f"{where}: joints_img holds an infinite number. Use null (NaN) for a joint that is not known.")
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"{where}: weights run from {given.min():g} to {given.max():g}, expected 0 to 1.")
    is_known = np.isfinite(joints).all(axis=1) & (given > 0)
    if is_known.sum() < MIN_KNOWN_JOINTS:
        raise ValueError(f"{where}: {is_known.sum()} joints are known, at least {MIN_KNOWN_JOINTS} are needed. Add joints, or give a box.")
    joints[~np.isfinite(joints).all(axis=1)] = joints[is_known].mean(axis=0)  # finite, so that arithmetic with weight 0 stays finite
    return Keypoints2D(joints, np.where(is_known, given, 0.0), source)


def _hand_with_joints(keypoints: Keypoints2D, side: Side, box: Float[np.ndarray, "4"] | None, source: KeypointSource) -> DetectedHand:
    if box is None:
        box = _box_around(keypoints)
    return DetectedHand(np.asarray(box, dtype=np.float64), side, 1.0, keypoints, bbox_source=source)


def _box_around(keypoints: Keypoints2D) -> Float[np.ndarray, "4"]:
    """The box that holds the known joints; of joints in a straight row still `MIN_BOX_PX` wide."""
    known = keypoints.joints_img[keypoints.weights > 0]
    low, high = known.min(axis=0), known.max(axis=0)
    missing = np.maximum(MIN_BOX_PX - (high - low), 0.0)
    return np.concatenate([low - missing / 2, high + missing / 2])


def _read_json(path: Path) -> Any:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror}. Check the path.") from None
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, the limit is {MAX_FILE_BYTES:,}. Is it the right file?")
    try:
        return json.loads(content.decode("utf-8-sig"))  # editors on Windows begin a file with a byte order mark
    except BROKEN_JSON as error:
        raise ValueError(f"Not JSON: {path} ({error}). Give a list of hands with bbox_xyxy or joints_img.") from None


def _read_hand(entry: Any, where: str) -> GivenHand:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is a {type(entry).__name__}, expected an object with bbox_xyxy or joints_img.")
    unknown = sorted(set(entry) - {"side", "bbox_xyxy", "joints_img", "weights"})
    if unknown:
        raise ValueError(f"{where} has the unknown key {unknown[0]!r}; expected side, bbox_xyxy, joints_img, weights.")
    box, joints = entry.get("bbox_xyxy"), entry.get("joints_img")
    if box is None and joints is None:
        raise ValueError(f"{where} has neither bbox_xyxy nor joints_img. Add one.")
    if box is not None:
        box = _to_array(box, (4,), f"{where}: bbox_xyxy")
        _check_box(box, f"{where}: box")
    side = None if entry.get("side") is None else check_side(entry["side"])
    return GivenHand(box, side, None if joints is None else check_joints(joints, entry.get("weights"), "file", where))


def _check_box(box: Float[np.ndarray, "4"], name: str) -> None:
    if not np.isfinite(box).all():
        raise ValueError(f"{name} {_text(box)} holds a number that is not finite. Give x1,y1,x2,y2 in pixels.")
    if (box[2:] - box[:2]).min() < MIN_BOX_PX:
        raise ValueError(f"{name} {_text(box)} is empty: expected x2 > x1 and y2 > y1 by at least {MIN_BOX_PX:g} pixels.")


def _to_array(values: Any, shape: tuple[int, ...], name: str) -> Float[np.ndarray, "..."]:
    try:
        array = np.array(values, dtype=np.float64)
    except BROKEN_JSON:
        raise ValueError(f"{name} is not an array of numbers of shape {shape}.") from None
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}.")
    return array


def _text(box: Float[np.ndarray, "4"]) -> str:
    return ",".join(f"{value:g}" for value in box)
