"""Every number that a benchmark's table holds, each with all that it takes to read it: unit, points, alignment, samples, official name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from occhand.geometry.align import procrustes_align
from occhand.metrics.functional import f_score, pck, point_errors, relative_to
from occhand.metrics.protocols import ErrorSummary, dexycb, fpha, ho3d_joints, mesh_scores, summarize
from occhand.types import EvaluationProtocol

WITH_MESH: tuple[EvaluationProtocol, ...] = ("ho3d", "freihand", "open")
"""Those that score vertices. Neither paper reports them on DexYCB, and FPHA has none."""
WITH_PLACE: tuple[EvaluationProtocol, ...] = ("ho3d", "freihand", "dexycb")
"""Those that score where in the camera frame a hand is, too."""
LISTED_OFFICIAL: tuple[EvaluationProtocol, ...] = ("ho3d", "freihand")
"""Those whose samples and sequences are listed by the official Procrustes alignment; elsewhere by the proper one."""
Wrist = Literal["given", "own"]
"""`given`: predictions are moved so that their wrist is the data set's, as both papers do on HO-3D. `own`: they stay where they are."""

ALL = "all"
NONE = "none"
ROOT = "wrist on wrist (root-relative)"
OFFICIAL = "Procrustes, official (reflections allowed)"
PROPER = "Procrustes, proper (no reflection)"
BONE = "scale and translation by one bone (wrist to middle MCP)"
JOINTS, VERTICES = "21 joints", "778 vertices"
_PCK_LIMIT = 0.02


@dataclass(frozen=True)
class Figure:
    """One number of a report."""

    key: str
    """Its name for programs; the papers' rows use the same."""
    title: str
    value: float
    unit: Literal["mm", "share"]
    """Millimetres, or a share of 1 (the papers print F-scores in percent)."""
    points: str
    alignment: str
    samples: int
    official: str = ""
    """What the benchmark's own script calls it; its files are in centimetres on HO-3D and FreiHAND."""
    subset: str = ALL
    """Of which samples."""

    def record(self) -> dict[str, Any]:
        """For JSON, to nine digits: the same products of the same hands may differ by the last ones of a float64, from call to call."""
        return asdict(self) | {"value": round(self.value, 9)}

    def __str__(self) -> str:
        return f"{self.value:.2f} mm" if self.unit == "mm" else f"{self.value:.3f}"


class Scored(NamedTuple):
    """Hands and what they should be: metres, camera frame, house order."""

    joints: Float[Tensor, "n 21 3"]
    true_joints: Float[Tensor, "n 21 3"]
    vertices: Float[Tensor, "n 778 3"] | None = None
    true_vertices: Float[Tensor, "n 778 3"] | None = None


def benchmark_figures(protocol: EvaluationProtocol, scored: Scored, wrist: Wrist = "own", subset: str = ALL) -> list[Figure]:
    """The figures of one benchmark over some samples; vertices are scored where the benchmark does and both sides have them.

    Args:
        protocol: Whose rules.
        scored: At least one sample.
        wrist: What was done to absolute positions, which only names the unaligned figures.
        subset: What these samples are called.
    """
    make = {"ho3d": _ho3d, "freihand": _freihand, "dexycb": _dexycb, "fpha": _fpha, "open": _open}[protocol]
    figures = [*make(scored, len(scored.joints), "given wrist re-attached (in effect root-relative)" if wrist == "given" else NONE)]
    return [Figure(**{**asdict(figure), "subset": subset}) for figure in figures]


def other_hand_note(own: str, data: str) -> str:
    """What a report says of a model whose hand is not the one that the true vertices belong to."""
    return (
        f"The model's hand is the {own} one, the data's the {data} one: their vertices do not correspond, so PA-MPVPE and F-scores mean "
        "nothing here, and errors of joints hold the difference of the two hands as well."
    )


def _ho3d(scored: Scored, n: int, unaligned: str) -> Iterator[Figure]:
    joints = ho3d_joints(scored.joints, scored.true_joints)
    yield from _summary("mpjpe", "MPJPE", joints["unaligned"], JOINTS, unaligned, n, "xyz")
    yield from _summary("pa_mpjpe", "PA-MPJPE", joints["procrustes"], JOINTS, OFFICIAL, n, "xyz_procrustes_al")
    yield from _summary("st_mpjpe", "ST-MPJPE", joints["scale_translation"], JOINTS, BONE, n, "xyz_scale_trans_al")
    yield from _mesh(scored, n, unaligned)


def _freihand(scored: Scored, n: int, unaligned: str) -> Iterator[Figure]:
    joints = ho3d_joints(scored.joints, scored.true_joints)
    yield from _summary("mpjpe", "MPJPE", joints["unaligned"], JOINTS, unaligned, n, "xyz")
    yield from _summary("pa_mpjpe", "PA-MPJPE", joints["procrustes"], JOINTS, OFFICIAL, n, "xyz_al")
    yield from _mesh(scored, n, unaligned)


def _mesh(scored: Scored, n: int, unaligned: str) -> Iterator[Figure]:
    """As both HO-3D and FreiHAND score it."""
    if scored.vertices is None or scored.true_vertices is None:
        return
    mesh = mesh_scores(scored.vertices, scored.true_vertices)
    yield from _summary("mpvpe", "MPVPE", mesh.unaligned, VERTICES, unaligned, n, "mesh")
    yield from _summary("pa_mpvpe", "PA-MPVPE", mesh.procrustes, VERTICES, OFFICIAL, n, "mesh_al")
    for limit, raw, aligned in ((5, mesh.f5, mesh.f5_procrustes), (15, mesh.f15, mesh.f15_procrustes)):
        yield Figure(f"pa_f{limit}", f"F@{limit}", aligned, "share", VERTICES, OFFICIAL, n, f"f_al_score_{limit}")
        yield Figure(f"f{limit}", f"F@{limit}, unaligned", raw, "share", VERTICES, unaligned, n, f"f_score_{limit}")


def _dexycb(scored: Scored, n: int, unaligned: str) -> Iterator[Figure]:
    summaries = dexycb(scored.joints, scored.true_joints)
    yield from _summary("mpjpe", "MPJPE, absolute", summaries["unaligned"], JOINTS, unaligned, n, "absolute")
    yield from _summary("root_mpjpe", "MPJPE", summaries["root_relative"], JOINTS, ROOT, n, "root-relative")
    yield from _summary("pa_mpjpe", "PA-MPJPE", summaries["procrustes"], JOINTS, OFFICIAL, n, "procrustes")
    yield from _summary("pa_mpjpe_proper", "PA-MPJPE", summaries["procrustes_proper"], JOINTS, PROPER, n, "")


def _fpha(scored: Scored, n: int, unaligned: str) -> Iterator[Figure]:
    summaries = fpha(scored.joints, scored.true_joints)
    yield from _summary("root_mpjpe", "MPJPE", summaries["root_relative"], JOINTS, ROOT, n, "")
    yield from _summary("pa_mpjpe", "PA-MPJPE", summaries["procrustes"], JOINTS, OFFICIAL, n, "")
    yield from _summary("pa_mpjpe_proper", "PA-MPJPE", summaries["procrustes_proper"], JOINTS, PROPER, n, "")


def _open(scored: Scored, n: int, unaligned: str) -> Iterator[Figure]:
    """Proper alignment alone: occlusion provokes mirrored hands, and the official variant would forgive them."""
    placed = {
        "root_mpjpe": ("MPJPE", ROOT, relative_to(scored.joints), relative_to(scored.true_joints)),
        "pa_mpjpe_proper": ("PA-MPJPE", PROPER, procrustes_align(scored.joints, scored.true_joints), scored.true_joints),
    }
    for key, (title, alignment, predicted, truth) in placed.items():
        yield from _summary(key, title, summarize(predicted, truth), JOINTS, alignment, n, "")
        share = pck(point_errors(predicted, truth), torch.tensor([_PCK_LIMIT])).item()
        yield Figure(f"{key}_pck20", f"{title}: PCK at 20 mm", share, "share", JOINTS, alignment, n)
    if scored.vertices is None or scored.true_vertices is None:
        return
    vertices = procrustes_align(scored.vertices, scored.true_vertices)
    yield from _summary("pa_mpvpe_proper", "PA-MPVPE", summarize(vertices, scored.true_vertices), VERTICES, PROPER, n, "")
    for limit, value in zip((5, 15), f_score(vertices, scored.true_vertices).mean(0).tolist(), strict=True):
        yield Figure(f"pa_f{limit}_proper", f"F@{limit}", value, "share", VERTICES, PROPER, n)


def _summary(key: str, title: str, summary: ErrorSummary, points: str, alignment: str, n: int, official: str) -> Iterator[Figure]:
    names = [f"{official}_{ending}" if official.startswith(("xyz", "mesh")) else official for ending in ("mean3d", "auc3d")]
    yield Figure(key, title, summary.mean_mm, "mm", points, alignment, n, names[0])
    yield Figure(f"{key}_auc", f"{title}: AUC 0-50 mm", summary.auc, "share", points, alignment, n, names[1])
    yield Figure(f"{key}_median", f"{title}: median", summary.median_mm, "mm", points, alignment, n)
