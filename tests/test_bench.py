"""The bench and the estimate of a run, where Python tells no peak memory."""

import subprocess
import sys

import pytest
import torch

from occhand import bench
from occhand.types import ModelInput


@pytest.mark.slow
def test_the_bench_is_imported_without_the_resource_module():
    """As on Windows."""
    code = "import sys; sys.modules['resource'] = None\nimport occhand.bench, occhand.dry_run"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_peak_memory_is_of_this_process_or_unknown(monkeypatch):
    assert 5e7 < bench.peak_memory_bytes() < 1e12
    monkeypatch.setattr(sys, "platform", "win32")
    assert bench.peak_memory_bytes() is None


def test_ratios_say_how_much_quicker_than_the_first(monkeypatch):
    wall = iter([10.0, 5.0, 8.0, 2.0, 90.0, 4.0])  # in turns; the last round was disturbed
    monkeypatch.setattr(bench, "_milliseconds", lambda run, inputs: next(wall))
    plain, quick = bench.in_turns(dict.fromkeys(("plain", "quick"), lambda inputs: None), ModelInput(torch.zeros(3, 3, 4, 4)), 2, 3)
    assert (plain.variant, plain.p50_ms, plain.min_ms, plain.ratio) == ("plain", 10.0, 8.0, 1.0)
    assert (quick.variant, quick.p50_ms, quick.min_ms, quick.ratio) == ("quick", 4.0, 2.0, 2.5)
    assert plain.p95_ms == pytest.approx(82.0)
    assert (quick.batch, quick.threads) == (3, 2)
