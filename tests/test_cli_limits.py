"""Numbers that are none to go by are refused in one line."""

from pathlib import Path
from types import SimpleNamespace as Namespace

import numpy as np
import pytest

from occhand.cli import score


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("stress", "--limit", "0"), "A limit of 0 hands: expected at least 1"),
        (("stress", "--limit", "-3", "--quick"), "A limit of -3 hands: expected at least 1"),
        (("synth", "--clips", "-1"), "-1 clips: expected 0 or more"),
        (("synth", "--n", "2", "--jpeg", "0"), "a JPEG quality from 1 to 95"),
    ],
)
def test_numbers_out_of_range(run, tmp_path, args, message):
    code, out, err = run(*args, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "count"), [((), 2000), (("--limit", 5), 5), (("--quick",), 400), (("--quick", "--limit", 7), 7), (("--limit", 9000), 2000)]
)
def test_the_least_limit_counts(run, tmp_path, monkeypatch, args, count):
    asked = []

    def take(subject, samples, out, name, data_name, **options):
        asked.append((data_name, options["data_hand"]))

    monkeypatch.setattr(score, "run_stress", take)
    code, out, _ = run("stress", *args, "--clips", 0, "--out", tmp_path)
    assert code == 0
    assert f"over {count} hands" in out
    ((data_name, hand),) = asked
    assert (f"first {count}" in data_name) == (count < 2000)
    assert hand == "open"


@pytest.mark.parametrize(
    ("args", "clips", "frames"),
    [
        (("--clips", 3, "--frames", 90), 6, 90),
        (("--clips", 3, "--frames", 90, "--quick"), 2, 60),
        (("--clips", 1, "--frames", 20, "--quick"), 2, 20),
        (("--clips", 3, "--predictions", "hands.npz"), 0, 0),
    ],
)
def test_films_are_as_many_and_as_long_as_asked(run, tmp_path, monkeypatch, args, clips, frames):
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(score, "run_stress", lambda *_, clips, **__: asked.append(list(clips)) or Namespace(clips=[]))
    monkeypatch.setattr(score, "verdict", lambda *_: "well")
    np.savez("hands.npz", keys=[f"hand {k}" for k in range(400)], joints_cam=np.zeros((400, 21, 3)))
    code, out, _ = run("stress", "--limit", 400, *args, "--out", tmp_path)
    assert code == 0
    assert f"and {clips} clips" in out
    assert [len(clip) for clip in asked[0]] == [frames] * clips


def test_predictions_of_another_number_are_refused_before_the_work_begins(run, tmp_path, monkeypatch):
    monkeypatch.setattr(score, "run_stress", lambda *_, **__: pytest.fail("work has begun"))
    np.savez(tmp_path / "hands.npz", keys=["a", "b"], joints_cam=np.zeros((2, 21, 3)))
    code, _, err = run("stress", "--limit", 1, "--predictions", tmp_path / "hands.npz", "--out", tmp_path)
    assert code == 2
    assert "2 predictions for 1 samples" in err


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("eval", "open-test", "--model", "a", "--hand", "open", "--refine", "--joints-from", "b"), ("a", "open", True, Path("b"))),
        (("eval", "open-test"), ("fit", None, False, None)),
        (("stress", "--model", "a", "--hand", "open", "--no-refine"), ("a", "open", False)),
        (("stress",), ("fit", None, True)),
    ],
)
def test_what_is_said_of_a_model_reaches_it(run, tmp_path, monkeypatch, args, expected):
    def stop(*given):
        raise ValueError(repr(given))

    monkeypatch.setattr(score, "load_estimator", stop)
    code, _, err = run(*args, "--out", tmp_path / "out")
    assert (code, err.strip()) == (2, f"occhand: {expected!r}")


def test_what_the_system_refuses_is_one_line_with_the_next_step(run, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "locked/weights")

    monkeypatch.setattr(score, "load_estimator", refuse)
    code, _, err = run("stress")
    assert (code, err) == (2, "occhand: Permission denied: locked/weights. Check the path, and the rights and the space there.\n")
