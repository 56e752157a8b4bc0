"""Numbers that are none to go by are refused in one line."""

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
