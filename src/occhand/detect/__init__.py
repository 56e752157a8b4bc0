"""Where the hands are: boxes, sides and 2D joints, from a detector or from the user."""

from occhand.detect.detector import DetectedHand, Detector, Follower, Keypointer, Keypoints2D
from occhand.detect.given import check_boxes, check_hands, check_side, hands_from_joints, parse_box, read_boxes, read_keypoints

__all__ = [
    "DetectedHand",
    "Detector",
    "Follower",
    "Keypointer",
    "Keypoints2D",
    "check_boxes",
    "check_hands",
    "check_side",
    "hands_from_joints",
    "parse_box",
    "read_boxes",
    "read_keypoints",
]
