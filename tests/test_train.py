"""Training: a killed run ends as one that was not, two processes as one, and what goes wrong is said."""

import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from occhand.cli import main as cli
from occhand.data.loader import Places, load_batches
from occhand.data.transforms import JointNoise
from occhand.dry_run import forecast
from occhand.metrics.functional import pa_mpjpe
from occhand.models.checkpoint import load_checkpoint, read_info
from occhand.recipes import RECIPES, NoisyJoints, ReleasedLoss
from occhand.run_folder import BEST, CHECKPOINT, CONFIG, DATA, FINAL, LOG
from occhand.train import NotFiniteError, launch, snapshot, start, train, training_step, validate
from occhand.training_data import open_training, open_validation
from occhand.types import ModelInput
from tests.training_child import OPTIONS, tiny_recipe, write_data

STEPS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_data(root / "open-val", 8, first=100)
    return write_data(root / "open-train")


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    train(tiny_recipe(), str(data), out, OPTIONS)
    return out


def run_child(data, out, launcher=(), **options) -> subprocess.CompletedProcess:
    command = [sys.executable, *launcher, "-m", "tests.training_child", str(data), str(out), json.dumps(options)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OCCHAND_CACHE": str(out.parent / "cache")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"val_samples": -1}, {"validate_every": 0}, {"workers": -1}, {"seed": -1}])
def test_counts_that_mean_nothing_are_refused_before_work(wrong):
    with pytest.raises(ValueError, match="counts of at least"):
        replace(OPTIONS, **wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0.0}, {"epochs": float("inf")}, {"lr": -1.0}, {"batch": 0}, {"clip": 0.0}, {"ema": 1.0}, {"weight_decay": -1.0}],
)
def test_recipes_that_cannot_be_run_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected (finite numbers|a clip) above 0"):
        replace(tiny_recipe(), **wrong)


def test_a_run_without_validation_ends_with_its_weights(data, tmp_path):
    train(tiny_recipe(), str(data), tmp_path / "run", replace(OPTIONS, val_samples=0))
    assert (tmp_path / "run" / FINAL).is_file()


def log_of(out, name):
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def test_a_run_leaves_weights_config_manifest_and_logs(undisturbed, data):
    model, info = load_checkpoint(undisturbed / FINAL), read_info(undisturbed / BEST)
    assert not model.training
    assert info.licence == "Apache-2.0"
    assert info.hand == "open"
    assert "16 of 16 samples" in info.data
    config = json.loads((undisturbed / CONFIG).read_text())
    assert config["recipe"]["loss"]["type"] == "ReleasedLoss"
    assert config["recipe"]["joints_in"]["noise"]["sigma"] == 0.01
    assert config["run"]["chunks_per_step"] == 1
    assert len(json.loads((undisturbed / DATA).read_text())["shards"]) == 2
    assert sorted(log_of(undisturbed, "loss/total")) == list(range(1, STEPS + 1))
    errors = log_of(undisturbed, "val/pa_mpjpe_mm")
    assert sorted(errors) == [3, 6, 9, 12]
    assert torch.load(undisturbed / CHECKPOINT, weights_only=True)["best"] == pytest.approx(min(errors.values()), rel=1e-5)
    assert list((undisturbed / "tensorboard").iterdir())
    assert not list(undisturbed.glob(".*"))


def test_rates_follow_the_schedule(undisturbed):
    recipe, rates = tiny_recipe(), log_of(undisturbed, "lr")
    for step, rate in rates.items():
        assert rate == pytest.approx(recipe.lr * recipe.schedule((step - 1) * 4 / 16, 3.0), rel=1e-5)


@pytest.mark.parametrize(("die_at", "die_saving"), [pytest.param(7, False, marks=pytest.mark.slow), (6, True)])
def test_a_killed_run_ends_with_the_same_bits(die_at, die_saving, data, undisturbed, tmp_path):
    out = tmp_path / "run"
    killed = run_child(data, out, die_at=die_at, die_saving=die_saving, workers=1)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (out / FINAL).exists()
    assert torch.load(out / CHECKPOINT, weights_only=True)["step"] == 4  # that of step 8 was never whole
    assert bool(list(out.glob(".*"))) == die_saving
    train(tiny_recipe(), str(data), out, OPTIONS, resume=True)
    assert not list(out.glob(".*"))
    for name in (FINAL, BEST):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), name
    first, second = (torch.load(folder / CHECKPOINT, weights_only=True) for folder in (undisturbed, out))
    assert first.pop("version") == second.pop("version")
    torch.testing.assert_close(second, first, rtol=0, atol=0)
    assert log_of(out, "loss/total") == log_of(undisturbed, "loss/total")


@pytest.fixture
def begun(data):
    """A run before its first step, weights of batch norm's included."""

    def begin(**changes):
        recipe = tiny_recipe(**changes)
        fabric, crops = launch(OPTIONS), open_training(recipe, str(data), OPTIONS)
        state = start(fabric, recipe, OPTIONS)
        batches = load_batches(crops, Places(recipe.batch, 1, 0, 4, 0, 1), 0)
        return fabric, recipe, state, lambda rate: training_step(fabric, recipe, OPTIONS, state, batches, crops, rate)

    return begin


def test_a_step_cuts_the_gradient_and_says_how_large_it_was(begun):
    """Adam hides the size of a first gradient."""
    _, recipe, state, step = begun(clip=1e-3, optimiser="adamw", weight_decay=0.25)
    _, norm = step(1e-3)
    cut = torch.cat([p.grad.flatten() for p in state.model.parameters() if p.grad is not None]).norm()
    assert norm > 0.1
    assert float(cut) == pytest.approx(recipe.clip, rel=0.01)
    (group,) = state.optimiser.param_groups
    assert (group["lr"], group["weight_decay"]) == (1e-3, 0.25)
    assert isinstance(state.optimiser.optimizer, torch.optim.AdamW)


def test_the_average_starts_fast_and_takes_statistics_as_they_are(begun):
    _, _, state, step = begun(ema=0.999)
    first = {name: p.detach().clone() for name, p in state.model.module.named_parameters()}
    assert state.weights is state.averaged
    step(1e-3)
    new = dict(state.model.module.named_parameters())
    for name, kept in state.averaged.named_parameters():
        torch.testing.assert_close(kept, 0.1 * first[name] + 0.9 * new[name].detach(), msg=name)
    assert all(torch.equal(kept, new) for kept, new in zip(state.averaged.buffers(), state.model.module.buffers(), strict=True))
    assert any(not torch.equal(first[name], p) for name, p in new.items())


def test_weights_that_are_not_finite_are_not_kept(begun):
    _, _, state, _ = begun()
    next(state.model.parameters()).data[0] = torch.inf
    with pytest.raises(NotFiniteError, match="After step 0 the weights trunk"):
        snapshot(state)


def test_validation_means_over_all_held_out_crops(begun, data):
    """Each crop counts alike, in millimetres and parts of the crop; the network goes on as it was."""
    clean = NoisyJoints(JointNoise(probability=0.0))
    fabric, recipe, state, _ = begun(val_joints_in=clean, joints_in=lambda *_: pytest.fail("those of training were drawn"))
    held_out = open_validation(replace(recipe, batch=3), str(data), OPTIONS)
    errors = validate(fabric, recipe, OPTIONS, state.model.module.train(), held_out)
    assert state.model.module.training
    with torch.no_grad():
        model = state.model.module.eval()
        crops = list(held_out.batches(0))
        outputs = [model(ModelInput(crop.image, crop.joints_crop)) for crop in crops]
    joints, truth = torch.cat([output.joints for output in outputs]), torch.cat([crop.joints_cam for crop in crops])
    in_crop = torch.cat([output.joints_crop - crop.joints_crop for output, crop in zip(outputs, crops, strict=True)])
    assert len(joints) == 8
    root_relative = (joints - joints[:, :1]) - (truth - truth[:, :1])
    assert errors["pa_mpjpe_mm"] == pytest.approx(1e3 * float(pa_mpjpe(joints, truth).mean()), rel=1e-3)
    assert errors["root_relative_mpjpe_mm"] == pytest.approx(1e3 * float(root_relative.norm(dim=-1).mean()), rel=1e-3)
    assert errors["joints_crop_error"] == pytest.approx(float(in_crop.norm(dim=-1).mean()), rel=1e-3)


def test_seeds_make_other_weights(data, undisturbed, tmp_path):
    train(tiny_recipe(epochs=0.25), str(data), tmp_path / "run", replace(OPTIONS, seed=1))
    assert log_of(tmp_path / "run", "loss/total")[1] != log_of(undisturbed, "loss/total")[1]


@pytest.mark.slow
def test_two_processes_step_as_one_with_two_passes(data, tmp_path):
    """Losses, gradient norms and weights, step by step. Not the running statistics of batch norm: each process has its own (the first
    one's are kept), while two passes of one process both count."""
    recipe = {"ema": None, "batch": 2}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    done = run_child(data, tmp_path / "two", launcher, recipe=recipe)
    assert done.returncode == 0, done.stderr[-3000:]
    train(tiny_recipe(**recipe), str(data), tmp_path / "one", replace(OPTIONS, accumulate=2))
    for name in ("loss/total", "gradient_norm"):
        two, one = (log_of(tmp_path / run, name) for run in ("two", "one"))
        assert sorted(one) == list(range(1, STEPS + 1))
        np.testing.assert_allclose([two[step] for step in one], list(one.values()), rtol=2e-3, err_msg=name)
    two, one = (load_file(tmp_path / run / FINAL) for run in ("two", "one"))
    learned = [key for key in one if "running" not in key and "num_batches" not in key]
    off = torch.cat([(two[key] - one[key]).abs().flatten() for key in learned])
    assert off.quantile(0.99) < 1e-5  # biases that batch norm or softmax takes out again move by rounding alone, which Adam blows up
    assert json.loads((tmp_path / "two" / CONFIG).read_text()) == json.loads((tmp_path / "one" / CONFIG).read_text())


class NaNAtThird(ReleasedLoss):
    """Breaks at the third batch."""

    calls = 0

    def __call__(self, model, crop, joints_in, generator):
        losses = super().__call__(model, crop, joints_in, generator)
        type(self).calls += 1
        return losses._replace(joints=losses.joints * float("nan")) if type(self).calls == 6 else losses


def test_a_gpu_that_is_too_small_is_one_line(data, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("occhand.train.training_step", fail)
    with pytest.raises(ValueError, match=r"Step 1 does not fit into the memory of cpu.*smaller --batch"):
        train(tiny_recipe(), str(data), tmp_path / "run", OPTIONS)


def test_a_loss_that_is_not_finite_stops_and_names_step_and_samples(data, tmp_path):
    with pytest.raises(NotFiniteError, match=r"The loss is nan at step 6 .*joints nan.* over samples \d+ \(3-0000\d\d\), "):
        train(tiny_recipe(loss=NaNAtThird()), str(data), tmp_path / "run", OPTIONS)
    kept = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)
    assert kept["step"] == 4
    assert all(value.isfinite().all() for value in kept["model"].values())


def test_bf16_and_no_workers_or_some_train(data, undisturbed, tmp_path):
    train(tiny_recipe(epochs=0.5), str(data), tmp_path / "run", replace(OPTIONS, precision="bf16-mixed", workers=2))
    rounded, exact = (log_of(run, "loss/total")[1] for run in (tmp_path / "run", undisturbed))
    assert 0 < abs(rounded / exact - 1) < 0.15


def test_a_full_disk_leaves_the_last_checkpoint_whole(data, tmp_path, monkeypatch):
    out, save = tmp_path / "run", torch.save

    def fill(state, stream):
        save(state["model"], stream)
        raise OSError(28, "No space left on device")

    def progress(step, steps, line):
        if step == 7:
            monkeypatch.setattr(torch, "save", fill)

    with pytest.raises(OSError, match=r"checkpoint of step 8 could not be written .*No space left.*the one before it is whole.*--resume"):
        train(tiny_recipe(), str(data), out, OPTIONS, progress=progress)
    assert torch.load(out / CHECKPOINT, weights_only=True)["step"] == 4
    assert not list(out.glob(".*"))


def test_a_run_is_not_written_over(data, undisturbed):
    with pytest.raises(ValueError, match="holds a run already"):
        train(tiny_recipe(), str(data), undisturbed, OPTIONS)


def test_files_of_something_else_are_not_written_over(data, tmp_path):
    (tmp_path / CONFIG).write_text('{"editor": "mine"}')
    (tmp_path / BEST).write_bytes(b"weights")
    with pytest.raises(ValueError, match=r"config\.json that is of no training run"):
        train(tiny_recipe(), str(data), tmp_path, OPTIONS)
    assert (tmp_path / BEST).read_bytes() == b"weights"


def test_resuming_otherwise_says_what_differs(data, undisturbed, tmp_path):
    with pytest.raises(ValueError, match=r"recipe\.lr was 0\.001, now 0\.002; run\.seed was 0, now 5"):
        train(tiny_recipe(lr=2e-3), str(data), undisturbed, replace(OPTIONS, seed=5), resume=True)
    with pytest.raises(ValueError, match=r'run\.start_from was "absent"'):
        train(tiny_recipe(), str(data), undisturbed, replace(OPTIONS, start_from=undisturbed / FINAL), resume=True)
    other = write_data(tmp_path / "open-train", 24)
    with pytest.raises(ValueError, match=r"samples was 16, now 24; shards\.shard-2\.tar was \"absent\""):
        train(tiny_recipe(), str(other), undisturbed, OPTIONS, resume=True)


@pytest.mark.parametrize("damage", ["cut", "pickle", "shape", "foreign"])
def test_a_checkpoint_is_not_trusted(damage, data, undisturbed, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    for name in (CONFIG, DATA, CHECKPOINT):
        (out / name).write_bytes((undisturbed / name).read_bytes())
    path, state = out / CHECKPOINT, torch.load(undisturbed / CHECKPOINT, weights_only=True)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "pickle":
        torch.save({"step": Path("/")}, path)
    elif damage == "shape":
        key = next(iter(state["model"]))
        torch.save(state | {"model": state["model"] | {key: torch.zeros(3)}}, path)
    else:
        torch.save({"weights": torch.zeros(3)}, path)
    expected = "without running code" if damage in ("cut", "pickle") else "does not fit this run"
    with pytest.raises(ValueError, match=expected):
        train(tiny_recipe(), str(data), out, OPTIONS, resume=True)


def test_absent_and_half_data_are_said(data, tmp_path):
    with pytest.raises(ValueError, match=r"No manifest\.json"):
        train(tiny_recipe(), str(tmp_path), tmp_path / "run", OPTIONS)
    half = write_data(tmp_path / "half")
    (half / "shard-1.tar").unlink()
    with pytest.raises(ValueError, match="Shard is missing"):
        train(tiny_recipe(), str(half), tmp_path / "run", OPTIONS)
    assert not (tmp_path / "run").exists()


def test_another_hand_than_the_annotations_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match="poses and shapes of the mano hand, not of the open hand"):
        train(tiny_recipe(hand="mano"), str(data), tmp_path / "run", replace(OPTIONS, hand="open"))


def test_the_first_samples_alone(data, tmp_path):
    train(tiny_recipe(epochs=1.0), str(data), tmp_path / "run", replace(OPTIONS, samples=8))
    assert json.loads((tmp_path / "run" / DATA).read_text())["samples"] == 8
    assert sorted(log_of(tmp_path / "run", "loss/total")) == [1, 2]


def test_an_estimate_writes_nothing(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = forecast(tiny_recipe(), str(data), OPTIONS)
    assert (found.steps, found.crops, found.validations) == (12, 16, 4)
    assert found.seconds_per_step[0] <= found.seconds_per_step[1] <= found.seconds_per_step[2]
    assert 0 <= found.data_share <= 1
    assert 0.05 < found.peak_memory_gb < 100
    assert found.hours[1] == pytest.approx((12 * found.seconds_per_step[1] + 4 * found.seconds_per_validation) / 3600)
    assert "12 steps" in str(found)
    assert not list(tmp_path.iterdir())


def test_an_estimate_counts_what_is_timed(data, monkeypatch):
    """On a clock that goes on by one at every look, and by a thousand while the first steps warm up."""
    times = (look + 1000 * min(look, 12) for look in itertools.count(1.0))
    monkeypatch.setattr("occhand.dry_run.time", SimpleNamespace(perf_counter=times.__next__))
    found = forecast(tiny_recipe(batch=2), str(data), replace(OPTIONS, validate_every=5))
    assert (found.steps, found.validations) == (24, 5)
    assert found.seconds_per_step == (3, 3, 3)  # at its beginning and end, and around the wait for a batch
    assert found.data_share == pytest.approx(1 / 3)
    assert found.seconds_per_validation == 2  # measured over 4 of 8 crops
    assert found.hours == pytest.approx([(24 * 3 + 5 * 2) / 3600] * 3)
    assert forecast(tiny_recipe(), str(data), replace(OPTIONS, val_samples=0)).validations == 0


def test_the_command(data, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        cli(["train", "handgcat-open", "--data", str(tmp_path)])
    assert stop.value.code == 2
    assert "No manifest.json" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli(["train", "handgcat-opne", "--data", str(data)])
    assert "near: handgcat-open" in capsys.readouterr().err
    RECIPES["tiny"] = tiny_recipe()
    try:
        with pytest.raises(SystemExit) as stop:
            cli(["train", "tiny", "--data", str(data), "--out", str(tmp_path / "run"), "--epochs", "0.25", "--workers", "0", "--seed", "2"])
    finally:
        del RECIPES["tiny"]
    assert stop.value.code == 0
    assert f"--model {tmp_path / 'run' / FINAL}" in capsys.readouterr().out
    assert sorted(log_of(tmp_path / "run", "loss/total")) == [1]


def test_a_run_starts_from_weights_of_its_own_network_only(undisturbed, tmp_path):
    options = replace(OPTIONS, start_from=undisturbed / FINAL)
    started = start(launch(options), tiny_recipe(), options).weights
    expected = load_checkpoint(undisturbed / FINAL).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in started.state_dict().items())
    other = replace(tiny_recipe(), model="handoccnet-set-only-s")
    with pytest.raises(ValueError, match="another network"):
        start(launch(options), other, options)
