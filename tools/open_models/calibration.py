"""Whether the models know what they do not know: predicted deviations against errors, predicted visibility against truth."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LEVELS = torch.arange(1, 20) / 20


class Calibration(NamedTuple):
    """Of one model on one set."""

    error_by_decile: Float[Tensor, "10"]
    """Mean distance of joints from the truth, metres, for each tenth of the predicted deviations."""
    sigma_by_decile: Float[Tensor, "10"]
    """What the deviations say of it."""
    coverage: Float[Tensor, "19"]
    """Share of joints within the ball that should hold 5, 10, ... 95 % of them."""
    visibility_auroc: float

    @property
    def is_monotone(self) -> bool:
        """Whether errors rise from each tenth to the next."""
        return bool((self.error_by_decile.diff() > 0).all())

    @property
    def expected_error(self) -> float:
        """Mean gap between coverage and what it should be, 0..1."""
        return float((self.coverage - LEVELS).abs().mean())


def calibration(
    sigma: Float[Tensor, "n 21"], distance: Float[Tensor, "n 21"], visibility: Float[Tensor, "n 21"], is_visible: Bool[Tensor, "n 21"]
) -> Calibration:
    """Judge a model's reports; `distance` as `mean_aligned_distance` gives it."""
    order = sigma.flatten().argsort()
    deciles = order.tensor_split(10)
    means = [torch.stack([values.flatten()[part].mean() for part in deciles]) for values in (distance, sigma)]
    squared = (distance / sigma).square().flatten()
    coverage = torch.stack([(squared < chi3_quantile(float(level))).double().mean() for level in LEVELS])
    return Calibration(means[0], means[1] * math.sqrt(8 / math.pi), coverage, auroc(visibility.flatten(), is_visible.flatten()))


def mean_aligned_distance(joints: Float[Tensor, "n 21 3"], truth: Float[Tensor, "n 21 3"]) -> Float[Tensor, "n 21"]:
    """Distance of each joint from the truth where both hands have the same mean joint, metres: what `joint_sigma` is about."""
    return (joints - joints.mean(1, keepdim=True) - truth + truth.mean(1, keepdim=True)).norm(dim=-1)


def best_scale(sigma: Float[Tensor, "n 21"], distance: Float[Tensor, "n 21"]) -> float:
    """The factor on all deviations with which half of the joints lie where half should; set on held-out hands, then kept."""
    return float((distance / sigma).median()) / math.sqrt(chi3_quantile(0.5))


def chi3_quantile(level: float) -> float:
    """Below which the squared length of a standard normal vector in space lies with this chance."""
    low, high = 0.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        is_below = math.erf(math.sqrt(middle / 2)) - math.sqrt(2 * middle / math.pi) * math.exp(-middle / 2) < level
        low, high = (middle, high) if is_below else (low, middle)
    return low


def auroc(score: Float[Tensor, "n"], is_positive: Bool[Tensor, "n"]) -> float:
    """Chance that a positive one scores above a negative one."""
    ranks = score.argsort().argsort().double() + 1
    positives = int(is_positive.sum())
    negatives = len(score) - positives
    return float((ranks[is_positive].sum() - positives * (positives + 1) / 2) / max(1, positives * negatives))
