"""One annotated frame: the meshes over the picture, each named by side and track, with a badge for whatever is a guess."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from occhand.render.draw import draw_label, overlay
from occhand.render.shade import PALETTE, Colour, Mesh
from occhand.types import Camera, Side

BRIDGED_COLOUR: Colour = (176, 178, 182)
_WARNING: Colour = (150, 60, 40)


class DrawnHand(NamedTuple):
    """A hand as it is drawn."""

    track: int
    side: Side
    is_bridged: bool
    vertices: Float[np.ndarray, "778 3"]
    faces: Int[np.ndarray, "1538 3"]
    corner: tuple[float, float]
    """Of its label, pixels."""


def draw_frame(
    picture: UInt8[np.ndarray, "height width 3"], hands: Sequence[DrawnHand], camera: Camera
) -> UInt8[np.ndarray, "height width 3"]:
    """The hands of a frame over it; those that were not seen in it are grey."""
    meshes = [Mesh(hand.vertices, hand.faces, BRIDGED_COLOUR if hand.is_bridged else PALETTE[hand.track % len(PALETTE)]) for hand in hands]
    drawn = overlay(picture, meshes, camera.K)
    for hand in hands:
        drawn = draw_label(drawn, f"{hand.side} {hand.track}" + (", not seen" if hand.is_bridged else ""), at=hand.corner)
    if hands and camera.source == "assumed":
        drawn = draw_label(drawn, "camera assumed: distance is a guess", at=(0.0, float(camera.height)))
    return drawn


def draw_missing(frame: int, error: str, camera: Camera) -> UInt8[np.ndarray, "height width 3"]:
    """What stands for a frame that could not be decoded."""
    return draw_label(np.full((camera.height, camera.width, 3), 32, np.uint8), f"frame {frame} {error}", colour=_WARNING)
