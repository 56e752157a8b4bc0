"""A whole run: what an estimator that knows the truth gets, what every report holds, what bad input says."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand.estimators import FitEstimator
from occhand.geometry.align import procrustes_align
from occhand.metrics.functional import f_score
from occhand.stress import FAMILIES, NoiseModel, Predictions, StressConfig, run, run_stress, stress_clips
from occhand.stress.scores import Predicted, score
from occhand.stress.trial import Trial

QUICK = StressConfig(families=("eraser", "joint_noise", "blur"), hands_per_level=8, bootstrap_draws=60, worst=2)
NOTHING = StressConfig(families=(), hands_per_level=0, bootstrap_draws=60, worst=1)


@pytest.fixture(scope="module")
def fit_run(hand, samples, tmp_path_factory):
    out = tmp_path_factory.mktemp("stress")
    result = run_stress(FitEstimator(hand), samples, out, "fit", "made hands", QUICK)
    return result, out, json.loads((out / "stress.json").read_text())


def test_an_oracle_is_wrong_only_where_it_was_told_to_be(oracle, samples, tmp_path):
    result = run_stress(oracle, samples, tmp_path, "oracle", "made hands", NOTHING)
    table = result.base["oracle"]
    seen = np.array([not sample.occlusion.joints_by_other.any() for sample in samples])
    assert table.column("pa_mpjpe")[seen].max() < 1e-3
    assert table.column("root_relative_mpjpe")[seen].max() < 1e-3
    assert np.isnan(table.column("pa_mpjpe_hidden")[seen]).all()
    partly = np.array([0 < sample.occlusion.joints_by_other.sum() <= 6 for sample in samples])
    assert (table.column("pa_mpjpe_hidden")[partly] > 1.5 * table.column("pa_mpjpe_visible")[partly]).all()
    assert table.column("pa_mpvpe").max() < 1e-2
    assert table.column("f5").min() == pytest.approx(100)


def test_2d_joints_count_within_a_twentieth_of_the_box_and_before_the_camera(samples):
    trials = [Trial.of(sample, NoiseModel()) for sample in (*samples[:2], samples[0])]
    for share, expected in ((0.049, 100.0), (0.051, 0.0)):
        joints = np.stack([sample.joints_cam * (-1.0 if sample.side == "left" else 1.0, 1, 1) for sample in (*samples[:2], samples[0])])
        sides = np.array([np.ptp(trial.sample.joints_img, axis=0).max() for trial in trials])
        joints[..., 1] += share * sides[:, None] * joints[..., 2] / 190.0
        joints[2, 4, 2] = -0.5
        found = score(Predicted(torch.from_numpy(joints), None), trials)
        np.testing.assert_allclose(found["pck_2d"], [expected, expected, np.nan])
        assert np.isnan(found["f5"]).all()


def test_meshes_are_scored_where_both_are_there(samples):
    """Each against its own: errors of 8 mm, of which 5 mm forgive less than 15."""
    trials = [Trial.of(sample, NoiseModel()) for sample in (replace(samples[0], vertices_cam=None), samples[0], samples[1])]
    truth = np.stack([sample.vertices_cam * (-1.0 if sample.side == "left" else 1.0, 1, 1) for sample in (samples[0], *samples[:2])])
    wrong = torch.from_numpy(1.3 * truth + np.random.default_rng(0).normal(0, 0.008, truth.shape))
    joints = torch.from_numpy(np.stack([trial.sample.joints_cam for trial in trials]))
    found = score(Predicted(joints, wrong), trials)
    assert np.isnan([found[name][0] for name in ("pa_mpvpe", "f5", "f15")]).all()
    for k in (1, 2):
        true = torch.from_numpy(truth[k])
        aligned = procrustes_align(wrong[k], true)
        expected = [1e3 * (aligned - true).norm(dim=-1).mean().item(), *(100 * f_score(aligned, true)).tolist()]
        np.testing.assert_allclose([found[name][k] for name in ("pa_mpvpe", "f5", "f15")], expected, rtol=1e-6)
        assert found["f5"][k] < found["f15"][k]


def test_the_first_hands_of_all_batches_are_perturbed(hand, samples, unannotated, tmp_path):
    config = StressConfig(families=("eraser",), hands_per_level=4, bootstrap_draws=20, worst=3, batch_size=3)
    mixed = [*unannotated[:3], *samples[3:6]]
    result = run_stress(FitEstimator(hand), mixed, tmp_path, "fit", "made hands", config)
    keys = [sample.key for sample in mixed]
    tables = [by_subject["fit"] for by_subject in result.families["eraser"].values()]
    assert all(table.keys == keys[:4] for table in tables)
    assert len(result.examples["eraser"]) == len(tables)
    errors = result.base["fit"].column("pa_mpjpe")
    record = json.loads((tmp_path / "stress.json").read_text())
    rest, *_ = record["families"]["eraser"]["fit"]
    assert (rest["level"], rest["measures"]["pa_mpjpe"]["median"]) == (0, pytest.approx(np.median(errors[:4])))
    assert rest["measures"]["pa_mpjpe"]["count"] == 4
    assert not record["data"]["synthetic"]  # not all of them
    assert [hand.pa_mpjpe_mm for hand in result.worst] == sorted(errors, reverse=True)[:3]


def test_every_figure_says_what_it_is(fit_run):
    result, out, record = fit_run
    assert record["data"] == {"name": "made hands", "hands": 30, "synthetic": True}
    assert all(measure["unit"] in ("mm", "%") and measure["alignment"] for measure in record["measures"].values())
    assert set(record["strata"]) == {"fit", "mean pose"}
    counts = [stratum["measures"]["pa_mpjpe"]["count"] for name, stratum in record["strata"]["fit"].items() if name != "all"]
    assert sum(counts) == 30
    every = record["strata"]["fit"]["all"]["measures"]["pa_mpjpe"]
    assert every["median_interval"][0] <= every["median"] <= every["median_interval"][1] <= every["tail_interval"][1]
    shares = record["strata"]["fit"]["all"]["measures"]["f5"]
    assert shares["tail"] <= shares["median"]
    assert "doubled_at" in record["curves"]["fit"]["pa_mpjpe"]
    assert "doubled_at" not in record["curves"]["fit"]["f5"]
    hidden, ratios = np.array(result.base["fit"].hidden_shares), np.array(result.base["fit"].ratios)
    assert record["strata"]["fit"]["0-20 %"]["hidden_share"] == pytest.approx(hidden[ratios < 0.2].mean())
    assert [row["fit"]["f5"] for row in record["hands"]] == pytest.approx(result.base["fit"].scores["f5"], abs=1e-4)
    page, measures = (out / "stress.html").read_text(), record["strata"]["fit"]["all"]["measures"]
    assert f"<b>{every['median']:.1f} mm</b>" in page
    assert f"<b>{measures['pa_mpjpe_visible']['median']:.1f} → {measures['pa_mpjpe_hidden']['median']:.1f} mm</b>" in page
    assert f"<td>{measures['root_relative_mpjpe']['median']:.1f}</td></tr>" in page
    by_object = np.sort(ratios[np.array(result.base["fit"].occluders) == "object"])
    assert record["occluders"]["object"]["occlusion"][0] == pytest.approx(by_object[:15].mean(), abs=1e-4)
    assert "nothing" not in record["occluders"]
    assert record["notes"][0].startswith("Synthetic data")
    assert any("2% of the hand's box" in note and "6%" in note for note in record["notes"])


def test_baselines_stand_in_every_report(fit_run, oracle, samples, tmp_path):
    _, _, record = fit_run
    medians = {name: strata["all"]["measures"]["pa_mpjpe"]["median"] for name, strata in record["strata"].items()}
    assert medians["fit"] < 8 < medians["mean pose"]
    run_stress(oracle, samples[:6], tmp_path, "oracle", "made hands", NOTHING)
    assert set(json.loads((tmp_path / "stress.json").read_text())["strata"]) == {"oracle", "fit", "mean pose"}


def test_what_makes_joints_worse_makes_the_fit_worse(fit_run):
    _, _, record = fit_run
    rows = record["families"]["joint_noise"]["fit"]
    assert [row["level"] for row in rows] == [0, 0.5, 1, 2, 4]
    medians = [row["measures"]["pa_mpjpe"]["median"] for row in rows]
    assert medians[0] < medians[2] < medians[4]
    occlusion = [row["occlusion"] for row in record["families"]["eraser"]["fit"]]
    assert occlusion == sorted(occlusion)
    assert occlusion[-1] > 0.75
    assert "blur" not in record["families"]  # the fit does not look
    assert any("does not look at the picture" in note for note in record["notes"])


def test_a_mirrored_picture_gives_the_mirrored_hand(fit_run):
    _, _, record = fit_run
    assert record["flip_difference_mm"]["fit"]["count"] == 8
    assert record["flip_difference_mm"]["fit"]["tail"] < 0.01


def test_the_page_needs_nothing_else(fit_run):
    _, out, _ = fit_run
    page = (out / "stress.html").read_text()
    assert "synthetic data" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert page.count("<svg") == len(list(out.glob("curves-*.png"))) >= 4
    assert page.count("<figure>") == 2


def test_the_same_seed_gives_the_same_report(fit_run, hand, samples, tmp_path):
    _, out, _ = fit_run
    run_stress(FitEstimator(hand), samples, tmp_path, "fit", "made hands", QUICK)
    assert (tmp_path / "stress.json").read_text() == (out / "stress.json").read_text()


def test_data_that_does_not_know_what_is_hidden(hand, unannotated, tmp_path):
    config = StressConfig(families=("eraser", "fingers"), hands_per_level=6, bootstrap_draws=30, worst=1)
    run_stress(FitEstimator(hand), unannotated[:12], tmp_path, "fit", "real <hands>", config)
    record = json.loads((tmp_path / "stress.json").read_text())
    assert not record["data"]["synthetic"]
    assert list(record["strata"]["fit"]) == ["all"]
    assert record["families"]["eraser"]["fit"][-1]["measures"]["pa_mpjpe_hidden"]["count"] > 0
    assert any("does not say which joints are hidden" in note for note in record["notes"])
    assert any("Not available here" in note and "PA-MPVPE" in note for note in record["notes"])
    page = (tmp_path / "stress.html").read_text()
    assert "synthetic data" not in page
    assert "real &lt;hands&gt;" in page


def test_predictions_are_measured_and_not_perturbed(samples, tmp_path):
    samples = samples[:4]
    predictions = Predictions(tuple(sample.key for sample in samples), np.stack([sample.joints_cam for sample in samples]) + 0.01)
    config = StressConfig(families=("eraser",), hands_per_level=2, bootstrap_draws=20, worst=1)
    result = run_stress(predictions, samples, tmp_path, "file", "made hands", config)
    assert result.base["file"].column("pa_mpjpe").max() < 1e-3
    assert set(json.loads((tmp_path / "stress.json").read_text())["families"]["eraser"]) == {"fit"}


def test_a_network_that_diverged_is_named(oracle, samples, tmp_path):
    oracle.blur = np.nan
    with pytest.raises(ValueError, match="sample 'hand-00' has joints that are not finite"):
        run_stress(oracle, samples[:3], tmp_path, "oracle", "made hands", NOTHING)


def test_bad_input_is_named(hand, oracle, samples, tmp_path):
    estimator = FitEstimator(hand)
    with pytest.raises(ValueError, match="nowhere has no samples"):
        run_stress(estimator, [], tmp_path, "fit", "nowhere", NOTHING)
    with pytest.raises(ValueError, match="'hand-03' comes twice"):
        run_stress(estimator, [samples[3], samples[3]], tmp_path, "fit", "made hands", NOTHING)
    with pytest.raises(ValueError, match="Unknown family 'rain'; choose from eraser"):
        StressConfig(families=("rain",))
    with pytest.raises(ValueError, match="expected 0 or more"):
        NoiseModel(-0.1)
    with pytest.raises(ValueError, match="'mean pose' is the name of a baseline"):
        run_stress(estimator, samples, tmp_path, "mean pose", "made hands", NOTHING)
    with pytest.raises(ValueError, match="'fit' is the name of a baseline"):
        run_stress(oracle, samples, tmp_path, "fit", "made hands", NOTHING)
    one = Predictions(("hand-00",), samples[0].joints_cam[None])
    with pytest.raises(ValueError, match="No prediction for sample 'hand-01'"):
        run_stress(one, samples[:2], tmp_path, "file", "made hands", NOTHING)
    two = Predictions(("hand-00", "elsewhere"), np.stack([samples[0].joints_cam] * 2))
    with pytest.raises(ValueError, match="1 of 2 predictions are for samples that were not evaluated: 'elsewhere'"):
        run_stress(two, iter(samples[:1]), tmp_path, "file", "made hands", NOTHING)
    assert not list(tmp_path.iterdir())


def test_what_predictions_are_not_for_is_refused_before_the_work_begins(samples, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_run_batch", lambda *_: pytest.fail("work has begun"))
    two = Predictions(("hand-00", "elsewhere"), np.stack([samples[0].joints_cam] * 2))
    with pytest.raises(ValueError, match="2 predictions for 1 samples: 1 or more are for others"):
        run_stress(two, samples[:1], tmp_path, "file", "made hands", NOTHING)
    with pytest.raises(ValueError, match="cannot be asked about clips"):
        run_stress(two, samples[:2], tmp_path, "file", "made hands", NOTHING, stress_clips(1, 10))


def test_families_are_complete():
    assert {"eraser", "cutouts", "fingers", "tips", "truncation", "blur", "low_light", "box_shift", "box_scale", "joint_noise"} == set(
        FAMILIES
    )
