"""Maps of a network as heat over the crop that it saw."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from occhand.render.gallery import contact_sheet

_RAMP = np.array([(12, 8, 38), (84, 15, 109), (187, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64)
"""Dark violet to pale yellow; lightness rises evenly, so it reads in grey too."""
_CELL = 256
"""Pixels of a picture on a sheet, along x and along y."""
_LABEL_LETTERS = 38
"""That fit over it."""


def heat_colours(values: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Colours from the smallest value (dark) to the largest (light); a constant map is dark."""
    span = values.max() - values.min()
    level = (values - values.min()) / (span if span > 0 else 1.0) * (len(_RAMP) - 1)
    low = np.minimum(level.astype(int), len(_RAMP) - 2)
    part = (level - low)[..., None]
    return np.round(_RAMP[low] * (1 - part) + _RAMP[low + 1] * part).astype(np.uint8)


def draw_heat(
    crop: UInt8[np.ndarray, "height width 3"], values: Float[np.ndarray, "rows columns"], alpha: float = 0.6
) -> UInt8[np.ndarray, "height width 3"]:
    """A coarse map over the crop, smoothly enlarged."""
    height, width = crop.shape[:2]
    heat = np.asarray(Image.fromarray(heat_colours(values)).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    return np.round(alpha * heat + (1 - alpha) * crop).astype(np.uint8)


def draw_maps(
    crop: UInt8[np.ndarray, "size size 3"], maps: dict[str, Float[np.ndarray, "_ _"]], columns: int = 4
) -> UInt8[np.ndarray, "height width 3"]:
    """A sheet of the crop and its maps with their names and ranges.

    A square map lies over the crop. So does the attention of some tokens to all places of a square map, as their mean. Any other matrix is
    no picture and stands by itself.
    """
    large = np.asarray(Image.fromarray(crop).resize((_CELL, _CELL), Image.Resampling.BICUBIC))
    pictures, labels = [large], ["crop"]
    for name, values in maps.items():
        side = math.isqrt(values.shape[1])
        if values.shape[0] != values.shape[1] and side > 1 and side**2 == values.shape[1]:
            values = values.mean(0).reshape(side, side)
        pictures.append(draw_heat(large, values) if values.shape[0] == values.shape[1] else _alone(values))
        label = f"{name}  {values.min():.2g} to {values.max():.2g}"
        labels.append(label if len(label) <= _LABEL_LETTERS else name)
    return contact_sheet(pictures, labels, columns, _CELL)


def _alone(values: Float[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "height width 3"]:
    """Each value as a square that can be seen."""
    pixels = max(1, _CELL // max(values.shape))
    return heat_colours(values).repeat(pixels, axis=0).repeat(pixels, axis=1)
