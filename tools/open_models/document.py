"""Tables and the calibration plot of docs/open-models.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from occhand.models.checkpoint import load_checkpoint, read_info
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.plot import INK, MUTED, Axes, Dot, Figure, Label
from tools.open_models.calibration import LEVELS, Calibration, calibration, mean_aligned_distance
from tools.open_models.held_out import HeldOut, load_held_out
from tools.open_models.score import CONDITIONS, PLAIN, joints_rows, left_to_themselves, pixel_rows, run, table

_COLOUR = "#c2410c"


def evaluate(weights: Path, count: int, kept: Path | None, out: Path) -> str:
    """All tables of a model on open-test as Markdown, also written to `out` with the calibration plot beside."""
    model, name = load_checkpoint(weights), weights.stem
    held_out = load_held_out("open-test", count, model.config.input_size, kept)
    parts = [f"{name}, {read_info(weights).data}; the first {len(held_out)} hands of open-test"]
    if isinstance(model, HandGCAT):
        for condition, errors in CONDITIONS.items():
            left = left_to_themselves(held_out, errors)
            note = f"\n\n{left} hands have too few joints for the fit: there they keep the mean pose, and the network's." if left else ""
            parts.append(f"2D joints: {condition}\n\n{table(joints_rows(model, held_out, errors), held_out)}{note}")
    else:
        parts.append(table(pixel_rows(model, held_out), held_out))
        parts.append(_joints_line(model, held_out))
    judged = _judge(model, held_out)
    parts.append(_calibration_lines(judged))
    out.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(parts)
    (out / f"{name}.md").write_text(text + "\n")
    plot(name, judged).png().save(out / f"{name}-calibration.png")
    return text


def _judge(model: HandOccNet | HandGCAT, held_out: HeldOut) -> Calibration:
    joints_in = PLAIN(held_out.crop, torch.Generator().manual_seed(0)) if isinstance(model, HandGCAT) else None
    output = run(model, held_out, joints_in)
    assert output.joint_sigma is not None, "the small open models have joint heads"
    assert output.joint_visibility is not None, "the small open models have joint heads"
    distance = mean_aligned_distance(output.joints, held_out.crop.joints_cam)
    return calibration(output.joint_sigma, distance, output.joint_visibility, held_out.crop.joints_visible)


def _joints_line(model: HandOccNet, held_out: HeldOut) -> str:
    """Errors of the network's own 2D joints."""
    crop = held_out.crop
    extent = (crop.joints_crop.amax(1) - crop.joints_crop.amin(1)).amax(-1)
    error = 100 * (run(model, held_out).joints_crop - crop.joints_crop).norm(dim=-1) / extent[:, None]
    seen, hidden = error[crop.joints_visible].mean(), error[~crop.joints_visible].mean()
    return f"Its own 2D joints are off by {seen:.1f} % of the hand's box where they are seen, {hidden:.1f} % where they are not."


def _calibration_lines(judged: Calibration) -> str:
    said, found = (" ".join(f"{1e3 * float(value):.1f}" for value in values) for values in (judged.sigma_by_decile, judged.error_by_decile))
    mean = 1e3 * float(judged.error_by_decile.mean())
    return "\n".join(
        [
            f"Mean distance of joints where both hands have the same mean joint, in the camera's axes: {mean:.1f} mm.",
            f"Tenths of the predicted deviation, mean distance in mm: said {said}; found {found}.",
            f"Errors {'rise' if judged.is_monotone else 'do not rise'} from each tenth to the next.",
            f"Expected calibration error {100 * judged.expected_error:.1f} %. Visibility: AUROC {judged.visibility_auroc:.3f}.",
        ]
    )


def plot(name: str, judged: Calibration) -> Figure:
    """Errors over predicted deviations on the left, coverage over confidence on the right; perfect reports lie on the dashed lines."""
    figure = Figure(820.0, 330.0, f"{name}: what it says of its errors")
    figure.add(Label((4, 20), figure.title, 15, INK, bold=True))
    said, found = 1e3 * judged.sigma_by_decile.numpy(), 1e3 * judged.error_by_decile.numpy()
    top = float(1.1 * max(said.max(), found.max()))
    panels = (
        ("distance it expects, mm, by tenths of the joints", "mean distance found, mm", said, found, top, (48.0, 60.0, 440.0, 44.0)),
        (
            "share of joints that should lie within, %",
            "share that does, %",
            100 * LEVELS,
            100 * judged.coverage,
            100.0,
            (460.0, 60.0, 24.0, 44.0),
        ),
    )
    for x_title, y_title, x, y, end, margins in panels:
        axes = Axes(figure, (0.0, end), (0.0, end), margins)
        axes.draw_frame(x_title, "")
        figure.add(Label((margins[0] - 40, 46), y_title, 12, MUTED))
        axes.draw_line(np.array([0.0, end]), np.array([0.0, end]), MUTED, 1.2, (4.0, 4.0))
        axes.draw_line(np.asarray(x, dtype=float), np.asarray(y, dtype=float), _COLOUR)
        figure.add(*(Dot(axes.at(float(a), float(b)), 3.0, _COLOUR) for a, b in zip(x, y, strict=True)))
    return figure
