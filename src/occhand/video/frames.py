"""Frames in: of a video file or a folder of pictures, upright RGB with their time stamps; what cannot be decoded is named."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from occhand.image_io import MAX_PIXELS, ImageError, list_images, load_image

FOLDER_FPS = 30.0
"""Frames per second of a folder of pictures, which does not say."""
_REFUSED_FORMATS = {"concat", "hls", "dash", "image2", "tty", "lavfi"}
"""Play lists, which may name files elsewhere, and what takes any text for a picture."""


class VideoError(ValueError):
    """A video that cannot be read or written, in one line: what was found, what was expected, the next step."""


@dataclass(frozen=True)
class Frame:
    """One moment of a video."""

    index: int
    time: float
    """Seconds since the first frame."""
    picture: UInt8[np.ndarray, "height width 3"] | None
    """None where it could not be decoded."""
    error: str = ""
    """Why not."""


@runtime_checkable
class FrameSource(Protocol):
    """A video that can be read from its beginning as often as needed; every pass gives the same frames."""

    name: str

    @property
    def frame_count(self) -> int | None:
        """As the file says, which may be wrong; None where it does not."""
        ...

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """The frames from number `start` on."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """What tells this video from another one, or from itself after a change."""
        ...


def open_video(path: str | os.PathLike[str], fps: float | None = None) -> FrameSource:
    """A video file, or a folder of pictures in the order of the numbers in their names.

    Args:
        path: Of either.
        fps: Of a folder of pictures; a file has its own time stamps.

    Raises:
        VideoError: Nothing there, empty, no video, sound only; the message says what to do.
        ImportError: PyAV is missing and the path is a file.
    """
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path, fps)
    if fps is not None:
        raise VideoError(f"{path} is a file, which has its own time stamps. Leave --fps out; it is for folders of pictures.")
    return VideoFile(path)


def read_ahead(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The same frames, each decoded while something is done with the one before."""
    with ThreadPoolExecutor(1, "occhand-decode") as worker:
        coming = worker.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = worker.submit(next, frames, None)
            yield frame
            del frame  # not kept while the next one is waited for


class FrameFolder:
    """Pictures of a folder as a video.

    Raises:
        VideoError: No pictures, or a frame rate that is not positive.
    """

    def __init__(self, path: Path, fps: float | None = None) -> None:
        fps = FOLDER_FPS if fps is None else fps
        if not 0 < fps <= 1000:
            raise VideoError(f"A frame rate of {fps:g} per second; expected more than 0, at most 1000. Give --fps 30, say.")
        try:
            self._images = sorted(list_images([path]), key=_natural_key)
        except ImageError as error:
            raise VideoError(str(error)) from None
        self.name, self._fps = path.name, fps

    @property
    def frame_count(self) -> int | None:
        return len(self._images)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        size = None
        for index, image in enumerate(self._images):
            if index < start and size is not None:
                continue
            try:
                picture = load_image(image)
            except ImageError as error:
                if index >= start:
                    yield Frame(index, index / self._fps, None, str(error))
                continue
            size = size or picture.shape[:2]
            if index >= start:
                yield _of_size(Frame(index, index / self._fps, picture), size)

    def fingerprint(self) -> dict[str, Any]:
        stats = [(image.name, image.stat()) for image in self._images]
        listing = "".join(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n" for name, stat in stats)
        return {"files": len(stats), "digest": hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest(), "fps": self._fps}


class VideoFile:
    """A video file, decoded by PyAV (FFmpeg); the first picture track is taken.

    Frames come upright: the rotation that phones write beside the track is applied. Time stamps are the file's own, so a variable frame
    rate stays what it is. A frame that FFmpeg cannot decode, or only with damage, comes without its picture.

    Raises:
        VideoError: No such file, empty, no video, sound only, or larger than a picture may be.
        ImportError: PyAV is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.name = path, path.name
        require_av()
        _check_file(path)
        with self._open() as container:
            stream = _picture_tracks(container)[0]
            if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
                raise VideoError(f"{path}: frames of {stream.codec_context.width} x {stream.codec_context.height} are too large.")
            self._frame_count = stream.frames or _estimated_count(container, stream)
        if not any(frame.picture is not None for frame in self.frames()):
            raise VideoError(f"No frame of {path} can be decoded. Play it elsewhere, or copy or convert it again (MP4, H.264).")

    @property
    def frame_count(self) -> int | None:
        return self._frame_count

    def frames(self, start: int = 0) -> Iterator[Frame]:
        size = None
        for index, (time, frame, error) in enumerate(self._decoded()):
            if frame is None or (index < start and size is not None):
                if index >= start:
                    yield Frame(index, time, None, error)
                continue
            picture = _upright(frame)
            size = size or picture.shape[:2]
            if index >= start:
                yield _of_size(Frame(index, time, picture), size)

    def fingerprint(self) -> dict[str, Any]:
        stat = self._path.stat()
        return {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}

    def _open(self) -> Any:
        """The container, with at least one picture track."""
        import av

        try:
            container = av.open(f"file:{self._path}", options={"protocol_whitelist": "file"})
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise VideoError(f"Not a video, or a broken one: {self._path} ({reason}). Copy it again, or convert it to MP4.") from None
        problem = _problem(container)
        if problem:
            container.close()
            raise VideoError(f"{self._path} {problem}")
        return container

    def _decoded(self) -> Iterator[tuple[float, Any, str]]:
        """Time, frame and error of every frame in the order of their times; exactly one of the last two is there."""
        import av

        with self._open() as container:
            stream = _picture_tracks(container)[0]
            stream.thread_type = "SLICE"  # threads over frames would report a broken one some frames later
            clock = _Clock(1.0 / float(stream.average_rate or FOLDER_FPS))
            for packet in _packets(container, stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    stamp = None if packet.dts is None else float(packet.dts * stream.time_base)
                    yield clock.guess(stamp), None, f"cannot be decoded ({error.strerror or error})"
                    continue
                for frame in frames:
                    if frame.is_corrupt:
                        yield clock.read(frame.time), None, "is damaged"
                    else:
                        yield clock.read(frame.time), frame, ""


class _Clock:
    """Seconds since the first frame, each frame later than the one before.

    Where time stamps jump back, as in files joined end to end, it goes on a frame's length after the last one, and all that follow are
    moved with it. A stamp that is late by a frame or two, by rounding or beside a frame that was guessed, moves alone.
    """

    def __init__(self, frame_length: float) -> None:
        self._frame_length, self._last = frame_length, -frame_length
        self._shift: float | None = None
        """From stamps to times; None where the next stamp is the first, of the video or after a jump back."""

    def read(self, stamp: float | None) -> float:
        """Time of a frame by its stamp; of one without, a frame's length after the last."""
        if self._by_stamp(stamp) < self._last - 2 * self._frame_length:
            self._shift = None
        return self._go_on(self._by_stamp(stamp))

    def guess(self, decoded_at: float | None) -> float:
        """Time of a frame that is not there, by when it should have been decoded: no frame after it is shown before that."""
        return self._go_on(self._by_stamp(decoded_at))

    def _by_stamp(self, stamp: float | None) -> float:
        if stamp is None:
            return self._last + self._frame_length
        if self._shift is None:
            self._shift = self._last + self._frame_length - stamp
        return stamp + self._shift

    def _go_on(self, time: float) -> float:
        self._last = time if time > self._last else self._last + self._frame_length / 4
        return self._last


def require_av() -> None:
    """Raise what names the extra to install where PyAV is missing."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise ImportError("Reading videos needs PyAV. Install it with: pip install 'occhand[video]'") from None


def _check_file(path: Path) -> None:
    if not path.exists():
        raise VideoError(f"No such video: {path}. Check the path.")
    if not path.is_file():
        raise VideoError(f"Neither a file nor a folder: {path}. Name a video file, or a folder of pictures.")
    if not os.access(path, os.R_OK):
        raise VideoError(f"Video cannot be read: {path}. Check its permissions.")
    if path.stat().st_size == 0:
        raise VideoError(f"Empty file: {path} holds 0 bytes. Copy or download it again.")


def _problem(container: Any) -> str:
    """Why a container is not taken; empty if it is."""
    if _REFUSED_FORMATS & set(container.format.name.split(",")):
        return f"is a {container.format.name} file, not a video. Name a video file, or a folder of pictures."
    if not _picture_tracks(container):
        what = "sound but no pictures" if container.streams.audio else "no pictures"
        return f"holds {what}. Name a file with a video track."
    return ""


def _picture_tracks(container: Any) -> list[Any]:
    """Without the covers that music files carry."""
    import av

    return [stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic]


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Of the picture track, the last one empty, to have what the decoder still holds; a file that breaks off ends there."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:
            return
        yield packet


def _estimated_count(container: Any, stream: Any) -> int | None:
    if container.duration is None or not stream.average_rate:
        return None
    return max(1, round(container.duration / 1e6 * float(stream.average_rate)))


def _upright(frame: Any) -> UInt8[np.ndarray, "height width 3"]:
    """RGB, turned as the file says; FFmpeg counts the turn that undoes it counter-clockwise."""
    picture = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _of_size(frame: Frame, size: tuple[int, ...]) -> Frame:
    """The frame, without its picture where that is not as large as the first: one camera cannot describe both."""
    assert frame.picture is not None
    if frame.picture.shape[:2] == size:
        return frame
    (height, width), (first_height, first_width) = frame.picture.shape[:2], size
    return Frame(frame.index, frame.time, None, f"is {width} x {height}, the first one {first_width} x {first_height}")


def _natural_key(path: Path) -> list[tuple[int, str]]:
    """frame-2 before frame-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
