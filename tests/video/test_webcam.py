"""A webcam is recorded once for each run, and only once everything else that was given is known to be usable."""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from occhand.video import webcam  # noqa: E402
from occhand.video.encode import VideoWriter  # noqa: E402
from occhand.video.frames import VideoError, open_video  # noqa: E402
from occhand.video.segments import SEGMENTS, SegmentFolder  # noqa: E402
from occhand.video.webcam import open_source, record_webcam  # noqa: E402


@pytest.fixture
def recordings(monkeypatch):
    """The length asked for of each recording; of a camera that gives two frames."""
    lengths = []

    def record(number, path, seconds):
        lengths.append(seconds)
        with VideoWriter(path) as writer:
            for k in range(2):
                writer.write(np.full((48, 64, 3), 90, np.uint8), k / 25)

    monkeypatch.setattr(webcam, "record_webcam", record)
    return lengths


def test_a_new_run_records_anew_and_a_stopped_one_goes_on_with_its_recording(tmp_path, recordings):
    assert len(list(open_source("0", tmp_path, seconds=1.0).frames())) == 2
    run = SegmentFolder(tmp_path / SEGMENTS, {})
    open_source("0", tmp_path, seconds=2.0)
    assert recordings == [1.0]
    (tmp_path / "capture.mp4").unlink()
    open_source("0", tmp_path, seconds=2.5)
    assert recordings.pop() == 2.5
    run.remove()
    open_source("0", tmp_path, seconds=3.0)
    assert recordings == [1.0, 3.0]


def test_a_frame_rate_is_refused_before_anything_is_recorded(tmp_path, recordings):
    with pytest.raises(VideoError, match="Webcam 0 has its own time stamps"):
        open_source("0", tmp_path, fps=30.0)
    assert recordings == []


@pytest.fixture
def camera(tmp_path, monkeypatch):
    """A file for a camera: 25 red frames a second, whose stamps do not begin at 0."""
    red = np.full((48, 64, 3), (200, 60, 30), np.uint8)
    with av.open(str(tmp_path / "camera.ts"), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(25):
            frame = av.VideoFrame.from_ndarray(red, format="rgb24")
            frame.pts = 100 + k
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    monkeypatch.setattr(webcam, "_webcam_device", lambda number: (str(tmp_path / "camera.ts"), None))
    return red


class BrokenOff(contextlib.AbstractContextManager):
    """A camera that is unplugged after some frames."""

    def __init__(self, camera, frames) -> None:
        self.camera, self.frames = camera, frames

    def __exit__(self, *_) -> None:
        self.camera.close()

    def decode(self, video):
        yield from itertools.islice(self.camera.decode(video=video), self.frames)
        raise av.error.OSError(5, "Input/output error", "camera")


def test_a_camera_that_breaks_off_leaves_what_was_recorded(tmp_path, camera, monkeypatch, caplog):
    really_open, left = av.open, [4]

    def open_camera(file, *args, **options):
        opened = really_open(file, *args, **options)
        return BrokenOff(opened, left.pop()) if left and str(file).endswith("camera.ts") else opened

    monkeypatch.setattr(av, "open", open_camera)
    assert len(list(open_video(record_webcam(0, tmp_path / "capture.mp4")).frames())) == 4
    assert "broke off after 4 frames" in caplog.text
    left.append(0)
    with pytest.raises(VideoError, match="gave no frame"):
        record_webcam(0, tmp_path / "another.mp4")
    assert not (tmp_path / "another.mp4").exists()


@pytest.mark.parametrize(("seconds", "count"), [(None, 25), (0.4, 11)])
def test_a_recording_begins_at_its_first_frame_and_ends_after_its_seconds(tmp_path, camera, seconds, count):
    frames = list(open_video(record_webcam(0, tmp_path / "capture.mp4", seconds)).frames())
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(count) / 25, atol=1e-4)
    assert np.abs(frames[0].picture.astype(int) - camera).max() <= 8
    with av.open(str(tmp_path / "capture.mp4")) as recording:
        assert recording.streams.video[0].start_time == 0


@pytest.mark.parametrize("count", [5, 0])
def test_control_c_ends_a_recording_and_keeps_it(tmp_path, camera, monkeypatch, count):
    class Stopped(VideoWriter):
        left = count

        def write(self, picture, time):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            super().write(picture, time)

    monkeypatch.setattr(webcam, "VideoWriter", Stopped)
    if count:
        assert len(list(open_video(record_webcam(0, tmp_path / "capture.mp4")).frames())) == count
    else:
        with pytest.raises(VideoError, match="gave no frame"):
            record_webcam(0, tmp_path / "capture.mp4")
        assert not list(tmp_path.glob("*.mp4"))


def test_a_digit_that_is_no_number_names_no_webcam(tmp_path, recordings):
    with pytest.raises(VideoError, match="No such video: \u00b2"):
        open_source("\u00b2", tmp_path)


def test_a_camera_without_frames_leaves_no_recording(tmp_path, monkeypatch):
    class Covered(contextlib.nullcontext):
        def decode(self, video):
            return iter(())

    really_open = av.open
    monkeypatch.setattr(av, "open", lambda file, *args, **options: Covered() if file == "camera" else really_open(file, *args, **options))
    monkeypatch.setattr(webcam, "_webcam_device", lambda number: ("camera", None))
    with pytest.raises(VideoError, match=r"Webcam 0 gave no frame\. Check its permissions and its cover"):
        record_webcam(0, tmp_path / "capture.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("system", "name"), [("linux", ("/dev/video3", "v4l2")), ("darwin", ("3", "avfoundation"))])
def test_a_camera_is_opened_by_the_name_that_the_system_has_for_it(tmp_path, monkeypatch, system, name):
    def refuse(device, format):
        raise OSError(f"refused as {(device, format)}")

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(av, "open", refuse)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    with pytest.raises(VideoError, match=re.escape(f"cannot be opened: refused as {name}. Is another program using it?")):
        record_webcam(3, tmp_path / "capture.mp4")


def test_a_camera_on_windows_is_recorded_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(VideoError, match=r"not read on Windows\. Record a file"):
        record_webcam(0, tmp_path / "capture.mp4")


def test_a_folder_named_like_a_webcam_goes_first(tmp_path, recordings, monkeypatch):
    (tmp_path / "0").mkdir()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "0" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert open_source("0", tmp_path / "out").frame_count == 1
    assert recordings == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name cameras otherwise")
def test_a_missing_webcam_is_named(tmp_path):
    with pytest.raises(VideoError, match="No webcam 77: /dev/video77 does not exist"):
        record_webcam(77, tmp_path / "capture.mp4")
    assert not list(tmp_path.iterdir())
