"""Maps of a network as heat over the crop that it saw."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from occhand.render.gallery import contact_sheet

_RAMP = np.array([(12, 8, 38), (84, 15, 109), (187, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64)
"""Dark violet to pale yellow; lightness rises evenly, so it reads in grey too."""


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
    """A sheet of the crop and its maps with their names and ranges; a map that is not square is no picture and stands by itself."""
    pictures, labels = [crop], ["crop"]
    for name, values in maps.items():
        is_over_crop = values.shape[0] == values.shape[1]
        pictures.append(draw_heat(crop, values) if is_over_crop else heat_colours(values))
        labels.append(f"{name}  {values.min():.3g} to {values.max():.3g}")
    return contact_sheet(pictures, labels, columns, cell=256)
