"""Complete synthetic samples per second and memory, for one and two processes at two sizes: `python benchmarks/synth.py`.

Each process uses one thread. Beside each rate stands that of rasterising the bare hand in the same processes at the same time (128 px),
which tells how busy the machine was: an idle core draws about 3000 a second.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import numpy as np
import torch

from occhand.render.raster import rasterize
from occhand.synth.generate import generate_sample
from occhand.synth.hand_surface import load_surface

SIZES = (128, 256)
SAMPLES = 300
WARM_UP = 40
K = np.array([[256.0, 0.0, 64.0], [0.0, 256.0, 64.0], [0.0, 0.0, 1.0]])


def measure(first: int, size: int) -> tuple[float, float, float]:
    """Samples per second, bare hands per second, and the process' memory in MB at its largest."""
    torch.set_num_threads(1)
    for index in range(WARM_UP):
        generate_sample(1, index, size)
    surface = load_surface()
    points = surface.rest_fine + np.array([0.0, 0.0, 0.5])
    drawing = bare = 0.0
    for block in range(0, SAMPLES, 20):
        start = time.perf_counter()
        for index in range(block, block + 20):
            generate_sample(0, first + index, size)
        middle = time.perf_counter()
        for _ in range(20):
            rasterize(points, surface.subdivision.faces, K, 128, 128)
        drawing, bare = drawing + middle - start, bare + time.perf_counter() - middle
    return SAMPLES / drawing, SAMPLES / bare, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    context = multiprocessing.get_context("spawn")
    for size in SIZES:
        for workers in (1, 2):
            with context.Pool(workers) as pool:
                done = pool.starmap(measure, [(worker * SAMPLES, size) for worker in range(workers)])
            rate, bare = sum(d[0] for d in done), sum(d[1] for d in done)
            memory = max(d[2] for d in done)
            print(f"{size} px, {workers} processes: {rate:.0f} samples/s ({bare:.0f} bare hands/s), at most {memory:.0f} MB each")


if __name__ == "__main__":
    main()
