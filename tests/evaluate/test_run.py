"""From a data set to a report: perfect and random models, left hands, parts of a split, stopped runs."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from occhand.data.folder import FolderDataset
from occhand.data.index import IndexedDataset
from occhand.data.predictions import Predictions
from occhand.data.shards import Manifest
from occhand.estimators import FitEstimator, NetworkEstimator
from occhand.evaluate import EvaluationConfig, JointSource, collect, evaluate, open_benchmark, read_predictions_for
from occhand.evaluate.account import identity
from occhand.evaluate.benchmark import hand_of
from occhand.evaluate.listing import hand_errors
from occhand.hand.hand_layer import load_hand
from occhand.synth.dataset import load_split
from tests.evaluate.conftest import SPLITS, Oracle, perfect
from tests.training_child import write_data

ANYWAY = EvaluationConfig(score_anyway=True, worst=2)


def error(report, key="pa_mpjpe"):
    return report.figure(key).value


@pytest.mark.parametrize("name", SPLITS)
def test_perfect_predictions_have_no_error(name, opened, tmp_path):
    benchmark, dataset = opened(name)
    report = evaluate(perfect(dataset), dataset, benchmark, tmp_path, "perfect", EvaluationConfig(worst=2))
    assert not report.is_partial
    assert report.samples == len(dataset) > 0
    assert error(report) < 1e-3
    if benchmark.has_mesh:
        assert error(report, "pa_mpvpe") < 1e-3
        assert error(report, "pa_f5") == 1
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["figures"][0]["samples"] == len(dataset)
    assert "Beside the papers" in (tmp_path / "report.md").read_text() or name == "freihand"
    with (tmp_path / "samples.csv").open() as stream:
        assert [row["key"] for row in csv.DictReader(stream)] == dataset.index.keys.tolist()
    assert all((tmp_path / one.picture).stat().st_size > 0 for one in report.worst)


@pytest.mark.parametrize("name", SPLITS)
def test_a_perfect_model_is_mirrored_back_and_re_attached(name, opened, tmp_path):
    benchmark, dataset = opened(name)
    report = evaluate(Oracle(dataset), dataset, benchmark, tmp_path, "oracle")
    assert error(report) < 1e-3
    assert report.warnings == ()
    if name in ("ho3d_v2", "ho3d_v3"):
        assert error(report, "mpjpe") < 1e-3  # at the given wrist
        assert error(report, "mpvpe") < 1e-3
    elif name == "dexycb":
        assert error(report, "root_mpjpe") < 1e-3
        assert error(report, "mpjpe") == pytest.approx(1e3 * np.hypot(0.05, 0.1), abs=0.01)  # where the model put it
        assert {"left", "right"} == set(dataset.index.sides.tolist())


def test_sequences_and_worst_samples_are_listed(opened, tmp_path):
    benchmark, dataset = opened("ho3d_v2")
    report = evaluate(Oracle(dataset, noise=0.003), dataset, benchmark, tmp_path, "oracle", EvaluationConfig(worst=3))
    assert {one.name for one in report.sequences} == {"SM1", "MPM10"}
    assert sum(one.samples for one in report.sequences) == len(dataset)
    assert report.sequences[0].pa_mpjpe_mm >= report.sequences[1].pa_mpjpe_mm
    with (tmp_path / "samples.csv").open() as stream:
        errors = {row["key"]: float(row["pa_mpjpe_mm"]) for row in csv.DictReader(stream)}
    assert [one.key for one in report.worst] == sorted(errors, key=lambda key: -errors[key])[:3]
    assert [one.pa_mpjpe_mm for one in report.worst] == pytest.approx([errors[one.key] for one in report.worst], abs=1e-3)
    assert all(one.root_mpjpe_mm > one.pa_mpjpe_mm for one in (*report.worst, *report.sequences))
    weights = [one.samples / len(dataset) for one in report.sequences]
    assert np.dot(weights, [one.pa_mpjpe_mm for one in report.sequences]) == pytest.approx(error(report), abs=1e-3)
    assert np.mean(list(errors.values())) == pytest.approx(error(report), abs=1e-3)
    assert Image.open(tmp_path / report.worst[0].picture).width > 50


@pytest.mark.parametrize("name", ["ho3d_v2", "dexycb", "freihand"])
def test_a_result_file_scores_as_the_run_that_wrote_it(name, opened, tmp_path):
    benchmark, dataset = opened(name)
    config = EvaluationConfig(submission=True, worst=0)
    report = evaluate(Oracle(dataset, noise=0.004), dataset, benchmark, tmp_path / "run", "oracle", config)
    file = tmp_path / "run" / ("results.txt" if name == "dexycb" else "pred.zip")
    again = evaluate(
        read_predictions_for(file, benchmark, dataset), dataset, benchmark, tmp_path / "file", "file", replace(config, submission=False)
    )
    for figure in report.figures:
        assert again.figure(figure.key).value == pytest.approx(figure.value, abs=0.02)


def test_nothing_of_an_earlier_run_lies_beside_a_new_report(opened, tmp_path):
    benchmark, dataset = opened("ho3d_v2")
    out = tmp_path / "out"
    oracle = Oracle(dataset, noise=0.003)
    evaluate(oracle, dataset, benchmark, out, "oracle", EvaluationConfig(submission=True, worst=3))
    (out / "worst" / "mine.png").touch()
    sent = read_predictions_for(out / "pred.zip", benchmark, dataset)
    report = evaluate(sent, dataset, benchmark, out, "pred.zip", EvaluationConfig(worst=1))
    assert {path.name for path in (out / "worst").iterdir()} == {"mine.png", report.worst[0].picture.rpartition("/")[2]}
    assert (out / "pred.zip").exists()  # which this report is about
    evaluate(oracle, dataset, benchmark, out, "oracle", EvaluationConfig(worst=0))
    assert {path.name for path in out.iterdir()} == {"report.json", "report.md", "samples.csv", "predicted", "worst"}
    assert [path.name for path in (out / "worst").iterdir()] == ["mine.png"]


def test_places_count_where_the_benchmark_scores_them(opened, tmp_path):
    """Hands that are relative to their wrist are a mistake on DexYCB, which reports absolute errors too, and none on FPHA."""

    def score(name):
        benchmark, dataset = opened(name)
        truth = perfect(dataset)
        relative = replace(truth, joints_cam=truth.joints_cam - truth.joints_cam[:, :1])
        return evaluate(relative, dataset, benchmark, tmp_path, "relative", EvaluationConfig(worst=0))

    with pytest.raises(ValueError, match="relative to their wrist"):
        score("dexycb")
    assert score("fpha").warnings == ()


def test_a_file_stays_where_it_is_unless_told_otherwise(opened, tmp_path):
    benchmark, dataset = opened("ho3d_v2")
    truth = perfect(dataset)
    moved = Predictions(
        truth.keys[::-1], *(points[::-1] + np.array([0.0, 0.03, 0.04]) for points in (truth.joints_cam, truth.vertices_cam))
    )
    progress = []
    report = evaluate(
        moved, dataset, benchmark, tmp_path, "moved", EvaluationConfig(worst=0, limit=99), progress=lambda *done: progress.append(done)
    )
    assert not report.is_partial
    assert progress == [(n, 6) for n in range(1, 7)]
    assert [error(report, key) for key in ("mpjpe", "mpvpe")] == pytest.approx([50, 50], abs=1e-3)
    assert error(report) < 1e-3
    assert report.settings == {"wrist": "as predicted"}
    report = evaluate(moved, dataset, benchmark, tmp_path, "moved", EvaluationConfig(worst=0, wrist="given", limit=2))
    assert report.status.startswith("PARTIAL EVALUATION: 2 of 6")
    assert error(report, "mpjpe") < 1e-3
    assert error(report, "mpvpe") < 1e-3
    assert any("moved to the wrist that the data set gives" in note for note in report.notes)
    relative = replace(truth, joints_cam=truth.joints_cam - truth.joints_cam[:, :1])
    assert evaluate(relative, dataset, benchmark, tmp_path, "moved", EvaluationConfig(worst=0, wrist="given")).warnings == ()


def test_what_a_reader_left_out_is_in_the_report(opened, tmp_path):
    benchmark, whole = opened("fpha")
    gone = ("gone/0000", "no picture")
    dataset = IndexedDataset("fpha", whole.root, whole.split, whole.index.take(np.arange(4), [gone]))
    report = evaluate(perfect(dataset), dataset, benchmark, tmp_path, "perfect", EvaluationConfig(worst=0))
    assert report.status.startswith("PARTIAL EVALUATION: 4 of 5")
    assert report.left_out == (gone,)


def test_a_picture_shows_the_pose_wherever_the_hand_stands(opened, tmp_path):
    benchmark, dataset = opened("dexycb")
    pictures = []
    for place in (0.0, 0.05):
        truth = perfect(dataset)
        hands = replace(truth, joints_cam=truth.joints_cam + place)
        (worst,) = evaluate(hands, dataset, benchmark, tmp_path, "file", EvaluationConfig(worst=1, limit=1)).worst
        pictures.append(np.asarray(Image.open(tmp_path / worst.picture).convert("RGB"), dtype=float))
    left, right = np.split(pictures[0][30:], 2, axis=1)  # below the label
    assert np.abs(left - right).mean() < 1
    assert np.abs(pictures[0] - pictures[1]).mean() < 1


def test_whatever_decides_the_predictions_is_part_of_their_identity(opened, tmp_path):
    benchmark, dataset = opened("dexycb")
    oracle, index = Oracle(dataset), dataset.index
    asked = {"subject": oracle, "dataset": dataset, "benchmark": benchmark, "joints": None, "batch_size": 32}
    points = np.full((len(dataset), 21, 2), 0.5)

    def of(**changes):
        return json.dumps(identity(**asked | changes))

    def changed(**columns):
        return IndexedDataset(dataset.name, dataset.root, dataset.split, replace(index, **columns))

    others = [
        of(),
        of(batch_size=16),
        *(of(joints=joints) for joints in (JointSource.annotation(), JointSource.annotation(0.01), JointSource.annotation(0.01, seed=1))),
        *(of(joints=JointSource("a.json", joints_crop=each)) for each in (points, points + 0.1)),
        *(
            of(benchmark=replace(benchmark, info=replace(benchmark.info, **rule)))
            for rule in ({"test_box": "given"}, {"test_expansion": 2.0})
        ),
        *(of(dataset=changed(**column)) for column in ({"joints_img": index.joints_img + 1}, {"keys": index.keys[::-1]})),
    ]
    assert len(set(others)) == len(others)
    assert of(dataset=changed(joints_cam=index.joints_cam + 1)) == of()  # figures are made anew
    folders = [FolderDataset(write_data(tmp_path / name / "folder", 2, first)) for name, first in (("a", 0), ("b", 2))]
    assert len({of(dataset=folder) for folder in folders}) == 2


def test_networks_of_both_families_run(opened, network, tmp_path):
    benchmark, dataset = opened("dexycb")
    few = replace(ANYWAY, limit=4)
    report = evaluate(NetworkEstimator(network("handoccnet-open-s"), refine=False), dataset, benchmark, tmp_path / "a", "random", few)
    assert report.is_partial
    assert report.settings["2D joints given"] == "none"
    assert report.settings["crop"].startswith("square around the true 2D joints (x1.5), x1,")
    gcat = NetworkEstimator(network("handgcat-open-s"), refine=False)
    with pytest.raises(ValueError, match="Name their source: --joints annotation"):
        evaluate(gcat, dataset, benchmark, tmp_path / "b", "random", few)
    report = evaluate(gcat, dataset, benchmark, tmp_path / "b", "random", few, JointSource.annotation(0.01))
    assert "annotation plus normal noise of 0.01" in report.settings["2D joints given"]
    own = NetworkEstimator(network("handgcat-open-s"), refine=False, joints_model=network("handoccnet-open-s"))
    report = evaluate(own, dataset, benchmark, tmp_path / "c", "random", few)
    assert report.settings["2D joints given"] == "HandOccNet's own head"
    assert any("open one" in note for note in report.notes)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("dexycb", "s0_test_right", r"DexYCB s0_test_right has no result file; the authors score s0_test, .* leave --submission out"),
        ("dexycb", "s0_train", "has no result file"),
        ("ho3d_v2", "train", "the authors score evaluation"),
        ("fpha", "action_test", r"FPHA action_test has no result file\. Leave --submission out"),
    ],
)
def test_a_split_that_nobody_takes_result_files_of_is_refused_at_once(name, split, message, made_up, fake_root, tmp_path):
    benchmark, dataset = open_benchmark(name, fake_root(name), split)
    oracle = Oracle(dataset)
    with pytest.raises(ValueError, match=message):
        evaluate(oracle, dataset, benchmark, tmp_path, "oracle", EvaluationConfig(submission=True))
    assert not oracle.views


class StoppedError(Exception):
    """As if the process had been killed."""


def test_a_stopped_run_goes_on_and_gives_the_same(opened, network, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "_CHUNK", 4)
    benchmark, dataset = opened("ho3d_v2")
    model = network("handoccnet-open-s")
    config = replace(ANYWAY, batch_size=3)

    class Mortal(NetworkEstimator):
        lives = 2

        def __call__(self, views):
            if self.lives == 0:
                raise StoppedError
            self.lives -= 1
            return super().__call__(views)

    whole = evaluate(NetworkEstimator(model, refine=False), dataset, benchmark, tmp_path / "whole", "random", config)
    with pytest.raises(StoppedError):
        evaluate(Mortal(model, refine=False), dataset, benchmark, tmp_path / "parts", "random", config)
    assert not (tmp_path / "parts" / "report.json").exists()
    assert [path.name for path in (tmp_path / "parts" / "predicted").glob("*.npz")] == ["chunk-00000.npz"]
    second = Mortal(model, refine=False)
    second.lives = 1  # enough for the two samples that are missing
    progress = []
    again = evaluate(second, dataset, benchmark, tmp_path / "parts", "random", config, progress=lambda *done: progress.append(done))
    assert again.record() == whole.record()
    assert progress == [(6, 6)]
    assert {path.name for path in (tmp_path / "parts" / "predicted").iterdir()} == {"run.json", "chunk-00000.npz", "chunk-00001.npz"}
    for name in ("report.json", "samples.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(ValueError, match="predictions of another run"):
        evaluate(NetworkEstimator(network("handoccnet-open-s", 1), refine=False), dataset, benchmark, tmp_path / "parts", "other", config)
    (tmp_path / "parts" / "predicted" / "chunk-00001.npz").write_bytes(b"cut")
    assert (
        evaluate(NetworkEstimator(model, refine=False), dataset, benchmark, tmp_path / "parts", "random", config).record() == whole.record()
    )


@pytest.mark.slow
def test_worker_processes_change_nothing(opened, network, tmp_path):
    benchmark, dataset = opened("freihand")
    model = NetworkEstimator(network("handgcat-open-s"), refine=False)
    source = JointSource.annotation(0.02)
    here = evaluate(model, dataset, benchmark, tmp_path / "here", "random", ANYWAY, source)
    there = evaluate(model, dataset, benchmark, tmp_path / "there", "random", replace(ANYWAY, workers=2), source)
    assert there.record() == here.record()


def test_a_broken_picture_is_left_out_and_the_result_is_partial(made_up, fake_copy, tmp_path):
    root = fake_copy("ho3d_v2")
    benchmark, dataset = open_benchmark("ho3d_v2", root, "evaluation")
    oracle = Oracle(dataset)
    picture = root / str(dataset.index.images[2])
    whole = picture.read_bytes()
    picture.write_bytes(whole[:500])
    report = evaluate(oracle, dataset, benchmark, tmp_path / "out", "oracle")
    assert report.is_partial
    ((key, reason),) = report.left_out
    assert key == dataset.index.keys[2]
    assert "cannot be decoded" in reason
    assert len(report.worst) == 5
    assert all(one.picture for one in report.worst)
    of_a_file = evaluate(perfect(dataset), dataset, benchmark, tmp_path / "file", "file")
    assert not of_a_file.is_partial
    assert [one.key for one in of_a_file.worst if not one.picture] == [key]
    assert "Left out" in (tmp_path / "out" / "report.md").read_text()
    with pytest.raises(ValueError, match="no submission written"):
        evaluate(oracle, dataset, benchmark, tmp_path / "out", "oracle", EvaluationConfig(submission=True))
    picture.write_bytes(whole)
    assert not evaluate(oracle, dataset, benchmark, tmp_path / "out", "oracle").is_partial


def test_without_truth_there_is_a_result_file_and_no_figure(made_up, fake_copy, tmp_path):
    root = fake_copy("ho3d_v3")
    for file in root.parent.rglob("evaluation_*.json"):
        file.unlink()
    benchmark, dataset = open_benchmark("ho3d_v3", root, "evaluation")
    estimator = FitEstimator(load_hand())
    with pytest.raises(ValueError, match="does not say where the joints"):
        evaluate(estimator, dataset, benchmark, tmp_path, "fit", joints=JointSource.annotation())
    rng = np.random.default_rng(0)
    joints = JointSource("made up", joints_crop=rng.uniform(0.3, 0.7, (len(dataset), 21, 2)))
    report = evaluate(estimator, dataset, benchmark, tmp_path, "fit", EvaluationConfig(submission=True), joints)
    assert report.figures == ()
    assert report.is_partial
    assert any("have no truth here" in note for note in report.notes)
    sent = read_predictions_for(tmp_path / "pred.zip", benchmark, dataset)
    np.testing.assert_allclose(sent.joints_cam[:, 0], dataset.index.joints_cam[:, 0], atol=1e-5)


def test_a_part_is_no_obstacle_to_the_whole(opened, tmp_path):
    benchmark, dataset = opened("ho3d_v2")
    oracle = Oracle(dataset)
    assert evaluate(oracle, dataset, benchmark, tmp_path, "oracle", EvaluationConfig(worst=0, limit=4)).samples == 4
    report = evaluate(oracle, dataset, benchmark, tmp_path, "oracle", EvaluationConfig(worst=0))
    assert not report.is_partial
    assert report.settings["crop"].startswith("square around the given box, x1.5,")
    assert report.settings["wrist"] == "the data set's, hands moved there"


def test_truth_that_is_released_later_is_scored_with_the_kept_predictions(made_up, fake_copy, tmp_path):
    root = fake_copy("ho3d_v3")
    benchmark, dataset = open_benchmark("ho3d_v3", root, "evaluation")
    oracle = Oracle(dataset, noise=0.003)
    released = {file: file.read_bytes() for file in root.parent.rglob("evaluation_*.json")}
    for file in released:
        file.unlink()
    benchmark, dataset = open_benchmark("ho3d_v3", root, "evaluation")
    without = evaluate(oracle, dataset, benchmark, tmp_path, "oracle", ANYWAY)
    assert without.samples == 0
    assert any("have no truth here" in note for note in without.notes)
    for file, content in released.items():
        file.write_bytes(content)
    benchmark, dataset = open_benchmark("ho3d_v3", root, "evaluation")
    report = evaluate(oracle, dataset, benchmark, tmp_path, "oracle", ANYWAY)
    assert len(oracle.views) == report.samples == len(dataset)  # each was predicted once
    assert 1 < error(report) < 10
    assert error(report, "mpvpe") < 100
    assert not any("have no truth here" in note for note in report.notes)


def test_predictions_for_other_data_of_the_same_name_and_number_are_refused(opened, tmp_path):
    benchmark, dataset = opened("ho3d_v2")
    evaluate(Oracle(dataset), dataset, benchmark, tmp_path, "oracle")
    index = dataset.index
    for change in ({"K": 1.01 * index.K}, {"bbox_xyxy": index.bbox_xyxy + 1}, {"images": index.images[::-1]}):
        other = IndexedDataset(dataset.name, dataset.root, dataset.split, replace(index, **change))
        with pytest.raises(ValueError, match=r'predictions of another run \("samples": .*Choose another --out, or delete that folder'):
            evaluate(Oracle(dataset), other, benchmark, tmp_path, "oracle")


def test_predictions_of_other_samples_or_too_few(opened, tmp_path):
    benchmark, dataset = opened("fpha")
    all_of_them = perfect(dataset)
    few = replace(all_of_them, keys=all_of_them.keys[:4], joints_cam=all_of_them.joints_cam[:4])
    with pytest.raises(ValueError, match=f"2 samples have no prediction, the first is '{all_of_them.keys[4]}'"):
        evaluate(few, dataset, benchmark, tmp_path, "few")
    report = evaluate(few, dataset, benchmark, tmp_path, "few", EvaluationConfig(allow_missing=True))
    assert report.status.startswith("PARTIAL EVALUATION: 4 of 6")
    others = replace(all_of_them, keys=("other", *all_of_them.keys[1:]))
    with pytest.raises(ValueError, match="1 of 6 predictions are for samples that were not evaluated: 'other'"):
        evaluate(others, dataset, benchmark, tmp_path, "others", EvaluationConfig(allow_missing=True))


def test_hands_that_are_not_finite_are_named(opened, tmp_path):
    benchmark, dataset = opened("fpha")
    oracle = Oracle(dataset, noise=np.nan)
    with pytest.raises(ValueError, match=f"6 predictions are not finite, the first is of '{dataset.index.keys[0]}'"):
        evaluate(oracle, dataset, benchmark, tmp_path, "broken")


def test_rendered_hands_are_scored_by_occlusion(network, tmp_path):
    benchmark, dataset = open_benchmark("open-test")
    config = EvaluationConfig(limit=5, worst=1)
    report = evaluate(FitEstimator(load_hand()), dataset, benchmark, tmp_path, "fit", config, JointSource.annotation(0.01))
    assert report.status.startswith("PARTIAL EVALUATION: 5 of 2,000")
    assert {dataset[k].side for k in range(5)} == {"left", "right"}
    assert error(report, "pa_mpvpe_proper") < 1.2 * error(report, "pa_mpjpe_proper")  # a mesh of the other side is far off
    subsets = {figure.subset for figure in report.figures}
    assert {"all", "0% to 20% hidden", "60% to 80% hidden"} <= subsets
    assert "| 60% to 80% hidden | 1 |" in report.markdown()
    assert {figure.key for figure in report.figures} >= {"root_mpjpe", "pa_mpjpe_proper", "pa_mpvpe_proper", "pa_f5_proper"}
    assert all("official" not in figure.alignment for figure in report.figures)
    assert any("sees the 2D joints and no picture" in note for note in report.notes)
    with pytest.raises(ValueError, match="no result file"):
        evaluate(FitEstimator(load_hand()), dataset, benchmark, tmp_path, "fit", EvaluationConfig(submission=True))


@pytest.mark.parametrize(("name", "column"), [("ho3d_v2", "pa_mpjpe"), ("dexycb", "pa_mpjpe_proper"), ("fpha", "pa_mpjpe_proper")])
def test_the_column_of_samples_is_named_after_its_figure(name, column, opened, tmp_path):
    benchmark, dataset = opened(name)
    report = evaluate(Oracle(dataset, noise=0.003), dataset, benchmark, tmp_path, "oracle", EvaluationConfig(worst=0))
    with (tmp_path / "samples.csv").open() as stream:
        errors = [float(row[f"{column}_mm"]) for row in csv.DictReader(stream)]
        stream.seek(0)
        roots = [float(row["root_mpjpe_mm"]) for row in csv.DictReader(stream)]
    assert np.mean(errors) == pytest.approx(error(report, column), abs=1e-3)
    assert np.mean(roots) == pytest.approx(error(report, "mpjpe" if name == "ho3d_v2" else "root_mpjpe"), abs=1e-3)


def test_vertices_of_another_hand_are_noted(opened, tmp_path):
    benchmark, dataset = opened("ho3d_v2")
    report = evaluate(Oracle(dataset), dataset, benchmark, tmp_path / "open", "oracle", EvaluationConfig(worst=0))
    assert any("The model's hand is the open one, the data's the mano one" in note for note in report.notes)
    of_mano = Oracle(dataset)
    of_mano.hand.name = "mano"
    report = evaluate(of_mano, dataset, benchmark, tmp_path / "mano", "oracle", EvaluationConfig(worst=0))
    assert not any("vertices do not correspond" in note for note in report.notes)
    report = evaluate(perfect(dataset), dataset, benchmark, tmp_path / "file", "file", EvaluationConfig(worst=0))
    assert not any("vertices do not correspond" in note for note in report.notes)  # whose hand they are nobody says


def test_the_hand_of_a_data_set():
    assert hand_of(load_split("open-val")) == "open"
    folder = FolderDataset.__new__(FolderDataset)
    folder.manifest = Manifest("synth 3", "", 0, 1, 64, None, 1)
    assert hand_of(folder) == "open"
    folder.manifest = replace(folder.manifest, generator="mine 1")
    assert hand_of(folder) is None


def test_a_mesh_that_is_not_finite_is_noted(opened, tmp_path):
    benchmark, dataset = opened("ho3d_v2")

    class Broken(Oracle):
        def __call__(self, views):
            estimate = super().__call__(views)
            estimate.vertices[1, 5] = np.nan
            return estimate

    report = evaluate(Broken(dataset), dataset, benchmark, tmp_path, "broken", EvaluationConfig(worst=0))
    assert "pa_mpvpe" not in {figure.key for figure in report.figures}
    note = next(note for note in report.notes if note.startswith("No vertices are scored over all samples: 1 of 6 "))
    assert repr(str(dataset.index.keys[1])) in note


def test_errors_of_joints_need_no_mesh(opened, monkeypatch):
    benchmark, dataset = opened("ho3d_v2")
    (hands,), _ = collect.look_up_all(perfect(dataset), dataset, benchmark, len(dataset), 0)
    monkeypatch.setattr(type(hands), "scored", lambda self: pytest.fail("copies of all meshes"))
    assert hand_errors(hands, allow_reflection=True).pa_mpjpe.max() < 1e-3


def test_predictions_of_another_release_or_hand_are_refused(opened, tmp_path, monkeypatch):
    benchmark, dataset = opened("ho3d_v2")
    oracle = Oracle(dataset)
    evaluate(oracle, dataset, benchmark, tmp_path, "oracle", EvaluationConfig(worst=0))
    monkeypatch.setattr("occhand.__version__", "0.0.0")
    with pytest.raises(ValueError, match=r'predictions of another run \(.*"version": "0\.0\.0".*or delete that folder'):
        evaluate(oracle, dataset, benchmark, tmp_path, "oracle", EvaluationConfig(worst=0))
    monkeypatch.undo()
    oracle.hand.v_template.mul_(1.01)
    with pytest.raises(ValueError, match=r'predictions of another run \("subject": "oracle, open '):
        evaluate(oracle, dataset, benchmark, tmp_path, "oracle", EvaluationConfig(worst=0))
