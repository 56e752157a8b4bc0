"""`occhand models`, `export`, `bench`: what there is to choose from, in other runtimes, how quick."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from tyro.conf import Positional

from occhand.bench import BenchPlan
from occhand.bench import bench as run_bench
from occhand.bench import summary as describe_bench
from occhand.export.int8 import calibration_crops
from occhand.export.write import check_export, export_network
from occhand.models import presets
from occhand.pretrained import load_weights
from occhand.runtimes.choice import Precision, check_device


def models(json: bool = False) -> int:
    """List every network by name, with its parameters, cost, input size and the table row it stands for.

    Args:
        json: Print as JSON.
    """
    infos = presets.list_models()
    if json:
        print(json_module.dumps([asdict(info) for info in infos], indent=2))
        return 0
    table = Table(
        Column("name", no_wrap=True), *(Column(title, justify="right") for title in ("parameters", "GMAC", "pixels")), "stands for"
    )
    for info in infos:
        table.add_row(info.name, f"{info.parameters / 1e6:.1f} M", f"{info.gmacs:.2f}", str(info.input_size), info.table)
    Console().print(table)
    return 0


def export(
    model: Positional[Path],
    out: Path,
    precision: Precision = "fp32",
    calibration: str = "open-val",
    samples: int = 128,
    hand: str | None = None,
) -> int:
    """Write a network for other runtimes, checked against the original, with a card that says what it is.

    Args:
        model: A bundled network, or weights: .safetensors, or a snapshot of the authors (.pth.tar).
        out: The file to write: .onnx, or .xml for OpenVINO.
        precision: fp32; bf16 (OpenVINO); int8, with ranges chosen on the calibration data.
        calibration: For int8: a synthetic split, or a folder of shards that 'occhand synth' wrote.
        samples: Hands of it to look at; a quarter of them only judges the result.
        hand: Hand model inside, as for predict.
    """
    check_export(out, precision)
    network = load_weights(model, hand)
    crops = calibration_crops(calibration, samples, network.config) if precision == "int8" else []
    result = export_network(network, out, precision, crops, model)
    files = ", ".join(map(str, result.files))
    print(f"Wrote {files}: {result.parity.vertices_mean_mm:.3g} mm from the original on average. Use it with --model {out}.")
    return 0


def bench(
    model: str = "handgcat-open-s",
    batches: tuple[int, ...] = BenchPlan.batches,
    threads: tuple[int, ...] = BenchPlan.threads,
    rounds: int = BenchPlan.rounds,
    compile: bool = False,
    device: str = "cpu",
    out: Path = Path("occhand-bench"),
) -> int:
    """Measure how quick a network is here, in every runtime that is installed: bench.json and bench.png.

    Args:
        model: The name of a network ('occhand models'), with weights of no training, or a file of weights.
        batches: Crops at a time.
        threads: Threads.
        rounds: Runs of each, in turns.
        compile: Also wait for PyTorch's compiler.
        device: Where it runs: cpu, cuda (PyTorch alone).
        out: Folder for the report.
    """
    check_device(device)
    network = load_weights(model) if Path(model).suffix else presets.create_model(model).eval()
    report = run_bench(network.to(device), Path(model).name, BenchPlan(batches, threads, rounds, compile))
    files = report.write(out)
    print(describe_bench(report))
    print("Wrote " + ", ".join(map(str, files)))
    return 0
