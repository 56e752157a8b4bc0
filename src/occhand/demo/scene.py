"""What a visitor looks at: a picture with its hands, and a disc laid over them."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from occhand.detect import DetectedHand
from occhand.detect.given import MIN_KNOWN_JOINTS
from occhand.types import Camera

MAX_SIDE = 1024
"""Larger pictures are scaled down, pixels: more is not seen on the page, and 100 visitors fit into memory."""
CARD_COLOUR = (92, 96, 104)
"""Of the disc, sRGB; the same in `static/page.css`."""


@dataclass(frozen=True)
class Occluder:
    """A disc of card before the picture, pixels."""

    x: float
    y: float
    radius: float

    @classmethod
    def read(cls, data: Any) -> Occluder | None:
        """What a browser sends; None where the visitor has put the disc aside.

        Raises:
            ValueError: Not the numbers of a disc.
        """
        if isinstance(data, dict) and not data.get("shown"):
            return None
        values: list[Any] = [data.get(name) for name in ("x", "y", "radius")] if isinstance(data, dict) else [None]
        if not all(isinstance(value, int | float) and abs(value) < 1e5 for value in values) or values[-1] < 0:
            raise ValueError(f"The disc is {reprlib.repr(data)}, expected x, y and radius in pixels. Load the page again.")
        return cls(*map(float, values))

    def covers(self, points: Float[np.ndarray, "points 2"]) -> Bool[np.ndarray, "points"]:
        return np.hypot(points[:, 0] - self.x, points[:, 1] - self.y) <= self.radius

    def paint(self, picture: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
        """The picture with the disc before it."""
        rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
        inside = (columns - self.x) ** 2 + (rows - self.y) ** 2 <= self.radius**2
        return np.where(inside[..., None], np.array(CARD_COLOUR, dtype=np.uint8), picture)


@dataclass(frozen=True)
class Scene:
    """A picture, what took it, and the hands in it with their 2D joints."""

    picture: UInt8[np.ndarray, "height width 3"]
    camera: Camera
    hands: tuple[DetectedHand, ...]
    caption: str
    """Where the picture and its 2D joints come from."""

    def behind(self, occluder: Occluder | None) -> Scene:
        """The same with the disc before it: 2D joints under the disc are not known, and a hand with too few others is gone."""
        if occluder is None:
            return self
        hands = [_hide(hand, occluder) for hand in self.hands]
        seen = [hand for hand in hands if hand.keypoints is None or (hand.keypoints.weights > 0).sum() >= MIN_KNOWN_JOINTS]
        return replace(self, picture=occluder.paint(self.picture), hands=tuple(seen))


def shrink(picture: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "small_height small_width 3"]:
    """The picture at `MAX_SIDE` pixels at most."""
    image = Image.fromarray(picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)


def scene_of(picture: UInt8[np.ndarray, "height width 3"], hands: Sequence[DetectedHand]) -> Scene:
    """A visitor's own picture, with what the detector found in it."""
    height, width = picture.shape[:2]
    count = f"{len(hands)} hand{'' if len(hands) == 1 else 's'}" if hands else "no hand"
    return Scene(picture, Camera.assume(height, width), tuple(hands), f"Your picture: {count} found by MediaPipe, camera assumed.")


def _hide(hand: DetectedHand, occluder: Occluder) -> DetectedHand:
    if hand.keypoints is None:
        return hand
    weights = np.where(occluder.covers(hand.keypoints.joints_img), 0.0, hand.keypoints.weights)
    # The cue in 3D was read off the whole hand; it would tell what the disc hides.
    return replace(hand, keypoints=replace(hand.keypoints, weights=weights, joints_world=None))
