"""A webcam is recorded once for each run, and only once everything else that was given is known to be usable."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("av")

from occhand.video import webcam
from occhand.video.encode import VideoWriter
from occhand.video.frames import VideoError
from occhand.video.segments import SEGMENTS, SegmentFolder
from occhand.video.webcam import open_source, record_webcam


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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name cameras otherwise")
def test_a_missing_webcam_is_named(tmp_path):
    with pytest.raises(VideoError, match="No webcam 77: /dev/video77 does not exist"):
        record_webcam(77, tmp_path / "capture.mp4")
    assert not list(tmp_path.iterdir())
