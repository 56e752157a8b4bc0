"""A video from end to end. Open this first: two passes over the frames, then the files.

The first pass tracks and estimates hands, the second bridges, smooths and draws them; both go segment by segment and keep each on disk, so
that memory does not grow with length and a run that was killed goes on where it was, to the same result.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import occhand
from occhand.detect.mediapipe import MediaPipeHands
from occhand.estimators import DefaultEstimator, NetworkEstimator
from occhand.predictor import Predictor
from occhand.pretrained import DEFAULT_MODEL, load_estimator
from occhand.result import write_json
from occhand.types import Camera
from occhand.video.encode import join_videos
from occhand.video.finish import Finisher, finished_pieces
from occhand.video.frames import FrameSource, VideoError
from occhand.video.gltf import save_animation_glb
from occhand.video.measure import SEGMENT_FRAMES, measure_video
from occhand.video.plot import save_trajectories
from occhand.video.rows import flat_hands
from occhand.video.segments import SEGMENTS, RawSegment, SegmentFolder
from occhand.video.smooth import SmoothConfig
from occhand.video.tables import write_npz, write_parquet

SCHEMA_VERSION = 1
STAGES = ("Finding hands", "Drawing")
_REHEARSED_FRAMES = 16
"""More than the encoder looks ahead, so that all its buffers are filled."""
Progress = Callable[[str, int, int | None], None]
"""One of `STAGES`, frames done, frames in all where that is known."""


@dataclass(frozen=True)
class VideoConfig:
    """What to do with a video besides finding its hands."""

    K: Float[np.ndarray, "3 3"] | None = None
    """Intrinsics in pixels of the upright frame; None assumes a camera, and distance is a guess."""
    smoothing: SmoothConfig = field(default_factory=SmoothConfig)


@dataclass(frozen=True)
class VideoResult:
    """What was made of a video."""

    files: tuple[Path, ...]
    """`video.json` first."""
    record: dict[str, Any]
    """The content of `video.json`."""


def load_video_predictor(
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    hand: str | os.PathLike[str] | None = None,
    refine: bool | None = None,
    joints_from: str | os.PathLike[str] | None = None,
) -> Predictor:
    """A predictor whose detector is quick enough for a video: it searches the whole frame and its squares, no smaller tiles.

    Args, and what is raised: as for `Predictor.from_pretrained` and `MediaPipeHands.load`.
    """
    estimator = load_estimator(model, hand, refine, joints_from)
    detector = MediaPipeHands.load(tile_fractions=(1.0,), copies=1)  # hands are posed on another thread meanwhile
    return Predictor(estimator, detector, detector)


def summary(result: VideoResult) -> str:
    """What was found and written, in words."""
    record = result.record
    lines = [f"{record['video']['file']}: {record['video']['frames']} frames, {record['video']['seconds']:.1f} s"]
    for track in record["tracks"]:
        bridged = f", {track['bridged_frames']} of them bridged" if track["bridged_frames"] else ""
        lines.append(
            f"  {track['side']} {track['track']}: {track['frames']} frames, {track['first_frame']} to {track['last_frame']}{bridged}"
        )
    if not record["tracks"]:
        lines.append("  no hand found")
    lines += [f"  frame {frame['frame']} skipped: {frame['reason']}" for frame in record["skipped_frames"]]
    lines += [f"  wrote {file}" for file in result.files]
    if not any(file.suffix == ".parquet" for file in result.files):
        lines.append("  no hands.parquet, as pyarrow is not installed: pip install 'occhand[video]'")
    if record["camera"]["assumed"]:
        lines.append("The camera was assumed, so the distance of the hands is a guess. Give --K fx,fy,cx,cy where it is known.")
    return "\n".join(lines)


def process_video(
    predictor: Predictor, source: FrameSource, out: Path, name: str, config: VideoConfig | None = None, progress: Progress | None = None
) -> VideoResult:
    """Find the hands of a video and write them in every form.

    Run again after it was stopped, it goes on from the last whole segment, and the files are those of a run that was not.

    Args:
        predictor: Its detector should follow hands (`occhand.detect.Follower`); else every frame is searched.
        source: `open_video(path)`.
        out: Folder for `annotated.mp4`, `hands.npz`, `hands.parquet`, `hands.glb`, `trajectories.png` and `video.json`.
        name: Of the estimator, as the caller named it: a run is gone on with only by the same.
        config: The rest.
        progress: Told after every frame.

    Raises:
        VideoError: No frame can be decoded; the folder holds another run; it cannot be written, or the disk is full.
    """
    config, report = config or VideoConfig(), progress or (lambda stage, done, total: None)
    with _clear_errors(out), ThreadPoolExecutor(1, "occhand-encode") as encoder:
        camera = _camera_of(source, config)
        folder = SegmentFolder(out / SEGMENTS, _run_record(source, name, predictor, camera, config))
        finisher = Finisher(source, camera, predictor.estimator.hand, config.smoothing, encoder)
        _rehearse(finisher, folder, lambda folder, out: _write_files(folder, 1, out, source, name, camera, predictor, config))
        total = source.frame_count
        count = measure_video(predictor, source, camera, folder, lambda done: report(STAGES[0], done, total))
        total = sum(len(segment.times) for segment in folder.raw_segments())
        finisher.finish_video(folder, count, lambda done: report(STAGES[1], done, total))
        result = _write_files(folder, count, out, source, name, camera, predictor, config)
        folder.remove()
    return result


def _camera_of(source: FrameSource, config: VideoConfig) -> Camera:
    frame = next((frame for frame in source.frames() if frame.picture is not None), None)
    if frame is None or frame.picture is None:
        raise VideoError(f"No frame of {source.name} can be decoded. Play it elsewhere, or copy or convert it again.")
    return Predictor.camera(frame.picture, config.K)


def _rehearse(finisher: Finisher, folder: SegmentFolder, write_files: Callable[[SegmentFolder, Path], VideoResult]) -> None:
    """Draw the first frames, one with a hand, and write every file of them, then delete them.

    What is broken or missing shows before hours of work, and what drawing and writing need is in memory from the start, not late.
    """
    with folder.scratch() as path:
        rehearsal = SegmentFolder(path / SEGMENTS, {})
        times = np.arange(_REHEARSED_FRAMES) / 30
        hand = replace(flat_hands(1), translation=np.array([[0.0, 0.0, 0.5]]), confidence=np.ones(1), joint_confidence=np.ones((1, 21)))
        rehearsal.write_raw(0, RawSegment(hand, times, [""] * len(times), {}, is_last=True))
        finisher.finish_video(rehearsal, 1, lambda done: None)
        write_files(rehearsal, path)


def _run_record(source: FrameSource, name: str, predictor: Predictor, camera: Camera, config: VideoConfig) -> dict[str, Any]:
    """All that the segments depend on."""
    estimator = predictor.estimator
    return {
        "version": occhand.__version__,
        "video": {"name": source.name, **source.fingerprint()},
        "model": name,
        "weights or refinement": estimator.identity() if isinstance(estimator, NetworkEstimator | DefaultEstimator) else None,
        "hand": estimator.hand.name,
        "camera": {"K": camera.K.tolist(), "assumed": camera.source == "assumed"},
        "smoothing": asdict(config.smoothing),
        "segment_frames": SEGMENT_FRAMES,
    }


def _write_files(
    folder: SegmentFolder,
    count: int,
    out: Path,
    source: FrameSource,
    name: str,
    camera: Camera,
    predictor: Predictor,
    config: VideoConfig,
) -> VideoResult:
    times, errors, starts = [], [], []
    for segment in folder.raw_segments():
        starts.append(float(segment.times[0]))
        times.append(segment.times)
        errors += segment.errors
    frame_times = np.concatenate(times)
    end = float(frame_times[-1])

    def pieces() -> Iterator[dict[str, np.ndarray]]:
        return finished_pieces(folder, count)

    files = [out / "annotated.mp4", out / "hands.npz", out / "trajectories.png"]
    join_videos([(folder.part_file(k), start - starts[0]) for k, start in enumerate(starts)], files[0])
    extra = {
        "frame_time_s": frame_times,
        "frame_decoded": np.array([not error for error in errors]),
        "K": camera.K,
        "camera_assumed": np.array(camera.source == "assumed"),
    }
    write_npz(files[1], pieces, extra)
    save_trajectories(files[2], pieces, end, len(frame_times))
    metadata = {"frame": "OpenCV camera: x right, y down, z forward", "length": "metre", "image": "pixel", "rotation": "axis-angle, radian"}
    if write_parquet(out / "hands.parquet", pieces, metadata):
        files.append(out / "hands.parquet")
    if save_animation_glb(out / "hands.glb", pieces, predictor.estimator.hand, end):
        files.append(out / "hands.glb")
    record = {
        "schema": "occhand.video",
        "schema_version": SCHEMA_VERSION,
        "occhand_version": occhand.__version__,
        "video": {"file": source.name, "height": camera.height, "width": camera.width, "frames": len(frame_times), "seconds": end},
        "camera": {"K": camera.K.tolist(), "assumed": camera.source == "assumed"},
        "model": name,
        "hand_model": predictor.estimator.hand.name,
        "smoothing": {**asdict(config.smoothing), "lag_s": config.smoothing.look_ahead},
        "skipped_frames": [
            {"frame": k, "time_s": round(float(frame_times[k]), 6), "reason": error} for k, error in enumerate(errors) if error
        ],
        "tracks": _track_records(pieces()),
        "files": [file.name for file in files],
    }
    return VideoResult((write_json(out / "video.json", record), *files), record)


def _track_records(pieces: Iterator[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    tracks: dict[int, dict[str, Any]] = {}
    for piece in pieces:
        for number in np.unique(piece["track"]).tolist():
            rows = np.flatnonzero(piece["track"] == number)
            first = {"track": number, "side": str(piece["side"][rows[0]]), "first_frame": int(piece["frame"][rows[0]])}
            record = tracks.setdefault(number, first | {"last_frame": 0, "frames": 0, "bridged_frames": 0})
            record["last_frame"] = int(piece["frame"][rows[-1]])
            record["frames"] += len(rows)
            record["bridged_frames"] += int(piece["bridged"][rows].sum())
    return [tracks[number] for number in sorted(tracks)]


@contextmanager
def _clear_errors(out: Path) -> Iterator[None]:
    """What goes wrong outside of this program, in one line with the next step."""
    try:
        yield
    except OSError as error:
        what = "The disk is full" if error.errno == errno.ENOSPC else (os.strerror(error.errno) if error.errno else str(error))
        raise VideoError(
            f"Cannot write to {out}: {what}. What is done is kept there; make room or mend it, and run the same command again."
        ) from error
