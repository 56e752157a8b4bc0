"""Predictions made elsewhere, read from a file and checked against the samples they are for.

Two forms, joints in the house order, metres, OpenCV camera frame, left hands as left hands:

- `.json`: `{"key": {"joints_cam": [[x, y, z], ... 21], "vertices_cam": [... 778]}, ...}`, or the 21 joints right under the key.
- `.npz`: `keys` (n,), `joints_cam` (n, 21, 3), and `vertices_cam` (n, 778, 3), which may be left out in both forms.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from occhand.broken_files import BROKEN_ARCHIVE

_LARGEST_HAND = 0.5
"""Metres between any two joints; hands measure 0.2."""
_SHOWN_KEYS = 3


@dataclass(frozen=True)
class Predictions:
    """Hands by the key of their sample.

    Raises:
        ValueError: Shapes that are not a hand's, numbers that are not finite, millimetres, a key that comes twice.
    """

    keys: tuple[str, ...]
    joints_cam: np.ndarray
    """(n, 21, 3) metres."""
    vertices_cam: np.ndarray | None = None
    """(n, 778, 3) metres."""

    def __post_init__(self) -> None:
        if not self.keys:
            raise ValueError("The predictions are empty. Expected one hand per sample.")
        _refuse_twice(self.keys)
        _check_points("joints_cam", self.joints_cam, self.keys, 21)
        if self.vertices_cam is not None:
            _check_points("vertices_cam", self.vertices_cam, self.keys, 778)
        size = float(np.median(np.ptp(self.joints_cam, axis=1).max(axis=-1)))
        if size > _LARGEST_HAND:
            advice = "Millimetres? Divide by 1000." if size > 20 else "Expected metres."
            raise ValueError(f"joints_cam: the median hand is {size:g} m long, a real one 0.2 m. {advice}")

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self.keys)}

    def row(self, key: str) -> int:
        """Where the hand of a sample stands.

        Raises:
            ValueError: There is none.
        """
        if key not in self._rows:
            raise ValueError(
                f"No prediction for sample {key!r}; the {len(self.keys)} given are for {_some(self.keys)}. "
                "Predict this data set and split, and use its keys."
            )
        return self._rows[key]

    def check_number(self, samples: int) -> None:
        """Refuse more predictions than samples before the work begins: where each sample has one, the others are of samples elsewhere.

        Raises:
            ValueError: There are more.
        """
        if len(self.keys) > samples:
            raise ValueError(
                f"{len(self.keys)} predictions for {samples} samples: {len(self.keys) - samples} or more are for others. "
                "Run over the whole split that they were made for, or remove them."
            )

    def check_used(self, used: Sequence[str]) -> None:
        """Refuse predictions of samples that are not in the data: they are of another set, or the run saw only a part of it.

        Raises:
            ValueError: Some are.
        """
        evaluated = set(used)
        other = [key for key in self.keys if key not in evaluated]
        if other:
            raise ValueError(
                f"{len(other)} of {len(self.keys)} predictions are for samples that were not evaluated: {_some(other)}. "
                "Run over the whole split that they were made for, or remove them."
            )


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Predictions from a `.json` or `.npz` file in the form above.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another kind of file, not in this form, or not hands (see `Predictions`); the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No predictions at {path}. Check the path.")
    readers = {".json": _read_json, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: predictions are read from .json or .npz, not {path.suffix or 'a file without a suffix'}.")
    try:
        return readers[path.suffix.lower()](path)
    except BROKEN_ARCHIVE as error:
        reason = f"no {error} in it" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: {reason}") from None


def _read_json(path: Path) -> Predictions:
    content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_dict_of_once)
    if not isinstance(content, dict):
        raise ValueError('expected {"key": {"joints_cam": [...]}, ...}, one entry per sample.')
    entries: list[dict[str, Any]] = [entry if isinstance(entry, dict) else {"joints_cam": entry} for entry in content.values()]
    joints = _stack(content, entries, "joints_cam")
    has_vertices = ["vertices_cam" in entry for entry in entries]
    if any(has_vertices) and not all(has_vertices):
        raise ValueError(f"{has_vertices.count(False)} of {len(entries)} samples have no vertices_cam. Give them for all or for none.")
    return Predictions(tuple(content), joints, _stack(content, entries, "vertices_cam") if any(has_vertices) else None)


def _dict_of_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of JSON; of a key that comes twice the parser itself would keep the last in silence."""
    _refuse_twice([key for key, _ in pairs])
    return dict(pairs)


def _refuse_twice(keys: Sequence[str]) -> None:
    twice, times = Counter(keys).most_common(1)[0] if keys else ("", 0)
    if times > 1:
        raise ValueError(f"Sample {twice!r} is predicted more than once. Give one hand per sample.")


def _stack(keys: dict[str, Any], entries: list[dict[str, Any]], name: str) -> np.ndarray:
    arrays = [np.asarray(entry[name], dtype=np.float64) for entry in entries]
    for key, array in zip(keys, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise ValueError(f"{name} of sample {key!r} has shape {array.shape}, that of the first {arrays[0].shape}.")
    return np.stack(arrays) if arrays else np.zeros((0, 21, 3))


def _read_npz(path: Path) -> Predictions:
    with np.load(path, allow_pickle=False) as arrays:
        vertices = arrays["vertices_cam"].astype(np.float64) if "vertices_cam" in arrays else None
        return Predictions(tuple(map(str, arrays["keys"])), arrays["joints_cam"].astype(np.float64), vertices)


def _check_points(name: str, points: np.ndarray, keys: Sequence[str], per_hand: int) -> None:
    count = len(keys)
    if points.shape != (count, per_hand, 3):
        raise ValueError(f"{name} has shape {points.shape}, expected ({count}, {per_hand}, 3) for {count} samples.")
    is_finite = np.isfinite(points).all(axis=(1, 2))
    if not is_finite.all():
        broken = [keys[row] for row in np.flatnonzero(~is_finite).tolist()]
        raise ValueError(f"{name} holds numbers that are not finite, in {len(broken)} of {count} samples: {_some(broken)}.")


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(repr(key) for key in keys[:_SHOWN_KEYS])
    return shown + (" ..." if len(keys) > _SHOWN_KEYS else "")
