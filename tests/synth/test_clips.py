"""Clips: repeatable, smooth, and true in every frame."""

from unittest.mock import Mock

import numpy as np
import pytest

from occhand.data.record import DataError
from occhand.synth.clip_files import write_clips
from occhand.synth.clips import CLIP_KINDS, FPS, Clip
from occhand.video.frames import open_video

FRAMES = 40


@pytest.fixture(scope="module", params=CLIP_KINDS)
def clip(request):
    return Clip(seed=3, number=1, kind=request.param, frames=FRAMES, size=64)


@pytest.fixture(scope="module")
def frames(clip):
    return list(clip)


def test_the_same_clip_is_the_same_film(clip, frames):
    again = next(iter(Clip(3, 1, clip.kind, FRAMES, 64)))
    assert np.array_equal(again.image, frames[0].image)
    assert not np.array_equal(next(iter(Clip(3, 2, clip.kind, FRAMES, 64))).image, frames[0].image)
    truths = [hands for _, hands in clip.truth()]
    for frame, hands in zip(frames, truths, strict=True):
        for drawn, told in zip(frame.hands, hands, strict=True):
            assert np.array_equal(drawn.joints_cam, told.joints_cam)


def test_sides_are_those_of_the_kind(clip, frames):
    sides = {tuple(hand.side for hand in frame.hands) for frame in frames}
    assert len(sides) == 1
    if clip.kind == "crossing":
        assert sides == {("right", "left")}


def test_motion_is_smooth(frames):
    """Of a spline with continuous acceleration the third difference is small beside the second."""
    joints = np.stack([[hand.joints_cam for hand in frame.hands] for frame in frames])
    second, third = np.diff(joints, 2, axis=0), np.diff(joints, 3, axis=0)
    assert np.abs(np.diff(joints, axis=0)).max() < 0.05
    assert np.abs(third).mean() < 0.9 * np.abs(second).mean()  # of noise it would be 1.8
    assert [frame.time for frame in frames] == [k / FPS for k in range(FRAMES)]


def test_joints_project_and_vertices_surround_them(clip, frames):
    for frame in frames[::8]:
        for hand in frame.hands:
            pixels = hand.joints_cam @ clip.K.T
            np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], hand.joints_img)
            assert (hand.joints_cam >= hand.vertices_cam.min(0) - 1e-9).all()
            assert (hand.joints_cam <= hand.vertices_cam.max(0) + 1e-9).all()
            assert np.ptp(hand.vertices_cam, axis=0).max() > 0.07


def test_something_comes_in_the_way(clip):
    hidden = np.array([[hand.joints_by_other for hand in hands] for _, hands in Clip(3, 1, clip.kind, 300, 64).truth()])
    share = hidden.mean(-1).max(1)
    assert share.max() > 0.5
    assert (share < 0.1).any()


@pytest.mark.parametrize("changes", [{"seed": -1}, {"frames": 0}, {"size": 16}])
def test_bad_clips_are_refused(changes):
    with pytest.raises(ValueError, match="expected no negative number"):
        Clip(**({"seed": 0, "number": 0, "kind": "occluder"} | changes))


def test_written_clips_are_videos_with_truth(tmp_path):
    seen = []
    folders = write_clips(tmp_path, 2, seed=1, frames=3, size=32, progress=seen.append)
    assert list(dict.fromkeys(seen)) == [1, 2, 3, 4, 5, 6]
    before = {folder: (folder / "truth.npz").stat().st_mtime_ns for folder in folders}
    assert write_clips(tmp_path, 2, seed=1, frames=3, size=32) == folders
    assert before == {folder: (folder / "truth.npz").stat().st_mtime_ns for folder in folders}
    assert len(list(open_video(folders[1]).frames())) == 3
    truth = np.load(folders[1] / "truth.npz")
    assert truth["joints"].shape == (3, 2, 21, 3)
    assert truth["side"].tolist() == ["right", "left"]
    assert not list(tmp_path.glob(".*"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 1, seed=1, frames=1, size=32)[0]


def test_a_clip_is_as_open_to_others_as_any_folder(written):
    (written.parent / "any").mkdir()
    assert written.stat().st_mode == (written.parent / "any").stat().st_mode


def test_what_a_killed_run_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.rmtree", lambda *args, **options: None)  # a kill runs no `finally`
    with pytest.raises(KeyboardInterrupt):
        write_clips(tmp_path, 1, seed=1, frames=2, size=32, progress=Mock(side_effect=KeyboardInterrupt))
    assert len(list(tmp_path.glob(".*"))) == 1
    monkeypatch.undo()
    write_clips(tmp_path, 1, seed=1, frames=1, size=32)
    (folder,) = write_clips(tmp_path, 1, seed=1, frames=2, size=32)
    assert not list(tmp_path.glob(".*"))
    assert len(list(folder.glob("*.png"))) == 2


def test_a_clip_of_another_generator_is_not_taken_for_done(written, monkeypatch):
    monkeypatch.setattr("occhand.synth.clip_files.GENERATOR_VERSION", "0")
    with pytest.raises(DataError, match=r"a clip of generator 1; this is generator 0"):
        write_clips(written.parent, 1, seed=1, frames=1, size=32)


def test_the_verb_writes_clips(tmp_path, capsys):
    from occhand import cli

    with pytest.raises(SystemExit) as ended:
        cli.main(["synth", "--clips", "1", "--frames", "2", "--size", "32", "--out", str(tmp_path / "clips")])
    assert ended.value.code == 0
    assert "occhand video" in capsys.readouterr().out
    assert len(list((tmp_path / "clips").glob("*/00001.png"))) == 1
