"""Where a run stands, on disk: pieces of a video, each written whole or not at all, so that a killed run goes on where it was.

A folder of segments holds `run.json` (what is run on what), and for segment k of the video

- `raw-k.npz`: hands as measured, times and errors of the frames, and the tracker after the last of them;
- `done-k.npz`: hands bridged and smoothed; `part-k.mp4`: the annotated frames.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from occhand.broken_files import BROKEN_ARCHIVE, BROKEN_JSON
from occhand.files import atomic_path, remove_leftovers
from occhand.video.frames import VideoError
from occhand.video.rows import HandRows

SEGMENTS, RUN_FILE = ".segments", "run.json"
"""The folder, in that of the results, and the file in it that is removed last."""


@dataclass(frozen=True)
class RawSegment:
    """Some frames in a row, as measured."""

    rows: HandRows
    times: Float[np.ndarray, "frames"]
    """Of all frames of the segment, seconds."""
    errors: list[str]
    """Why a frame could not be decoded; empty where it was."""
    tracker: dict[str, Any]
    """State after the last frame."""
    is_last: bool


class SegmentFolder:
    """The pieces of one run.

    Args:
        path: The folder; made where it is missing.
        run: All that the pieces depend on, for JSON.

    Raises:
        VideoError: The folder holds pieces of another run.
    """

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path = path
        file = path / RUN_FILE
        wanted = json.loads(json.dumps(run))
        if file.exists():
            try:
                found = json.loads(file.read_text(encoding="utf-8"))
            except ValueError:
                found = {}
            found = found if isinstance(found, dict) else {}
            if differences := [name for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)]:
                raise VideoError(
                    f"{path.parent} holds a run that was stopped, with another {', '.join(differences)}. Run it again as it was, choose "
                    f"another folder with --out, or delete {path}."
                )
        else:
            with atomic_path(file) as temporary:
                temporary.write_text(json.dumps(wanted, indent=2), encoding="utf-8")
        remove_leftovers(path, "*")

    def raw_file(self, number: int) -> Path:
        return self.path / f"raw-{number:05d}.npz"

    def done_file(self, number: int) -> Path:
        return self.path / f"done-{number:05d}.npz"

    def part_file(self, number: int) -> Path:
        return self.path / f"part-{number:05d}.mp4"

    def write_raw(self, number: int, segment: RawSegment) -> None:
        extra = {
            "times": segment.times,
            "errors": np.array(segment.errors, dtype=np.str_),
            "tracker": np.array(json.dumps(segment.tracker)),
            "is_last": np.array(segment.is_last),
        }
        _write(self.raw_file(number), segment.rows.columns() | extra)

    def read_raw(self, number: int) -> RawSegment | None:
        """None where there is none, or a damaged one."""
        arrays = _read(self.raw_file(number))
        if arrays is None:
            return None
        try:
            extra = [arrays.pop(name) for name in ("times", "errors", "tracker", "is_last")]
            return RawSegment(HandRows(**arrays), extra[0], extra[1].tolist(), json.loads(str(extra[2])), bool(extra[3]))
        except BROKEN_JSON:
            return None

    def raw_segments(self) -> Iterator[RawSegment]:
        """Those measured so far, from the first up to the first that is missing."""
        number = 0
        while (segment := self.read_raw(number)) is not None:
            yield segment
            number += 1

    def write_done(self, number: int, columns: dict[str, np.ndarray]) -> None:
        _write(self.done_file(number), columns)

    def read_done(self, number: int) -> dict[str, np.ndarray] | None:
        """None where there is none, or a damaged one."""
        return _read(self.done_file(number))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder on the same disk, deleted afterwards; one that a killed run left is emptied."""
        path = self.path / "scratch"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def remove(self) -> None:
        """Everything, once the results are written; `run.json` last, so that until then the run may be gone on with."""
        for file in sorted(self.path.iterdir(), key=lambda file: file.name == RUN_FILE):
            file.unlink()
        self.path.rmdir()


def has_stopped_run(out: Path) -> bool:
    """Whether a folder of results holds the pieces of a run that did not end."""
    return (out / SEGMENTS / RUN_FILE).exists()


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except BROKEN_ARCHIVE:
        return None
    return arrays if all(isinstance(array, np.ndarray) for array in arrays.values()) else None  # others are read as bytes
