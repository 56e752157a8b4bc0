"""Time and memory of all metrics over as many hands as HO-3D v2 evaluates: 11,524 of 21 joints and 778 vertices.

Every alignment, curve and F-score of HO-3D's and DexYCB's tables, in double precision as the released scripts.

Run: OMP_NUM_THREADS=2 python benchmarks/metrics.py [--hands 11524]
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from occhand.metrics.protocols import dexycb, ho3d_joints, mesh_scores


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of the metrics.")
    parser.add_argument("--hands", type=int, default=11_524)
    hands = parser.parse_args().hands
    generator = torch.Generator().manual_seed(0)

    def pair(points: int) -> tuple[torch.Tensor, torch.Tensor]:
        truth = 0.05 * torch.randn(hands, points, 3, generator=generator, dtype=torch.float64)
        truth += torch.tensor([0.0, 0.0, 0.6])
        return truth + 0.006 * torch.randn(truth.shape, generator=generator, dtype=torch.float64), truth

    joints, vertices = pair(21), pair(778)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{hands} hands, {torch.get_num_threads()} threads")
    total = 0.0
    for name, run in (
        ("joints, HO-3D", lambda: ho3d_joints(*joints)),
        ("joints, DexYCB", lambda: dexycb(*joints)),
        ("meshes", lambda: mesh_scores(*vertices)),
    ):
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        total += seconds
        print(f"{name:16} {seconds:7.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{'together':16} {total:7.2f} s; {peak / 1e6:.2f} GB at most, {before / 1e6:.2f} GB of it the inputs and the libraries")


if __name__ == "__main__":
    main()
