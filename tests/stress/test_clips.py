"""Hands in motion: detections as they are said to be, figures that tell good from bad, a section that says what it is."""

import json

import numpy as np
import pytest

from occhand.data.predictions import Predictions
from occhand.estimators import FitEstimator
from occhand.stress import NoiseModel, StressConfig, clips, run_stress, stress_clips
from occhand.stress.clips import ClipScores, Motion, measure_clip, verdict
from occhand.stress.detections import CARRIED_NOISE, SimulatedDetections
from occhand.stress.subjects import EstimatorSubject
from occhand.synth.clips import Clip
from tests.video.conftest import FlatHands

NOTHING = StressConfig(families=(), hands_per_level=0, bootstrap_draws=30, worst=1)


@pytest.fixture(scope="module")
def crossing() -> Clip:
    return Clip(11, 0, "crossing", frames=30, size=64)


@pytest.fixture(scope="module")
def flat() -> EstimatorSubject:
    return EstimatorSubject(FlatHands(), "flat")


def test_detections_are_off_by_what_is_said(crossing):
    noise = NoiseModel(visible=0.02, hidden=0.06)
    errors, hidden = [], []
    for seed in range(8):
        detections = SimulatedDetections(crossing, noise, seed)
        for frame, hands in enumerate(detections.truth):
            detections.frame = frame
            found = {detections.whose(hand): hand for hand in detections.detect(np.zeros((64, 64, 3), np.uint8))}
            for k, hand in enumerate(hands):
                assert (k in found) is not (hand.joints_by_other.mean() > 0.75)
                miss = found[k].keypoints.joints_img - hand.joints_img if k in found else np.full((21, 2), np.nan)
                errors.append(miss / np.ptp(hand.joints_img, axis=0).max())
                hidden.append(hand.joints_by_other)
    error, is_hidden = np.array(errors).reshape(8, -1, 2, 21, 2), np.array(hidden).reshape(8, -1, 2, 21)
    assert np.nanstd(error[~is_hidden]) == pytest.approx(0.02, rel=0.03)
    assert np.nanstd(error[is_hidden]) == pytest.approx(0.06, rel=0.05)
    both = ~is_hidden[:, 1:] & ~is_hidden[:, :-1]
    carried = np.nanmean(error[:, 1:][both] * error[:, :-1][both]) / 0.02**2
    assert carried == pytest.approx(CARRIED_NOISE, abs=0.04)


def test_a_hand_is_followed_where_it_is_and_nowhere_else(crossing):
    detections = SimulatedDetections(crossing, NoiseModel(0.0, 0.0), 0)
    picture, (right, left) = np.zeros((64, 64, 3), np.uint8), detections.truth[0]
    for hand in (right, left):
        assert np.array_equal(detections.follow(picture, hand.joints_img).joints_img, hand.joints_img)
    assert detections.follow(picture, right.joints_img + 500) is None


def test_smoothing_is_worth_it_and_crossing_hands_keep_their_numbers(hand):
    fit = [EstimatorSubject(FitEstimator(hand), "fit")]
    scores = [measure_clip(fit, clip, NoiseModel(), 0) for clip in stress_clips(1, 30)]
    for clip in scores:
        assert clip.mean("fit", "smoothed", "acceleration_error") < 0.5 * clip.mean("fit", "raw", "acceleration_error")
        assert clip.mean("fit", "smoothed", "jitter") < 0.5 * clip.mean("fit", "raw", "jitter")
        assert clip.mean("fit", "smoothed", "pa_mpjpe") < clip.mean("fit", "raw", "pa_mpjpe") + 0.5
        assert 1 < clip.mean("fit", "raw", "pa_mpjpe") < 8
        assert clip.mean("fit", "raw", "acceleration_error_root") < 0.8 * clip.mean("fit", "raw", "acceleration_error")
        assert clip.switches == 0
    assert "in 1 of 1 clips" in verdict(scores, "fit")


def test_a_verdict_says_what_smoothing_does():
    def made(kind, switches, raw, smoothed):
        motions = {
            version: Motion(*(np.array([np.nan, value]) for value in (shaken, np.nan, np.nan, error)))
            for version, (shaken, error) in (("raw", raw), ("smoothed", smoothed))
        }
        return ClipScores("a", kind, 1.0, switches, 1.0, 0, np.zeros(2), 0.0, {"mine": motions})

    both = [
        made("occluder", 0, (10.0, 5.0), (4.0, 5.2)),
        made("crossing", 0, (30.0, 6.0), (6.0, 5.9)),
        made("crossing", 2, (10.0, 5.0), (5.0, 5.0)),
    ]
    assert verdict(both, "mine") == (
        "Smoothing lowers the acceleration error by 70% (in each of 3 clips by 50% or more) and changes PA-MPJPE by +0.03 mm (+0.20 at the "
        "worst). Crossing hands kept their numbers in 1 of 2 clips."
    )


def test_a_hand_that_changes_its_number_is_counted(crossing, flat, monkeypatch):
    class Forgetful(clips.HandTracker):
        def step(self, picture, time):
            shift = 10 * int(30 * time + 0.5 >= 15)
            return [tracked._replace(track=tracked.track + shift) for tracked in super().step(picture, time)]

    assert measure_clip([flat], crossing, NoiseModel(), 0).switches == 0
    monkeypatch.setattr(clips, "HandTracker", Forgetful)
    scores = measure_clip([flat], crossing, NoiseModel(), 0)
    assert scores.switches == 2
    assert "in 0 of 1 clips" in verdict([scores], "flat")


def test_frames_are_means_over_the_hands_that_are_there(flat, monkeypatch):
    clip, errors = Clip(11, 0, "crossing", frames=10, size=64), {}
    for sides in (("right",), ("left",), ("right", "left")):

        class Chosen(clips.HandTracker):
            def step(self, picture, time, sides=sides):
                return [tracked for tracked in super().step(picture, time) if tracked[1].side in sides]

        with monkeypatch.context() as patched:
            patched.setattr(clips, "HandTracker", Chosen)
            errors[sides] = measure_clip([flat], clip, NoiseModel(), 0).motions["flat"]["raw"].pa_mpjpe
    right, left, both = (each[:3] for each in errors.values())  # before they meet
    assert min(right.min(), left.min()) > 1
    np.testing.assert_allclose(both, (right + left) / 2)


def test_hands_behind_hands_are_bridged(crossing, flat):
    scores = measure_clip([flat], crossing, NoiseModel(), 0)
    assert scores.bridged == round((1 - scores.found) * 60) > 0
    assert np.isfinite(scores.motions["flat"]["raw"].pa_mpjpe).all()
    truth = SimulatedDetections(crossing, NoiseModel(), 0).truth
    np.testing.assert_allclose(scores.hidden, [max(hand.joints_by_other.mean() for hand in hands) for hands in truth])
    joints = np.array([[hand.joints_cam for hand in hands] for hands in truth])
    third = np.linalg.norm(np.diff(joints, 3, axis=0), axis=-1) * 30**3
    assert scores.true_jitter == pytest.approx(third.mean(), rel=1e-6)


def test_who_looks_at_pictures_is_shown_them(crossing, flat):
    shown = []

    class Looking(FlatHands):
        def __call__(self, views):
            shown.extend(view.picture.std() for view in views)
            return super().__call__(views)

    looking = EstimatorSubject(Looking(), "looking")
    short = Clip(11, 0, "occluder", frames=10, size=64)
    seen = measure_clip([looking, flat], short, NoiseModel(), 0)
    assert min(shown) > 5
    for version in ("raw", "smoothed"):  # whatever the others look at, the detections are the same
        assert seen.mean("looking", version, "pa_mpjpe") == seen.mean("flat", version, "pa_mpjpe")


def test_the_report_has_a_section_that_says_what_it_is(hand, samples, tmp_path):
    run_stress(FitEstimator(hand), samples[:6], tmp_path, "fit", "made hands", NOTHING, stress_clips(1, 12))
    record = json.loads((tmp_path / "stress.json").read_text())
    assert record["clips"]["detections"] == "simulated"
    assert [clip["kind"] for clip in record["clips"]["each"]] == ["occluder", "crossing"]
    for clip in record["clips"]["each"]:
        assert set(clip["subjects"]["fit"]) == set(record["clips"]["smoothing"]) == {"raw", "smoothed"}
        assert set(clip["subjects"]["fit"]["raw"]) == set(record["clips"]["measures"])
    assert any("no detector looked at them" in note for note in record["notes"])
    page = (tmp_path / "stress.html").read_text()
    assert "<h2>In motion</h2>" in page
    assert "synthetic clips" in page
    for clip, title in zip(record["clips"]["each"], ("An object in front", "Two hands cross"), strict=True):
        for version, values in clip["subjects"]["fit"].items():
            assert f"<td>{title}</td><td>fit</td><td>{version}</td><td>{values['acceleration_error']:.1f}</td>" in page
    assert {path.name for path in tmp_path.glob("curves-motion-*.png")} == {"curves-motion-occluder.png", "curves-motion-crossing.png"}


def test_without_clips_there_is_no_section(hand, samples, tmp_path):
    (tmp_path / "curves-motion-crossing.png").touch()  # of an earlier run
    run_stress(FitEstimator(hand), samples[:4], tmp_path, "fit", "made hands", NOTHING)
    assert not list(tmp_path.glob("curves-motion-*.png"))
    assert json.loads((tmp_path / "stress.json").read_text())["clips"] is None
    assert "In motion" not in (tmp_path / "stress.html").read_text()


def test_what_makes_no_clips_is_refused(samples, tmp_path):
    with pytest.raises(ValueError, match="such as 4 of 300"):
        stress_clips(1, 9)
    assert len({clip.name for clip in stress_clips(2, 10)}) == 4
    joints = np.stack([sample.joints_cam for sample in samples[:4]])
    predictions = Predictions(tuple(sample.key for sample in samples[:4]), joints)
    with pytest.raises(ValueError, match="cannot be asked about clips"):
        run_stress(predictions, samples[:4], tmp_path, "mine", "made hands", NOTHING, stress_clips(1, 10))
