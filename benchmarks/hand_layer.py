"""Processor time of the hand layer for a batch of 256 against a batch of 1, one thread, side by side in one run.

python benchmarks/hand_layer.py
"""

import time

import torch

from occhand.hand.hand_layer import load_hand


def seconds(layer, batch: int, repeats: int) -> float:
    pose, betas = torch.randn(batch, 48) * 0.3, torch.randn(batch, 10)
    rotations = layer.rotations_from_axis_angle(pose)
    start = time.process_time()
    for _ in range(repeats):
        layer(rotations, betas)
    return (time.process_time() - start) / repeats


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)
    layer = load_hand("open")
    rounds = [(seconds(layer, 1, 50), seconds(layer, 256, 3)) for _ in range(30)]
    # The least disturbed round of each: other work on the machine only ever adds time.
    one, many = (min(column) for column in zip(*rounds[1:], strict=True))
    print(f"batch 1: {1e3 * one:.2f} ms   batch 256: {1e3 * many:.1f} ms   ratio {many / one:.1f} (at most 30 wanted)")


if __name__ == "__main__":
    main()
