"""What a user waits for before the first mesh: imports beyond torch, `occhand predict` of one photograph, and the memory it takes.

python benchmarks/startup.py --rounds 5

Every figure is of a fresh process; medians. Seconds of processor time, all threads together, are less disturbed by other work than the
clock's. The disk is warm after the first, unmeasured round. Networks have weights of no training: these take the same time and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTO, JOINTS = EXAMPLES / "rendered-hand.png", EXAMPLES / "rendered-hand.json"
NETWORK = "handgcat-open-s"
SAVE = f"""
import sys, torch
from occhand.models.checkpoint import save_checkpoint
from occhand.models.presets import create_model
torch.manual_seed(0)
save_checkpoint(create_model({NETWORK!r}), sys.argv[1], data="none", licence="none")
"""
PREDICT = "import sys; from occhand.cli import main; main(['predict', *sys.argv[1:]])"
FIRST_MESH = """
import os, sys
from occhand.cli import main
from occhand.result import HandMesh
save = HandMesh.save
HandMesh.save = lambda hand, path: (save(hand, path), os._exit(0))
main(['predict', *sys.argv[1:]])
"""
"""Predicts, and ends with the first file of a mesh."""
MEASURED = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-c", *sys.argv[1:]], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""
"""A process between, as the peak that the system tells is of all children so far."""


class Cost(NamedTuple):
    """Of one process."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def measure(code: str, *args: str) -> Cost:
    """Run Python code in a process of its own."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-S", "-E", "-c", MEASURED, code, *args], check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall, int(done.stdout) / (1e6 if sys.platform == "darwin" else 1e3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        weights, out = f"{folder}/{NETWORK}.safetensors", f"{folder}/out"
        measure(SAVE, weights)
        given = [str(PHOTO), "--keypoints", str(JOINTS), "--out", out]
        runs = {
            "import torch": ("import torch",),
            "import torch, occhand": ("import torch, occhand",),
            "from occhand import Predictor": ("import torch; from occhand import Predictor",),
            "first mesh, fit": (FIRST_MESH, *given),
            "occhand predict, fit": (PREDICT, *given),
            f"occhand predict, {NETWORK}": (PREDICT, *given, "--model", weights),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in runs}
        for k in range(options.rounds + 1):
            for name, run in runs.items():
                cost = measure(*run)
                costs[name] += [cost] if k else []
    rows = {name: Cost(*map(median, zip(*of, strict=True))) for name, of in costs.items()}
    base = rows["import torch"].cpu_s
    for name, row in rows.items():
        beyond = f"{row.cpu_s - base:6.2f} s beyond torch"
        print(f"{name:34} {row.cpu_s:6.2f} s processor  {row.wall_s:6.2f} s clock  {beyond}  peak {row.peak_mb:5.0f} MB")
    if options.json:
        options.json.write_text(json.dumps({name: row._asdict() for name, row in rows.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
