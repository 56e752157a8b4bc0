"""Any video becomes upright frames with their times, or one clear line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from occhand.video import frames as frames_module  # noqa: E402
from occhand.video.encode import VideoWriter, join_videos  # noqa: E402
from occhand.video.frames import VideoError, _Clock, open_video  # noqa: E402

TIMES = [k / 25 for k in range(12)]


def picture(k: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Grey that grows with k, the upper left corner white."""
    image = np.full((height, width, 3), 20 + 10 * k, np.uint8)
    image[: height // 3, : width // 3] = 255
    return image


def write_video(path, times=TIMES, size=(48, 64)):
    with VideoWriter(path) as writer:
        for k, time in enumerate(times):
            writer.write(picture(k, *size), time)
    return path


def write_intra_video(path, count=10):
    """Every frame a key frame, so that one broken packet breaks one frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "1", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(k), format="rgb24")))
        container.mux(stream.encode())
    return path


def greys(frames):
    return [None if frame.picture is None else int(frame.picture[-8:, -8:].mean()) for frame in frames]


def test_frames_come_back_in_order_with_their_times(tmp_path):
    video = open_video(write_video(tmp_path / "clip.mp4"))
    frames = list(video.frames())
    assert video.frame_count == 12
    assert [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in frames], TIMES, atol=1e-4)
    np.testing.assert_allclose(greys(frames), [20 + 10 * k for k in range(12)], atol=3)
    assert greys(video.frames(start=7)) == greys(frames)[7:]


def test_colours_come_back(tmp_path):
    red = np.full((48, 64, 3), (200, 60, 30), np.uint8)
    with VideoWriter(tmp_path / "red.mp4") as writer:
        writer.write(red, 0.0)
    (frame,) = open_video(tmp_path / "red.mp4").frames()
    assert np.abs(frame.picture.astype(int) - red).max() <= 4


def test_a_variable_frame_rate_keeps_its_time_stamps(tmp_path):
    times = [0.0, 0.04, 0.08, 0.5, 0.51, 1.3]
    frames = list(open_video(write_video(tmp_path / "phone.mp4", times)).frames())
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-4)


def test_a_frame_that_is_not_later_than_the_one_before_is_written_a_tick_after_it(tmp_path):
    frames = list(open_video(write_video(tmp_path / "clip.mp4", [0.0, 0.0, 0.04, 0.02])).frames())
    np.testing.assert_allclose([frame.time for frame in frames], [0.0, 1 / 90_000, 0.04, 0.04 + 1 / 90_000], rtol=0, atol=1e-6)


def write_stream(path, stamps, size=(48, 64)):
    """An MPEG transport stream, which may begin at any time and be joined to another byte by byte."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "1", "tune": "zerolatency"})
        stream.height, stream.width = size
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 100)
        for k, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(picture(k, *size), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


def test_where_time_jumps_back_it_goes_on_from_there(tmp_path):
    stream = write_stream(tmp_path / "one.ts", range(0, 48, 4))
    (tmp_path / "joined.ts").write_bytes(3 * stream)
    frames = list(open_video(tmp_path / "joined.ts").frames())
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(36) / 25, atol=1e-4)


def test_a_video_that_changes_its_size_ends_there(tmp_path):
    parts = [write_stream(tmp_path / "part.ts", range(0, 16, 4), size) for size in ((48, 64), (96, 80))]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    video = open_video(tmp_path / "joined.ts")
    frames = list(video.frames())
    assert [frame.picture is None for frame in frames] == [False] * 4 + [True] * 4
    assert "is 80 x 96, the first one 64 x 48" in frames[5].error
    assert [frame.index for frame in video.frames(start=6) if frame.picture is None] == [6, 7]


def test_every_frame_is_later_than_the_one_before_and_a_late_one_moves_no_other():
    clock = _Clock(0.04)
    times = [clock.read(stamp) for stamp in (5.0, 5.04, 5.04, 5.08, 5.06, 5.12, None, 5.2)]
    assert (np.diff(times) > 0.009).all()
    np.testing.assert_allclose(np.array(times)[[0, 1, 3, 5, 6, 7]], [0.0, 0.04, 0.08, 0.12, 0.16, 0.2])
    assert clock.guess(5.2) > 0.2
    np.testing.assert_allclose(clock.read(5.24), 0.24)


def test_odd_sizes_gain_one_row_and_column(tmp_path):
    (first, *_) = open_video(write_video(tmp_path / "odd.mp4", size=(47, 63))).frames()
    assert first.picture.shape == (48, 64, 3)
    assert first.picture[2:12, 20].min() > 200  # the white corner is where it was
    assert first.picture[2:12, 21].max() < 100


@pytest.mark.parametrize(("quarter_turns", "corner"), [(1, (0, -1)), (2, (-1, -1)), (3, (-1, 0))])
def test_a_rotated_phone_video_comes_upright(tmp_path, quarter_turns, corner):
    """The track's matrix turns the picture clockwise when it is shown; the white corner says by how much."""
    path = write_video(tmp_path / "phone.mp4")
    data = bytearray(path.read_bytes())
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns]
    fixed = [cosine * 65536, sine * 65536, 0, -sine * 65536, cosine * 65536, 0, 0, 0, 1 << 30]
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in fixed)
    path.write_bytes(data)
    frame = next(iter(open_video(path).frames()))
    assert frame.picture.shape == ((64, 48, 3) if quarter_turns % 2 else (48, 64, 3))
    assert frame.picture[corner].min() > 200
    assert sum(frame.picture[y, x].min() > 200 for y in (0, -1) for x in (0, -1)) == 1


@pytest.mark.parametrize(("kept", "error"), [(0, "cannot be decoded"), (30, "is damaged")])
def test_a_frame_that_cannot_be_decoded_is_named_and_skipped(tmp_path, kept, error):
    path = write_intra_video(tmp_path / "damaged.mkv")
    assert open_video(path).frame_count == 10  # by its length: the container does not count
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][5]
        payload = bytes(packet)
    data = bytearray(path.read_bytes())
    start = data.index(payload)
    data[start + kept : start + len(payload)] = bytes(len(payload) - kept)
    path.write_bytes(data)
    frames = list(open_video(path).frames())
    assert [frame.index for frame in frames if frame.picture is None] == [5]
    assert frames[5].error.startswith(error)
    assert len(frames) == 10
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(10) / 25, atol=0.05)


def test_a_video_of_which_no_frame_can_be_decoded_is_refused(tmp_path):
    path = write_intra_video(tmp_path / "damaged.mkv", count=1)
    with av.open(str(path)) as container:
        payload = next(bytes(packet) for packet in container.demux(video=0) if packet.size)
    path.write_bytes(path.read_bytes().replace(payload, bytes(len(payload))))
    with pytest.raises(VideoError, match=r"No frame of .* can be decoded\. Play it elsewhere"):
        open_video(path)


def test_a_file_that_breaks_off_gives_what_is_there(tmp_path):
    path = write_intra_video(tmp_path / "cut.mkv")
    with av.open(str(path)) as container:
        payload = [bytes(packet) for packet in container.demux(video=0) if packet.size][6]
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(payload) + len(payload) // 2])
    assert sum(frame.picture is not None for frame in open_video(path).frames()) == 6


def test_folders_are_read_in_the_order_of_their_numbers(tmp_path):
    for k in (0, 2, 10):
        Image.fromarray(picture(k)).save(tmp_path / f"frame-{k}.png")
    Image.fromarray(picture(5, 40, 40)).save(tmp_path / "frame-11.png")
    (tmp_path / "frame-9.png").write_bytes(b"\x89PNG broken")
    frames = list(open_video(tmp_path, fps=10.0).frames())
    assert greys(frames) == [20, 40, None, 120, None]
    assert "frame-9.png" in frames[2].error
    assert "40 x 40, the first one 64 x 48" in frames[4].error
    np.testing.assert_allclose([frame.time for frame in frames], [0.0, 0.1, 0.2, 0.3, 0.4])
    assert greys(open_video(tmp_path).frames(start=3)) == [120, None]
    assert greys(open_video(tmp_path).frames(start=4)) == [None]


def test_digits_that_are_no_number_may_stand_in_a_name(tmp_path):
    for k, name in enumerate(("a2.png", "a2\u00b2.png", "a2\u00b21.png", "a10.png")):
        Image.fromarray(picture(k)).save(tmp_path / name)
    assert open_video(tmp_path).frame_count == 4


def test_a_folder_is_told_from_itself_after_a_change(tmp_path):
    for k in range(2):
        Image.fromarray(picture(k)).save(tmp_path / f"{k}.bmp")
    before = open_video(tmp_path).fingerprint()
    assert open_video(tmp_path).fingerprint() == before != open_video(tmp_path, fps=10.0).fingerprint()
    Image.fromarray(picture(5)).save(tmp_path / "1.bmp")  # of the same size
    os.utime(tmp_path / "1.bmp", (1, 1))
    changed = open_video(tmp_path).fingerprint()
    (tmp_path / "1.bmp").rename(tmp_path / "2.bmp")
    assert len({str(record) for record in (before, changed, open_video(tmp_path).fingerprint())}) == 3


def test_a_file_is_told_from_itself_after_a_change(tmp_path):
    path = write_video(tmp_path / "clip.mp4", TIMES[:2])
    os.utime(path, (1, 1))
    before = open_video(path).fingerprint()
    os.utime(path, (2, 2))
    assert open_video(path).fingerprint() != before
    path.write_bytes(path.read_bytes() + bytes(8))
    os.utime(path, (1, 1))
    assert open_video(path).fingerprint() != before


def test_4k_frames_come_whole(tmp_path):
    frames = list(open_video(write_video(tmp_path / "4k.mp4", times=[0.0, 0.04], size=(2160, 3840))).frames())
    assert [frame.picture.shape for frame in frames] == [(2160, 3840, 3)] * 2


def test_frames_larger_than_a_picture_may_be_are_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", TIMES[:2])
    monkeypatch.setattr(frames_module, "MAX_PIXELS", 48 * 64)
    open_video(path)
    monkeypatch.setattr(frames_module, "MAX_PIXELS", 48 * 64 - 1)
    with pytest.raises(VideoError, match="frames of 64 x 48 are too large"):
        open_video(path)


def write_sound(path, codec="aac", rate=16000, samples=1024):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
        frame.rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_song(path):
    """Sound with a cover, which FFmpeg shows as a picture track."""
    write_sound(path, "libmp3lame", 44100, 1152)
    cover = io.BytesIO()
    Image.fromarray(picture(0)).save(cover, "PNG")
    body = b"\0image/png\0\x03\0" + cover.getvalue()
    entry = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes(len(entry) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + size + entry + path.read_bytes())


def bad_videos(folder):
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("not a video")
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n")
    (folder / "list.txt").write_text("ffconcat version 1.0\nfile clip.mp4\n")
    write_sound(folder / "sound.m4a")
    write_song(folder / "song.mp3")
    whole = write_video(folder / "clip.mp4").read_bytes()
    (folder / "half.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "void").mkdir()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.mp4", "No such video"),
        ("empty.mp4", "Empty file"),
        ("text.mp4", "Not a video"),
        ("half.mp4", "Not a video"),
        ("sound.m4a", "sound but no pictures"),
        ("song.mp3", "sound but no pictures"),
        ("list.m3u8", "list.m3u8"),
        ("list.txt", "is a concat file, not a video"),
        ("void", "No pictures in folder"),
    ],
)
def test_what_is_no_video_is_said_in_one_line(tmp_path, name, message):
    bad_videos(tmp_path)
    with pytest.raises(VideoError, match=message) as raised:
        open_video(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_frame_rate_is_for_folders(tmp_path):
    with pytest.raises(VideoError, match="own time stamps"):
        open_video(write_video(tmp_path / "clip.mp4"), fps=30.0)
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    for fps in (0.0, -1.0, 1001.0, float("nan")):
        with pytest.raises(VideoError, match="expected more than 0, at most 1000"):
            open_video(tmp_path, fps=fps)


def test_parts_join_without_a_seam(tmp_path):
    times = [0.0, 0.04, 0.08, 0.5, 0.51, 1.3]
    write_video(tmp_path / "a.mp4", times[:3])
    with VideoWriter(tmp_path / "b.mp4") as writer:
        for k in range(3, 6):
            writer.write(picture(k), times[k] - times[3])
    join_videos([(tmp_path / "a.mp4", 0.0), (tmp_path / "b.mp4", times[3])], tmp_path / "whole.mp4")
    frames = list(open_video(tmp_path / "whole.mp4").frames())
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-4)
    np.testing.assert_allclose(greys(frames), [20 + 10 * k for k in range(6)], atol=3)


def test_without_pyav_the_extra_is_named():
    code = "import sys; sys.modules['av'] = None\nfrom occhand.video.frames import open_video\nopen_video(sys.executable)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "occhand[video]" in done.stderr
