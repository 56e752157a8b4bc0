"""Errors of predicted hands, batched: distances, alignments, PCK, AUC and F-score, each as the benchmarks' own scripts define it.

Points come in the house unit, metres, and any frame that both sides share; errors go out in metres. Every function keeps the samples
apart, so the mean over samples is left to the caller. Which of them a benchmark reports: `occhand.metrics.protocols`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from occhand.geometry.align import procrustes, procrustes_align
from occhand.hand.skeleton import JOINT_NAMES

AUC_RANGE = (0.0, 0.05)
AUC_STEPS = 100
"""Thresholds of the official curves: `linspace(0, 50 mm, 100)`, hence 50/99 mm apart."""
F_THRESHOLDS = (0.005, 0.015)
SCALE_BONE = (JOINT_NAMES.index("wrist"), JOINT_NAMES.index("middle1"))
"""The bone that sets the scale in HO-3D's scale-translation alignment; (0, 4) in its native order."""
_DAMPING = 1e-8
"""Metres that the official Procrustes adds to a set's norm, which sends a prediction without extent to the truth's centre."""
_CHUNK = 2
"""Meshes per product: their distances (10 MB) stay near the processor's cache, which is five times faster than 16 at a time."""


def point_errors(predicted: Float[Tensor, "*batch points 3"], target: Float[Tensor, "*batch points 3"]) -> Float[Tensor, "*batch points"]:
    """Distance of each point from where it should be; to the last bit the same wherever the points lie in memory, as `norm` is not."""
    x, y, z = (predicted - target).unbind(-1)
    return (x * x + y * y + z * z).sqrt()


def mpjpe(predicted: Float[Tensor, "*batch points 3"], target: Float[Tensor, "*batch points 3"]) -> Float[Tensor, "*batch"]:
    """Mean error per hand without any alignment."""
    return point_errors(predicted, target).mean(-1)


def root_relative_mpjpe(
    predicted: Float[Tensor, "*batch joints 3"], target: Float[Tensor, "*batch joints 3"], root: int = 0
) -> Float[Tensor, "*batch"]:
    """Mean error per hand with both roots at the origin; the root's zero is part of the mean, as officially."""
    return mpjpe(relative_to(predicted, root), relative_to(target, root))


def pa_mpjpe(
    predicted: Float[Tensor, "*batch points 3"], target: Float[Tensor, "*batch points 3"], allow_reflection: bool = True
) -> Float[Tensor, "*batch"]:
    """Mean error per hand after Procrustes alignment.

    Args:
        predicted: Metres.
        target: Metres.
        allow_reflection: True: the official variant of FreiHAND, HO-3D and DexYCB, which may mirror the prediction. False: the proper
            variant of HandOccNet's DexYCB evaluation.
    """
    align = align_official if allow_reflection else procrustes_align
    return mpjpe(align(predicted, target), target)


mpvpe, pa_mpvpe = mpjpe, pa_mpjpe
"""The same over a mesh's vertices. Vertices are aligned by their own Procrustes fit, not by the joints'."""


def relative_to(joints: Float[Tensor, "*batch joints 3"], root: int = 0) -> Float[Tensor, "*batch joints 3"]:
    """Joints with the root as their origin."""
    return joints - joints[..., root : root + 1, :]


def align_root(
    predicted: Float[Tensor, "*batch joints 3"], target: Float[Tensor, "*batch joints 3"], root: int = 0
) -> Float[Tensor, "*batch joints 3"]:
    """The prediction moved so that its root is the true one."""
    # In this order the root's error is exactly 0, which the official curves count at their first threshold.
    return predicted - predicted[..., root : root + 1, :] + target[..., root : root + 1, :]


def align_scale_translation(
    predicted: Float[Tensor, "*batch joints 3"], target: Float[Tensor, "*batch joints 3"], bone: tuple[int, int] = SCALE_BONE
) -> Float[Tensor, "*batch joints 3"]:
    """HO-3D's alignment: one bone sets the scale, its first joint the place. Noise on it can make errors larger than before.

    Where the predicted bone has no length the official script scales by the true length alone; so does this.
    """
    root, end = bone
    # Over the first dimension torch adds in order and rounds the root correctly, as numpy does: after this alignment perfect joints are
    # off by 0 or by rounding, and the official curve tells the two apart.
    bones = (torch.stack((points[..., end, :] - points[..., root, :]).unbind(-1)) for points in (predicted, target))
    length, true_length = (bone.norm(dim=0)[..., None, None] for bone in bones)
    return align_root(predicted / torch.where(length == 0, 1.0, length) * true_length, target, root)


def align_official(
    predicted: Float[Tensor, "*batch points 3"], target: Float[Tensor, "*batch points 3"]
) -> Float[Tensor, "*batch points 3"]:
    """The benchmarks' `align_w_scale`: Procrustes in which R may be a reflection, so that a mirrored hand has no error.

    Differs from `procrustes_align` by a damping that matters only where all predicted points coincide: they go to the truth's mean.
    """
    centred = predicted - predicted.mean(-2, keepdim=True)
    fit = procrustes(centred, target, allow_reflection=True)
    norm = centred.flatten(-2).norm(dim=-1)
    scale = fit.scale * (norm / (norm + _DAMPING)).square()
    return scale[..., None, None] * centred @ fit.R.mT + target.mean(-2, keepdim=True)


def pck(errors: Float[Tensor, "*batch points"], thresholds: Float[Tensor, "steps"]) -> Float[Tensor, "steps"]:
    """Share of correct points: errors of at most each threshold, in the errors' unit, over all samples and points together."""
    ordered = errors.flatten().sort().values
    return torch.searchsorted(ordered, thresholds.to(errors), right=True).to(errors) / max(1, len(ordered))


def auc(errors: Float[Tensor, "*batch points"], span: tuple[float, float] = AUC_RANGE, steps: int = AUC_STEPS) -> Float[Tensor, ""]:
    """Area under the PCK curve between two thresholds over its width, by the trapezoid rule.

    The official script makes a curve per point and averages their areas, which is the same. A prediction that is perfect only after an
    alignment gets about 0.995, since rounding leaves more than the first threshold, 0.

    Example:
        >>> auc(torch.zeros(8, 21)), auc(torch.full((8, 21), 0.06))
        (tensor(1.), tensor(0.))
    """
    thresholds = torch.linspace(*span, steps, dtype=torch.float64)
    return torch.trapezoid(pck(errors.double(), thresholds), thresholds).to(errors) / (span[1] - span[0])


def median_error(errors: Float[Tensor, "samples points"]) -> Float[Tensor, ""]:
    """The official median: of each point over the samples, then the mean over the points."""
    ordered = errors.sort(dim=0).values
    count = len(ordered)
    return ((ordered[(count - 1) // 2] + ordered[count // 2]) / 2).mean()


def f_score(
    predicted: Float[Tensor, "*batch predicted 3"],
    target: Float[Tensor, "*batch target 3"],
    thresholds: Sequence[float] = F_THRESHOLDS,
) -> Float[Tensor, "*batch thresholds"]:
    """Harmonic mean of the shares of vertices that have a vertex of the other mesh nearer than each threshold (metres).

    Vertices against vertices, no correspondence and no sampling of the surface (Tatarchenko et al., CVPR 2019, as in FreiHAND). The papers'
    columns F@5 and F@15 are of vertices aligned before by `align_official`.
    """
    batch = target.shape[:-2]
    a, b = (points.detach().reshape(-1, *points.shape[-2:]) for points in (predicted, target))
    limits = target.new_tensor(tuple(thresholds))
    shares = target.new_empty(2, len(b), len(limits))
    # One matrix for all chunks: new ones, with the small results left between them, can scatter over gigabytes of memory.
    squared = target.new_empty(_CHUNK, a.shape[1], b.shape[1])
    for first in range(0, len(b), _CHUNK):
        rows = slice(first, first + _CHUNK)
        for share, distance in zip(shares, _nearest(a[rows], b[rows], squared[: len(b[rows])]), strict=True):
            share[rows] = (distance[..., None] < limits).to(share).mean(-2)
    precision, recall = shares
    score = 2 * precision * recall / (precision + recall).clamp_min(torch.finfo(target.dtype).tiny)
    return score.reshape(*batch, len(limits))


def _nearest(
    a: Float[Tensor, "B a 3"], b: Float[Tensor, "B b 3"], squared: Float[Tensor, "B a b"]
) -> tuple[Float[Tensor, "B b"], Float[Tensor, "B a"]]:
    """Distance of each point of `b` from the nearest of `a`, and the other way round; `squared` is overwritten."""
    # |a|^2 - 2 ab + |b|^2 as one product, about the middle of b, where hands are small numbers and little is lost to rounding.
    middle = b.mean(-2, keepdim=True)
    a, b = a - middle, b - middle
    left = torch.cat([a, a.square().sum(-1, keepdim=True), torch.ones_like(a[..., :1])], dim=-1)
    right = torch.cat([-2 * b, torch.ones_like(b[..., :1]), b.square().sum(-1, keepdim=True)], dim=-1)
    torch.bmm(left, right.mT, out=squared)
    return squared.amin(-2).clamp_min(0).sqrt(), squared.amin(-1).clamp_min(0).sqrt()
