"""How wrong the predictions of some trials are, each hand by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occhand.geometry.align import procrustes_align
from occhand.geometry.camera import project
from occhand.metrics.functional import f_score, mpjpe, point_errors, root_relative_mpjpe
from occhand.stress.trial import Trial

PCK_SHARE = 0.05
"""2D joints count as right within this share of the box around the true ones."""


@dataclass(frozen=True)
class Measure:
    """A figure of a report, with all that it takes to read it."""

    title: str
    unit: Literal["mm", "%"]
    alignment: str

    @property
    def tail_percentile(self) -> float:
        """Where the worse hands are: large errors, small shares."""
        return 90.0 if self.unit == "mm" else 10.0


_PROCRUSTES = "Procrustes (similarity, no reflection) on all joints"
_OF_VERTICES = "Procrustes (similarity, no reflection) on all vertices"
MEASURES = {
    "pa_mpjpe": Measure("PA-MPJPE", "mm", _PROCRUSTES),
    "pa_mpjpe_visible": Measure("PA-MPJPE, visible joints", "mm", _PROCRUSTES),
    "pa_mpjpe_hidden": Measure("PA-MPJPE, hidden joints", "mm", _PROCRUSTES),
    "root_relative_mpjpe": Measure("MPJPE, root-relative", "mm", "wrist on wrist"),
    "pa_mpvpe": Measure("PA-MPVPE", "mm", _OF_VERTICES),
    "f5": Measure("F@5", "%", _OF_VERTICES),
    "f15": Measure("F@15", "%", _OF_VERTICES),
    "pck_2d": Measure(f"2D PCK@{PCK_SHARE:g}", "%", "none; in the image"),
}
"""Proper Procrustes throughout: the official variant may mirror a prediction, and a mirrored hand is just what occlusion provokes."""


class Predicted(NamedTuple):
    """Hands as right hands in the camera frame of the mirrored picture where they are left; metres."""

    joints: Float[Tensor, "B 21 3"]
    vertices: Float[Tensor, "B 778 3"] | None

    def select(self, k: int) -> Predicted:
        return Predicted(self.joints[k : k + 1], None if self.vertices is None else self.vertices[k : k + 1])


def mirror_left(points: Float[np.ndarray, "points 3"], side: str) -> Float[np.ndarray, "points 3"]:
    """A left hand's points as a right hand's, or back."""
    return points * np.array([-1.0, 1.0, 1.0]) if side == "left" else points


def score(predicted: Predicted, trials: Sequence[Trial]) -> dict[str, Float[np.ndarray, "B"]]:
    """Every measure of every hand, in its unit; NaN where it does not exist: no hidden joint, no mesh, a hand behind the camera.

    Raises:
        ValueError: A predicted joint that is not finite.
    """
    samples = [trial.sample for trial in trials]
    truth = torch.from_numpy(np.stack([mirror_left(sample.joints_cam, sample.side) for sample in samples])).double()
    joints = predicted.joints.double()
    if not joints.isfinite().all():
        broken = samples[int((~joints.isfinite()).flatten(1).any(1).nonzero()[0])].key
        raise ValueError(f"The hand predicted for sample {broken!r} has joints that are not finite. Weights that diverged?")
    errors = 1e3 * point_errors(procrustes_align(joints, truth), truth)
    hidden = torch.from_numpy(np.stack([trial.is_hidden for trial in trials]))
    scores = {
        "pa_mpjpe": errors.mean(-1),
        "pa_mpjpe_visible": _mean_over(errors, ~hidden),
        "pa_mpjpe_hidden": _mean_over(errors, hidden),
        "root_relative_mpjpe": 1e3 * root_relative_mpjpe(joints, truth),
        **_mesh_scores(predicted, trials),
        "pck_2d": 100 * _pck_2d(joints, trials),
    }
    return {name: values.numpy() for name, values in scores.items()}


def _mesh_scores(predicted: Predicted, trials: Sequence[Trial]) -> dict[str, Float[Tensor, "B"]]:
    meshes = [trial.sample.vertices_cam for trial in trials]
    scores = torch.full((3, len(trials)), torch.nan, dtype=torch.float64)
    if predicted.vertices is not None:
        known = [k for k, mesh in enumerate(meshes) if mesh is not None]
        pairs = [(mesh, trial.sample.side) for mesh, trial in zip(meshes, trials, strict=True) if mesh is not None]
        if known:
            truth = torch.from_numpy(np.stack([mirror_left(mesh, side) for mesh, side in pairs])).double()
            aligned = procrustes_align(predicted.vertices[known].double(), truth)
            scores[0, known] = 1e3 * mpjpe(aligned, truth)
            scores[1:, known] = 100 * f_score(aligned, truth).mT
    return dict(zip(("pa_mpvpe", "f5", "f15"), scores, strict=True))


def _mean_over(errors: Float[Tensor, "B 21"], chosen: Bool[Tensor, "B 21"]) -> Float[Tensor, "B"]:
    return torch.where(chosen, errors, 0.0).sum(-1) / torch.where(chosen.any(-1), chosen.sum(-1), torch.nan)


def _pck_2d(joints: Float[Tensor, "B 21 3"], trials: Sequence[Trial]) -> Float[Tensor, "B"]:
    """Share of joints near their true place in the picture as it was, not mirrored."""
    samples = [trial.sample for trial in trials]
    sign = joints.new_tensor([[-1.0 if sample.side == "left" else 1.0, 1.0, 1.0] for sample in samples])[:, None]
    K = torch.from_numpy(np.stack([sample.K for sample in samples])).double()
    truth = torch.from_numpy(np.stack([sample.joints_img for sample in samples])).double()
    limit = PCK_SHARE * joints.new_tensor([trial.box_side for trial in trials])
    near = ((project(joints * sign, K) - truth).norm(dim=-1) <= limit[:, None]).double().mean(-1)
    return torch.where((joints[..., 2] > 0.01).all(-1), near, torch.nan)
