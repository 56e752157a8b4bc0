"""Frames in: of a video file, a folder of pictures or a webcam, upright RGB with their time stamps; what cannot be decoded is named."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from occhand.files import atomic_path
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


def open_source(name: str, out: Path, fps: float | None = None, seconds: float | None = None) -> FrameSource:
    """What a user names: a file, a folder, or a webcam by its number, which is recorded to `capture.mp4` in `out` first.

    Args:
        name: A path, or a number such as 0; a file or folder of that name goes first.
        out: Where a recording goes; one that is there from a run that was stopped is used again.
        fps: As for `open_video`.
        seconds: Length of a recording; None: until Ctrl-C.

    Raises:
        VideoError: As `open_video` and `record_webcam`; a length for something that is no webcam.
        ImportError: PyAV is missing.
    """
    if not name.isdigit() or Path(name).exists():
        if seconds is not None:
            raise VideoError(f"{name} is no webcam, so --seconds means nothing. Leave it out.")
        return open_video(name, fps)
    capture = out / "capture.mp4"
    if not capture.exists():
        record_webcam(int(name), capture, seconds)
    return open_video(capture, fps)


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
        stats = [image.stat() for image in self._images]
        return {"files": len(stats), "bytes": sum(stat.st_size for stat in stats), "fps": self._fps}


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
        _require_av()
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
            first, last, broken = None, 0.0, 0
            for packet in _packets(container, stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    frames, broken = [], broken + 1
                    last = last if first is None or packet.pts is None else max(last, float(packet.pts * stream.time_base) - first)
                    yield last, None, f"cannot be decoded ({error.strerror or error})"
                for frame in frames:
                    seconds = _seconds(frame, stream, last)
                    first = seconds if first is None else first
                    last = max(last, seconds - first)
                    if frame.is_corrupt:
                        yield last, None, "is damaged"
                    else:
                        yield last, frame, ""


def record_webcam(number: int, path: Path, seconds: float | None = None) -> Path:
    """Record a webcam to a file until Ctrl-C, or for some seconds; the rest of a run reads the file, so that no frame is dropped.

    Raises:
        VideoError: No such camera, or it gives no frames.
        ImportError: PyAV is missing.
    """
    _require_av()
    import av

    from occhand.video.encode import VideoWriter

    device, driver = _webcam_device(number)
    try:
        camera = av.open(device, format=driver)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"Webcam {number} ({device}) cannot be opened: {error}. Is another program using it?") from None
    with camera, atomic_path(path) as temporary, VideoWriter(temporary) as writer:
        first = None
        try:
            for frame in camera.decode(video=0):
                seconds_now = float(frame.time or 0.0)
                first = seconds_now if first is None else first
                writer.write(frame.to_ndarray(format="rgb24"), seconds_now - first)
                if seconds is not None and seconds_now - first >= seconds:
                    break
        except KeyboardInterrupt:
            pass  # the way to end a recording
        if first is None:
            raise VideoError(f"Webcam {number} gave no frame. Check its permissions and its cover.")
    return path


def _webcam_device(number: int) -> tuple[str, str]:
    """Name and FFmpeg driver of a camera.

    Raises:
        VideoError: There is none, where that can be told before it is opened.
    """
    if sys.platform == "darwin":
        return str(number), "avfoundation"
    if sys.platform == "win32":
        raise VideoError("Webcams are not read on Windows. Record a file with its Camera app and name that.")
    device = Path(f"/dev/video{number}")
    if not device.exists():
        found = ", ".join(item.name.removeprefix("video") for item in sorted(Path("/dev").glob("video[0-9]*"))) or "none"
        raise VideoError(f"No webcam {number}: {device} does not exist; found: {found}. Plug it in, or name a video file.")
    return str(device), "v4l2"


def _require_av() -> None:
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


def _seconds(frame: Any, stream: Any, last: float) -> float:
    """Time stamp of a frame; of one without, a frame's length after the last."""
    return float(frame.time) if frame.time is not None else last + 1.0 / float(stream.average_rate or FOLDER_FPS)


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
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]
