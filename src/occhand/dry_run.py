"""How long and how large a run would be, from a few of its steps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from occhand.bench import peak_memory_bytes
from occhand.data.loader import Batch, Places, load_batches, name_dead_worker
from occhand.recipes import Recipe
from occhand.train import launch, start, total_steps, training_step, validate
from occhand.training_data import RunOptions, open_training, open_validation

_WARM_UP_STEPS, _MEASURED_STEPS = 3, 10


@dataclass(frozen=True)
class Forecast:
    """What a run would take, from a few of its steps."""

    steps: int
    crops: int
    """In the training data."""
    parameters: int
    device: str
    seconds_per_step: tuple[float, float, float]
    """Fastest, median, slowest of the measured steps, waiting for data included."""
    data_share: float
    """Of that time, spent waiting for data: near 0 is good, else more workers help."""
    validations: int
    seconds_per_validation: float
    peak_memory_gb: float | None
    """Of the device; on a CPU of this process, without loader workers, and None on Windows."""

    @property
    def hours(self) -> tuple[float, float, float]:
        """Fastest, likely, slowest."""
        fixed = self.validations * self.seconds_per_validation
        fastest, median, slowest = ((self.steps * seconds + fixed) / 3600 for seconds in self.seconds_per_step)
        return fastest, median, slowest

    def __str__(self) -> str:
        (fastest, median, slowest), seconds = self.hours, self.seconds_per_step
        memory = "" if self.peak_memory_gb is None else f"Peak memory {self.peak_memory_gb:.2f} GB. "
        return (
            f"{self.steps:,} steps over {self.crops:,} crops; {self.parameters / 1e6:.1f} M parameters on {self.device}.\n"
            f"{memory}{_MEASURED_STEPS} steps took {seconds[0]:.3f} to {seconds[2]:.3f} s, "
            f"median {seconds[1]:.3f} s, {100 * self.data_share:.0f} % of it waiting for data.\n"
            f"About {median:.1f} hours ({fastest:.1f} to {slowest:.1f}), with {self.validations} validations of "
            f"{self.seconds_per_validation:.1f} s. Checkpoints and a slower or warmer machine come on top."
        )


def forecast(recipe: Recipe, data: str, options: RunOptions) -> Forecast:
    """Measure ten steps of a run, and a part of its validation; nothing is written."""
    fabric = launch(options)
    crops, held_out = open_training(recipe, data, options), open_validation(recipe, data, options)
    state = start(fabric, recipe, options)
    chunks = options.accumulate * fabric.world_size
    last = _WARM_UP_STEPS + _MEASURED_STEPS
    batches = _Timed(load_batches(crops, Places(recipe.batch, chunks, 0, last, fabric.global_rank, fabric.world_size), options.workers))
    times, waits = [], []
    with name_dead_worker(crops):
        while state.step < last:
            began, waited = time.perf_counter(), batches.seconds
            training_step(fabric, recipe, options, state, batches, crops, recipe.lr * recipe.schedule(0.0, recipe.epochs))
            state.step += 1
            times.append(time.perf_counter() - began)
            waits.append(batches.seconds - waited)
    times, waits = times[_WARM_UP_STEPS:], waits[_WARM_UP_STEPS:]
    per_validation = 0.0
    if held_out is not None:
        first = held_out.first_batches(2)
        validate(fabric, recipe, options, state.weights, first)  # prepares the crops, which a run does once
        began = time.perf_counter()
        validate(fabric, recipe, options, state.weights, first)
        per_validation = (time.perf_counter() - began) * len(held_out) / len(first)
    on_gpu = fabric.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if on_gpu else peak_memory_bytes()
    steps = total_steps(recipe, crops, options, fabric.world_size)
    return Forecast(
        steps=steps,
        crops=len(crops),
        parameters=sum(p.numel() for p in state.weights.parameters()),
        device=torch.cuda.get_device_name() if on_gpu else f"the CPU, {torch.get_num_threads()} threads",
        seconds_per_step=(min(times), sorted(times)[len(times) // 2], max(times)),
        data_share=sum(waits) / sum(times),
        validations=0 if held_out is None else max(1, math.ceil(steps / options.validate_every)),
        seconds_per_validation=per_validation,
        peak_memory_gb=None if peak is None else peak / 1e9,
    )


class _Timed(Iterator[Batch]):
    """Batches, and how long was waited for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches, self.seconds = batches, 0.0

    def __next__(self) -> Batch:
        began = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self.seconds += time.perf_counter() - began
