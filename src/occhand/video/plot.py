"""Where each hand went and how sure the detector was, over time, as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from occhand.files import atomic_path
from occhand.plot import GRID, INK, MUTED, Area, Axes, Figure, Label
from occhand.video.tables import Pieces

_COLOURS = ("#c2622d", "#1f5fbf", "#0e8f7e", "#7a4fb5", "#c43d3d", "#7b818c")
_PANELS = ("x, right, m", "y, down, m", "z, forward, m")
_WIDTH, _PANEL, _TOP = 960.0, 170.0, 44.0
_MOST_POINTS = 1500
"""Of a line; more cannot be told apart."""


def save_trajectories(path: Path, pieces: Pieces, end: float, frame_count: int) -> None:
    """Wrist of each track in the camera frame, and confidence; what was bridged is shaded.

    Args:
        path: A .png; it appears whole or not at all.
        pieces: Finished tables.
        end: Time of the last frame, seconds.
        frame_count: Of the video; of a long one only every so many frames are drawn.
    """
    step = -(-frame_count // _MOST_POINTS)
    table = _gather(pieces, step)
    figure = Figure(_WIDTH, _TOP + 4 * _PANEL, "Trajectories of the wrists and confidence over time")
    figure.add(Label((4, 20), "Wrists in the camera frame, and confidence", 15, INK, bold=True))
    span = (0.0, max(end, 1e-3))
    for panel, title in enumerate((*_PANELS, "confidence of the detector, 0 where bridged")):
        values = table["confidence"] if panel == 3 else table["wrist"][:, panel]
        y_span = (0.0, 1.0) if panel == 3 else _padded(values)
        bottom = 4 * _PANEL - (panel + 1) * _PANEL
        axes = Axes(figure, span, y_span, (62.0, _TOP + panel * _PANEL + 26.0, 96.0, bottom + (44.0 if panel == 3 else 20.0)))
        axes.draw_frame("seconds" if panel == 3 else "", title, x_ticks=None if panel == 3 else [])
        _draw_tracks(axes, table, values, step, has_names=panel == 0)
    with atomic_path(path) as temporary:
        figure.png().save(temporary)


def _gather(pieces: Pieces, step: int) -> dict[str, np.ndarray]:
    names = ("frame", "time_s", "track", "side", "confidence", "bridged")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*names, "wrist")}
    for piece in pieces():
        chosen = piece["frame"] % step == 0
        for name in names:
            parts[name].append(piece[name][chosen])
        parts["wrist"].append(piece["joints"][chosen, 0].astype(np.float64))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _padded(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    pad = max(0.05 * (high - low), 0.01)
    return low - pad, high + pad


def _draw_tracks(axes: Axes, table: dict[str, np.ndarray], values: np.ndarray, step: int, has_names: bool) -> None:
    lowest = axes.margins[1]
    for place, number in enumerate(np.unique(table["track"])):
        rows = np.flatnonzero(table["track"] == number)
        colour = _COLOURS[int(number) % len(_COLOURS)]
        for stretch in np.split(rows, np.flatnonzero(np.diff(table["frame"][rows]) > step) + 1):
            time, height = table["time_s"][stretch].astype(np.float64), values[stretch].astype(np.float64)
            _shade_bridged(axes, time, table["bridged"][stretch])
            axes.draw_line(time, height, colour, 1.8)
        if has_names and place < 6:
            x = axes.figure.width - axes.margins[2] + 8
            axes.figure.add(Label((x, lowest + 14 + 16 * place), f"{table['side'][rows[0]]} {number}", 12, colour, bold=True))
    if not len(values):
        axes.figure.add(Label((axes.margins[0] + 12, lowest + 24), "no hand in the video", 12, MUTED))


def _shade_bridged(axes: Axes, time: np.ndarray, bridged: np.ndarray) -> None:
    low, high = axes.y_span
    for run in np.split(np.arange(len(time)), np.flatnonzero(np.diff(bridged.astype(int))) + 1):
        if len(run) and bridged[run[0]]:
            left, right = time[max(run[0] - 1, 0)], time[min(run[-1] + 1, len(time) - 1)]
            corners = ((left, low), (left, high), (right, high), (right, low))
            axes.figure.add(Area([axes.at(float(x), float(y)) for x, y in corners], GRID, 0.9))
