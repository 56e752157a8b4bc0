"""`solve_translation` beside a 300-step L-BFGS, on the same hands, one at a time and one thread each.

L-BFGS is run as the demos of HandOccNet and HandGCAT do (strong Wolfe search, learning rate 0.1, from half a metre), once on their
sum of absolute pixel errors and once on the squared errors that `solve_translation` minimises. The error compared is the root mean
square over a hand's joints, in pixels; the sum of absolute errors is printed beside it.

Run: OMP_NUM_THREADS=1 python benchmarks/translation.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from occhand.fit import solve_translation
from occhand.geometry.camera import project
from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.hand.hand_layer import load_hand
from occhand.hand.prior import load_prior
from occhand.synth.pose import PoseSampler

HANDS = 50
STEPS = 300
K = torch.tensor([[1000.0, 0.0, 320.0], [0.0, 1000.0, 240.0], [0.0, 0.0, 1.0]])
NOISE_PX = 3.0


def random_hands(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Root-relative joints and their noisy pixels."""
    rng = np.random.default_rng(seed)
    prior, hand = load_prior(), load_hand()
    angles = torch.from_numpy(PoseSampler.load().sample_batch(rng, HANDS))
    rotations = prior.rotations(prior.active(angles))
    rotations[:, 0] = axis_angle_to_matrix(torch.from_numpy(rng.normal(0, 2, (HANDS, 3)).astype(np.float32)))
    joints = hand(rotations, torch.zeros(HANDS, 10)).joints
    joints_root = joints - joints[:, :1]
    depth = rng.uniform(0.35, 1.0, HANDS)
    place = np.stack([rng.uniform(-0.2, 0.2, HANDS) * depth, rng.uniform(-0.2, 0.2, HANDS) * depth, depth], axis=1)
    joints_img = project(joints_root + torch.from_numpy(place.astype(np.float32))[:, None], K)
    return joints_root, joints_img + NOISE_PX * torch.from_numpy(rng.standard_normal(joints_img.shape).astype(np.float32))


def run_lbfgs(joints_root: Tensor, joints_img: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    translation = torch.tensor([0.0, 0.0, 0.5], requires_grad=True)
    optimizer = torch.optim.LBFGS([translation], lr=0.1, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(project(joints_root + translation, K) - joints_img)
        value.backward()
        return value

    for _ in range(STEPS):
        optimizer.step(closure)
    return translation.detach()


def main() -> None:
    torch.set_num_threads(1)
    joints_root, joints_img = random_hands()
    rivals: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "solve_translation": lambda joints, points: solve_translation(joints, points, K),
        "L-BFGS, absolute error": lambda joints, points: run_lbfgs(joints, points, lambda error: error.abs().sum()),
        "L-BFGS, squared error": lambda joints, points: run_lbfgs(joints, points, lambda error: error.square().sum()),
    }
    times, squared, absolute = {}, {}, {}
    solve_translation(joints_root[0], joints_img[0], K)
    for name, solve in rivals.items():
        start = time.perf_counter()
        with torch.set_grad_enabled(name != "solve_translation"):
            found = torch.stack([solve(*pair) for pair in zip(joints_root, joints_img, strict=True)])
        times[name] = (time.perf_counter() - start) / HANDS
        # Judged in double precision, so that no difference is rounding.
        error = project((joints_root + found[:, None]).double(), K.double()) - joints_img.double()
        squared[name], absolute[name] = error.square().sum(-1).mean(-1).sqrt(), error.abs().sum((-2, -1))

    ours = "solve_translation"
    print(f"{HANDS} hands, {NOISE_PX:g} px of noise per coordinate, {STEPS} L-BFGS steps")
    print(f"{'':24} {'ms/hand':>9} {'times ours':>10} {'RMS px':>8} {'sum |px|':>9}")
    for name in rivals:
        ratio = times[name] / times[ours]
        print(f"{name:24} {1e3 * times[name]:9.2f} {ratio:10.0f} {squared[name].mean():8.4f} {absolute[name].mean():9.3f}")
    for name in list(rivals)[1:]:
        excess = squared[ours] / squared[name] - 1
        print(f"RMS against {name}: worse in {(excess > 1e-6).sum()} of {HANDS} hands, from {excess.min():+.1e} to {excess.max():+.1e}")
    start = time.perf_counter()
    with torch.no_grad():
        solve_translation(joints_root, joints_img, K.expand(HANDS, 3, 3))
    print(f"all {HANDS} hands in one batch: {1e3 * (time.perf_counter() - start) / HANDS:.3f} ms/hand")


if __name__ == "__main__":
    main()
