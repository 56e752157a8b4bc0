"""Figures over many hands: medians and tails with bootstrap intervals, and how they grow with occlusion."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

BIN_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap: 95 % intervals."""
_MIN_COUNT = 5
"""Fewer hands give no interval."""
_GRID_STEP, _HALF_WIDTH = 0.02, 0.04
_NEIGHBOURS = (15, 0.08)
"""At the least so many hands, and so large a share of them, make a point of the running median."""
_MIN_SPAN = 0.1
"""Of occlusion, for a curve to be worth an area."""


@dataclass(frozen=True)
class Summary:
    """Median and worse tail of some hands; None where there are too few."""

    count: int
    median: float | None = None
    median_interval: tuple[float, float] | None = None
    tail: float | None = None
    """The measure's `tail_percentile`."""
    tail_interval: tuple[float, float] | None = None

    def record(self) -> dict[str, Any]:
        return asdict(self)


def summarize(values: Float[np.ndarray, "n"], rng: np.random.Generator, draws: int, tail_percentile: float = 90.0) -> Summary:
    """Of the values that are not NaN."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Summary(0)
    median, tail = np.percentile(values, (50, tail_percentile))
    if len(values) < _MIN_COUNT:
        return Summary(len(values), float(median), None, float(tail), None)
    resampled = values[rng.integers(len(values), size=(draws, len(values)))]
    medians, tails = np.percentile(resampled, (50, tail_percentile), axis=1)
    return Summary(len(values), float(median), _interval(medians), float(tail), _interval(tails))


def bin_members(ratio: Float[np.ndarray, "n"]) -> list[tuple[str, Bool[np.ndarray, "n"]]]:
    """Name and members of each stratum of occlusion; the last one is closed."""
    members = []
    for low, high in pairwise(BIN_EDGES):
        is_last = high == BIN_EDGES[-1]
        members.append((f"{100 * low:.0f}-{100 * high:.0f} %", (ratio >= low) & ((ratio <= high) if is_last else (ratio < high))))
    return members


@dataclass(frozen=True)
class Curve:
    """A running median over the measured occlusion."""

    occlusion: Float[np.ndarray, "points"]
    """Mean of the hands that made each point."""
    median: Float[np.ndarray, "points"]
    low: Float[np.ndarray, "points"]
    high: Float[np.ndarray, "points"]
    """95 % bootstrap interval of the median."""
    tail: Float[np.ndarray, "points"]
    """The measure's `tail_percentile` of the hands."""

    @property
    def area(self) -> float | None:
        """Mean height of the median over the occlusion it spans: the area under it over its width; None where it spans next to nothing."""
        span = self.occlusion[-1] - self.occlusion[0] if len(self.occlusion) else 0.0
        area = float(np.diff(self.occlusion) @ (self.median[1:] + self.median[:-1]) / 2)
        return area / span if span >= _MIN_SPAN else None

    @property
    def doubled_at(self) -> float | None:
        """The least occlusion at which the median is twice that of the curve's first point, interpolated; None where it never is."""
        above = np.flatnonzero(self.median >= 2 * self.median[0]) if len(self.median) else np.zeros(0, int)
        if not len(above) or above[0] == 0:
            return None
        k = above[0]
        (x0, x1), (y0, y1) = self.occlusion[k - 1 : k + 1], self.median[k - 1 : k + 1]
        return float(x0 + (x1 - x0) * (2 * self.median[0] - y0) / (y1 - y0))

    def record(self) -> dict[str, Any]:
        """For JSON."""
        points = {name: np.round(values, 4).tolist() for name, values in vars(self).items()}
        span = [float(self.occlusion[0]), float(self.occlusion[-1])] if len(self.occlusion) else None
        return points | {"span": span, "area": self.area, "doubled_at": self.doubled_at}


def running_median(
    ratio: Float[np.ndarray, "n"],
    values: Float[np.ndarray, "n"],
    rng: np.random.Generator,
    draws: int,
    tail_percentile: float = 90.0,
) -> Curve:
    """The curve of one measure; empty with fewer hands than one point needs.

    Each point takes the hands within 4 % of occlusion, or the nearest ones where those are few, so that it never rests on a handful.
    """
    known = ~(np.isnan(ratio) | np.isnan(values))
    ratio, values = ratio[known], values[known]
    wanted = max(_NEIGHBOURS[0], int(_NEIGHBOURS[1] * len(ratio)))
    if len(ratio) < wanted:
        return Curve(*np.zeros((5, 0)))
    points: list[tuple[float, ...]] = []
    for x in np.arange(0.0, 1.0 + _GRID_STEP / 2, _GRID_STEP):
        distance = np.abs(ratio - x)
        inside = distance <= max(_HALF_WIDTH, np.partition(distance, wanted - 1)[wanted - 1])
        middle = float(ratio[inside].mean())
        if points and middle <= points[-1][0] + 0.2 * _GRID_STEP:
            continue
        near = values[inside]
        medians = np.median(near[rng.integers(len(near), size=(draws, len(near)))], axis=1)
        points.append((middle, float(np.median(near)), *_interval(medians), float(np.percentile(near, tail_percentile))))
    return Curve(*np.array(points).T)


def rounded(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return None if np.isnan(value) else round(float(value), 4)


def _interval(draws: Float[np.ndarray, "draws"]) -> tuple[float, float]:
    low, high = np.percentile(draws, _INTERVAL)
    return float(low), float(high)
