"""Charts without a plotting library: a list of shapes, written as SVG for the page and drawn by Pillow as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]

INK, MUTED, GRID = "#20242b", "#6b7280", "#e6e8ec"
_PNG_SCALE, _OVERSAMPLING = 2, 2
_PIL_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


class Path(NamedTuple):
    points: Sequence[Point]
    colour: str
    width: float = 2.0
    dash: tuple[float, float] | None = None


class Area(NamedTuple):
    points: Sequence[Point]
    colour: str
    opacity: float = 0.18


class Dot(NamedTuple):
    centre: Point
    radius: float
    colour: str
    opacity: float = 1.0
    title: str = ""
    """What a browser says when the mouse rests on it."""


class Label(NamedTuple):
    at: Point
    text: str
    size: float = 12.0
    colour: str = INK
    anchor: Anchor = "start"
    bold: bool = False


Shape = Path | Area | Dot | Label


@dataclass
class Figure:
    """A white page of shapes, in CSS pixels, later ones on top."""

    width: float
    height: float
    title: str
    """Read to those who cannot see it."""
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        self.shapes += shapes

    def svg(self) -> str:
        """As an element for a page."""
        body = "".join(map(_svg, self.shapes))
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(self.title)}" {size}>{body}</svg>'

    def png(self) -> Image.Image:
        """At two pixels per CSS pixel."""
        scale = _PNG_SCALE * _OVERSAMPLING
        canvas = Image.new("RGBA", (round(self.width * scale), round(self.height * scale)), "white")
        for shape in self.shapes:
            _draw(canvas, shape, scale)
        return canvas.convert("RGB").reduce(_OVERSAMPLING)


def _svg(shape: Shape) -> str:
    if isinstance(shape, Path):
        dash = f' stroke-dasharray="{shape.dash[0]:g} {shape.dash[1]:g}"' if shape.dash else ""
        line = f'fill="none" stroke="{shape.colour}" stroke-width="{shape.width:g}" stroke-linejoin="round" stroke-linecap="round"'
        return f'<polyline points="{_points(shape.points)}" {line}{dash}/>'
    if isinstance(shape, Area):
        return f'<polygon points="{_points(shape.points)}" fill="{shape.colour}" fill-opacity="{shape.opacity:g}"/>'
    if isinstance(shape, Dot):
        title = f"<title>{escape(shape.title)}</title>" if shape.title else ""
        x, y = shape.centre
        circle = f'cx="{x:.1f}" cy="{y:.1f}" r="{shape.radius:g}" fill="{shape.colour}" fill-opacity="{shape.opacity:g}"'
        return f"<circle {circle}>{title}</circle>"
    weight = ' font-weight="600"' if shape.bold else ""
    place = f'x="{shape.at[0]:.1f}" y="{shape.at[1]:.1f}" text-anchor="{shape.anchor}"'
    return f'<text {place} font-size="{shape.size:g}" fill="{shape.colour}"{weight}>{escape(shape.text)}</text>'


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _draw(canvas: Image.Image, shape: Shape, scale: int) -> None:
    pen = ImageDraw.Draw(canvas)
    if isinstance(shape, Path):
        for piece in _dashes(np.array(shape.points, dtype=float), shape.dash):
            pen.line([tuple(point) for point in (piece * scale).tolist()], shape.colour, round(shape.width * scale), joint="curve")
    elif isinstance(shape, Label):
        font = ImageFont.load_default(size=shape.size * scale)
        x, y = shape.at[0] * scale, shape.at[1] * scale
        stroke = max(1, round(0.02 * shape.size * scale)) if shape.bold else 0  # older Pillows take whole pixels alone
        pen.text((x, y), shape.text, shape.colour, font, anchor=_PIL_ANCHORS[shape.anchor], stroke_width=stroke)
    else:
        _blend(canvas, shape, scale)


def _blend(canvas: Image.Image, shape: Area | Dot, scale: int) -> None:
    """Draw something translucent, on a layer no larger than it is."""
    if isinstance(shape, Dot):
        (x, y), r = shape.centre, shape.radius
        outline = np.array([(x - r, y - r), (x + r, y + r)]) * scale
    else:
        outline = np.array(shape.points, dtype=float) * scale
    low = np.floor(outline.min(axis=0)).clip(0)
    width, height = np.ceil(outline.max(axis=0) - low).astype(int) + 1
    layer = Image.new("RGBA", (int(width), int(height)))
    fill = (*ImageColor.getrgb(shape.colour)[:3], round(255 * shape.opacity))
    corners = [tuple(point) for point in (outline - low).tolist()]
    pen = ImageDraw.Draw(layer)
    if isinstance(shape, Dot):
        pen.ellipse(corners, fill=fill)
    else:
        pen.polygon(corners, fill=fill)
    canvas.alpha_composite(layer, (int(low[0]), int(low[1])))


def _dashes(points: np.ndarray, dash: tuple[float, float] | None) -> list[np.ndarray]:
    """The pieces of a line that are drawn."""
    if dash is None:
        return [points]
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    pieces = []
    for start in np.arange(0.0, along[-1], sum(dash)):
        stops = np.concatenate([[start], along[(along > start) & (along < start + dash[0])], [min(start + dash[0], along[-1])]])
        pieces.append(np.stack([np.interp(stops, along, points[:, axis]) for axis in (0, 1)], axis=1))
    return pieces


@dataclass(frozen=True)
class Axes:
    """A frame for data inside a figure: gridlines, round ticks, the vertical title on top where it is read first."""

    figure: Figure
    x_span: tuple[float, float]
    y_span: tuple[float, float]
    margins: tuple[float, float, float, float] = (46.0, 34.0, 16.0, 44.0)
    """Left, top, right, bottom."""

    def at(self, x: float, y: float) -> Point:
        """A data point's place; heights beyond the axis stay on its edge."""
        left, top, right, bottom = self.margins
        across = (x - self.x_span[0]) / (self.x_span[1] - self.x_span[0])
        up = min(max((y - self.y_span[0]) / (self.y_span[1] - self.y_span[0]), 0.0), 1.0)
        return left + across * (self.figure.width - left - right), top + (1 - up) * (self.figure.height - top - bottom)

    def draw_frame(self, x_title: str, y_title: str, x_ticks: Sequence[float] | None = None) -> None:
        figure, (low, high) = self.figure, self.y_span
        for tick in round_ticks(low, high):
            left, right = self.at(self.x_span[0], tick), self.at(self.x_span[1], tick)
            figure.add(Path((left, right), GRID, 1.0), Label((left[0] - 8, left[1] + 4), f"{tick:g}", 11.5, MUTED, "end"))
        for tick in round_ticks(*self.x_span) if x_ticks is None else x_ticks:
            x, y = self.at(tick, low)
            figure.add(Path(((x, y), (x, y + 4)), "#b6bac2", 1.0), Label((x, y + 18), f"{tick:g}", 11.5, MUTED, "middle"))
        figure.add(Path((self.at(self.x_span[0], low), self.at(self.x_span[1], low)), "#b6bac2", 1.2))
        figure.add(Label((self.at(self.x_span[1], low)[0], figure.height - 8), x_title, 11.5, MUTED, "end"))
        figure.add(Label((4, self.margins[1] - 15), y_title, 11.5, MUTED))

    def draw_line(self, x: np.ndarray, y: np.ndarray, colour: str, width: float = 2.4, dash: tuple[float, float] | None = None) -> None:
        if len(x) > 1:
            self.figure.add(Path([self.at(*point) for point in zip(x, y, strict=True)], colour, width, dash))

    def draw_band(self, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> None:
        if len(x) > 1:
            outline = [*zip(x, high, strict=True), *zip(x[::-1], low[::-1], strict=True)]
            self.figure.add(Area([self.at(*point) for point in outline], colour))


def round_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high."""
    rough = (high - low) / about
    magnitude = 10.0 ** np.floor(np.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999)
    return [float(round(k * step, 10)) for k in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1)]
