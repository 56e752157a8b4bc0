"""Which charts a report has."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from occhand.stress.curves import Curve, Summary
from occhand.stress.families import Family
from occhand.stress.plot import INK, MUTED, Axes, Dot, Figure, Label, Path

COLOURS = ("#1f5fbf", "#d9730d", "#7b818c")
"""Of the subject under test and its baselines."""
VISIBLE, HIDDEN = "#0e8f7e", "#c43d3d"
OCCLUDER_COLOURS = {"object": "#1f5fbf", "sleeve": "#7a4fb5", "second hand": "#c43d3d", "picture border": "#d9730d", "nothing": "#0e8f7e"}
_DASH = (5.0, 5.0)
_X_TITLE = "measured occlusion of the hand, %"


def occlusion_chart(
    title: str,
    y_title: str,
    curves: dict[str, tuple[Curve, str]],
    size: tuple[float, float] = (550.0, 350.0),
    dots: tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]] | None = None,
) -> Figure:
    """Running medians over occlusion with their bands, each named at its end.

    Args:
        title: Of the figure.
        y_title: With unit, alignment and number of hands.
        curves: With their colour, by name; the first is the one under test, and its 90th percentile is drawn too.
        size: Width and height, CSS pixels.
        dots: Occlusion and error of single hands.
    """
    figure = Figure(*size, title)
    drawn = {name: pair for name, pair in curves.items() if len(pair[0].median) > 1}
    first = next(iter(drawn.values()))[0]
    top = 1.12 * max(max(curve.high.max() for curve, _ in drawn.values()), first.p90.max())
    right = min(100.0, 10 * np.ceil(10 * max(curve.occlusion[-1] for curve, _ in drawn.values())))
    axes = Axes(figure, (0.0, right), (0.0, float(top)), (40.0, 62.0, 138.0, 44.0))
    figure.add(Label((4, 20), title, 15, INK, bold=True))
    axes.draw_frame(_X_TITLE, y_title)
    if dots is not None:
        for x, y in zip(*dots, strict=True):
            if y <= top:
                figure.add(Dot(axes.at(100 * x, y), 2.1, COLOURS[0], 0.22))
    for curve, colour in drawn.values():
        axes.draw_band(100 * curve.occlusion, curve.low, curve.high, colour)
    axes.draw_line(100 * first.occlusion, first.p90, next(iter(drawn.values()))[1], 1.4, _DASH)
    for curve, colour in drawn.values():
        axes.draw_line(100 * curve.occlusion, curve.median, colour)
    ends = [(axes.at(right, curve.median[-1]), name, colour, True) for name, (curve, colour) in drawn.items()]
    name = next(iter(drawn))
    ends.append((axes.at(right, first.p90[-1]), f"{name}, 90th pct.", drawn[name][1], False))
    _name_ends(figure, ends)
    return figure


def _name_ends(figure: Figure, ends: list[tuple[tuple[float, float], str, str, bool]]) -> None:
    """Names beside the frame at the heights where the lines end, pushed apart where they would overlap."""
    below = -np.inf
    for (x, y), name, colour, bold in sorted(ends, key=lambda end: end[0][1]):
        below = max(y + 4, below + 15)
        figure.add(Label((x + 9, below), name, 12, colour, bold=bold))


def family_chart(family: Family, levels: list[float], summaries: dict[str, tuple[list[Summary], str]], mean_pose: float | None) -> Figure:
    """Median and 90th percentile over the levels of a perturbation."""
    figure = Figure(372.0, 232.0, f"{family.title}: PA-MPJPE over {family.axis}")
    x = np.array(levels) * family.scale
    tops = [summary.p90 or 0.0 for row, _ in summaries.values() for summary in row]
    axes = Axes(figure, (float(x.min()), float(x.max())), (0.0, 1.1 * max(*tops, mean_pose or 0.0, 1.0)), (38.0, 32.0, 14.0, 44.0))
    count = next(iter(summaries.values()))[0][0].count
    axes.draw_frame(family.axis, f"PA-MPJPE, mm · n = {count} hands per level", x.tolist())
    if mean_pose is not None:
        axes.draw_line(x[[0, -1]], np.array([mean_pose, mean_pose]), MUTED, 1.2, (2.0, 4.0))
    for row, colour in summaries.values():
        intervals = np.array([summary.median_interval or (summary.median, summary.median) for summary in row], dtype=float)
        axes.draw_band(x, intervals[:, 0], intervals[:, 1], colour)
        axes.draw_line(x, np.array([summary.p90 for summary in row], dtype=float), colour, 1.3, _DASH)
        medians = np.array([summary.median for summary in row], dtype=float)
        axes.draw_line(x, medians, colour)
        for level, median in zip(x, medians, strict=True):
            figure.add(Dot(axes.at(level, median), 3.2, colour, 1.0, f"{median:.1f} mm at {level:g}"))
    x_rest = float(family.rest * family.scale)
    figure.add(Path((axes.at(x_rest, 0.0), axes.at(x_rest, axes.y_span[1])), "#b6bac2", 1.0, (1.5, 3.5)))
    return figure
