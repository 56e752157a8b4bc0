"""Occluders that are no object: cut-outs of made shapes laid over a hand (random erasing), on any picture, rendered or real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFilter

CutOutShape = Literal["rectangle", "ellipse", "polygon"]
CutOutFill = Literal["colour", "noise", "stripes", "patch"]
_SHAPES: tuple[CutOutShape, ...] = ("rectangle", "ellipse", "polygon")
_FILLS: tuple[CutOutFill, ...] = ("colour", "noise", "stripes", "patch")


@dataclass(frozen=True)
class CutOut:
    """A shape that hides what is under it, and what it looks like."""

    mask: Bool[np.ndarray, "height width"]
    texture: UInt8[np.ndarray, "height width 3"]
    """Over the whole picture; only the part in the mask is seen."""

    def over(self, image: UInt8[np.ndarray, "height width 3"], soften: float = 0.7) -> UInt8[np.ndarray, "height width 3"]:
        """The picture with the cut-out on top, its edge blurred by `soften` pixels, as a lens would."""
        mask = Image.fromarray(self.mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(soften))
        opacity = np.asarray(mask, dtype=np.float32)[..., None] / 255
        return np.rint(image + opacity * (self.texture - image.astype(np.float32))).astype(np.uint8)


def random_cutout(
    rng: np.random.Generator, image: UInt8[np.ndarray, "height width 3"], bbox_xyxy: Float[np.ndarray, "4"], coverage: float
) -> CutOut:
    """A random shape with a random look, its centre in the hand's box.

    Args:
        rng: Decides everything.
        image: The picture it is meant for; patches are cut from it.
        bbox_xyxy: Of the hand, pixels.
        coverage: Area of the shape in areas of the box.
    """
    height, width = image.shape[:2]
    low, high = bbox_xyxy[:2], bbox_xyxy[2:]
    centre = low + (high - low) * rng.uniform(0.15, 0.85, 2)
    area = coverage * float(np.prod(high - low))
    outline = _outline(rng, _SHAPES[rng.integers(len(_SHAPES))], area) + centre
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in outline.tolist()], fill=1)
    return CutOut(np.array(canvas), _texture(rng, image, _FILLS[rng.integers(len(_FILLS))]))


def _outline(rng: np.random.Generator, shape: CutOutShape, area: float) -> Float[np.ndarray, "corners 2"]:
    """Corners about the origin of a shape of this area (pixels), stretched up to 1 : 3 and turned."""
    if shape == "rectangle":
        corners = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    else:
        count = 40 if shape == "ellipse" else int(rng.integers(5, 10))
        radii = np.ones(count) if shape == "ellipse" else rng.uniform(0.5, 1.3, count)
        turns = 2 * np.pi * (np.arange(count) + (0 if shape == "ellipse" else 0.6 * rng.random(count))) / count
        corners = radii[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    stretch = np.exp(rng.uniform(-0.55, 0.55))
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    x, y = corners.T
    unit_area = 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    return corners * (stretch, 1 / stretch) * np.sqrt(area / unit_area) @ turn.T


def _texture(rng: np.random.Generator, image: np.ndarray, fill: CutOutFill) -> UInt8[np.ndarray, "height width 3"]:
    height, width = image.shape[:2]
    base = rng.uniform(0, 255, 3)
    if fill == "patch":  # another place of the same picture, so that its colours tell nothing
        return np.roll(image, (int(rng.integers(1, height)), int(rng.integers(1, width))), axis=(0, 1))
    if fill == "noise":
        coarse = np.clip(rng.normal(base, 45, (rng.integers(3, 24), rng.integers(3, 24), 3)), 0, 255).astype(np.uint8)
        return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    amount = np.full((height, width), 0.5)
    if fill == "stripes":
        angle, period = rng.uniform(0, np.pi), rng.uniform(0.04, 0.25) * max(height, width)
        v, u = np.mgrid[:height, :width]
        amount = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * (u * np.cos(angle) + v * np.sin(angle)) / period))
    colours = base + (amount[..., None] - 0.5) * rng.uniform(-120, 120, 3)
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)
