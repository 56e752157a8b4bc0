"""How well a small open model does on held-out hands, beside the rows without which its figures would mislead."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from occhand.data.joint_errors import FixedErrors
from occhand.estimators.network import trust_seen
from occhand.fit import fit_hand, refine_hand
from occhand.geometry.align import procrustes_align
from occhand.hand.prior import load_prior
from occhand.metrics.functional import point_errors
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.orientation import in_camera_axes
from occhand.synth.dataset import OCCLUSION_STRATA
from occhand.types import ModelInput, ModelOutput
from tools.open_models.held_out import HeldOut

CONDITIONS = {
    "exact joints": FixedErrors(0.0, 0.0),
    "2 % / 6 %": FixedErrors(0.02, 0.06),
    "2 %, hidden joints missing": FixedErrors(0.02, 0.06, missing="hidden"),
    "4 % / 12 %": FixedErrors(0.04, 0.12),
    "4 % / 12 %, 20 % gross": FixedErrors(0.04, 0.12, gross=0.2),
    "4 % / 12 %, 20 % gross, hidden joints missing": FixedErrors(0.04, 0.12, gross=0.2, missing="hidden"),
}
"""Errors of the 2D joints: standard deviation of seen and of hidden ones, in sides of the hand's box."""
PLAIN = CONDITIONS["2 % / 6 %"]
_BATCH = 100
_FIT_NEEDS = 4
"""Joints."""


@dataclass(frozen=True)
class Row:
    """Errors of one way to pose the hands, metres, after similarity alignment of each hand's 21 joints."""

    name: str
    errors: Float[Tensor, "n 21"]


def pixel_rows(model: HandOccNet, held_out: HeldOut) -> list[Row]:
    """The mean pose, HandOccNet from pixels alone, and what the fit makes of its 2D joints with and without it."""
    output = run(model, held_out)
    own = output.joints_crop * model.config.input_size
    fitted = fit_hand(model.hand, own, held_out.crop.K)
    refined = refine_hand(model.hand, output.rotations, output.betas, own, held_out.crop.K)
    guesses = {"mean pose": mean_pose(model, len(held_out)), "network": output.joints, "fit to its joints": fitted.joints}
    return [Row(name, aligned(joints, held_out)) for name, joints in (guesses | {"network, refined": refined.joints}).items()]


def joints_rows(model: HandGCAT, held_out: HeldOut, errors: FixedErrors) -> list[Row]:
    """HandGCAT with its picture, without it, with another hand's, and refined; the fit alone beside it."""
    joints_in = errors(held_out.crop, torch.Generator().manual_seed(0))
    image = held_out.crop.image
    output = run(model, held_out, joints_in)
    assert output.joint_visibility is not None, "the small open models have joint heads"
    known = joints_in.isfinite().all(-1).float()
    evidence = joints_in.nan_to_num(0.0) * model.config.input_size, held_out.crop.K, known, trust_seen(known, output.joint_visibility)
    fitted, refined = mean_pose(model, len(held_out)).clone(), output.joints.clone()
    is_enough = (evidence[2].sum(1) >= _FIT_NEEDS).nonzero().squeeze(1)  # other hands keep the mean pose, or the network's
    for part in is_enough.split(_BATCH):
        points, K, weights, trust = (values[part] for values in evidence)
        fitted[part] = fit_hand(model.hand, points, K, weights).joints
        refined[part] = refine_hand(model.hand, output.rotations[part], output.betas[part], points, K, trust).joints
    guesses = {
        "network": output.joints,
        "joints only": run(model, held_out, joints_in, torch.zeros_like(image)).joints,
        "wrong image": run(model, held_out, joints_in, image[another_hand(len(image))]).joints,
        "fit": fitted,
        "network, refined": refined,
    }
    return [Row(name, aligned(joints, held_out)) for name, joints in guesses.items()]


def left_to_themselves(held_out: HeldOut, errors: FixedErrors) -> int:
    """How many hands have too few joints for the fit, and so keep the mean pose in its row, and the network's in the refined one."""
    known = errors(held_out.crop, torch.Generator().manual_seed(0)).isfinite().all(-1)
    return int((known.sum(1) < _FIT_NEEDS).sum())


def another_hand(count: int) -> Int64[Tensor, "count"]:
    """For each hand a drawn other one, of any stratum."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order.roll(1)[order.argsort()]


@torch.no_grad()
def run(model: HandOccNet | HandGCAT, held_out: HeldOut, joints_in: Tensor | None = None, image: Tensor | None = None) -> ModelOutput:
    """The network on all hands, in the camera's axes; `image` in the place of their own crops."""
    image = held_out.crop.image if image is None else image
    outputs = []
    for first in range(0, len(image), _BATCH):
        part = slice(first, first + _BATCH)
        outputs.append(model(ModelInput(image[part], None if joints_in is None else joints_in[part])))
    output = ModelOutput._make(None if parts[0] is None else torch.cat(parts) for parts in zip(*outputs, strict=True))
    return in_camera_axes(output, model.config, held_out.crop.K)


def mean_pose(model: HandOccNet | HandGCAT, count: int) -> Float[Tensor, "n 21 3"]:
    """The joints of the prior's mean pose and the mean shape."""
    prior = load_prior()
    rotations = prior.rotations(prior.mean)
    return model.hand(rotations[None], rotations.new_zeros(1, 10)).joints.expand(count, -1, -1)


def aligned(joints: Float[Tensor, "n 21 3"], held_out: HeldOut) -> Float[Tensor, "n 21"]:
    """Error of each joint after similarity alignment of its hand."""
    truth = held_out.crop.joints_cam.double()
    return point_errors(procrustes_align(joints.double(), truth), truth)


def strata(held_out: HeldOut) -> dict[str, Tensor]:
    """Which hands fall into each of the open data's strata of occlusion."""
    edges = [*OCCLUSION_STRATA[1:], 1.01]
    pairs = zip(OCCLUSION_STRATA, edges, strict=True)
    masks = {f"{100 * low:.0f} to {min(100, 100 * high):.0f} %": (held_out.ratio >= low) & (held_out.ratio < high) for low, high in pairs}
    return {name: mask for name, mask in masks.items() if bool(mask.any())}


def table(rows: list[Row], held_out: HeldOut) -> str:
    """PA-MPJPE in mm: all hands, each stratum, and seen and hidden joints."""
    groups = strata(held_out)
    seen = held_out.crop.joints_visible
    head = ["PA-MPJPE, mm", "all", *groups, "seen joints", "hidden joints"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        values = [
            row.errors.mean(),
            *(row.errors[mask].mean() for mask in groups.values()),
            row.errors[seen].mean(),
            row.errors[~seen].mean(),
        ]
        lines.append(f"| {row.name} | " + " | ".join(f"{1e3 * float(value):.2f}" for value in values) + " |")
    return "\n".join(lines)
