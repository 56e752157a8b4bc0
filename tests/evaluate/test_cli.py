"""`occhand eval` as a user meets it."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from occhand.data.datasets import DATASETS
from occhand.data.submission import write_submission
from occhand.evaluate import open_benchmark
from occhand.hand.skeleton import HO3D_FROM_HOUSE
from occhand.models.checkpoint import save_checkpoint
from tests.evaluate.conftest import SPLITS, perfect

GL = np.array([1.0, -1.0, -1.0])


@pytest.fixture
def run(run):
    """`occhand eval ...`."""
    return partial(run, "eval")


@pytest.fixture
def call(run, fake_root, tmp_path):
    """`call(name, ...)`: evaluation on a made-up test split."""
    return lambda name, *args: run(name, "--root", fake_root(name), "--split", SPLITS[name], "--out", tmp_path / "out", *args)


@pytest.fixture(scope="session")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "gcat.safetensors"
    save_checkpoint(network("handgcat-open-s"), path, data="none", licence="none")
    return path


def save(path, predictions, joints=None):
    meshes = {} if predictions.vertices_cam is None else {"vertices_cam": predictions.vertices_cam}
    np.savez(path, keys=predictions.keys, joints_cam=predictions.joints_cam if joints is None else joints, **meshes)
    return path


@pytest.mark.parametrize(("model", "device", "message"), [("fit", "cuda", "and fit is none"), (None, "tpu", "no device 'tpu'")])
def test_a_device_that_cannot_be_used_is_refused(model, device, message, made_up, call, weights):
    code, _, err = call("fpha", "--model", model or weights, "--joints", "noise", "--device", device)
    assert code == 2
    assert message in err


@pytest.mark.parametrize("name", SPLITS)
def test_a_perfect_file_and_a_random_model_on_every_benchmark(name, made_up, opened, call, weights, tmp_path):
    _, dataset = opened(name)
    code, out, err = call(name, "--predictions", save(tmp_path / "p.npz", perfect(dataset)))
    assert (code, err) == (0, err)
    assert "Whole split" in out
    assert "PA-MPJPE" in out
    assert "0.00 mm" in out
    code, out, err = call(name, "--model", weights, "--joints", "noise", "--score-anyway", "--worst", 1, "--limit", 3, "--json")
    record = json.loads(out)
    assert record["hand"] == "open"
    assert code == (0 if len(dataset) == 3 else 4)
    assert record["partial"] == (code == 4)
    assert ("PARTIAL EVALUATION" in err) == (code == 4)


def test_the_authors_count_makes_a_short_copy_partial(opened, call, monkeypatch, fake_root, tmp_path):
    _, dataset = opened("ho3d_v2")
    file = save(tmp_path / "p.npz", perfect(dataset))
    monkeypatch.undo()
    code, out, err = call("ho3d_v2", "--predictions", file)
    assert code == 4
    assert "PARTIAL EVALUATION: 6 of 11,524 samples" in out
    assert "PARTIAL EVALUATION: 6 of 11,524 samples" in err
    assert "HandOccNet" not in out
    code, _, err = call("ho3d_v2", "--predictions", file, "--submission")
    assert code == 2
    assert "exactly 11,524" in err


WRONG = {
    "order": (lambda joints: joints[:, list(HO3D_FROM_HOUSE)], "in another order: HO-3D's"),
    "flipped": (lambda joints: joints * GL, "OpenGL axes (y up, z backward)"),
    "both": (lambda joints: (joints * GL)[:, list(HO3D_FROM_HOUSE)], "OpenGL axes"),
    "millimetres": (lambda joints: 1000 * joints, "Millimetres? Divide by 1000."),
    "mirrored": (lambda joints: joints * (-1, 1, 1), "mirrored hands"),
}


@pytest.mark.parametrize("name", ["ho3d_v2", "dexycb", "freihand"])
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_is_refused_with_the_fix(name, kind, opened, call, tmp_path):
    _, dataset = opened(name)
    truth = perfect(dataset)
    spoil, message = WRONG[kind]
    file = save(tmp_path / "p.npz", truth, spoil(truth.joints_cam))
    code, out, err = call(name, "--predictions", file)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1 + err.count("are unknown")  # one line, and DexYCB's own warnings
    assert not (tmp_path / "out").exists()
    if kind != "millimetres":
        code, out, _ = call(name, "--predictions", file, "--score-anyway")
        assert code == 0
        assert "Suspicious:" in out
        assert "HandOccNet" not in out


def test_a_result_file_of_the_server_is_read(opened, call, tmp_path):
    _, dataset = opened("ho3d_v2")
    truth = perfect(dataset)
    write_submission(tmp_path / "pred.zip", "ho3d", truth.joints_cam, truth.vertices_cam, dataset.index.official_index, len(dataset))
    code, out, _ = call("ho3d_v2", "--predictions", tmp_path / "pred.zip")
    assert code == 0
    assert "0.00 mm" in out or "0.01 mm" in out


BAD_INPUT = {
    "no root": (["ho3d_v2", "--split", "evaluation"], "needs the folder"),
    "unknown data": (["ho5d", "--root", "."], "Unknown data set"),
    "no source of joints": (["open-test"], "Name their source"),
    "no such predictions": (["open-test", "--predictions", "none.npz"], "No predictions at"),
    "no such model": (["open-test", "--model", "none.pt"], "none.pt"),
    "limit of none": (["open-test", "--limit", "0"], "limit of at least 1"),
}


@pytest.mark.parametrize("kind", BAD_INPUT)
def test_bad_input_is_one_line(kind, run, tmp_path):
    args, message = BAD_INPUT[kind]
    code, out, err = run(*args, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_shards_are_a_data_set_too(run, tmp_path):
    from occhand.synth.dataset import SynthDataset
    from occhand.synth.write import write_synth

    write_synth(tmp_path / "shards", SynthDataset(7, range(3), 64))
    code, out, _ = run("folder", "--root", tmp_path / "shards", "--joints", "annotation", "--out", tmp_path / "out")
    assert code == 0
    assert "Whole split: 3 of 3" in out
    benchmark, dataset = open_benchmark("folder", tmp_path / "shards")
    assert replace(benchmark, info=DATASETS["folder"]).expected_samples(dataset) == 3
