"""One sample as an estimator is shown it, and what is known to be hidden there."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from occhand.detect import DetectedHand, Keypoints2D
from occhand.estimators import HandView
from occhand.geometry.camera import mirror_intrinsics
from occhand.hand.skeleton import BONES
from occhand.types import Camera, HandSample, Side

HIDING_LABELS = {2: "object", 3: "sleeve", 4: "second hand"}
"""What `Occlusion.labels` calls the things that hide a hand; a forearm counts as sleeve."""
_BONE_RADIUS = 0.011
"""Metres; makes a hand's outline from its skeleton where there is no mask."""


@dataclass(frozen=True)
class NoiseModel:
    """How wrong the 2D joints are that an estimator is given: the annotation plus this. An assumption, and named so in every report.

    Normal and independent, per coordinate, in longer sides of the box around the joints. Joints that nothing hides are as a good detector
    finds them; what is hidden it can only guess. The estimator is not told which is which.
    """

    visible: float = 0.02
    hidden: float = 0.06

    def __post_init__(self) -> None:
        if not (0 <= self.visible < np.inf and 0 <= self.hidden < np.inf):
            raise ValueError(f"Noise of {self.visible} and {self.hidden} sides of the box; expected 0 or more, such as 0.02 and 0.06.")


@dataclass(frozen=True)
class Trial:
    """A sample, perhaps perturbed."""

    sample: HandSample
    image: UInt8[np.ndarray, "height width 3"]
    bbox_xyxy: Float[np.ndarray, "4"]
    is_hidden: Bool[np.ndarray, "21"]
    """By the hand itself, by anything else, or outside of the picture."""
    ratio: float
    """Share of the hand that other things or the border hide, 0..1; NaN where nobody knows."""
    hand_mask: Bool[np.ndarray, "height width"]
    """Pixels where the hand is seen; made from the skeleton where the sample has no mask."""
    noise: NoiseModel

    @classmethod
    def of(cls, sample: HandSample, noise: NoiseModel) -> Trial:
        """The sample as it is."""
        truth = sample.occlusion
        hidden = is_outside(sample.joints_img, *sample.image.shape[:2])
        if truth is None:
            return cls(sample, sample.image, sample.bbox_xyxy, hidden, np.nan, skeleton_mask(sample), noise)
        hidden = hidden | truth.joints_by_self | truth.joints_by_other
        return cls(sample, sample.image, sample.bbox_xyxy, hidden, float(truth.ratio), truth.labels == 1, noise)

    @property
    def box_side(self) -> float:
        """Longer side of the box around the true joints, pixels."""
        return float(np.ptp(self.sample.joints_img, axis=0).max())

    def rng(self, seed: int, purpose: str) -> np.random.Generator:
        """Random numbers that depend on nothing but the sample's key, so that levels of a perturbation can be compared pair by pair."""
        return np.random.default_rng([seed, zlib.crc32(f"{self.sample.key}/{purpose}".encode())])

    def keypoints(self, seed: int) -> Float[np.ndarray, "21 2"]:
        """The 2D joints that the estimator is given."""
        sigma = np.where(self.is_hidden, self.noise.hidden, self.noise.visible) * self.box_side
        return self.sample.joints_img + sigma[:, None] * self.rng(seed, "joints").standard_normal((21, 2))

    def view(self, seed: int) -> HandView:
        """What the estimator sees: a right hand."""
        points = Keypoints2D(self.keypoints(seed).astype(np.float64), np.ones(21), "given")
        hand = DetectedHand(self.bbox_xyxy.astype(np.float64), self.sample.side, 1.0, points, "given")
        return HandView.of(self.image, hand, Camera(self.sample.K, *self.image.shape[:2]))

    def mirrored_view(self, seed: int) -> HandView:
        """The same with the whole picture mirrored left to right, in which the hand is of the other side."""
        width = self.image.shape[1]
        other: Side = "left" if self.sample.side == "right" else "right"
        points = Keypoints2D(self.keypoints(seed).astype(np.float64), np.ones(21), "given").mirrored(width)
        x1, y1, x2, y2 = self.bbox_xyxy.astype(np.float64)
        hand = DetectedHand(np.array([width - 1 - x2, y1, width - 1 - x1, y2]), other, 1.0, points, "given")
        K = mirror_intrinsics(torch.from_numpy(self.sample.K), width).numpy()
        return HandView.of(np.ascontiguousarray(self.image[:, ::-1]), hand, Camera(K, *self.image.shape[:2]))

    def covered(self, mask: Bool[np.ndarray, "height width"], image: UInt8[np.ndarray, "height width 3"]) -> Trial:
        """The same hand with `mask` laid over it; `image` shows what lies there."""
        seen = int(self.hand_mask.sum())
        share = float((self.hand_mask & mask).sum()) / seen if seen else 0.0
        before = 0.0 if np.isnan(self.ratio) else self.ratio
        height, width = mask.shape
        x, y = np.rint(self.sample.joints_img).astype(int).T
        under = mask[y.clip(0, height - 1), x.clip(0, width - 1)]
        return replace(
            self,
            image=image,
            is_hidden=self.is_hidden | under,
            ratio=1 - (1 - before) * (1 - share),
            hand_mask=self.hand_mask & ~mask,
        )


def is_outside(joints_img: Float[np.ndarray, "21 2"], height: int, width: int) -> Bool[np.ndarray, "21"]:
    return np.any((joints_img < -0.5) | (joints_img > (width - 0.5, height - 0.5)), axis=1)


def pixels_per_metre(sample: HandSample) -> float:
    """At the hand's mean distance."""
    return float(sample.K[0, 0] / sample.joints_cam[:, 2].mean())


def skeleton_mask(sample: HandSample) -> Bool[np.ndarray, "height width"]:
    """A hand's outline from its 2D joints: bones as thick as fingers, the palm filled."""
    palm = [0, 1, 5, 9, 13, 17]
    lines = [sample.joints_img[list(bone)] for bone in BONES]
    return draw_mask(sample, [*lines, sample.joints_img[[*palm, 0]]], _BONE_RADIUS, filled=sample.joints_img[palm])


def draw_mask(
    sample: HandSample,
    lines: Sequence[Float[np.ndarray, "_ 2"]],
    radius: float,
    filled: Float[np.ndarray, "_ 2"] | None = None,
) -> Bool[np.ndarray, "height width"]:
    """Pixels within `radius` metres of lines (or single points) in the sample's image, and inside a polygon."""
    height, width = sample.image.shape[:2]
    canvas = Image.new("1", (width, height))
    pen = ImageDraw.Draw(canvas)
    radius_px = radius * pixels_per_metre(sample)
    if filled is not None:
        pen.polygon([tuple(point) for point in filled.tolist()], fill=1)
    for line in lines:
        points = [tuple(point) for point in line.tolist()]
        if len(points) > 1:
            pen.line(points, fill=1, width=max(1, round(2 * radius_px)))
        for x, y in points:
            pen.ellipse((x - radius_px, y - radius_px, x + radius_px, y + radius_px), fill=1)
    return np.array(canvas)


def main_occluder(sample: HandSample) -> str:
    """What hides most joints of a rendered hand: a value of `HIDING_LABELS`, `picture border`, or `nothing`; empty where it is unknown."""
    truth = sample.occlusion
    if truth is None:
        return ""
    height, width = truth.labels.shape
    outside = is_outside(sample.joints_img, height, width)
    x, y = np.rint(sample.joints_img).astype(int).T
    labels = truth.labels[y.clip(0, height - 1), x.clip(0, width - 1)]
    hidden = truth.joints_by_other & ~outside
    counts = {name: int((hidden & (labels == label)).sum()) for label, name in HIDING_LABELS.items()}
    counts["picture border"] = int(outside.sum())
    name = max(counts, key=lambda key: counts[key])
    return name if counts[name] else "nothing"
