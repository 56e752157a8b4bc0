"""The bench and the estimate of a run, where Python tells no peak memory."""

import subprocess
import sys

from occhand import bench


def test_the_bench_is_imported_without_the_resource_module():
    """As on Windows."""
    code = "import sys; sys.modules['resource'] = None\nimport occhand.bench, occhand.estimate"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_peak_memory_is_of_this_process_or_unknown(monkeypatch):
    assert 5e7 < bench.peak_memory_bytes() < 1e12
    monkeypatch.setattr(sys, "platform", "win32")
    assert bench.peak_memory_bytes() is None
