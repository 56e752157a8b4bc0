"""Result files of the benchmarks, as their servers and scripts want them, written whole or not at all and read back as predictions.

HO-3D: a flat zip with `pred.json`, `[joints, vertices]`, OpenGL axes, HO-3D's joint order, metres, in the order of `evaluation.txt`.
FreiHAND: the same with OpenCV axes and the house order. DexYCB: text, `index,x1,y1,z1,...,z21`, millimetres, OpenCV axes, absolute.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from occhand.broken_files import BROKEN_ARCHIVE
from occhand.data.predictions import Predictions, read_predictions
from occhand.files import atomic_path
from occhand.hand.skeleton import HO3D_FROM_HOUSE, HOUSE_FROM_HO3D

ResultForm = Literal["ho3d", "freihand", "dexycb"]
"""Whose result file."""

_DECIMALS = 5
"""Of metres, hence 0.01 mm, as is customary: without rounding HO-3D's file has half a gigabyte."""
_GL_FROM_CV = np.array([1.0, -1.0, -1.0])
"""Its own inverse."""
_MOST_BYTES = 1 << 31
"""That a `pred.json` may unpack to; HO-3D v3's has about half of it without rounding."""


def attach_wrist(
    points: Float[np.ndarray, "*n points 3"], wrist: Float[np.ndarray, "*n 3"], given_wrist: Float[np.ndarray, "*n 3"]
) -> Float[np.ndarray, "*n points 3"]:
    """Joints or vertices moved so that the predicted wrist is the given one: how both papers place hands for HO-3D."""
    return points - wrist[..., None, :] + given_wrist[..., None, :]


def joints_to_ho3d(joints_cam: Float[np.ndarray, "*n 21 3"]) -> Float[np.ndarray, "*n 21 3"]:
    """House joints in HO-3D's order and OpenGL axes."""
    return joints_cam[..., list(HO3D_FROM_HOUSE), :] * _GL_FROM_CV


def joints_from_ho3d(joints: Float[np.ndarray, "*n 21 3"]) -> Float[np.ndarray, "*n 21 3"]:
    """And back."""
    return joints[..., list(HOUSE_FROM_HO3D), :] * _GL_FROM_CV


def vertices_to_ho3d(vertices_cam: Float[np.ndarray, "*n 778 3"]) -> Float[np.ndarray, "*n 778 3"]:
    """OpenGL axes; vertices keep MANO's order. Its own inverse."""
    return vertices_cam * _GL_FROM_CV


def write_submission(
    path: str | os.PathLike[str],
    form: ResultForm,
    joints_cam: Float[np.ndarray, "n 21 3"],
    vertices_cam: Float[np.ndarray, "n 778 3"] | None,
    official_index: Int[np.ndarray, "n"],
    expected: int,
) -> Path:
    """Write predictions of a whole test split as its benchmark takes them.

    Args:
        path: A `.zip` for HO-3D and FreiHAND, a `.txt` for DexYCB.
        form: Whose.
        joints_cam: Metres, OpenCV camera frame, house order, in the benchmark's order.
        vertices_cam: Metres; DexYCB takes none.
        official_index: Place of each sample in the benchmark's list; HO-3D and FreiHAND score every entry of theirs.
        expected: Samples that the benchmark scores.

    Raises:
        ValueError: Another number of samples than expected, another order, no vertices, numbers that are not finite.
    """
    count = len(joints_cam)
    if count != expected:
        raise ValueError(
            f"{count:,} predictions, the benchmark takes exactly {expected:,}: no submission written. Predict every sample of the split."
        )
    if (np.diff(official_index) <= 0).any():
        raise ValueError("The predictions are not in the order of the benchmark's list: no submission written. Keep the data set's order.")
    if form != "dexycb" and not np.array_equal(official_index, np.arange(expected)):
        raise ValueError(
            f"The last of the {expected:,} predictions is for entry {official_index[-1]:,} of the benchmark's list, so that entries are "
            "missing: no submission written. Predict every entry of the list."
        )
    if not np.isfinite(joints_cam).all() or not (vertices_cam is None or np.isfinite(vertices_cam).all()):
        raise ValueError("Some predictions are not finite: no submission written. Weights that diverged?")
    if form == "dexycb":
        with atomic_path(path) as temporary:
            lines = (_dexycb_line(index, joints) for index, joints in zip(official_index.tolist(), joints_cam, strict=True))
            temporary.write_text("".join(lines), encoding="ascii")
        return Path(path)
    if vertices_cam is None:
        raise ValueError(f"{form} takes 778 vertices beside the joints, and the predictions have none: no submission written.")
    if form == "ho3d":
        joints_cam, vertices_cam = joints_to_ho3d(joints_cam), vertices_to_ho3d(vertices_cam)
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("pred.json", "w", force_zip64=True) as raw,
    ):
        raw.write(b"[")
        for points, end in ((joints_cam, b","), (vertices_cam, b"]")):
            for text in _json_list(points):
                raw.write(text.encode("ascii"))
            raw.write(end)
    return Path(path)


def read_submission(
    path: str | os.PathLike[str],
    form: ResultForm,
    keys: Sequence[str],
    official_index: Int[np.ndarray, "n"],
    listed: int,
) -> Predictions:
    """A result file of a benchmark as predictions of its samples, metres, OpenCV axes, house order.

    Args:
        path: A `.zip` with `pred.json` or the bare `.json` (HO-3D, FreiHAND), a `.txt` (DexYCB).
        form: Whose.
        keys: Of the samples of the split that are here, in the benchmark's order.
        official_index: Place of each in the benchmark's list.
        listed: Entries of that list.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another form, another number of samples, samples missing; the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No predictions at {path}. Check the path.")
    try:
        if form == "dexycb":
            return _read_dexycb(path, keys, official_index)
        content = json.loads(_pred_json(path))
        if not (isinstance(content, list) and len(content) == 2 and all(isinstance(part, list) for part in content)):
            raise ValueError("expected [joints, vertices], two lists with an entry per sample")
        joints = _stacked(content[0], "joints", 21, listed)[official_index]
        vertices = _stacked(content[1], "vertices", 778, listed)[official_index]
        if form == "ho3d":
            joints, vertices = joints_from_ho3d(joints), vertices_to_ho3d(vertices)
        return Predictions(tuple(map(str, keys)), joints, vertices)
    except BROKEN_ARCHIVE as error:
        raise ValueError(f"{path}: {error}") from None


def read_any_predictions(
    path: str | os.PathLike[str], benchmark: str, keys: Sequence[str], official_index: Int[np.ndarray, "n"], listed: int
) -> Predictions:
    """Predictions by key (`occhand.data.predictions`), or a result file of this benchmark, told apart by suffix and content."""
    path = Path(path)
    suffix = path.suffix.lower()
    has_list = suffix == ".json" and path.is_file() and _first_character(path) == "["
    if benchmark in ("ho3d", "freihand") and (suffix == ".zip" or has_list):
        return read_submission(path, "ho3d" if benchmark == "ho3d" else "freihand", keys, official_index, listed)
    if benchmark == "dexycb" and suffix == ".txt":
        return read_submission(path, "dexycb", keys, official_index, listed)
    return read_predictions(path)


def _first_character(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(64).lstrip()[:1]


def _json_list(points: Float[np.ndarray, "n points 3"]) -> Iterable[str]:
    """One sample at a time: the numbers of a whole benchmark as Python floats take gigabytes."""
    yield "["
    for k, sample in enumerate(points):
        yield ("," if k else "") + json.dumps(np.round(sample.astype(np.float64), _DECIMALS).tolist(), separators=(",", ":"))
    yield "]"


def _dexycb_line(index: int, joints_cam: Float[np.ndarray, "21 3"]) -> str:
    return f"{index}," + ",".join(f"{1e3 * value:.4f}" for value in joints_cam.ravel()) + "\n"


def _pred_json(path: Path) -> bytes:
    if path.suffix.lower() != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        if "pred.json" not in archive.namelist():
            raise ValueError(f"no pred.json at the top of the archive, which holds {', '.join(archive.namelist()[:3]) or 'nothing'}")
        with archive.open("pred.json") as member:
            data = member.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"its pred.json unpacks to more than {_MOST_BYTES:,} bytes")
    return data


def _stacked(entries: list[Any], name: str, points: int, listed: int) -> np.ndarray:
    if len(entries) != listed:
        raise ValueError(f"{len(entries):,} samples of {name}, the benchmark lists {listed:,}. Predict every one, in its order.")
    arrays = np.empty((listed, points, 3))
    for k, entry in enumerate(entries):
        array = np.asarray(entry, dtype=np.float64)
        if array.shape != (points, 3):
            raise ValueError(f"{name} of entry {k} have shape {array.shape}, expected ({points}, 3).")
        arrays[k] = array
    return arrays


def _read_dexycb(path: Path, keys: Sequence[str], official_index: Int[np.ndarray, "n"]) -> Predictions:
    """Extra lines are passed over, as officially; every sample of the split must be there."""
    rows: dict[int, np.ndarray] = {}
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), start=1):
        if not line.strip():
            continue
        values = np.array([float(value) for value in line.split(",")])
        if len(values) != 64:
            raise ValueError(f"line {number} has {len(values)} numbers, expected 64: index, then 21 joints.")
        if int(values[0]) in rows:
            raise ValueError(f"line {number} is a second one for sample {int(values[0])}.")
        rows[int(values[0])] = values[1:].reshape(21, 3) / 1e3
    missing = [k for k, index in enumerate(official_index.tolist()) if index not in rows]
    if missing:
        raise ValueError(
            f"{len(missing):,} of {len(keys):,} samples are missing, the first is {official_index[missing[0]]} ({keys[missing[0]]}). "
            "Give a line for each, under the index that counts frames without a hand too."
        )
    joints = np.stack([rows[index] for index in official_index.tolist()])
    size = float(np.median(np.ptp(joints, axis=1).max(axis=-1)))
    if size < 0.001:
        raise ValueError(f"the median hand is {1e3 * size:.3g} mm long, a real one 200 mm. Metres? The file takes millimetres.")
    return Predictions(tuple(map(str, keys)), joints)
