"""Frames out: H.264 in MP4 with the time stamps of the source, in parts that are joined without encoding again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from occhand.files import atomic_path

TIME_BASE = Fraction(1, 90_000)
"""Of the time stamps, seconds; as in broadcasting, fine enough for any frame rate."""
_QUALITY = {"crf": "20", "preset": "veryfast", "bf": "0"}
"""No B-frames: frames are stored in the order of their times, so parts join end to end."""


class VideoWriter:
    """Writes frames of one size to an MP4 file, each while the caller makes the next.

    Odd sizes get one more row or column, as H.264 stores colour for pairs of pixels.

    Args:
        path: Of the file.
        worker: Encodes, one frame at a time. Give all writers of a run the same: what a new thread allocates need not come from
            what an ended one freed. None: a thread of its own.
    """

    def __init__(self, path: str | os.PathLike[str], worker: Executor | None = None) -> None:
        import av

        self._container = av.open(str(path), "w", format="mp4")
        self._stream: Any = None
        self._last_ticks = -1
        self._worker, self._owns_worker = worker or ThreadPoolExecutor(1, "occhand-encode"), worker is None
        self._encoding: Future[None] | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self._encoding is not None:
                wait([self._encoding])
                if kind is None:
                    self._encoding.result()
                    self._container.mux(self._stream.encode())
        finally:
            self._container.close()
            if self._owns_worker:
                self._worker.shutdown()

    def write(self, picture: UInt8[np.ndarray, "height width 3"], time: float) -> None:
        """Add a frame, `time` seconds after the start; a time that does not grow is moved on by one tick.

        The picture must stay as it is until the next call, which also raises what went wrong with this one.
        """
        if self._encoding is not None:
            self._encoding.result()
        self._encoding = self._worker.submit(self._encode, picture, time)

    def _encode(self, picture: UInt8[np.ndarray, "height width 3"], time: float) -> None:
        import av

        height, width = picture.shape[:2]
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else picture
        if self._stream is None:
            self._begin(*picture.shape[:2])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        self._last_ticks = max(round(time / TIME_BASE), self._last_ticks + 1)
        frame.pts, frame.time_base = self._last_ticks, TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def _begin(self, height: int, width: int) -> None:
        # The rate only guides the encoder: the time stamps count.
        self._stream = self._container.add_stream("libx264", rate=30, options=_QUALITY)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.time_base = TIME_BASE
        self._stream.codec_context.thread_count = 1  # the same bytes on any machine
        self._stream.time_base = TIME_BASE


def join_videos(parts: Sequence[tuple[Path, float]], out: Path) -> None:
    """Put parts that `VideoWriter` wrote one after the other, each from its time on (seconds); the frames are copied as they are."""
    import av

    with atomic_path(out) as temporary, av.open(str(temporary), "w", format="mp4") as joined:
        stream = None
        for part, start in parts:
            with av.open(f"file:{part}") as container:
                source = container.streams.video[0]
                if stream is None:
                    stream = joined.add_stream_from_template(source)
                    stream.time_base = TIME_BASE
                for packet in container.demux(source):
                    if packet.dts is None:
                        continue
                    shift = round(start / packet.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                    joined.mux(packet)
