"""Square, turned windows of an image: cut them out, map points back, lay them over an image or around a hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

_PALM_JOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""All but the two outer joints of each finger and the thumb's tip: the part that MediaPipe's own tracking measures a hand by."""
_PALM_SCALE = 2.0
_PALM_SHIFT = -0.1
"""MediaPipe's `HandLandmarksToRect` and `RectTransformation`: window twice as large as the palm joints, moved to the fingers by a tenth."""
_MAX_ASPECT = 8.0
"""Longer pictures get tiles for this aspect: so there are at most 230, where a strip of 20000 x 3 pixels had 190000."""


@dataclass(frozen=True)
class Window:
    """A square of the image whose upward direction is turned clockwise by `angle` as seen by the viewer."""

    center: tuple[float, float]
    """Pixels."""
    side_px: float
    angle: float = 0.0
    """Radians."""

    @property
    def rotation(self) -> Float[np.ndarray, "2 2"]:
        """Turns directions of the window into directions of the image."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]])

    def to_image(self, points: Float[np.ndarray, "*points 2"]) -> Float[np.ndarray, "*points 2"]:
        """Points of the window, 0 to 1 from its left and top edges, in pixels of the image."""
        return np.asarray(self.center) + (points - 0.5) * self.side_px @ self.rotation.T


class WindowCutter:
    """Cuts windows out of one image; large ones from a halved copy, so that shrinking does not alias. Several threads may cut at once."""

    def __init__(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        self._levels, self._halving = [Image.fromarray(image)], Lock()

    def cut(self, window: Window, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
        """The window as `size` x `size` pixels, black outside of the image."""
        level = self._level(window.side_px / size)
        shrink = 2**level
        matrix = window.rotation * (window.side_px / size / shrink)
        # Pillow counts from the corner of the first pixel, the house from its centre.
        offset = (np.asarray(window.center) + 0.5) / shrink - matrix @ np.full(2, size / 2)
        affine = (matrix[0, 0], matrix[0, 1], offset[0], matrix[1, 0], matrix[1, 1], offset[1])
        # Pillow's bicubic here is the sharp one (a = -1); it moves edges by up to a tenth of a window pixel, and finds more than bilinear.
        picture = self._levels[level].transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
        return np.array(picture)

    def _level(self, shrink: float) -> int:
        wanted = max(0, int(math.log2(max(shrink, 1.0))))
        with self._halving:
            while len(self._levels) <= wanted and min(self._levels[-1].size) >= 4:
                self._levels.append(self._levels[-1].reduce(2))
        return min(wanted, len(self._levels) - 1)


def whole_image(height: int, width: int) -> Window:
    """The smallest upright window that holds the image."""
    return Window(((width - 1) / 2, (height - 1) / 2), float(max(height, width)))


def tiles(height: int, width: int, fraction: float) -> list[Window]:
    """Upright windows of `fraction` of the shorter side that overlap by at least half and together cover the image, row by row.

    Of an image longer than `_MAX_ASPECT` to one they are a fraction of the longer side over that, and may reach over its border.
    """
    side_px = fraction * max(min(height, width), max(height, width) / _MAX_ASPECT)
    return [Window((x, y), side_px) for y in _tile_centers(height, side_px) for x in _tile_centers(width, side_px)]


def _tile_centers(length: int, side_px: float) -> list[float]:
    if length <= side_px * (1 + 1e-9):
        return [(length - 1) / 2]
    count = 1 + math.ceil((length - side_px) / (side_px / 2) - 1e-9)
    return [side_px / 2 - 0.5 + k * (length - side_px) / (count - 1) for k in range(count)]


def around_box(bbox_xyxy: Float[np.ndarray, "4"], scale: float, angle: float) -> Window:
    """A window of `scale` times the box's longer side around its middle."""
    x1, y1, x2, y2 = (float(value) for value in bbox_xyxy)
    return Window(((x1 + x2) / 2, (y1 + y2) / 2), scale * max(x2 - x1, y2 - y1), angle)


def around_hand(joints_img: Float[np.ndarray, "21 2"]) -> Window:
    """The window in which MediaPipe's landmark network likes to see this hand: wrist below, fingers up."""
    up = (joints_img[5] + 2 * joints_img[9] + joints_img[13]) / 4 - joints_img[0]
    angle = math.atan2(up[0], -up[1])
    rotation = Window((0.0, 0.0), 1.0, angle).rotation
    upright = joints_img[list(_PALM_JOINTS)] @ rotation
    low, high = upright.min(axis=0), upright.max(axis=0)
    center = rotation @ ((low + high) / 2 + np.array([0.0, _PALM_SHIFT * (high - low)[1]]))
    return Window((float(center[0]), float(center[1])), max(_PALM_SCALE * float((high - low).max()), 1.0), angle)
