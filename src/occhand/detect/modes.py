"""Many readings of one image become few hands: equal ones are counted together, lesser views of the same hand are dropped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from occhand.detect.window import Window

SAME_READING = 0.12
"""Mean joint distance, in hand sizes, below which two readings agree; repeated readings of one hand differ by about 0.05."""
SAME_HAND = 0.35
MAX_OVERLAP = 0.5
"""Interlocked hands overlap by a quarter."""
FINGER_AREA = 0.2
FINGER_INSIDE = 0.5
"""A finger is often taken for a small hand: it has less than a fifth of the area of the hand and lies half or more within its box."""


@dataclass(frozen=True)
class Reading:
    """What the landmark network saw in one window."""

    window: Window
    joints_img: Float[np.ndarray, "21 2"]
    """Pixels."""
    joints_world: Float[np.ndarray, "21 3"]
    """Metres, image-aligned camera axes."""
    presence: float
    """That there is a hand, 0 to 1."""

    @property
    def bbox_xyxy(self) -> Float[np.ndarray, "4"]:
        """Around the joints."""
        return np.concatenate([self.joints_img.min(axis=0), self.joints_img.max(axis=0)])


@dataclass(frozen=True)
class Mode:
    """Readings from different starts that agree."""

    reading: Reading
    """Of the highest presence."""
    support: int
    """How many agree."""

    @property
    def trust(self) -> float:
        """To rank by; where starts disagree, the answer that most of them settle on is the right one more often than the surest."""
        return self.reading.presence * self.support**0.5


def group(readings: Iterable[Reading]) -> list[Mode]:
    """Agreeing readings together, most trusted first."""
    modes: list[Mode] = []
    for reading in sorted(readings, key=lambda reading: -reading.presence):
        for k, mode in enumerate(modes):
            if joint_distance(reading.joints_img, mode.reading.joints_img) < SAME_READING:
                modes[k] = Mode(mode.reading, mode.support + 1)
                break
        else:
            modes.append(Mode(reading, 1))
    return sorted(modes, key=lambda mode: -mode.trust)


def suppress(modes: Iterable[Mode]) -> list[Mode]:
    """One mode per hand: of two that show the same hand, or a hand and a finger of it, the more trusted or the larger stays.

    Args:
        modes: Most trusted first.
    """
    kept: list[Mode] = []
    for mode in modes:
        if not any(_is_same_hand(mode.reading, other.reading) for other in kept):
            kept.append(mode)
    return [mode for mode in kept if not any(_is_finger(mode.reading, other.reading) for other in kept)]


def joint_distance(joints: Float[np.ndarray, "21 2"], others: Float[np.ndarray, "21 2"]) -> float:
    """Mean distance of corresponding joints, in sizes of the larger hand."""
    size = max(float(np.ptp(joints, axis=0).max()), float(np.ptp(others, axis=0).max()), 1e-6)
    return float(np.linalg.norm(joints - others, axis=1).mean()) / size


def overlap(box_xyxy: Float[np.ndarray, "4"], other_xyxy: Float[np.ndarray, "4"]) -> float:
    """Intersection over union of two boxes."""
    shared = _shared_area(box_xyxy, other_xyxy)
    return shared / max(_area(box_xyxy) + _area(other_xyxy) - shared, 1e-9)


def _is_same_hand(reading: Reading, other: Reading) -> bool:
    if joint_distance(reading.joints_img, other.joints_img) < SAME_HAND:
        return True
    return overlap(reading.bbox_xyxy, other.bbox_xyxy) > MAX_OVERLAP


def _is_finger(reading: Reading, hand: Reading) -> bool:
    area = _area(reading.bbox_xyxy)
    inside = _shared_area(reading.bbox_xyxy, hand.bbox_xyxy)
    return area < FINGER_AREA * _area(hand.bbox_xyxy) and inside > FINGER_INSIDE * area


def _shared_area(box_xyxy: Float[np.ndarray, "4"], other_xyxy: Float[np.ndarray, "4"]) -> float:
    low, high = np.maximum(box_xyxy[:2], other_xyxy[:2]), np.minimum(box_xyxy[2:], other_xyxy[2:])
    return float(np.prod(np.maximum(high - low, 0.0)))


def _area(box_xyxy: Float[np.ndarray, "4"]) -> float:
    return _shared_area(box_xyxy, box_xyxy)
