"""Accuracy and speed of `fit_hand` on hands it has never seen, in batches of 8, one thread.

Hands: poses of `PoseSampler` under a seed of their own, betas N(0, 1), any view, 0.35 to 1 m away, focal length 1000 px. Joints come
exact, or with noise of 2 % of the hand's box, 6 % where a random disc covers them, or with three joints thrown as a bad detector does.
The pose prior, the sampler and the hand are those of the fit: real hands are harder.

Run: OMP_NUM_THREADS=1 python benchmarks/fit.py [--hands 500]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from occhand.fit import HandFit, fit_hand
from occhand.geometry.align import procrustes_align
from occhand.geometry.camera import project
from occhand.hand.hand_layer import load_hand
from occhand.hand.prior import load_prior
from occhand.synth.pose import PoseSampler

BATCH = 8
SEED = 20_240_607
"""Not the one that built the prior."""
VISIBLE_NOISE, OCCLUDED_NOISE = 0.02, 0.06


@dataclass(frozen=True)
class HeldOut:
    joints: Tensor
    joints_img: Tensor
    K: Tensor
    box: Tensor
    is_occluded: Tensor


def held_out_hands(count: int) -> HeldOut:
    rng = np.random.default_rng(SEED)
    uniform = lambda low, high, *shape: torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))  # noqa: E731
    normal = lambda *shape: torch.from_numpy(rng.standard_normal(shape).astype(np.float32))  # noqa: E731
    hand, prior = load_hand(), load_prior()
    rotations = prior.rotations(prior.active(torch.from_numpy(PoseSampler.load().sample_batch(rng, count))))
    rotations[:, 0] = random_rotations(normal(count, 4))
    joints = hand(rotations, normal(count, 10).clamp(-2.5, 2.5)).joints
    depth = uniform(0.35, 1.0, count, 1)
    place = torch.cat([uniform(-0.25, 0.25, count, 2) * depth, depth], dim=-1)
    joints = joints - joints[:, 9:10] + place[:, None]
    K = torch.tensor([[1000.0, 0.0, 320.0], [0.0, 1000.0, 240.0], [0.0, 0.0, 1.0]]).repeat(count, 1, 1)
    joints_img = project(joints, K)
    box = (joints_img.amax(1) - joints_img.amin(1)).amax(-1)

    centre = joints_img[torch.arange(count), torch.from_numpy(rng.integers(0, 21, count))]
    radius = box * uniform(0, 0.45, count) * (uniform(0, 1, count) < 0.6)
    is_occluded = (joints_img - centre[:, None]).norm(dim=-1) < radius[:, None]
    return HeldOut(joints, joints_img, K, box, is_occluded)


def random_rotations(quaternion: Tensor) -> Tensor:
    """Uniform over all rotations for normal numbers."""
    w, x, y, z = normalize(quaternion, dim=-1).unbind(-1)
    return torch.stack(
        [
            *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        ],
        dim=-1,
    ).unflatten(-1, (3, 3))


def detections(hands: HeldOut) -> dict[str, tuple[Tensor, Tensor | None, Tensor | None]]:
    """Joints, weights and 3D cue of each case."""
    generator = torch.Generator().manual_seed(SEED)
    normal = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    box = hands.box[:, None, None]
    noise = torch.where(hands.is_occluded, OCCLUDED_NOISE, VISIBLE_NOISE)[..., None] * box
    noisy = hands.joints_img + noise * normal(*hands.joints_img.shape)
    weights = torch.where(hands.is_occluded, (VISIBLE_NOISE / OCCLUDED_NOISE) ** 2, 1.0)
    thrown = torch.rand(noisy.shape[:2], generator=generator).argsort(1) < 3
    gross = torch.where(thrown[..., None], noisy + 0.25 * box * normal(*noisy.shape), noisy)
    cue = hands.joints + 0.012 * normal(*hands.joints.shape)
    return {
        "clean": (hands.joints_img, None, None),
        "2 % visible, 6 % occluded": (noisy, None, None),
        "same, weights known": (noisy, weights, None),
        "same, 3D cue (12 mm noise)": (noisy, None, cue),
        "same, 3 joints thrown 25 %": (gross, None, None),
    }


def fit_all(hands: HeldOut, joints_img: Tensor, weights: Tensor | None, cue: Tensor | None) -> tuple[list[HandFit], float]:
    """Fits in batches, and seconds per hand."""
    hand, fits = load_hand(), []
    start = time.perf_counter()
    for first in range(0, len(joints_img), BATCH):
        rows = slice(first, first + BATCH)
        part = [None if given is None else given[rows] for given in (weights, cue)]
        fits.append(fit_hand(hand, joints_img[rows], hands.K[rows], *part))
    return fits, (time.perf_counter() - start) / len(joints_img)


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy and speed of fit_hand.")
    parser.add_argument("--hands", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    hands = held_out_hands(arguments.hands)
    print(f"{arguments.hands} hands, {hands.is_occluded.float().mean():.0%} of the joints occluded; PA-MPJPE in mm over 21 joints")
    print(f"{'joints':28} {'mean':>6} {'median':>7} {'p90':>6} {'p99':>6} {'reprojection':>13} {'noise found':>12} {'ms/hand':>8}")
    for name, case in detections(hands).items():
        fits, seconds = fit_all(hands, *case)
        joints = torch.cat([fit.joints for fit in fits])
        error_mm = 1e3 * (procrustes_align(joints, hands.joints) - hands.joints).norm(dim=-1).mean(-1)
        p50, p90, p99 = error_mm.quantile(torch.tensor([0.5, 0.9, 0.99])).tolist()
        reprojection = (torch.cat([fit.error_px for fit in fits]) / hands.box[:, None]).mean()
        noise = (torch.cat([fit.noise_px for fit in fits]) / hands.box).mean()
        print(f"{name:28} {error_mm.mean():6.2f} {p50:7.2f} {p90:6.2f} {p99:6.2f} {reprojection:13.2%} {noise:12.2%} {1e3 * seconds:8.2f}")


if __name__ == "__main__":
    main()
