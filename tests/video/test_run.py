"""A video from end to end: what is written, that it is true, and that a killed run ends as an undisturbed one."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

av = pytest.importorskip("av")

from occhand.geometry.motion import from_rotation_vectors, matrices, smooth_rotations, smooth_vectors  # noqa: E402
from occhand.hand.assets import load_parameters  # noqa: E402
from occhand.hand.hand_layer import HandLayer, load_hand  # noqa: E402
from occhand.predictor import Predictor  # noqa: E402
from occhand.types import Camera  # noqa: E402
from occhand.video import draw, finish, measure, run  # noqa: E402
from occhand.video.encode import VideoWriter  # noqa: E402
from occhand.video.frames import VideoError, open_video  # noqa: E402
from occhand.video.pose import pose_rows, visible_joints  # noqa: E402
from occhand.video.rows import HandRows, flat_hands, join_rows, rows_of  # noqa: E402
from occhand.video.run import VideoConfig, process_video  # noqa: E402
from occhand.video.segments import SEGMENTS, RawSegment, SegmentFolder, has_stopped_run  # noqa: E402
from occhand.video.smooth import SmoothConfig, bridge_gaps, mend_tracks, smooth_track  # noqa: E402
from tests.video.conftest import HEIGHT, WIDTH, K, Truth, frames_of, moving_hand, predictor_of, quick_predictor_of  # noqa: E402

FPS = 30
FILES = {"video.json", "annotated.mp4", "hands.npz", "hands.glb", "trajectories.png"}


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(measure, "SEGMENT_FRAMES", 16)
    monkeypatch.setattr(finish, "SEGMENT_FRAMES", 16)
    monkeypatch.setattr(run, "SEGMENT_FRAMES", 16)


def write_clip(path, count, times=None):
    with VideoWriter(path) as writer:
        for k, picture in enumerate(frames_of(count)):
            writer.write(picture, k / FPS if times is None else times[k])
    return path


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def test_everything_is_written_and_true(tmp_path, one_hand):
    source = open_video(write_clip(tmp_path / "clip.mp4", 60))
    stages = []
    config = VideoConfig(K=K)
    result = process_video(predictor_of(Truth(one_hand)), source, tmp_path / "out", "fit", config, lambda *stage: stages.append(stage))
    assert {file.name for file in (tmp_path / "out").iterdir()} - {"hands.parquet"} == FILES
    assert result.files[0] == tmp_path / "out" / "video.json"
    record = json.loads(result.files[0].read_text())
    assert record["tracks"] == [{"track": 0, "side": "right", "first_frame": 0, "last_frame": 59, "frames": 60, "bridged_frames": 0}]
    assert record["video"] == {
        "file": "clip.mp4",
        "height": HEIGHT,
        "width": WIDTH,
        "frames": 60,
        "seconds": pytest.approx(59 / 30, abs=1e-4),
    }
    assert record["camera"]["assumed"] is False
    assert stages[0] == ("Finding hands", 1, 60)
    assert stages[-1] == ("Drawing", 60, 60)

    hands = np.load(tmp_path / "out" / "hands.npz")
    assert hands["frame"].tolist() == list(range(60))
    np.testing.assert_allclose(hands["time_s"], np.arange(60) / FPS, atol=1e-4)
    truth = np.stack([frame[0][1] for frame in one_hand])
    root = hands["joints"] - hands["joints"][:, :1] - (truth - truth[:, :1])
    assert np.linalg.norm(root, axis=-1).mean() < 0.012
    pixels = truth @ K.T
    assert np.abs(hands["joints_img"] - pixels[..., :2] / pixels[..., 2:]).mean() < 0.5
    assert hands["visible"].mean() > 0.5
    np.testing.assert_array_equal(hands["K"], K)
    assert not hands["camera_assumed"]
    frames = list(open_video(tmp_path / "out" / "annotated.mp4").frames())
    assert len(frames) == 60
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(60) / FPS, atol=1e-3)
    assert np.abs(frames[30].picture.astype(int) - 90).max() > 60  # something is drawn


def test_numbers_in_the_table_give_the_joints(tmp_path, one_hand):
    """pose, betas and translation through the hand layer, as the documentation says; a left hand by its mirror image."""
    import torch

    hands = [[one, *both] for [one], *both in zip(one_hand[:20], moving_hand(20, "left", 0.1, 0.09), strict=True)]
    source = open_video(write_clip(tmp_path / "clip.mp4", 20))
    process_video(predictor_of(Truth(hands)), source, tmp_path / "out", "fit", VideoConfig(K=K))
    table = np.load(tmp_path / "out" / "hands.npz")
    assert set(table["side"].tolist()) == {"left", "right"}
    layer = load_hand()
    for side, signs in (("right", [1, 1, 1]), ("left", [1, -1, -1])):
        rows = table["side"] == side
        pose = torch.from_numpy(table["pose"][rows].reshape(-1, 16, 3) * np.float32(signs)).flatten(1)
        joints = layer(layer.rotations_from_axis_angle(pose), torch.from_numpy(table["betas"][rows])).joints.numpy()
        mirror = np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])
        np.testing.assert_allclose(joints * mirror + table["translation"][rows][:, None], table["joints"][rows], atol=2e-5)


def test_the_parquet_table_is_the_other_one(tmp_path, one_hand):
    parquet = pytest.importorskip("pyarrow.parquet")
    result = process_video(quick_predictor_of(Truth(one_hand)), open_video(write_clip(tmp_path / "clip.mp4", 20)), tmp_path / "out", "fit")
    assert tmp_path / "out" / "hands.parquet" in result.files
    table, hands = parquet.read_table(tmp_path / "out" / "hands.parquet"), np.load(tmp_path / "out" / "hands.npz")
    for name in table.column_names:
        column = np.array(table[name].to_pylist()).reshape(hands[name].shape)
        np.testing.assert_array_equal(column.astype(hands[name].dtype), hands[name], name)
    assert table.num_rows == len(hands["frame"]) == 20
    assert table.schema.metadata[b"length"] == b"metre"
    assert "pip install" not in run.summary(result)
    assert "The camera was assumed, so the distance of the hands is a guess. Give --K" in run.summary(result)
    assert hands["camera_assumed"]


def test_without_pyarrow_the_way_to_the_table_is_said(tmp_path, one_hand, monkeypatch):
    monkeypatch.setattr(run, "write_parquet", lambda *args: False)
    result = process_video(quick_predictor_of(Truth(one_hand)), open_video(write_clip(tmp_path / "clip.mp4", 4)), tmp_path / "out", "fit")
    assert "pip install 'occhand[video]'" in run.summary(result)


def test_a_variable_frame_rate_stays_one(tmp_path, one_hand):
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.09, 40)) - 0.01
    times -= times[0]
    process_video(quick_predictor_of(Truth(one_hand)), open_video(write_clip(tmp_path / "phone.mp4", 40, times)), tmp_path / "out", "fit")
    np.testing.assert_allclose(np.load(tmp_path / "out" / "hands.npz")["time_s"], times, atol=1e-4)
    annotated = [frame.time for frame in open_video(tmp_path / "out" / "annotated.mp4").frames()]
    np.testing.assert_allclose(annotated, times, atol=1e-3)


def test_short_gaps_are_bridged_and_marked_and_long_ones_left_open(tmp_path, one_hand):
    hands = [[] if 10 <= k < 16 or 24 <= k < 50 else frame for k, frame in enumerate(one_hand)]
    source = open_video(write_clip(tmp_path / "clip.mp4", 60))
    result = process_video(predictor_of(Truth(hands)), source, tmp_path / "out", "fit", VideoConfig(K=K))
    table = np.load(tmp_path / "out" / "hands.npz")
    bridged = table["frame"][table["bridged"]].tolist()
    assert set(range(10, 16)) <= set(bridged)
    assert not set(range(24, 50)) & set(table["frame"].tolist())
    assert (table["confidence"][table["bridged"]] == 0).all()
    assert result.record["tracks"][0]["bridged_frames"] == len(bridged)
    truth = np.stack([one_hand[k][0][1] for k in range(10, 16)])
    joints = table["joints"][np.isin(table["frame"], range(10, 16))]
    assert np.linalg.norm(joints - joints[:, :1] - (truth - truth[:, :1]), axis=-1).mean() < 0.015


def test_without_smoothing_and_bridging_the_rows_are_those_measured(tmp_path, one_hand):
    path = write_clip(tmp_path / "clip.mp4", 20)
    smooth, raw = [
        process_video(predictor_of(Truth(one_hand)), open_video(path), tmp_path / name, "fit", VideoConfig(K, SmoothConfig(span, bridge)))
        for name, span, bridge in (("smooth", 0.2, 0.5), ("raw", None, 0.0))
    ]
    assert smooth.record["smoothing"]["lag_s"] == pytest.approx(0.9)
    assert raw.record["smoothing"] == {"span": None, "bridge": 0.0, "lag_s": 0.0}
    bend = [np.abs(np.diff(np.load(tmp_path / name / "hands.npz")["joints"], 2, axis=0)).mean() for name in ("smooth", "raw")]
    assert bend[0] < 0.4 * bend[1]


def test_no_hand_at_all_gives_empty_tables(tmp_path):
    source = open_video(write_clip(tmp_path / "clip.mp4", 20))
    result = process_video(quick_predictor_of(Truth([[]] * 20)), source, tmp_path / "out", "fit")
    assert result.record["tracks"] == []
    assert len(np.load(tmp_path / "out" / "hands.npz")["frame"]) == 0
    assert not (tmp_path / "out" / "hands.glb").exists()


def test_frames_that_cannot_be_decoded_are_named_skipped_and_bridged(tmp_path, one_hand):
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    for k, picture in enumerate(frames_of(24)):
        Image.fromarray(picture).save(folder / f"{k}.png")
    (folder / "7.png").write_bytes((folder / "7.png").read_bytes()[:60])
    result = process_video(quick_predictor_of(Truth(one_hand)), open_video(folder), tmp_path / "out", "fit")
    (skipped,) = result.record["skipped_frames"]
    assert (skipped["frame"], skipped["time_s"]) == (7, pytest.approx(7 / FPS, abs=1e-6))
    assert "7.png" in skipped["reason"]
    table = np.load(tmp_path / "out" / "hands.npz")
    assert np.flatnonzero(~table["frame_decoded"]).tolist() == [7]
    assert table["bridged"][table["frame"] == 7].tolist() == [True]
    assert len(list(open_video(tmp_path / "out" / "annotated.mp4").frames())) == 24


def test_a_full_disk_keeps_what_is_done_and_the_next_run_ends_as_an_undisturbed_one(tmp_path, one_hand, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", 60)
    process_video(quick_predictor_of(Truth(one_hand)), open_video(path), tmp_path / "whole", "fit")
    real, left = np.savez, [3]

    def savez(file, **arrays):
        left[0] -= "scratch" not in file.name  # the rehearsal comes first
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, **arrays)

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(VideoError, match=r"The disk is full\. What is done is kept"):
        process_video(quick_predictor_of(Truth(one_hand)), open_video(path), tmp_path / "out", "fit")
    monkeypatch.undo()
    for module in (measure, finish, run):
        monkeypatch.setattr(module, "SEGMENT_FRAMES", 16)
    assert len(list((tmp_path / "out" / ".segments").glob("raw-*"))) == 3
    truth = Truth(one_hand)
    seen = []
    detect, follow = truth.detect, truth.follow
    truth.follow = lambda image, joints: seen.append(1) or follow(image, joints)
    truth.detect = lambda image: seen.append(1) or detect(image)
    process_video(quick_predictor_of(truth), open_video(path), tmp_path / "out", "fit")
    assert len(seen) < 20  # only the last segment was measured again
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_writer_that_is_broken_shows_before_any_hand_is_sought(tmp_path, one_hand, monkeypatch):
    def save_trajectories(*args):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(run, "save_trajectories", save_trajectories)
    source = open_video(write_clip(tmp_path / "clip.mp4", 4))
    with pytest.raises(VideoError, match="Permission denied"):
        process_video(quick_predictor_of(Truth(one_hand)), source, tmp_path / "out", "fit", progress=lambda *stage: pytest.fail("begun"))
    assert [file.name for file in (tmp_path / "out" / ".segments").iterdir()] == ["run.json"]


def test_a_track_is_summed_up_over_all_pieces_that_hold_it():
    pieces = [
        {
            "frame": [0, 1, 1, 2, 2],
            "track": [0, 0, 4, 0, 4],
            "side": ["left", "left", "right", "left", "right"],
            "bridged": [0, 1, 0, 0, 0],
        },
        {"frame": [3, 3, 4], "track": [2, 4, 4], "side": ["left", "right", "right"], "bridged": [0, 1, 1]},
    ]
    records = run._track_records(iter([{name: np.array(column) for name, column in piece.items()} for piece in pieces]))
    assert [tuple(record.values()) for record in records] == [(0, "left", 0, 2, 3, 1), (2, "left", 3, 3, 1, 0), (4, "right", 1, 4, 4, 2)]


def test_joints_are_visible_in_the_picture_and_before_the_hands_of_their_frame():
    facing = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # the back of the hand
    fingers_first = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    rows = replace(flat_hands(5), frame=np.array([0, 0, 1, 2, 3]), translation=np.array([[0.0, 0.0, z] for z in (0.5, 0.3, 0.5, 0.5, 0.5)]))
    rows.rotations[:, 0] = facing
    rows.rotations[3, 0] = fingers_first
    layer = load_hand()
    middle = pose_rows(rows, layer).joints.mean(1) - rows.translation
    rows.translation[:] -= middle
    rows.translation[4, 0] += 0.09
    posed = pose_rows(rows, layer)
    camera = Camera(np.array([[200.0, 0.0, 79.5], [0.0, 200.0, 49.5], [0.0, 0.0, 1.0]]), 100, 160)
    behind, before, alone, end_on, at_the_border = visible_joints(rows.frame, posed, layer.faces.numpy(), camera)
    assert before.all()
    assert alone.all()
    assert not behind[[0, 1, 5, 9, 13, 17]].any()
    assert not end_on[[0, 5, 9, 13]].any()
    assert end_on[[8, 12]].all()
    pixels = posed.joints[4] @ camera.K.T
    np.testing.assert_array_equal(at_the_border, pixels[:, 0] / pixels[:, 2] < 159.5)
    assert 0 < at_the_border.sum() < 21


@pytest.mark.parametrize("source", ["assumed", "given"])
def test_a_frame_names_its_hands_and_says_what_is_a_guess(monkeypatch, source):
    layer, said, meshes = load_hand(), [], []
    monkeypatch.setattr(draw, "draw_label", lambda picture, text, **options: said.append(text) or picture)
    monkeypatch.setattr(draw, "overlay", lambda picture, drawn, K: meshes.extend(drawn) or picture)
    vertices, faces = layer.v_template.double().numpy(), layer.faces.numpy()
    hands = [draw.DrawnHand(1, "left", False, vertices, faces, (5.0, 5.0)), draw.DrawnHand(2, "right", True, vertices, faces, (9.0, 5.0))]
    draw.draw_frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), hands, Camera(K, HEIGHT, WIDTH, source))
    guess = ["camera assumed: distance is a guess"] if source == "assumed" else []
    assert said == ["left 1", "right 2, not seen", *guess]
    assert [mesh.colour for mesh in meshes] == [draw.PALETTE[1], draw.BRIDGED_COLOUR]


def test_another_run_in_the_folder_is_not_mixed_in(tmp_path, one_hand, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", 20)
    monkeypatch.setattr(run, "_write_files", lambda *args: pytest.fail("stop"))
    with pytest.raises(pytest.fail.Exception):
        process_video(quick_predictor_of(Truth(one_hand)), open_video(path), tmp_path / "out", "fit")
    config = VideoConfig(K=K, smoothing=SmoothConfig(span=None))
    with pytest.raises(VideoError, match="another camera, smoothing"):
        process_video(quick_predictor_of(Truth(one_hand)), open_video(path), tmp_path / "out", "fit", config)
    with pytest.raises(VideoError, match="with another model\\. Run it again as it was"):
        process_video(quick_predictor_of(Truth(one_hand)), open_video(path), tmp_path / "out", "other")
    of_mano = quick_predictor_of(Truth(one_hand))
    of_mano.estimator.hand = HandLayer(replace(load_parameters("open"), name="mano"))
    with pytest.raises(VideoError, match="with another hand\\. Run it again as it was"):
        process_video(of_mano, open_video(path), tmp_path / "out", "fit")
    os.utime(path, (1, 1))
    with pytest.raises(VideoError, match="with another video\\. Run it again as it was"):
        process_video(quick_predictor_of(Truth(one_hand)), open_video(path), tmp_path / "out", "fit")


def test_a_run_differs_by_what_only_one_of_two_says_too(tmp_path):
    assert not has_stopped_run(tmp_path)
    folder = tmp_path / SEGMENTS
    SegmentFolder(folder, {"model": "fit", "camera": 1})
    SegmentFolder(folder, {"camera": 1, "model": "fit"})
    assert has_stopped_run(tmp_path)
    for other, named in (({"model": "fit"}, "camera"), ({"model": "fit", "camera": 1, "video": "b"}, "video")):
        with pytest.raises(VideoError, match=f"with another {named}\\. Run it again as it was, choose another folder"):
            SegmentFolder(folder, other)
    for damaged in ("{", "[1]"):
        (folder / "run.json").write_text(damaged)
        with pytest.raises(VideoError, match="with another camera, model"):
            SegmentFolder(folder, {"model": "fit", "camera": 1})
    (folder / "run.json").unlink()
    assert not has_stopped_run(tmp_path)


class StopError(Exception):
    """As if by Ctrl-C."""


def test_a_stopped_run_goes_on_to_the_same_result(tmp_path, one_hand):
    """Stopped in both passes, beside a hand that is gone; a kill, which no `finally` sees, is tried below."""
    path = write_clip(tmp_path / "clip.mp4", 60)
    pairs = zip(one_hand, moving_hand(60, "left", 0.1, 0.09), strict=True)
    hands = [[hand, left] if k < 6 else [left] for k, ([hand], left) in enumerate(pairs)]
    process_video(quick_predictor_of(Truth(hands)), open_video(path), tmp_path / "whole", "fit")
    for moment in (("Finding hands", 37), ("Drawing", 21)):

        def stop(*stage, moment=moment):
            if stage[:2] == moment:
                raise StopError

        with pytest.raises(StopError):
            process_video(quick_predictor_of(Truth(hands)), open_video(path), tmp_path / "out", "fit", progress=stop)
        assert not (tmp_path / "out" / "video.json").exists()
    process_video(quick_predictor_of(Truth(hands)), open_video(path), tmp_path / "out", "fit")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


KILLED = """
import sys
from pathlib import Path
from tests.video.conftest import *
from occhand.video import finish, measure, run
from occhand.video.frames import open_video
for module in (measure, finish, run):
    module.SEGMENT_FRAMES = 16
torch.set_num_threads(1)
truth = Truth([[hand] for hand in moving_hand(60)])
say = lambda *stage: print(*stage, flush=True)
run.process_video(quick_predictor_of(truth), open_video(Path(sys.argv[1])), Path(sys.argv[2]), "fit", progress=say)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["Finding hands 37", "Drawing 21"])
def test_a_killed_run_goes_on_to_the_same_result(tmp_path, moment):
    path = write_clip(tmp_path / "clip.mp4", 60)
    command = [sys.executable, "-c", KILLED, str(path)]
    environment = {**os.environ, "PYTHONPATH": "."}
    subprocess.run([*command, tmp_path / "whole"], env=environment, check=True, capture_output=True)
    with subprocess.Popen([*command, tmp_path / "out"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith(moment):
                time.sleep(0.002)
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "video.json").exists()
    subprocess.run([*command, tmp_path / "out"], env=environment, check=True, capture_output=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert {file.name for file in (tmp_path / "out").iterdir()} - {"hands.parquet"} == FILES


def test_a_run_is_not_gone_on_with_by_another_refinement(tmp_path, one_hand):
    truth, source = Truth(one_hand), open_video(write_clip(tmp_path / "clip.mp4", 20))

    def stop(stage, done, total):
        if done == 18:
            raise KeyboardInterrupt

    for refine, interruption in ((True, KeyboardInterrupt), (False, VideoError)):
        predictor = Predictor(Predictor.from_pretrained("handgcat-open-s", refine=refine).estimator, truth, truth)
        with pytest.raises(interruption) as told:
            process_video(predictor, source, tmp_path / "out", "handgcat-open-s", progress=stop)
    assert "another weights or refinement" in str(told.value)


@pytest.fixture
def verb(run, monkeypatch, one_hand):
    """`occhand video ...` with the truth for a detector."""
    from occhand.detect.mediapipe import MediaPipeHands

    monkeypatch.setattr(MediaPipeHands, "load", lambda **options: Truth(one_hand))

    return partial(run, "video")


def test_the_verb_says_what_it_wrote(verb, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 12)
    code, out, _ = verb(clip, "--out", tmp_path / "out", "--no-smooth", "--K", "110,110,63.5,47.5")
    assert code == 0
    assert "right 0: 12 frames, 0 to 11" in out
    assert f"wrote {tmp_path / 'out' / 'annotated.mp4'}" in out
    assert "assumed" not in out
    code, out, _ = verb(clip, "--out", tmp_path / "again", "--json")
    assert json.loads(out)["smoothing"]["span"] == 0.2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.mp4"], "No such video"),
        (["77"], "No webcam 77"),
        (["empty.mp4"], "Empty file"),
        (["clip.mp4", "--fps", "30"], "own time stamps"),
        (["clip.mp4", "--seconds", "3"], "no webcam"),
        (["clip.mp4", "--bridge", "-1"], "expected 0 to 10"),
        (["clip.mp4", "--K", "wide"], "expected fx,fy,cx,cy"),
    ],
)
def test_what_the_verb_cannot_use_is_one_line(verb, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", 2)
    (tmp_path / "empty.mp4").touch()
    code, _, err = verb(*args)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "occhand-video").exists()


def test_rows_hold_what_is_said_of_hands():
    predictor = quick_predictor_of(Truth([[*moving_hand(1), *moving_hand(1, "left")]]))
    (picture,) = frames_of(1)
    found = predictor.detector.detect(picture)
    hands = predictor.reconstruct([picture] * 2, found, Camera(K, HEIGHT, WIDTH))
    rng = np.random.default_rng(0)
    said = {name: rng.random(21) for name in ("keypoint_weights", "joint_sigma", "joint_visibility")}
    hands[1] = replace(hands[1], score=0.25, **said)
    rows = rows_of(hands, [4, 5], [0.1, 0.2], [7, 9])
    assert (rows.frame.tolist(), rows.time.tolist(), rows.track.tolist()) == ([4, 5], [0.1, 0.2], [7, 9])
    assert (rows.is_left.tolist(), rows.confidence.tolist()) == ([False, True], [0.9, 0.25])
    for column, name in (
        ("joint_confidence", "keypoint_weights"),
        ("joint_sigma", "joint_sigma"),
        ("joint_visibility", "joint_visibility"),
    ):
        np.testing.assert_array_equal(getattr(rows, column)[1], said[name])
    assert np.isnan(rows.joint_sigma[0]).all()
    assert np.isnan(rows.joint_visibility[0]).all()
    for name in ("rotations", "betas", "translation"):
        np.testing.assert_array_equal(getattr(rows, name)[1], getattr(hands[1], name))


def jittery(frames, times, track=3, is_left=True) -> HandRows:
    """Rows of one track with another hand in each."""
    rng, count = np.random.default_rng(track), len(frames)
    return replace(
        flat_hands(count),
        frame=np.array(frames),
        time=times[frames],
        track=np.full(count, track),
        is_left=np.full(count, is_left),
        rotations=matrices(from_rotation_vectors(rng.normal(0, 0.2, (count, 16, 3)))),
        betas=rng.normal(size=(count, 10)),
        translation=rng.normal(size=(count, 3)),
        confidence=rng.random(count),
        joint_confidence=rng.random((count, 21)),
        joint_sigma=rng.random((count, 21)),
        joint_visibility=rng.random((count, 21)),
    )


def test_what_is_bridged_lies_between_the_ends_of_its_gap_by_its_time():
    times = np.array([0.0, 0.1, 0.15, 0.2, 0.45, 0.5])
    seen = jittery([0, 1, 5], times)
    seen.rotations[1:] = np.eye(3)
    seen.rotations[2, 0] = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert len(bridge_gaps(seen, np.arange(6), times, 0.39)) == 3
    rows = bridge_gaps(seen, np.arange(6), times, 0.41)
    assert rows.frame.tolist() == list(range(6))
    np.testing.assert_array_equal(rows.time, times)
    assert rows.is_bridged.tolist() == [False, False, True, True, True, False]
    assert (rows.track == 3).all()
    assert rows.is_left.all()
    share = np.array([[0.125], [0.25], [0.875]])
    for name in ("betas", "translation"):
        first, last = getattr(seen, name)[1:]
        np.testing.assert_allclose(getattr(rows, name)[2:5], first + share * (last - first), rtol=0, atol=1e-12)
    np.testing.assert_allclose(rows.rotations[2:5, 0, 1, 0], np.sin(share[:, 0] * np.pi / 2), rtol=0, atol=1e-12)
    assert (rows.confidence[2:5] == 0).all()
    assert (rows.joint_confidence[2:5] == 0).all()
    assert np.isnan(rows.joint_sigma[2:5]).all()
    assert np.isnan(rows.joint_visibility[2:5]).all()
    kept = rows.select(~rows.is_bridged).columns()
    for name, column in seen.columns().items():
        np.testing.assert_array_equal(kept[name], column)


def test_every_track_is_mended_by_itself():
    times = np.arange(6) / FPS
    one, other = jittery([0, 2, 3], times), jittery([0, 1, 4], times, track=7, is_left=False)
    config = SmoothConfig(span=None, bridge=0.08)  # one frame, not two
    mended = mend_tracks(join_rows([other, one]), np.arange(6), times, config)
    assert list(zip(mended.frame.tolist(), mended.track.tolist(), strict=True)) == [(0, 3), (0, 7), (1, 3), (1, 7), (2, 3), (3, 3), (4, 7)]
    assert mended.is_bridged.tolist() == [False, False, True, False, False, False, False]
    np.testing.assert_array_equal(mended.is_left, mended.track == 3)


def test_in_smoothing_a_doubtful_hand_counts_little_and_a_bridged_one_hardly():
    times = np.arange(12) / FPS
    rows = jittery(list(range(12)), times)
    rows.confidence[3:5] = 0.0, 0.02
    rows.is_bridged[7:9] = True
    weights = rows.confidence.copy()
    weights[[3, 4, 7, 8]] = 0.05
    smooth = smooth_track(rows, 0.2)
    expected = rows.columns() | {
        "rotations": smooth_rotations(times, rows.rotations, weights, 0.2),
        "betas": smooth_vectors(times, rows.betas, weights, 0.2),
        "translation": smooth_vectors(times, rows.translation, weights, 0.2),
    }
    for name, column in smooth.columns().items():
        np.testing.assert_array_equal(column, expected[name])


@pytest.mark.parametrize("lost", ["tracker", "betas"])
def test_a_segment_that_lacks_a_part_is_measured_again(tmp_path, lost):
    folder = SegmentFolder(tmp_path, {})
    folder.write_raw(0, RawSegment(flat_hands(2), np.arange(2.0), ["", ""], {}, True))
    assert [len(segment.rows) for segment in folder.raw_segments()] == [2]
    with np.load(folder.raw_file(0)) as archive:
        np.savez(folder.raw_file(0), **{name: archive[name] for name in archive.files if name != lost})
    assert folder.read_raw(0) is None


def test_a_segment_is_mended_as_a_part_of_the_whole(tmp_path):
    """With what the segments around it hold: a gap over a border, and jitter beside it."""
    times = np.arange(80) / FPS
    rows = jittery([k for k in range(80) if not 28 <= k < 36], times)
    config = SmoothConfig()
    whole = mend_tracks(rows, np.arange(80), times, config)
    folder = SegmentFolder(tmp_path, {})
    for k in range(5):
        own = rows.select(rows.frame // 16 == k)
        folder.write_raw(k, RawSegment(own, times[16 * k : 16 * (k + 1)], [""] * 16, {}, k == 4))
    for k in range(5):
        mended, _ = finish.Finisher._mended(SimpleNamespace(smoothing=config), folder, k, 5)
        expected = whole.select(whole.frame // 16 == k).columns()
        for name, column in mended.columns().items():
            np.testing.assert_allclose(column, expected[name], rtol=0, atol=1e-9)
