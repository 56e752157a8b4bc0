"""What each benchmark reports: which alignments, and over which points.

Inputs are metres in a frame that prediction and truth share, joints in any order that they share; figures are millimetres and shares of 1.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from occhand.geometry.align import procrustes_align
from occhand.metrics.functional import (
    SCALE_BONE,
    align_official,
    align_scale_translation,
    auc,
    f_score,
    median_error,
    point_errors,
    relative_to,
)


class ErrorSummary(NamedTuple):
    """One line of a benchmark's table."""

    mean_mm: float
    median_mm: float
    """Of each point over the samples, then the mean over the points, as officially."""
    auc: float
    """Under the PCK curve from 0 to 50 mm."""


class MeshScores(NamedTuple):
    """What HO-3D and FreiHAND report of meshes."""

    unaligned: ErrorSummary
    procrustes: ErrorSummary
    f5: float
    f15: float
    f5_procrustes: float
    """The papers' F@5: raw F-scores are seldom what a table means."""
    f15_procrustes: float


def summarize(predicted: Float[Tensor, "samples points 3"], target: Float[Tensor, "samples points 3"]) -> ErrorSummary:
    """Mean, median and AUC of points as they stand."""
    errors = point_errors(predicted, target)
    return ErrorSummary(1e3 * errors.mean().item(), 1e3 * median_error(errors).item(), auc(errors).item())


def ho3d_joints(
    predicted: Float[Tensor, "samples joints 3"], target: Float[Tensor, "samples joints 3"], bone: tuple[int, int] = SCALE_BONE
) -> dict[str, ErrorSummary]:
    """The joints' part of HO-3D's `scores.txt`; FreiHAND's is the same without scale-translation.

    With the given wrist re-attached to the prediction, as HandOccNet and HandGCAT do, `unaligned` is in effect root-relative.
    """
    return {
        "unaligned": summarize(predicted, target),
        "procrustes": summarize(align_official(predicted, target), target),
        "scale_translation": summarize(align_scale_translation(predicted, target, bone), target),
    }


def mesh_scores(predicted: Float[Tensor, "samples predicted 3"], target: Float[Tensor, "samples target 3"]) -> MeshScores:
    """The meshes' part of HO-3D's and FreiHAND's `scores.txt`.

    Raises:
        ValueError: Meshes of another number of vertices; the official script aligns those by a formula that makes the score meaningless.
    """
    if predicted.shape != target.shape:
        raise ValueError(
            f"The prediction has {predicted.shape[-2]} vertices, the truth {target.shape[-2]}: "
            "meshes without correspondence cannot be aligned. Leave the vertices out to score the joints alone."
        )
    aligned = align_official(predicted, target)
    raw_f, aligned_f = (f_score(points, target).mean(0).tolist() for points in (predicted, aligned))
    return MeshScores(summarize(predicted, target), summarize(aligned, target), *raw_f, *aligned_f)


def dexycb(predicted: Float[Tensor, "samples joints 3"], target: Float[Tensor, "samples joints 3"]) -> dict[str, ErrorSummary]:
    """DexYCB's official table; HandOccNet's and HandGCAT's figures are `root_relative` and `procrustes_proper`."""
    return {
        "unaligned": summarize(predicted, target),
        "root_relative": summarize(relative_to(predicted), relative_to(target)),
        "procrustes": summarize(align_official(predicted, target), target),
        "procrustes_proper": summarize(procrustes_align(predicted, target), target),
    }


def fpha(predicted: Float[Tensor, "samples joints 3"], target: Float[Tensor, "samples joints 3"]) -> dict[str, ErrorSummary]:
    """FPHA fixes no evaluator: root-relative, and Procrustes in both variants, of which HandOccNet's Table 6 names none."""
    return {name: summary for name, summary in dexycb(predicted, target).items() if name != "unaligned"}
