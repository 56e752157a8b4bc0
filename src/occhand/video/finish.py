"""Second pass over a video: tracks bridged and smoothed, joints and visibility worked out, frames drawn, segment by segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from occhand.files import atomic_path
from occhand.geometry.camera import project
from occhand.geometry.motion import quaternions, rotation_vectors
from occhand.hand.hand_layer import HandLayer
from occhand.types import Camera
from occhand.video.draw import DrawnHand, draw_frame, draw_missing
from occhand.video.encode import VideoWriter
from occhand.video.frames import Frame, FrameSource, read_ahead
from occhand.video.measure import SEGMENT_FRAMES
from occhand.video.pose import PosedRows, mirrored_faces, pose_rows, visible_joints
from occhand.video.rows import HandRows, join_rows, side_of
from occhand.video.segments import RawSegment, SegmentFolder
from occhand.video.smooth import SmoothConfig, mend_tracks


@dataclass(frozen=True)
class Finisher:
    """What the second pass needs besides the segments."""

    source: FrameSource
    camera: Camera
    layer: HandLayer
    smoothing: SmoothConfig
    encoder: Executor
    """Encodes the frames of all segments."""

    def finish_video(self, folder: SegmentFolder, count: int, progress: Callable[[int], None]) -> None:
        """Finish the segments that are not finished yet.

        Args:
            folder: With all segments measured.
            count: How many.
            progress: Called with the number of frames done.
        """
        first = next((k for k in range(count) if folder.read_done(k) is None or not folder.part_file(k).exists()), count)
        if first == count:
            return
        frames = read_ahead(self.source.frames(first * SEGMENT_FRAMES))
        for number in range(first, count):
            rows, own = self._mended(folder, number, count)
            posed = pose_rows(rows, self.layer)
            with atomic_path(folder.part_file(number)) as temporary, VideoWriter(temporary, self.encoder) as writer:
                for k, frame in enumerate(islice(frames, len(own.times))):
                    writer.write(self._drawn(frame, rows, posed), own.times[k] - own.times[0])
                    progress(frame.index + 1)
            folder.write_done(number, self._columns(rows, posed))

    def _mended(self, folder: SegmentFolder, number: int, count: int) -> tuple[HandRows, RawSegment]:
        """Final rows of one segment, which take in the end of those before and the beginning of those after."""
        own = _read(folder, number)
        low, high = own.times[0] - self.smoothing.look_ahead, own.times[-1] + self.smoothing.look_ahead
        around = {number: own}
        while min(around) > 0 and around[min(around)].times[0] > low:
            around[min(around) - 1] = _read(folder, min(around) - 1)
        while max(around) < count - 1 and around[max(around)].times[-1] < high:
            around[max(around) + 1] = _read(folder, max(around) + 1)
        order = sorted(around)
        times = np.concatenate([around[k].times for k in order])
        frames = np.arange(len(times)) + order[0] * SEGMENT_FRAMES
        rows = join_rows([around[k].rows for k in order])
        mended = mend_tracks(rows.select((rows.time >= low) & (rows.time <= high)), frames, times, self.smoothing)
        start = number * SEGMENT_FRAMES
        return mended.select((mended.frame >= start) & (mended.frame < start + len(own.times))), own

    def _drawn(self, frame: Frame, rows: HandRows, posed: PosedRows) -> np.ndarray:
        if frame.picture is None:
            return draw_missing(frame.index, frame.error, self.camera)
        faces = self.layer.faces.numpy()
        hands = []
        for row in np.flatnonzero(rows.frame == frame.index):
            vertices, is_left = posed.vertices[row], bool(rows.is_left[row])
            corner = project(posed.joints[row], self.camera.K).min(0)
            hands.append(
                DrawnHand(
                    track=int(rows.track[row]),
                    side=side_of(is_left),
                    is_bridged=bool(rows.is_bridged[row]),
                    vertices=vertices,
                    faces=mirrored_faces(faces) if is_left else faces,
                    corner=(float(corner[0]), float(corner[1])),
                )
            )
        return draw_frame(frame.picture, hands, self.camera)

    def _columns(self, rows: HandRows, posed: PosedRows) -> dict[str, np.ndarray]:
        """What is written of each hand; see `docs/video.md`."""
        faces = self.layer.faces.numpy()
        return {
            "frame": rows.frame,
            "time_s": rows.time,
            "track": rows.track,
            "side": np.where(rows.is_left, "left", "right"),
            "pose": rotation_vectors(quaternions(rows.rotations)).reshape(-1, 48).astype(np.float32),
            "betas": rows.betas.astype(np.float32),
            "translation": rows.translation.astype(np.float32),
            "joints": posed.joints.astype(np.float32),
            "joints_img": project(posed.joints, self.camera.K).astype(np.float32),
            "confidence": rows.confidence.astype(np.float32),
            "joint_confidence": rows.joint_confidence.astype(np.float32),
            "joint_sigma": rows.joint_sigma.astype(np.float32),
            "joint_visibility": rows.joint_visibility.astype(np.float32),
            "visible": visible_joints(rows.frame, posed, faces, self.camera),
            "bridged": rows.is_bridged,
        }


def _read(folder: SegmentFolder, number: int) -> RawSegment:
    segment = folder.read_raw(number)
    assert segment is not None, "all segments are measured"
    return segment


def finished_pieces(folder: SegmentFolder, count: int) -> Iterator[dict[str, np.ndarray]]:
    """The finished tables of all segments in order."""
    for number in range(count):
        piece = folder.read_done(number)
        assert piece is not None, "all segments are finished"
        yield piece
