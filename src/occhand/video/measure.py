"""First pass over a video: hands tracked frame by frame, estimated in batches beside it, kept segment by segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch

from occhand.detect import DetectedHand, Follower
from occhand.predictor import Predictor
from occhand.types import Camera
from occhand.video.frames import Frame, FrameSource, read_ahead
from occhand.video.rows import HandRows, join_rows, rows_of
from occhand.video.segments import RawSegment, SegmentFolder
from occhand.video.track import HandTracker

SEGMENT_FRAMES = 300
"""What a killed run loses at most."""
_BATCH_HANDS = 16
"""More are hardly quicker, and a network's layers of twice the size leave larger holes in memory."""
_BATCH_BYTES = 96 * 2**20
"""Of pictures that wait for their batch: 100 frames of 640 x 480, 4 of 4K. As many again are being estimated."""


def measure_video(
    predictor: Predictor,
    source: FrameSource,
    camera: Camera,
    folder: SegmentFolder,
    progress: Callable[[int], None],
) -> int:
    """Measure what is not measured yet.

    Args:
        predictor: Its detector finds hands, and follows them where it can; its estimator poses them.
        source: The video.
        camera: Of all frames.
        folder: Where the segments of this run are, and go.
        progress: Called with the number of frames done.

    Returns:
        The number of segments.
    """
    done, tracker_state, is_last = 0, None, False
    for segment in folder.raw_segments():
        done, tracker_state, is_last = done + 1, segment.tracker, segment.is_last
    if is_last:
        return done
    detector = predictor.detector
    tracker = HandTracker(detector, detector if isinstance(detector, Follower) else None)
    if tracker_state is not None:
        tracker.restore(tracker_state)
    frames = read_ahead(source.frames(done * SEGMENT_FRAMES))
    waiting = next(frames, None)
    with estimating_thread() as worker:
        while waiting is not None:
            segment_frames = _Chained(waiting, islice(frames, SEGMENT_FRAMES - 1))
            rows, times, errors = _measure_segment(HandBatch(predictor, camera, worker), tracker, segment_frames, progress)
            waiting = next(frames, None)
            folder.write_raw(done, RawSegment(rows, np.array(times), errors, tracker.state(), is_last=waiting is None))
            done += 1
    return done


@contextmanager
def estimating_thread() -> Iterator[Executor]:
    """A thread that estimates while this one finds hands.

    PyTorch is left one thread fewer than it has, so that the search has a core of its own: threads that share small operations wait for
    each other in every one of them.
    """
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, "occhand-estimate", torch.set_num_threads, (max(1, threads - 1),)) as worker:
        try:
            yield worker
        finally:
            worker.submit(torch.set_num_threads, threads)  # new threads take the number that was set last


class _Chained:
    """One frame, then the others; unlike itertools.chain it lets go of the first."""

    def __init__(self, first: Frame, others: Iterator[Frame]) -> None:
        self._first: Frame | None = first
        self._others = others

    def __iter__(self) -> Iterator[Frame]:
        assert self._first is not None
        first, self._first = self._first, None
        yield first
        yield from self._others


def _measure_segment(
    batch: HandBatch, tracker: HandTracker, frames: Any, progress: Callable[[int], None]
) -> tuple[HandRows, list[float], list[str]]:
    """Rows, times and errors of some frames; batches end with them, so that they do not depend on where a run was stopped."""
    times: list[float] = []
    errors: list[str] = []
    for frame in frames:
        times.append(frame.time)
        errors.append(frame.error)
        if frame.picture is not None:
            for track, hand in tracker.step(frame.picture, frame.time):
                batch.add(frame, track, hand)
        progress(frame.index + 1)
    return batch.rows(), times, errors


class HandBatch:
    """Hands that wait to be estimated together.

    Args:
        predictor: Its estimator poses them.
        camera: Of all frames.
        worker: Estimates one batch while the next is gathered.
    """

    def __init__(self, predictor: Predictor, camera: Camera, worker: Executor) -> None:
        self._predictor, self._camera, self._worker = predictor, camera, worker
        self._waiting: list[tuple[Frame, int, DetectedHand]] = []
        self._estimated: list[Future[HandRows]] = []

    def add(self, frame: Frame, track: int, hand: DetectedHand) -> None:
        """A hand of a frame that has a picture, and the number of its track."""
        self._waiting.append((frame, track, hand))
        pictures = {waiting.index: waiting.picture.nbytes for waiting, _, _ in self._waiting if waiting.picture is not None}
        if len(self._waiting) >= _BATCH_HANDS or sum(pictures.values()) >= _BATCH_BYTES:
            self._send()

    def rows(self) -> HandRows:
        """All hands that were added."""
        self._send()
        return join_rows([batch.result() for batch in self._estimated])

    def _send(self) -> None:
        if self._estimated:
            self._estimated[-1].result()  # one batch at a time: each keeps its pictures in memory
        self._estimated.append(self._worker.submit(self._estimate, self._waiting))
        self._waiting = []

    def _estimate(self, batch: list[tuple[Frame, int, DetectedHand]]) -> HandRows:
        frames, tracks = [frame for frame, _, _ in batch], [track for _, track, _ in batch]
        pictures = [frame.picture for frame in frames if frame.picture is not None]
        hands = self._predictor.reconstruct(pictures, [hand for _, _, hand in batch], self._camera)
        return rows_of(hands, [frame.index for frame in frames], [frame.time for frame in frames], tracks)
