"""What a detector gives, and what it must be able to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from occhand.types import KeypointSource, Side


@dataclass(frozen=True)
class Keypoints2D:
    """The 21 joints of one hand in the image.

    House order (`occhand.hand.skeleton.JOINT_NAMES`: wrist, then thumb, index, middle, ring, pinky from base to tip), which is also
    MediaPipe's (its `HandLandmark` counts WRIST 0, THUMB_CMC 1 ... PINKY_TIP 20).
    """

    joints_img: Float[np.ndarray, "21 2"]
    """Pixels of the full image; pixel (0, 0) has its centre at (0, 0)."""
    weights: Float[np.ndarray, "21"]
    """Trust in each joint, 0 to 1; 0 is a joint nobody saw."""
    source: KeypointSource
    score: float = 1.0
    """Trust in the hand as a whole, 0 to 1; 1 for what the user gave."""
    joints_world: Float[np.ndarray, "21 3"] | None = None
    """An estimate, and a weak one: metres, camera axes (x right, y down, z forward), origin near the middle of the hand.

    A learned guess from one picture with an average hand's size: good for which of two depth-flipped poses is meant, not for measuring.
    """

    def mirrored(self, width: int) -> Keypoints2D:
        """The same joints in the image mirrored left to right, `width` pixels wide."""
        joints_img = self.joints_img * np.array([-1.0, 1.0]) + np.array([width - 1.0, 0.0])
        world = None if self.joints_world is None else self.joints_world * np.array([-1.0, 1.0, 1.0])
        return replace(self, joints_img=joints_img, joints_world=world)


@dataclass(frozen=True)
class DetectedHand:
    """One hand in the image."""

    bbox_xyxy: Float[np.ndarray, "4"]
    """Around the joints, pixels of the full image; may reach over its border where the hand does."""
    side: Side
    score: float
    """Trust in the hand and its side together, 0 to 1."""
    keypoints: Keypoints2D | None = None
    bbox_source: KeypointSource = "mediapipe"


@runtime_checkable
class Detector(Protocol):
    """Finds hands."""

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedHand]:
        """All hands of an RGB image, best score first."""
        ...


@runtime_checkable
class Keypointer(Protocol):
    """Finds the joints of a hand whose place is known."""

    def find_joints(
        self, image: UInt8[np.ndarray, "height width 3"], bbox_xyxy: Float[np.ndarray, "4"], side: Side | None
    ) -> tuple[Side, Keypoints2D] | None:
        """The joints of the hand in the box and its side, which is `side` where that is given; None when no hand is seen there."""
        ...


@runtime_checkable
class Follower(Protocol):
    """Finds a hand again a moment later, cheaply enough for every frame of a video."""

    def follow(self, image: UInt8[np.ndarray, "height width 3"], joints_img: Float[np.ndarray, "21 2"]) -> Keypoints2D | None:
        """The joints of the hand that was, or is expected, at `joints_img`; None when no hand is seen there."""
        ...

    def glance(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedHand]:
        """Hands of an image that are found at once; `Detector.detect` may take its time for those that are not."""
        ...
