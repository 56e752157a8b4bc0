"""Which recordings and samples are worst, hand by hand, and pictures of those."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from occhand.data.datasets import HandDataset
from occhand.data.index import sequence_of
from occhand.evaluate.hands import EvaluatedHands
from occhand.files import atomic_path
from occhand.geometry.camera import project
from occhand.image_io import save_image
from occhand.metrics.functional import pa_mpjpe, root_relative_mpjpe
from occhand.metrics.report import SequenceErrors, WorstSample
from occhand.render.draw import draw_joints, draw_label, overlay
from occhand.render.shade import PALETTE, Mesh
from occhand.types import HandSample

PICTURES = "worst"
_ALIKE = 0.5
"""Of the hand's box that is shown around it."""


class HandErrors(NamedTuple):
    """Of each hand, millimetres."""

    root_mpjpe: Float[np.ndarray, "n"]
    pa_mpjpe: Float[np.ndarray, "n"]


def hand_errors(hands: EvaluatedHands, allow_reflection: bool) -> HandErrors:
    """Errors hand by hand; all joints must be known."""
    joints, truth = torch.from_numpy(hands.joints), torch.from_numpy(hands.true_joints)
    return HandErrors(
        1e3 * root_relative_mpjpe(joints, truth).numpy(),
        1e3 * pa_mpjpe(joints, truth, allow_reflection).numpy(),
    )


def write_samples(path: Path, hands: EvaluatedHands, errors: HandErrors, aligned_name: str) -> None:
    """Every scored sample as a line of CSV, in the data set's order; `aligned_name` is the figure that the aligned errors add up to."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("key", "side", "root_mpjpe_mm", f"{aligned_name}_mm"))
        for key, side, root, aligned in zip(hands.keys, hands.sides, *errors, strict=True):
            writer.writerow((key, side, f"{root:.4f}", f"{aligned:.4f}"))


def sequence_errors(hands: EvaluatedHands, errors: HandErrors) -> tuple[SequenceErrors, ...]:
    """Of every recording, the worst first; none where samples belong to no recording."""
    names = np.array([sequence_of(str(key)) for key in hands.keys])
    rows = {name: names == name for name in np.unique(names[names != ""]).tolist()}
    found = [
        SequenceErrors(name, int(row.sum()), float(errors.root_mpjpe[row].mean()), float(errors.pa_mpjpe[row].mean()))
        for name, row in rows.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.pa_mpjpe_mm))


def worst_samples(
    hands: EvaluatedHands,
    errors: HandErrors,
    dataset: HandDataset,
    count: int,
    out: Path,
    faces: Int[np.ndarray, "faces 3"] | None,
) -> tuple[WorstSample, ...]:
    """The samples of largest aligned error, each with a picture: the true joints beside the predicted hand.

    Args:
        hands: Predictions where they are drawn.
        errors: Of the same hands.
        dataset: To read their pictures from.
        count: How many.
        out: Folder of the report.
        faces: Of a right hand, where the topology of predicted vertices is known; otherwise the joints are drawn.
    """
    worst = []
    for rank, row in enumerate(np.argsort(-errors.pa_mpjpe, kind="stable")[:count].tolist(), start=1):
        key = str(hands.keys[row])
        listed = WorstSample(key, float(errors.pa_mpjpe[row]), float(errors.root_mpjpe[row]))
        try:
            sample = dataset[int(hands.places[row])]
        except (ValueError, OSError):  # predictions from a file need no pictures
            worst.append(listed)
            continue
        name = f"{PICTURES}/{rank:03d}-{re.sub(r'[^A-Za-z0-9.]+', '-', key)}.png"
        picture = _side_by_side(sample, hands, row, faces)
        save_image(draw_label(picture, f"PA-MPJPE {listed.pa_mpjpe_mm:.1f} mm"), out / name)
        worst.append(replace(listed, picture=name))
    return tuple(worst)


def remove_pictures(out: Path) -> None:
    """Those that an earlier run drew into the folder of its report."""
    for picture in (out / PICTURES).glob("*.png"):
        if re.fullmatch(r"\d{3,}-.+", picture.name):
            picture.unlink()


def _side_by_side(
    sample: HandSample, hands: EvaluatedHands, row: int, faces: Int[np.ndarray, "faces 3"] | None
) -> UInt8[np.ndarray, "height width 3"]:
    """The truth on the left, what was predicted on the right with its wrist put on the true one, so that the pose can be compared."""
    shift = hands.true_joints[row, 0] - hands.joints[row, 0]
    vertices = None if hands.vertices is None else hands.vertices[row].astype(np.float64) + shift
    truth = draw_joints(sample.image, _project(hands.true_joints[row], sample.K))
    if vertices is None or faces is None or (vertices[:, 2] < 0.05).any():
        predicted = draw_joints(sample.image, _project(hands.joints[row] + shift, sample.K))
    else:
        outward = faces if sample.side == "right" else np.ascontiguousarray(faces[:, ::-1])
        predicted = overlay(sample.image, [Mesh(vertices, outward, PALETTE[0])], sample.K)
    joints = _project(hands.true_joints[row], sample.K)
    low, high = joints.min(axis=0), joints.max(axis=0)
    height, width = sample.image.shape[:2]
    margin = _ALIKE * (high - low).max()
    left, top = np.clip(low - margin, 0, (width - 2, height - 2)).astype(int)
    right, bottom = np.clip(high + margin, (left + 2, top + 2), (width, height)).astype(int)
    return np.concatenate([view[top:bottom, left:right] for view in (truth, predicted)], axis=1)


def _project(points_cam: Float[np.ndarray, "points 3"], K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "points 2"]:
    """Pixels; NaN for what does not lie before the camera."""
    return project(np.where(points_cam[:, 2:] > 1e-3, points_cam, np.nan), K)
