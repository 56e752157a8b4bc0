"""Motion made smooth: rotations and vectors over uneven time stamps, by local regression that outliers do not pull.

Every value is replaced by that of a parabola fitted to its neighbours in time, near ones counting more (Cleveland's LOWESS, 1979, of
second order): a parabola follows a movement that speeds up or slows down where a mean would cut its corners. Residuals of a first fit
lower the say of outliers in a second. Nothing is carried from one moment to the next, so the result at a time depends on the measurements
within `reach(span)` of it and on nothing else: a long video can be done piece by piece.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

_TANGENT_EPSILON = 1e-12
_RIDGE = 1e-6
"""Of slope and curvature, relative: windows of one or two measurements have a mean but no slope."""
_OUTLIER = 6.0
"""Median residuals at which a measurement has no say left, as in LOWESS."""


def reach(span: float) -> float:
    """How far, in seconds before and after, measurements have a say in a smoothed value: the lag of a live display."""
    return 2.0 * span


def smooth_vectors(
    times: Float[np.ndarray, "n"], values: Float[np.ndarray, "n channels"], weights: Float[np.ndarray, "n"], span: float
) -> Float[np.ndarray, "n channels"]:
    """Vectors over time without their jitter; of one vector all channels share the say of each measurement.

    Args:
        times: Seconds, growing.
        values: Any unit.
        weights: Trust in each measurement, more than 0; only their ratios count.
        span: Seconds around a moment from which a first fit takes its measurements.
    """
    window = _Window(times, span)
    return window.robust_fit(values[:, None], weights)[:, 0]


def smooth_rotations(
    times: Float[np.ndarray, "n"], rotations: Float[np.ndarray, "n joints 3 3"], weights: Float[np.ndarray, "n"], span: float
) -> Float[np.ndarray, "n joints 3 3"]:
    """Rotations over time without their jitter, each joint by itself.

    Around each moment the rotations are seen from their mean, a quaternion; there they are vectors (axis times angle), which are smoothed.

    Args:
        times: Seconds, growing.
        rotations: Any rotations.
        weights: As for `smooth_vectors`.
        span: As for `smooth_vectors`.
    """
    return matrices(smooth_quaternions(times, quaternions(rotations), weights, span))


def smooth_quaternions(
    times: Float[np.ndarray, "n"], turns: Float[np.ndarray, "n joints 4"], weights: Float[np.ndarray, "n"], span: float
) -> Float[np.ndarray, "n joints 4"]:
    """As `smooth_rotations`, on unit quaternions (w, x, y, z) of either sign."""
    window = _Window(times, span)
    near = turns[window.rows]  # n m joints 4
    near = np.where((near * turns[:, None]).sum(-1, keepdims=True) < 0, -near, near)
    mean = _unit((window.kernel * weights[window.rows])[..., None, None] * near, axis=1)
    tangents = rotation_vectors(_multiply(_conjugate(mean)[:, None], near))
    first = window.fit(tangents, weights[window.rows][..., None])
    residual = np.linalg.norm(rotation_vectors(_multiply(_conjugate(_multiply(mean, from_rotation_vectors(first))), turns)), axis=-1)
    second = window.fit(tangents, weights[window.rows][..., None] * window.say(residual))
    return _multiply(mean, from_rotation_vectors(second))


def interpolate_rotations(
    first: Float[np.ndarray, "joints 3 3"], last: Float[np.ndarray, "joints 3 3"], shares: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n joints 3 3"]:
    """Between two rotations the shortest way at even speed; shares 0 and 1 give the two themselves."""
    start, end = quaternions(first), quaternions(last)
    return matrices(_multiply(start, from_rotation_vectors(shares[:, None, None] * rotation_vectors(_multiply(_conjugate(start), end)))))


def quaternions(rotations: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 4"]:
    """Unit quaternions (w, x, y, z), w at least 0 (`occhand.geometry.rotation.matrix_to_quaternion` is the same in torch)."""
    r = rotations
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    # Row k holds 4 q_k (w, x, y, z); the row of the largest diagonal is far from zero.
    rows = np.empty((*r.shape[:-2], 4, 4))
    rows[..., 0, 0] = 1 + trace
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        rows[..., k + 1, k + 1] = 1 + 2 * r[..., k, k] - trace
        rows[..., 0, k + 1] = rows[..., k + 1, 0] = r[..., j, i] - r[..., i, j]
        rows[..., i + 1, j + 1] = rows[..., j + 1, i + 1] = r[..., i, j] + r[..., j, i]
    best = np.diagonal(rows, axis1=-2, axis2=-1).argmax(-1)
    row = np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    row = row / np.linalg.norm(row, axis=-1, keepdims=True)
    return np.where(row[..., :1] < 0, -row, row)


def matrices(turns: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrices of unit quaternions (w, x, y, z)."""
    w, x, y, z = np.moveaxis(turns, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_vectors(turns: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch 3"]:
    """Axis times angle of unit quaternions, the shorter way round."""
    q = np.where(turns[..., :1] < 0, -turns, turns)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    factor = np.where(sine > _TANGENT_EPSILON, 2 * np.arctan2(sine, q[..., :1]) / np.maximum(sine, _TANGENT_EPSILON), 2.0)
    return factor * q[..., 1:]


def from_rotation_vectors(v: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 4"]:
    """Unit quaternions (w, x, y, z) of axis times angle, radians."""
    angle = np.linalg.norm(v, axis=-1, keepdims=True)
    factor = np.where(angle > _TANGENT_EPSILON, np.sin(angle / 2) / np.maximum(angle, _TANGENT_EPSILON), 0.5)
    return np.concatenate([np.cos(angle / 2), factor * v], axis=-1)


class _Window:
    """The neighbours of each moment, and the regression over them."""

    rows: Int[np.ndarray, "n m"]
    kernel: Float[np.ndarray, "n m"]
    """Tricube; 0 where a moment has fewer neighbours than the others."""

    def __init__(self, times: Float[np.ndarray, "n"], span: float) -> None:
        low, high = np.searchsorted(times, times - span, "left"), np.searchsorted(times, times + span, "right")
        offsets = np.arange(int((high - low).max()))
        rows = low[:, None] + offsets
        self.rows = np.minimum(rows, len(times) - 1)
        self._offset = (times[self.rows] - times[:, None]) / span
        self.kernel = np.where(rows < high[:, None], (1 - np.abs(self._offset).clip(0, 1) ** 3) ** 3, 0.0)

    def fit(self, near: Float[np.ndarray, "n m groups channels"], weights: Float[np.ndarray, "n m #groups"]) -> np.ndarray:
        """Value at each moment of the parabola through its neighbours, n x groups x channels."""
        say = self.kernel[..., None] * weights
        powers = self._offset[..., None] ** np.arange(3)  # n m 3
        normal = np.einsum("nmg,nmi,nmj->ngij", say, powers, powers)
        total = normal[..., 0, 0]
        normal[..., 1, 1] += _RIDGE * total
        normal[..., 2, 2] += _RIDGE * total
        right = np.einsum("nmg,nmi,nmgc->ngic", np.broadcast_to(say, near.shape[:3]), powers, near)
        normal = np.broadcast_to(normal, (*right.shape[:2], 3, 3))
        return np.linalg.solve(normal, right)[..., 0, :]

    def say(self, residual: Float[np.ndarray, "n groups"]) -> Float[np.ndarray, "n m groups"]:
        """How much each neighbour still counts, by its own residual against the usual one around."""
        near = residual[self.rows]
        usual = np.nanmedian(np.where(self.kernel[..., None] > 0, near, np.nan), axis=1)
        return np.maximum((1 - (near / (_OUTLIER * usual[:, None] + _TANGENT_EPSILON)).clip(0, 1) ** 2) ** 2, 1e-3)

    def robust_fit(self, values: Float[np.ndarray, "n groups channels"], weights: Float[np.ndarray, "n"]) -> np.ndarray:
        near, trust = values[self.rows], weights[self.rows][..., None]
        residual = np.linalg.norm(self.fit(near, trust) - values, axis=-1)
        return self.fit(near, trust * self.say(residual))


def _unit(weighted: np.ndarray, axis: int) -> np.ndarray:
    total = weighted.sum(axis)
    return total / np.linalg.norm(total, axis=-1, keepdims=True)


def _conjugate(q: np.ndarray) -> np.ndarray:
    return q * np.array([1.0, -1.0, -1.0, -1.0])


def _multiply(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    a, u, b, v = p[..., :1], p[..., 1:], q[..., :1], q[..., 1:]
    w = a * b - (u * v).sum(-1, keepdims=True)
    return np.concatenate([w, a * v + b * u + np.cross(u, v)], axis=-1)
