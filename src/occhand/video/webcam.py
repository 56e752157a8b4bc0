"""Webcams: recorded to a file first, which is then a video like any other."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from occhand.files import atomic_path
from occhand.video.encode import VideoWriter
from occhand.video.frames import FrameSource, VideoError, open_video, require_av
from occhand.video.segments import has_stopped_run

_log = logging.getLogger(__name__)


def open_source(name: str, out: Path, fps: float | None = None, seconds: float | None = None) -> FrameSource:
    """What a user names: a file, a folder, or a webcam by its number, which is recorded to `capture.mp4` in `out` first.

    A run that was stopped goes on with its own recording.

    Args:
        name: A path, or a number such as 0; a file or folder of that name goes first.
        out: Where the recording goes, and where the run keeps its segments.
        fps: As for `open_video`.
        seconds: Length of the recording; None: until Ctrl-C.

    Raises:
        VideoError: As `open_video` and `record_webcam`; a length for something that is no webcam, or a frame rate for one.
        ImportError: PyAV is missing.
    """
    if not name.isdecimal() or Path(name).exists():
        if seconds is not None:
            raise VideoError(f"{name} is no webcam, so --seconds means nothing. Leave it out.")
        return open_video(name, fps)
    if fps is not None:
        raise VideoError(f"Webcam {name} has its own time stamps. Leave --fps out; it is for folders of pictures.")
    capture = out / "capture.mp4"
    if not (capture.exists() and has_stopped_run(out)):
        record_webcam(int(name), capture, seconds)
    return open_video(capture)


def record_webcam(number: int, path: Path, seconds: float | None = None) -> Path:
    """Record a webcam to a file until Ctrl-C, or for some seconds; the rest of a run reads the file, so that no frame is dropped.

    Raises:
        VideoError: No such camera, or it gives no frames.
        ImportError: PyAV is missing.
    """
    require_av()
    import av

    device, driver = _webcam_device(number)
    try:
        camera = av.open(device, format=driver)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"Webcam {number} ({device}) cannot be opened: {error}. Is another program using it?") from None
    with camera, atomic_path(path) as temporary, VideoWriter(temporary) as writer:
        first, count = None, 0
        try:
            for frame in camera.decode(video=0):
                seconds_now = float(frame.time or 0.0)
                first = seconds_now if first is None else first
                writer.write(frame.to_ndarray(format="rgb24"), seconds_now - first)
                count += 1
                if seconds is not None and seconds_now - first >= seconds:
                    break
        except KeyboardInterrupt:
            pass  # the way to end a recording
        except av.FFmpegError as error:
            _log.warning("Webcam %d broke off after %d frames (%s); those are kept.", number, count, error)
        if not count:
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
