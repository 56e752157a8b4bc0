"""Ways to make a hand harder to see or its input worse, each by a growing amount.

All of them need no more than an image, 3D and 2D joints, so they work on real data too. What is random is drawn per sample and not per
level: a patch grows from one place, a finger that is covered stays covered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8

from occhand.data.cutout import random_cutout
from occhand.data.degrade import gaussian_blur, low_light
from occhand.hand.skeleton import TIP_JOINTS
from occhand.stress.trial import NoiseModel, Trial, draw_mask

Perturbation = Callable[[Trial, float, int], Trial]
"""(trial, level, seed) -> the trial made harder."""
_FINGER_RADIUS, _TIP_RADIUS = 0.013, 0.014
"""Metres; a finger is some 9 mm thick on either side of its bones."""


@dataclass(frozen=True)
class Family:
    """One way, and the amounts at which it is tried."""

    title: str
    axis: str
    """What a level counts, with its unit."""
    levels: tuple[float, ...]
    perturb: Perturbation
    hides: bool = False
    """Whether it changes what is seen of the hand."""
    needs_image: bool = False
    """Whether only an estimator that looks at the picture can feel it."""
    shows: Literal["picture", "joints", "box"] = "picture"
    """What its pictures in a report must have drawn on them for the change to be seen."""
    rest: float = 0.0
    """The level at which nothing is changed."""
    scale: float = 1.0
    """From a level to the number on the axis."""


def _eraser(trial: Trial, share: float, seed: int) -> Trial:
    """A turned rectangle over a given share of the hand's visible pixels, grey or noise."""
    rng = trial.rng(seed, "eraser")
    rows, columns = np.nonzero(trial.hand_mask)
    if not len(rows):
        return trial
    start = rng.integers(len(rows))
    angle, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(-0.4, 0.4))
    y, x = np.mgrid[: trial.image.shape[0], : trial.image.shape[1]] - np.array([rows[start], columns[start]])[:, None, None]
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    distance = np.maximum(np.abs(u) * stretch, np.abs(v) / stretch)
    return _paint(trial, distance <= np.quantile(distance[trial.hand_mask], share), rng)


def _cutouts(trial: Trial, coverage: float, seed: int) -> Trial:
    """A random shape with a random look."""
    cutout = random_cutout(trial.rng(seed, "cut-outs"), trial.image, trial.bbox_xyxy.astype(np.float64), coverage)
    return trial.covered(cutout.mask, cutout.over(trial.image))


def _fingers(trial: Trial, count: float, seed: int) -> Trial:
    """Whole fingers covered, knuckle to tip."""
    rng = trial.rng(seed, "fingers")
    chosen = rng.permutation(5)[: int(count)]
    lines = [trial.sample.joints_img[4 * finger + 1 : 4 * finger + 5] for finger in chosen]
    return _paint(trial, draw_mask(trial.sample, lines, _FINGER_RADIUS), rng)


def _tips(trial: Trial, count: float, seed: int) -> Trial:
    """Fingertips covered."""
    rng = trial.rng(seed, "tips")
    chosen = np.array(TIP_JOINTS)[rng.permutation(5)[: int(count)]]
    return _paint(trial, draw_mask(trial.sample, list(trial.sample.joints_img[chosen, None]), _TIP_RADIUS), rng)


def _truncation(trial: Trial, share: float, seed: int) -> Trial:
    """The picture ends where this share of the visible hand is cut off; black beyond, as crops are padded."""
    rows, columns = np.nonzero(trial.hand_mask)
    if not len(rows):
        return trial
    axis, is_far = divmod(int(trial.rng(seed, "truncation").integers(4)), 2)
    along = (columns, rows)[axis]
    y, x = np.mgrid[: trial.image.shape[0], : trial.image.shape[1]]
    place = (x, y)[axis]
    mask = place > np.quantile(along, 1 - share) if is_far else place < np.quantile(along, share)
    return trial.covered(mask, np.where(mask[..., None], 0, trial.image).astype(np.uint8))


def _blur(trial: Trial, sigma: float, seed: int) -> Trial:
    return replace(trial, image=gaussian_blur(trial.image, sigma * trial.box_side))


def _darken(trial: Trial, stops: float, seed: int) -> Trial:
    return replace(trial, image=low_light(trial.image, 0.5**stops, trial.rng(seed, "low light")))


def _shift_box(trial: Trial, share: float, seed: int) -> Trial:
    angle = trial.rng(seed, "box").uniform(0, 2 * np.pi)
    x1, y1, x2, y2 = trial.bbox_xyxy
    step = share * max(x2 - x1, y2 - y1) * np.array([np.cos(angle), np.sin(angle)])
    return replace(trial, bbox_xyxy=trial.bbox_xyxy + np.tile(step, 2))


def _scale_box(trial: Trial, factor: float, seed: int) -> Trial:
    centre = (trial.bbox_xyxy[:2] + trial.bbox_xyxy[2:]) / 2
    return replace(trial, bbox_xyxy=np.tile(centre, 2) + factor * (trial.bbox_xyxy - np.tile(centre, 2)))


def _joint_noise(trial: Trial, factor: float, seed: int) -> Trial:
    return replace(trial, noise=NoiseModel(factor * trial.noise.visible, factor * trial.noise.hidden))


def _paint(trial: Trial, mask: Bool[np.ndarray, "height width"], rng: np.random.Generator) -> Trial:
    return trial.covered(mask, np.where(mask[..., None], _grey_or_noise(trial.image.shape, rng), trial.image))


def _grey_or_noise(shape: tuple[int, ...], rng: np.random.Generator) -> UInt8[np.ndarray, "height width 3"]:
    if rng.random() < 0.5:
        return np.full(shape, 128, np.uint8)
    return rng.integers(0, 256, shape, np.uint8)


FAMILIES: dict[str, Family] = {
    "eraser": Family("Eraser", "share of the visible hand erased, %", (0.1, 0.2, 0.4, 0.6, 0.8), _eraser, hides=True, scale=100.0),
    "cutouts": Family("Cut-outs", "cut-out, % of the hand's box", (0.1, 0.2, 0.4, 0.6), _cutouts, hides=True, scale=100.0),
    "fingers": Family("Whole fingers", "fingers covered", (1.0, 2.0, 3.0, 4.0), _fingers, hides=True),
    "tips": Family("Finger tips", "finger tips covered", (1.0, 2.0, 3.0, 5.0), _tips, hides=True),
    "truncation": Family("Truncation", "share of the visible hand cut off, %", (0.1, 0.2, 0.4, 0.6), _truncation, hides=True, scale=100.0),
    "blur": Family("Blur", "sigma, % of the hand's box", (0.01, 0.02, 0.04, 0.08), _blur, needs_image=True, scale=100.0),
    "low_light": Family("Low light", "stops of light missing", (2.0, 4.0, 6.0, 8.0), _darken, needs_image=True),
    "box_shift": Family("Box shift", "shift, % of the box", (0.05, 0.1, 0.2, 0.3), _shift_box, needs_image=True, shows="box", scale=100.0),
    "box_scale": Family(
        "Box scale",
        "size of the box, % of the true one",
        (0.7, 0.85, 1.2, 1.5),
        _scale_box,
        needs_image=True,
        shows="box",
        rest=1.0,
        scale=100.0,
    ),
    "joint_noise": Family(
        "2D-joint noise", "noise of the 2D joints, times the assumed", (0.0, 0.5, 2.0, 4.0), _joint_noise, shows="joints", rest=1.0
    ),
}
