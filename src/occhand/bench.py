"""How quick a network is here: runtimes, precisions, batches and threads against the plain network, in turns within one run.

Ratios are of times taken in turns, so that whatever else the machine does meets all of them alike. Every figure stands beside the least
disturbed one, as other work only ever adds time.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from occhand import __version__
from occhand.files import atomic_path
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.runtimes.choice import PRECISIONS, Precision, Runtime, missing_packages, processor_precisions
from occhand.runtimes.network import make_ready
from occhand.runtimes.onnx_graph import example_input
from occhand.types import ModelInput, ModelOutput

_log = logging.getLogger(__name__)

Network = HandOccNet | HandGCAT
Run = Callable[[ModelInput], ModelOutput]


@dataclass(frozen=True)
class BenchPlan:
    """What to measure.

    Raises:
        ValueError: No batch or number of threads, or one below 1, or so many rounds.
    """

    batches: tuple[int, ...] = (1, 8, 32)
    threads: tuple[int, ...] = (1, 2)
    rounds: int = 10
    """Times that each variant is run, in turns."""
    with_compile: bool = False
    """Whether to wait for PyTorch's compiler: a minute for each batch and number of threads."""

    def __post_init__(self) -> None:
        if not (self.batches and self.threads) or min(*self.batches, *self.threads, self.rounds) < 1:
            raise ValueError(f"Batches {self.batches}, threads {self.threads} and rounds {self.rounds} must be at least 1.")


@dataclass(frozen=True)
class Timing:
    """One variant at one batch and number of threads; milliseconds for the whole batch."""

    variant: str
    batch: int
    threads: int
    p50_ms: float
    p95_ms: float
    min_ms: float
    cpu_p50_ms: float
    """Processor time of all threads: less disturbed by other work than the clock."""
    ratio: float
    """Of the plain network's median to this one's."""
    cpu_ratio: float


@dataclass(frozen=True)
class BenchReport:
    """All that a run measured, and on what."""

    model: str
    machine: str
    versions: dict[str, str]
    timings: tuple[Timing, ...]
    modules: dict[str, float]
    """Median milliseconds of each part of the plain network, batch 1, one thread."""
    peak_memory_mb: float | None
    """Of the process, all variants loaded; None on Windows."""

    def write(self, out: Path) -> list[Path]:
        """Write `bench.json` and `bench.png` into a folder."""
        with atomic_path(out / "bench.json") as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")
        with atomic_path(out / "bench.png") as temporary:
            _draw(self).save(temporary)
        return [out / "bench.json", out / "bench.png"]


def bench(model: Network, name: str, plan: BenchPlan = BenchPlan()) -> BenchReport:
    """Measure a network in every runtime that is installed.

    Args:
        model: Plain, in evaluation mode. On a GPU, PyTorch's variants are timed there with events; that path has not been run on one yet.
        name: How the report calls it.
        plan: What to measure.
    """
    before, timings = torch.get_num_threads(), []
    try:
        for threads in plan.threads:
            torch.set_num_threads(threads)
            variants = dict(_variants(model, plan.with_compile))
            for batch in plan.batches:
                timings += in_turns(variants, _example_beside(model, batch), threads, plan.rounds)
        torch.set_num_threads(1)
        modules = module_times(model, plan.rounds)
    finally:
        torch.set_num_threads(before)
    versions = {"occhand": __version__, "torch": torch.__version__, "python": platform.python_version()}
    peak = peak_memory_bytes()
    return BenchReport(name, _machine(model), versions, tuple(timings), modules, None if peak is None else peak / 1e6)


def _variants(model: Network, with_compile: bool) -> Iterator[tuple[str, Run]]:
    """The plain network first, to which all others are compared."""
    yield "plain", model
    if next(model.parameters()).device.type == "cuda":
        yield "torch fp32", model.fuse()
        return
    for runtime, precisions in PRECISIONS.items():
        if missing_packages(runtime) or (runtime == "compile" and not with_compile):
            continue
        for precision in precisions:
            if precision != "int8" and precision in processor_precisions():
                yield _title(runtime, precision), make_ready(model, runtime, precision).run


def _title(runtime: Runtime, precision: Precision) -> str:
    return f"{runtime} {precision}"


@torch.inference_mode()
def in_turns(variants: dict[str, Run], inputs: ModelInput, threads: int, rounds: int) -> list[Timing]:
    """Time variants one after the other, over and over; ratios are to the first. Each runs once before, unmeasured.

    The inputs lie on the device of all variants.
    """
    for run in variants.values():
        run(inputs)
    wall: dict[str, list[float]] = {name: [] for name in variants}
    processor: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            started = time.process_time()
            wall[name].append(_milliseconds(run, inputs))
            processor[name].append(1e3 * (time.process_time() - started))
    first = next(iter(variants))
    base, cpu_base = np.median(wall[first]), np.median(processor[first])
    return [
        Timing(
            variant=name,
            batch=len(inputs.image),
            threads=threads,
            p50_ms=float(np.median(wall[name])),
            p95_ms=float(np.percentile(wall[name], 95)),
            min_ms=min(wall[name]),
            cpu_p50_ms=float(np.median(processor[name])),
            ratio=float(base / np.median(wall[name])),
            cpu_ratio=float(cpu_base / np.median(processor[name])),
        )
        for name in variants
    ]


def _example_beside(model: Network, batch: int) -> ModelInput:
    """Inputs on the network's device, so that no timing holds the way there."""
    device = next(model.parameters()).device
    image, joints_crop = example_input(model.config, batch)
    return ModelInput(image.to(device), None if joints_crop is None else joints_crop.to(device))


def _milliseconds(run: Run, inputs: ModelInput) -> float:
    if inputs.image.device.type != "cuda":
        start = time.perf_counter()
        run(inputs)
        return 1e3 * (time.perf_counter() - start)
    start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start_event.record()
    run(inputs)
    end_event.record()
    end_event.synchronize()
    return start_event.elapsed_time(end_event)


@torch.inference_mode()
def module_times(model: Network, rounds: int = 10) -> dict[str, float]:
    """Median milliseconds of each part of a network for one crop, as the clock has it, with the threads that PyTorch has."""
    inputs = _example_beside(model, 1)

    def now() -> float:
        if inputs.image.device.type == "cuda":  # whose work goes on after a call returns
            torch.cuda.synchronize(inputs.image.device)
        return time.perf_counter()

    parts = {name: module for name, module in model.named_children() if name != "regressor"}
    parts |= {f"regressor.{name}": module for name, module in model.regressor.named_children()}
    started: dict[str, float] = {}
    times: dict[str, list[float]] = {name: [] for name in parts}
    handles = []
    for name, module in parts.items():
        handles += [
            module.register_forward_pre_hook(lambda *_, name=name: started.__setitem__(name, now())),
            module.register_forward_hook(lambda *_, name=name: times[name].append(1e3 * (now() - started[name]))),
        ]
    try:
        for _ in range(rounds + 1):
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {name: float(np.median(values[1:])) for name, values in times.items()}


def _machine(model: Network) -> str:
    device = next(model.parameters()).device
    gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {', '.join(processor_precisions())}{gpu}"


def peak_memory_bytes() -> int | None:
    """The most memory that this process has had, its children not included; None on Windows, where Python does not tell."""
    if sys.platform == "win32":
        return None
    import resource  # here, as Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # in bytes on macOS, in KB elsewhere


def summary(report: BenchReport) -> str:
    """The figures as lines of text."""
    lines = [f"{report.model} on {report.machine}; milliseconds per batch, ratio to the plain network by the clock and by processor time."]
    lines += [
        f"  batch {t.batch:2}, {t.threads} threads  {t.variant:14} "
        f"p50 {t.p50_ms:8.1f}  p95 {t.p95_ms:8.1f}  {t.ratio:5.2f}  {t.cpu_ratio:5.2f}"
        for t in report.timings
    ]
    parts = ", ".join(f"{name} {ms:.1f}" for name, ms in report.modules.items())
    lines.append(f"  parts of the plain network: {parts} ms")
    if report.peak_memory_mb is not None:
        lines.append(f"  peak memory {report.peak_memory_mb:.0f} MB")
    return "\n".join(lines)


def _draw(report: BenchReport) -> Image.Image:
    """Bars of the ratios, a group for each batch and number of threads."""
    row, left, width = 22, 300, 900
    groups: Sequence[Timing] = report.timings
    widest = max(t.ratio for t in groups)
    picture = Image.new("RGB", (width, row * (len(groups) + 3)), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((10, 8), f"{report.model}: times quicker than the plain network, by the clock", fill="black")
    for k, t in enumerate(groups):
        y = row * (k + 2)
        length = (width - left - 80) * t.ratio / widest
        draw.text((10, y + 4), f"batch {t.batch}, {t.threads} threads, {t.variant}", fill="black")
        draw.rectangle((left, y + 3, left + length, y + row - 4), fill="#9aa5b1" if t.variant == "plain" else "#2f6f9f")
        draw.text((left + length + 6, y + 4), f"{t.ratio:.2f}", fill="black")
    return picture
