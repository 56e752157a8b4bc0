"""Clips: repeatable, smooth, and true in every frame."""

from collections import Counter
from unittest.mock import Mock

import numpy as np
import pytest
from scipy.spatial import cKDTree

from occhand.data.record import DataError
from occhand.synth.clip_files import write_clips
from occhand.synth.clips import CLIP_KINDS, FPS, Clip
from occhand.synth.generate import draw_scene
from occhand.synth.scene import middle_of
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


@pytest.mark.parametrize("changes", [{"seed": -1}, {"number": -1}, {"frames": 0}, {"size": 16}])
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
    clip = Clip(1, 1, "crossing", 3, 32)
    times, hands = zip(*clip.truth(), strict=True)
    told = {"K": clip.K, "time_s": times, "fps": 30, "joints_img": [[hand.joints_img for hand in both] for both in hands]}
    told["joints"] = [[hand.joints_cam for hand in both] for both in hands]
    told["vertices"] = np.float32([[hand.vertices_cam for hand in both] for both in hands])
    told["hidden"] = [[hand.joints_by_other for hand in both] for both in hands]
    for name, values in told.items():
        np.testing.assert_array_equal(truth[name], values, err_msg=name)
    assert [path.name for path in sorted(folders[1].iterdir())] == ["00000.png", "00001.png", "00002.png", "truth.npz"]
    assert [folder.name for folder in folders] == ["occluder-1-000-3-32", "crossing-1-001-3-32"]
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
    with np.load(written / "truth.npz") as truth:
        kept = dict(truth)
    np.savez(written / "truth.npz", **{name: values for name, values in kept.items() if name != "generator"})
    with pytest.raises(DataError, match="a clip of generator of an earlier release; this is generator 0"):
        write_clips(written.parent, 1, seed=1, frames=1, size=32)
    np.savez(written / "truth.npz", **kept)


def test_the_verb_writes_clips(tmp_path, capsys):
    from occhand import cli

    with pytest.raises(SystemExit) as ended:
        cli.main(["synth", "--clips", "1", "--frames", "2", "--size", "32", "--out", str(tmp_path / "clips")])
    assert ended.value.code == 0
    assert "occhand video" in capsys.readouterr().out
    assert len(list((tmp_path / "clips").glob("*/00001.png"))) == 1


def drawn_frames(clip, monkeypatch):
    """Each frame with the label and depth of its pixels, and the background that it was drawn over."""
    drawn = []

    def draw(scene, front, background, rng):
        drawn.append((*draw_scene(scene, front, background, rng), background))
        return drawn[-1][:3]

    monkeypatch.setattr("occhand.synth.clips.draw_scene", draw)
    return [(frame, *rest[1:]) for frame, rest in zip(list(clip), drawn, strict=True)]


def test_the_picture_shows_each_hand_where_the_truth_has_it(clip, monkeypatch):
    agreeing = total = 0
    seen = Counter()
    for frame, labels, depth, _ in drawn_frames(Clip(3, 1, clip.kind, 12, 64), monkeypatch):
        for hand, label in zip(frame.hands, (1, 4), strict=False):
            rows, columns = np.nonzero(labels == label)
            seen[label] += len(rows)
            pixels = np.stack([columns, rows, np.ones_like(rows)], axis=1)
            points = pixels @ np.linalg.inv(clip.K).T * depth[rows, columns, None]
            assert cKDTree(hand.vertices_cam).query(points)[0].max(initial=0) < 0.012
            # What hides a joint is the first that its pixel shows; an arm may be its own.
            columns, rows = np.round(hand.joints_img).astype(int).T
            is_in = (np.minimum(rows, columns) >= 0) & (np.maximum(rows, columns) < 64)
            first = labels[rows[is_in], columns[is_in]]
            is_nearer = depth[rows[is_in], columns[is_in]] < hand.joints_cam[is_in, 2]
            told = hand.joints_by_other[is_in]
            is_clear = np.isin(first, (1, 2, 4))
            agreeing += (told == ((first != label) & is_nearer))[is_clear].sum()
            total += is_clear.sum()
    assert len(seen) == len(frame.hands)
    assert min(seen.values()) > 300
    assert total > 150
    assert agreeing / total > 0.93


def test_camera_sensor_and_background_stay_through_a_clip(clip, monkeypatch):
    first, second = drawn_frames(Clip(3, 1, clip.kind, 2, 64), monkeypatch)
    (other,) = drawn_frames(Clip(3, 2, clip.kind, 1, 64), monkeypatch)
    assert (first[0].image == second[0].image).all(2)[(first[1] == 0) & (second[1] == 0)].mean() > 0.1  # the rest is blurred or compressed
    assert np.array_equal(first[3], second[3])
    assert not np.array_equal(first[3], other[3])
    assert 64 / clip.K[0, 0] * 0.55 == pytest.approx(0.4, abs=0.01)  # metres across the picture at the hands
    assert clip.K[0, 2] == clip.K[1, 2] == 31.5


def test_hands_that_cross_pass_one_before_the_other():
    middles = np.array([[middle_of(hand.vertices_cam) for hand in hands] for _, hands in Clip(3, 1, "crossing", 13, 64).truth()])
    between = middles[:, 0] - middles[:, 1]
    assert np.sign(between[[0, 6], 0]).tolist() in ([1, -1], [-1, 1])
    assert np.abs(between[:, 2]).min() > 0.12
    assert np.abs(between[:, 2]).max() < 0.2


def test_both_sides_and_times_are_those_of_thirty_frames_a_second():
    truths = [list(Clip(0, number, "occluder", 2, 64).truth()) for number in range(8)]
    assert {hands[0].side for _, hands in (frame for frames in truths for frame in frames)} == {"right", "left"}
    assert [time for time, _ in truths[0]] == [0, 1 / 30]
