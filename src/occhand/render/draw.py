"""Meshes, skeletons and labels drawn over a photograph. Every function returns a new picture and leaves its input as it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from occhand.geometry.camera import project
from occhand.hand.skeleton import BONES, FINGERS, JOINT_NAMES
from occhand.render.shade import Colour, Mesh, draw_meshes

FINGER_COLOURS: tuple[Colour, ...] = ((230, 75, 60), (245, 170, 40), (80, 185, 85), (50, 150, 230), (165, 95, 215))
"""Thumb to pinky."""
WRIST_COLOUR: Colour = (245, 245, 245)
RIM: Colour = (24, 24, 28)

Box = tuple[int, int, int, int]
"""Pixel columns and rows: left, top, right, bottom; the last two are not part of it."""


def overlay(
    image: UInt8[np.ndarray, "height width 3"],
    meshes: Sequence[Mesh],
    K: Float[np.ndarray, "3 3"],
    alpha: float = 0.9,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw meshes over the photograph that `K` describes; of several, the nearer hides the farther.

    Args:
        image: RGB.
        meshes: In the camera frame of `K`.
        K: Pinhole intrinsics, pixels.
        alpha: Opacity of the meshes, 0 to 1.
    """
    left, top, right, bottom = _seen_box(meshes, K, *image.shape[:2])
    drawn = image.copy()
    if left >= right or top >= bottom:
        return drawn
    box_from_img = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    picture = draw_meshes(meshes, box_from_img @ K, bottom - top, right - left)
    opacity = alpha * picture.alpha[..., None]
    behind = image[top:bottom, left:right]
    drawn[top:bottom, left:right] = np.round(opacity * picture.rgb + (1.0 - opacity) * behind).astype(np.uint8)
    return drawn


def draw_joints(
    image: UInt8[np.ndarray, "height width 3"],
    joints_img: Float[np.ndarray, "21 2"],
    occluded: Bool[np.ndarray, "21"] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the skeleton of one hand, a colour per finger.

    Args:
        image: RGB.
        joints_img: Pixels, house order. A joint that is not finite is left out, with its bones.
        occluded: Joints that are hidden: drawn as rings, with thin bones that lead to them.
    """
    placed = np.isfinite(joints_img).all(axis=1)
    if not placed.any():
        return image.copy()
    low, high = joints_img[placed].min(axis=0), joints_img[placed].max(axis=0)
    radius = float(np.clip(0.015 * (high - low).max(), 1.5, 0.01 * max(image.shape[:2])))
    box = _clip_box(low - 3.0 * radius, high + 3.0 * radius, *image.shape[:2])
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return image.copy()

    scale = 3  # PIL draws hard edges: draw larger, then shrink
    layer = Image.new("RGBA", (scale * (right - left), scale * (bottom - top)))
    hidden = np.zeros(21, dtype=bool) if occluded is None else occluded
    _draw_skeleton(ImageDraw.Draw(layer), (joints_img - (left, top) + 0.5) * scale, radius * scale, placed, hidden)
    return _composite(image, layer.reduce(scale), left, top)


def draw_label(
    image: UInt8[np.ndarray, "height width 3"],
    text: str,
    at: tuple[float, float] = (0.0, 0.0),
    colour: Colour = (35, 38, 44),
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a badge with a line of text, such as "camera assumed", sized to the picture.

    Args:
        image: RGB.
        text: One line.
        at: Upper left corner of the badge, pixels; moved as far as needed to keep the badge within the picture.
        colour: Of the badge; the text is black or white, whichever reads better.
    """
    height, width = image.shape[:2]
    badge, margin = _badge(text, max(11.0, 0.026 * min(height, width)), colour)
    left = int(np.clip(at[0], margin, max(margin, width - badge.width - margin)))
    top = int(np.clip(at[1], margin, max(margin, height - badge.height - margin)))
    return _composite(image, badge, left, top)


@lru_cache(maxsize=64)
def _badge(text: str, font_px: float, colour: Colour) -> tuple[Image.Image, int]:
    """A label as a layer, and its least distance to the picture's border; kept, as a video shows the same ones on every frame."""
    font = ImageFont.load_default(size=font_px)
    ascent, descent = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (11, 0)
    pad = round(0.45 * ascent)
    layer = Image.new("RGBA", (round(font.getlength(text)) + 2 * pad, ascent + descent + pad))
    pen = ImageDraw.Draw(layer)
    pen.rounded_rectangle((0, 0, layer.width - 1, layer.height - 1), radius=pad, fill=(*colour, 225))
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    pen.text((pad, pad // 2), text, font=font, fill=(0, 0, 0) if luma > 140 else (255, 255, 255))
    return layer, round(0.4 * ascent)


def _seen_box(meshes: Sequence[Mesh], K: np.ndarray, height: int, width: int) -> Box:
    """The part of the picture that meshes may fall on: all of it when one reaches behind the camera."""
    if not meshes:
        return 0, 0, 0, 0
    points = np.concatenate([mesh.vertices_cam for mesh in meshes])
    if (points[:, 2] <= 1e-3).any():
        return 0, 0, width, height
    pixels = project(points, K)
    return _clip_box(pixels.min(axis=0), pixels.max(axis=0), height, width)


def _clip_box(low: np.ndarray, high: np.ndarray, height: int, width: int) -> Box:
    """The pixels around two corners, as far as they lie in the picture."""
    left, top = np.clip(np.floor(low), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(high) + 1, 0, (width, height)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _draw_skeleton(pen: ImageDraw.ImageDraw, at: np.ndarray, radius: float, placed: np.ndarray, hidden: np.ndarray) -> None:
    """Bones under joints, all with a dark rim that keeps them legible on skin."""
    colours = [WRIST_COLOUR, *np.repeat(FINGER_COLOURS, len(JOINT_NAMES) // len(FINGERS), axis=0).tolist()]
    bones = [(parent, child) for parent, child in BONES if placed[parent] and placed[child]]
    thickness = {child: radius * (0.4 if hidden[child] else 1.0) for _, child in bones}
    for parent, child in bones:
        pen.line([*at[parent], *at[child]], fill=(*RIM, 170), width=round(thickness[child] + 0.7 * radius))
    for parent, child in bones:
        pen.line([*at[parent], *at[child]], fill=(*colours[child], 255), width=round(thickness[child]))
    for joint in np.flatnonzero(placed):
        box = [*(at[joint] - 1.1 * radius), *(at[joint] + 1.1 * radius)]
        fill, outline = (RIM, colours[joint]) if hidden[joint] else (colours[joint], RIM)
        pen.ellipse(box, fill=(*fill, 255), outline=(*outline, 255), width=round(0.4 * radius))


def _composite(image: np.ndarray, layer: Image.Image, left: int, top: int) -> np.ndarray:
    """Blend an RGBA layer over a picture."""
    drawn = image.copy()
    place = drawn[top : top + layer.height, left : left + layer.width]
    pixels = np.asarray(layer, dtype=np.float32)[: place.shape[0], : place.shape[1]]
    opacity = pixels[..., 3:] / 255.0
    place[:] = np.round(opacity * pixels[..., :3] + (1.0 - opacity) * place).astype(np.uint8)
    return drawn
