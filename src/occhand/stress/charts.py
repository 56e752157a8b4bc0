"""The kinds of chart in a report."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from occhand.plot import INK, MUTED, Area, Axes, Dot, Figure, Label, Path
from occhand.stress.clips import ClipScores, Version
from occhand.stress.curves import Curve, Summary
from occhand.stress.families import Family
from occhand.synth.clips import FPS

_DASH = (5.0, 5.0)
_LONGEST_NAME = 15
"""Letters that fit beside the frame."""
_LEAST_HEIGHT = 1.0
"""Millimetres that an axis shows even of perfect hands."""
_BAR = "#8aa2c8"
_X_TITLE = "measured occlusion of the hand, %"


def occlusion_chart(
    title: str,
    y_title: str,
    curves: dict[str, tuple[Curve, str]],
    size: tuple[float, float] = (550.0, 350.0),
    dots: tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]] | None = None,
    has_tail: bool = True,
) -> Figure:
    """Running medians over occlusion with their bands, each named beside the frame.

    Args:
        title: Of the figure.
        y_title: With unit, alignment and number of hands.
        curves: With their colour, by name; none of them empty, the one under test first.
        size: Width and height, CSS pixels.
        dots: Occlusion and error of single hands.
        has_tail: Draw the first one's 90th percentile too.
    """
    figure = Figure(*size, title)
    first, first_colour = next(iter(curves.values()))
    top = max(curve.high.max() for curve, _ in curves.values())
    top = max(1.12 * max(top, first.tail.max()), _LEAST_HEIGHT) if has_tail else min(max(1.12 * top, _LEAST_HEIGHT), 100.0)
    farthest = [curve.occlusion[-1] for curve, _ in curves.values()] + ([] if dots is None else [np.nanmax(dots[0])])
    right = min(100.0, 10 * np.ceil(10 * max(farthest)))
    axes = Axes(figure, (0.0, float(right)), (0.0, float(top)), (40.0, 62.0, 118.0, 44.0))
    figure.add(Label((4, 20), title, 15, INK, bold=True))
    axes.draw_frame(_X_TITLE, y_title)
    if dots is not None:
        figure.add(*(Dot(axes.at(100 * x, y), 2.1, first_colour, 0.22) for x, y in zip(*dots, strict=True) if y <= top))
    for curve, colour in curves.values():
        axes.draw_band(100 * curve.occlusion, curve.low, curve.high, colour)
    for curve, colour in curves.values():
        axes.draw_line(100 * curve.occlusion, curve.median, colour)
    ends = [(axes.at(right, curve.median[-1]), name, colour, True) for name, (curve, colour) in curves.items()]
    if has_tail:
        axes.draw_line(100 * first.occlusion, first.tail, first_colour, 1.4, _DASH)
        ends.append((axes.at(right, first.tail[-1]), "90th percentile", first_colour, False))
    _name_ends(figure, ends)
    return figure


def _name_ends(figure: Figure, ends: list[tuple[tuple[float, float], str, str, bool]]) -> None:
    """Names beside the frame at the heights where the lines end, pushed apart where they would overlap."""
    below = -np.inf
    for (x, y), name, colour, bold in sorted(ends, key=lambda end: end[0][1]):
        below = max(y + 4, below + 15)
        shown = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        figure.add(Label((x + 9, below), shown, 12, colour, bold=bold))


def family_chart(family: Family, levels: list[float], summaries: dict[str, tuple[list[Summary], str]], mean_pose: float | None) -> Figure:
    """Median and 90th percentile over the levels of a perturbation."""
    figure = Figure(372.0, 232.0, f"{family.title}: PA-MPJPE over {family.axis}")
    x = np.array(levels) * family.scale
    tops = [summary.tail or 0.0 for row, _ in summaries.values() for summary in row]
    axes = Axes(figure, (float(x.min()), float(x.max())), (0.0, 1.1 * max(*tops, mean_pose or 0.0, 1.0)), (38.0, 32.0, 14.0, 44.0))
    count = next(iter(summaries.values()))[0][0].count
    axes.draw_frame(family.axis, f"PA-MPJPE, mm · n = {count} hands per level", x.tolist())
    if mean_pose is not None:
        axes.draw_line(x[[0, -1]], np.array([mean_pose, mean_pose]), MUTED, 1.2, (2.0, 4.0))
    for row, colour in summaries.values():
        intervals = np.array([summary.median_interval or (summary.median, summary.median) for summary in row], dtype=float)
        axes.draw_band(x, intervals[:, 0], intervals[:, 1], colour)
        axes.draw_line(x, np.array([summary.tail for summary in row], dtype=float), colour, 1.3, _DASH)
        medians = np.array([summary.median for summary in row], dtype=float)
        axes.draw_line(x, medians, colour)
        for level, median in zip(x, medians, strict=True):
            figure.add(Dot(axes.at(level, median), 3.2, colour, 1.0, f"{median:.1f} mm at {level:g}"))
    x_rest = float(family.rest * family.scale)
    figure.add(Path((axes.at(x_rest, 0.0), axes.at(x_rest, axes.y_span[1])), "#b6bac2", 1.0, (1.5, 3.5)))
    return figure


def count_chart(ratio: Float[np.ndarray, "n"], hidden_share: Float[np.ndarray, "n"]) -> Figure:
    """How many hands there are at each occlusion, and what share of their joints is hidden."""
    figure = Figure(550.0, 350.0, "The hands of this run")
    edges = np.linspace(0.0, 1.0, 11)
    places = np.clip(np.digitize(ratio[~np.isnan(ratio)], edges) - 1, 0, 9)
    counts = np.bincount(places, minlength=10).astype(float)
    axes = Axes(figure, (0.0, 100.0), (0.0, 1.18 * float(counts.max())), (40.0, 62.0, 118.0, 44.0))
    figure.add(Label((4, 20), figure.title, 15, INK, bold=True))
    axes.draw_frame(_X_TITLE, "hands; above each bar the share of their joints that is hidden, by the hand itself too")
    for k, count in enumerate(counts):
        left, right = 10.0 * k + 0.8, 10.0 * k + 9.2
        corners = [axes.at(x, y) for x, y in ((left, 0.0), (left, count), (right, count), (right, 0.0))]
        figure.add(Area(corners, _BAR, 0.55))
        if count:
            share = hidden_share[~np.isnan(ratio)][places == k].mean()
            x, y = axes.at(10.0 * k + 5, count)
            figure.add(Label((x, y - 6), f"{100 * share:.0f} %", 11, MUTED, "middle"))
    return figure


def motion_chart(title: str, clip: ClipScores, subject: str, colours: dict[Version, str]) -> Figure:
    """Acceleration error over the frames of a clip, raw and smoothed, over the share of the hand that is hidden."""
    figure = Figure(550.0, 300.0, title)
    errors = {version: clip.motions[subject][version].acceleration_error for version in colours}
    top = max(1.05 * max(np.nanpercentile(values, 99, method="higher") for values in errors.values()), _LEAST_HEIGHT)
    times = np.arange(len(clip.hidden)) / FPS
    axes = Axes(figure, (0.0, clip.seconds), (0.0, float(top)), (40.0, 62.0, 118.0, 44.0))
    figure.add(Label((4, 20), title, 15, INK, bold=True))
    axes.draw_frame("seconds", f"acceleration error, m/s² · grey: joints hidden, 0 to 100 % · synthetic, {clip.name}")
    axes.draw_band(times, np.zeros(len(times)), clip.hidden * top, MUTED)
    ends: list[tuple[tuple[float, float], str, str, bool]] = []
    for version, colour in colours.items():
        known = ~np.isnan(errors[version])
        axes.draw_line(times[known], errors[version][known], colour, 1.6)
        ends.append((axes.at(clip.seconds, float(np.nanmean(errors[version]))), version, colour, True))
    _name_ends(figure, ends)
    return figure
