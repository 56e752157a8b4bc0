"""What a detector might say of a clip whose truth is known."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from occhand.detect import DetectedHand, Keypoints2D
from occhand.detect.modes import joint_distance
from occhand.stress.trial import NoiseModel
from occhand.synth.clips import Clip, ClipHand

CARRIED_NOISE = 0.5
"""Share of a joint's error that stays from one frame to the next (AR(1)); an error without any would flatter smoothing."""
MISSED_HIDDEN = 0.75
"""Share of the joints behind something above which a hand is not found."""
_SCORE, _HIDDEN_COST = 0.95, 0.4
_REACH = 0.6
"""Hand sizes within which a hand is found again where it is looked for."""


class _Detection(NamedTuple):
    hand: int
    """Its place among the clip's hands."""
    found: DetectedHand


class SimulatedDetections:
    """Detector and follower of a clip: the truth with the noise of `NoiseModel`, which lasts; well hidden hands are missed.

    Args:
        clip: Its pictures are not looked at.
        noise: Normal, per coordinate; hidden is what lies behind the object, an arm or the other hand.
        seed: Of the noise.
    """

    def __init__(self, clip: Clip, noise: NoiseModel, seed: int) -> None:
        self.truth = [hands for _, hands in clip.truth()]
        self.frame = 0
        """Whose detections are asked for."""
        rng = np.random.default_rng([seed, zlib.crc32(clip.name.encode())])
        white = rng.standard_normal((len(self.truth), len(self.truth[0]), 21, 2))
        lasting = _autoregressive(white)
        self._detections = [
            [_Detection(k, _detect(hand, noise, lasting[frame, k])) for k, hand in enumerate(hands) if not _is_missed(hand)]
            for frame, hands in enumerate(self.truth)
        ]

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedHand]:
        return [detection.found for detection in self._detections[self.frame]]

    def glance(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedHand]:
        return self.detect(image)

    def follow(self, image: UInt8[np.ndarray, "height width 3"], joints_img: Float[np.ndarray, "21 2"]) -> Keypoints2D | None:
        points = [found.keypoints for _, found in self._detections[self.frame] if found.keypoints is not None]
        distances = [joint_distance(each.joints_img, joints_img) for each in points]
        nearest = int(np.argmin(distances)) if points else -1
        return points[nearest] if points and distances[nearest] < _REACH else None

    def whose(self, hand: DetectedHand) -> int:
        """Which of the clip's hands was taken for this one."""
        return next(detection.hand for detection in self._detections[self.frame] if detection.found.keypoints is hand.keypoints)


def _autoregressive(white: Float[np.ndarray, "frames hands 21 2"]) -> Float[np.ndarray, "frames hands 21 2"]:
    """Unit variance in every frame, correlated over time."""
    noise = white.copy()
    for frame in range(1, len(white)):
        noise[frame] = CARRIED_NOISE * noise[frame - 1] + np.sqrt(1 - CARRIED_NOISE**2) * white[frame]
    return noise


def _is_missed(hand: ClipHand) -> bool:
    return float(hand.joints_by_other.mean()) > MISSED_HIDDEN


def _detect(hand: ClipHand, noise: NoiseModel, unit_noise: Float[np.ndarray, "21 2"]) -> DetectedHand:
    sigma = np.where(hand.joints_by_other, noise.hidden, noise.visible) * float(np.ptp(hand.joints_img, axis=0).max())
    joints_img = hand.joints_img + sigma[:, None] * unit_noise
    score = _SCORE - _HIDDEN_COST * float(hand.joints_by_other.mean())
    points = Keypoints2D(joints_img, np.ones(21), "given", score)
    return DetectedHand(np.concatenate([joints_img.min(0), joints_img.max(0)]), hand.side, score, points, "given")


def true_joints(truth: Sequence[tuple[ClipHand, ...]]) -> Float[np.ndarray, "frames hands 21 3"]:
    """Metres, camera frame."""
    return np.array([[hand.joints_cam for hand in hands] for hands in truth])
