"""Look at many generated samples in worker processes, keeping a few numbers of each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

import torch

from occhand.synth.generate import generate_sample
from occhand.types import HandSample

Numbers = TypeVar("Numbers")

_BATCH = 16


def scan(
    seed: int, indices: Sequence[int], size: int, workers: int, look: Callable[[HandSample], Numbers]
) -> Iterator[tuple[int, Numbers]]:
    """Index and `look(sample)` of each sample, in order; `look` must be a function at module level."""
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for start in range(0, len(indices), _BATCH * workers * 8):
            part = indices[start : start + _BATCH * workers * 8]
            yield from zip(part, pool.map(partial(_look_at, seed, size, look), part, chunksize=_BATCH), strict=True)


def _look_at(seed: int, size: int, look: Callable[[HandSample], Numbers], index: int) -> Numbers:
    return look(generate_sample(seed, index, size))
