"""Bar charts, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

INK, FAINT, BAR = (40, 44, 52), (214, 218, 224), (66, 122, 176)
WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 16, 16, 44, 54


class Bars(NamedTuple):
    """One panel."""

    title: str
    labels: Sequence[str]
    """Under the bars."""
    counts: Sequence[float]


def draw_charts(panels: Sequence[Bars], columns: int = 3) -> UInt8[np.ndarray, "height width 3"]:
    """Panels in rows; every bar is its share of the panel's sum."""
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * WIDTH, rows * HEIGHT), "white")
    pen = ImageDraw.Draw(sheet)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        _draw_panel(pen, panel, column * WIDTH, row * HEIGHT)
    return np.array(sheet)


def _draw_panel(pen: ImageDraw.ImageDraw, panel: Bars, left: int, top: int) -> None:
    title, small = ImageFont.load_default(size=16), ImageFont.load_default(size=12)
    shares = np.asarray(panel.counts, dtype=float) / max(1e-9, float(np.sum(panel.counts)))
    highest = max(1e-9, float(shares.max()))
    base, room = top + HEIGHT - BOTTOM, HEIGHT - TOP - BOTTOM - 16
    pitch = (WIDTH - LEFT - RIGHT) / len(shares)
    pen.text((left + LEFT, top + 12), panel.title, font=title, fill=INK)
    pen.line((left + LEFT, base, left + WIDTH - RIGHT, base), fill=FAINT, width=2)
    for number, (label, share) in enumerate(zip(panel.labels, shares, strict=True)):
        x = left + LEFT + number * pitch
        y = base - room * share / highest
        pen.rectangle((x + 0.12 * pitch, y, x + 0.88 * pitch, base), fill=BAR)
        if pitch >= 26:
            pen.text((x + pitch / 2, y - 3), f"{100 * share:.0f}", font=small, fill=INK, anchor="mb")
        is_lowered = small.getlength(label) > 0.9 * pitch and number % 2  # long ones alternate between two lines
        pen.text((x + pitch / 2, base + (22 if is_lowered else 6)), label, font=small, fill=INK, anchor="ma")
