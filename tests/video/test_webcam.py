"""A webcam is recorded once for each run, and only once everything else that was given is known to be usable."""

from __future__ import annotations

import sys

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


@pytest.mark.parametrize(("seconds", "count"), [(None, 25), (0.4, 11)])
def test_a_recording_begins_at_its_first_frame_and_ends_after_its_seconds(tmp_path, camera, seconds, count):
    frames = list(open_video(record_webcam(0, tmp_path / "capture.mp4", seconds)).frames())
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(count) / 25, atol=1e-4)
    assert np.abs(frames[0].picture.astype(int) - camera).max() <= 8
    with av.open(str(tmp_path / "capture.mp4")) as recording:
        assert recording.streams.video[0].start_time == 0


def test_control_c_ends_a_recording_and_keeps_it(tmp_path, camera, monkeypatch):
    class Stopped(VideoWriter):
        left = 5

        def write(self, picture, time):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            super().write(picture, time)

    monkeypatch.setattr(webcam, "VideoWriter", Stopped)
    assert len(list(open_video(record_webcam(0, tmp_path / "capture.mp4")).frames())) == 5


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
