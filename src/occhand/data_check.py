"""Whether a data set on disk is whole and read rightly: counts, missing and broken pictures, a sheet to look at, the next step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from occhand.data.datasets import HandDataset, create_dataset, dataset_info
from occhand.data.index import AnnotationIndex, IndexedDataset, Progress
from occhand.data.record import DataError
from occhand.geometry.camera import project
from occhand.hand.hand_layer import converted_mano
from occhand.hand.skeleton import JOINT_NAMES
from occhand.image_io import save_image
from occhand.render.draw import draw_joints
from occhand.render.gallery import contact_sheet
from occhand.types import HandSample

State = Literal["whole", "incomplete", "unusable"]
_PALM = JOINT_NAMES.index("middle1")
_PALM_METRES = (0.05, 0.15)
"""From the wrist to the middle knuckle: 6 cm in a small child, 11 cm in a large man."""
_MAX_REPROJECTION_PX = 3.0
"""Median between the 2D joints and the projected 3D ones; a wrong camera, axis or order is far beyond."""
_NAMED = 3
"""Examples of each problem that are named."""


@dataclass(frozen=True)
class Problem:
    """Something wrong, and what to do."""

    what: str
    next_step: str


@dataclass(frozen=True)
class SplitReport:
    """What was found of one split."""

    split: str
    state: State
    """`incomplete`: some of it can be read. `unusable`: none."""
    hands: int
    expected: int | None
    """Of the whole split; None where nobody published it."""
    missing: int
    """Samples without picture or annotation."""
    decoded: int
    """Pictures that were opened to see whether they can be: spread evenly, the first and the last among them."""
    broken: int
    """Of these, those that cannot be."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class CheckReport:
    """What was found of a data set."""

    name: str
    root: str
    splits: tuple[SplitReport, ...]
    sheet: str | None
    """Picture of samples with their joints; None where no sample could be read."""

    @property
    def is_usable(self) -> bool:
        """Whether each of the splits can at least partly be read."""
        return all(report.state != "unusable" for report in self.splits)


def check_dataset(
    name: str,
    root: str | os.PathLike[str],
    splits: Sequence[str] = (),
    sheet: str | os.PathLike[str] = "occhand-check.png",
    decode: int = 64,
    progress: Progress | None = None,
) -> CheckReport:
    """Look at a data set: nothing is changed, the sheet and the cached index apart.

    Args:
        name: As in the registry.
        root: Where it lies.
        splits: Which of its splits; none for those that hold each of its samples once.
        sheet: Where to write the picture, over eight samples a split.
        decode: Pictures per split to open.
        progress: Called while annotations are read for the first time.

    Raises:
        ValueError: Unknown name or split.
    """
    info = dataset_info(name)
    chosen = tuple(splits) or info.cover or info.splits or ("",)
    reports, drawn, labels = [], [], []
    for split in chosen:
        report, samples = _check_split(name, Path(root), split, decode, progress)
        reports.append(report)
        shown = [samples[place] for place in np.linspace(0, len(samples) - 1, min(8, len(samples))).astype(int)]
        drawn += [draw_sample(sample) for sample in shown]
        labels += [f"{split} {'/'.join(sample.key.split('/')[-3:])}".strip() for sample in shown]
    if drawn:
        save_image(contact_sheet(drawn, labels), sheet)
    return CheckReport(name, os.fspath(root), tuple(reports), os.fspath(sheet) if drawn else None)


def draw_sample(sample: HandSample, size: int = 320) -> UInt8[np.ndarray, "size size 3"]:
    """The hand with its known joints, cut out with as much around it as it is large; black beyond the border."""
    image = Image.fromarray(sample.image)
    low, high = np.nan_to_num(sample.bbox_xyxy.reshape(2, 2)).clip(-2 * max(image.size), 3 * max(image.size))
    side = float(np.clip(2 * (high - low).max(), 32, 2 * max(image.size)))
    left, top = (int(corner) for corner in np.rint((low + high - side) / 2))
    window = image.crop((left, top, left + round(side), top + round(side))).resize((size, size), Image.Resampling.BILINEAR)
    return draw_joints(np.array(window), (sample.joints_img + 0.5 - (left, top)) * (size / round(side)) - 0.5)


def _check_split(name: str, root: Path, split: str, decode: int, progress: Progress | None) -> tuple[SplitReport, list[HandSample]]:
    info = dataset_info(name)
    expected = info.counts[split].hands if split in info.counts else None
    try:
        dataset = create_dataset(name, root, split or None, converted_mano(), progress)
    except (DataError, OSError) as error:
        problem = Problem(str(error), f"docs/datasets.md shows the folder. The data: {info.source}")
        return SplitReport(split, "unusable", 0, expected, 0, 0, 0, (problem,)), []
    left_out = dataset.left_out if isinstance(dataset, IndexedDataset) else ()
    missing = _missing_pictures(dataset.root, dataset.index) if isinstance(dataset, IndexedDataset) else {}
    samples, broken = _decode(dataset, decode, set(missing.values()))
    problems = [
        *_count_problem(len(dataset), expected, info.source),
        *_problem(len(left_out), "samples are left out", [f"{key}: {reason}" for key, reason in left_out[:_NAMED]]),
        *_problem(len(missing), "pictures are missing", list(missing)[:_NAMED]),
        *_problem(len(broken), f"of {len(samples) + len(broken)} pictures opened cannot be read", broken[:_NAMED]),
        *_implausible(samples),
    ]
    state: State = "unusable" if not samples else "incomplete" if problems else "whole"
    counts = (len(left_out) + len(missing), len(samples) + len(broken), len(broken))
    return SplitReport(split, state, len(dataset), expected, *counts, tuple(problems)), samples


def _missing_pictures(root: Path, index: AnnotationIndex) -> dict[str, int]:
    """Paths that are not there, with their places; each folder is listed once."""
    present: dict[str, set[str]] = {}
    missing = {}
    for place, path in enumerate(index.images.tolist()):
        folder, _, file_name = path.rpartition("/")
        if folder not in present:
            try:
                present[folder] = {entry.name for entry in os.scandir(root / folder)}
            except OSError:
                present[folder] = set()
        if file_name not in present[folder]:
            missing[os.fspath(root / path)] = place
    return missing


def _decode(dataset: HandDataset, count: int, without: set[int]) -> tuple[list[HandSample], list[str]]:
    """Samples from all over the data set, and what is wrong with those that cannot be read."""
    places = np.array([place for place in range(len(dataset)) if place not in without])
    samples, broken = [], []
    for place in places[np.linspace(0, len(places) - 1, min(count, len(places))).astype(int)]:
        try:
            samples.append(dataset[int(place)])
        except (ValueError, OSError) as error:
            broken.append(str(error))
    return samples, broken


def _count_problem(hands: int, expected: int | None, source: str) -> list[Problem]:
    if expected is None or hands == expected:
        return []
    if hands > expected:
        return [Problem(f"{hands:,} hands, the official split has {expected:,}.", "Is it another version? Give the folder of this one.")]
    what = f"{hands:,} hands, the whole split has {expected:,}: results on it are not comparable with published ones."
    return [Problem(what, f"Copy or unpack the rest. The data: {source}")]


def _problem(count: int, what: str, examples: Sequence[str]) -> list[Problem]:
    if not count:
        return []
    more = "; ..." if count > len(examples) else ""
    return [Problem(f"{count:,} {what}: {'; '.join(examples)}{more}", "Copy or unpack them again, then run this check again.")]


def _implausible(samples: Sequence[HandSample]) -> list[Problem]:
    """Hands of an impossible size, and 2D joints that are not where the camera sees the 3D ones: a reader or a copy that is wrong."""
    known = [sample for sample in samples if np.isfinite(sample.joints_cam).all()]
    if not known:
        return []
    problems = []
    joints = np.stack([sample.joints_cam for sample in known])
    palm = float(np.median(np.linalg.norm(joints[:, _PALM] - joints[:, 0], axis=1)))
    if not _PALM_METRES[0] <= palm <= _PALM_METRES[1]:
        what = f"From wrist to middle knuckle it is {palm:.3g} m, expected {_PALM_METRES[0]} to {_PALM_METRES[1]}."
        problems.append(
            Problem(what, "Are the annotations in millimetres, or the joints in another order? Look at the sheet and the reader.")
        )
    seen = project(joints, np.stack([sample.K for sample in known]))
    distance = np.linalg.norm(seen - [sample.joints_img for sample in known], axis=-1)
    if not np.median(distance) < _MAX_REPROJECTION_PX:
        what = f"The camera sees the joints {np.median(distance):.0f} px from where their 2D annotation is, expected below 3."
        problems.append(Problem(what, "Is K of another picture size, or are the axes OpenGL's? Look at the sheet and the reader."))
    return problems


def describe(report: CheckReport) -> str:
    """The report as text for a terminal."""
    lines = [f"{report.name} in {report.root}"]
    for split in report.splits:
        whole = "no official count" if split.expected is None else f"official {split.expected:,}"
        counts = f"{split.hands:,} hands ({whole}), {split.missing:,} missing"
        lines.append(f"  {split.split or 'all':14} {split.state:10} {counts}, {split.broken} of {split.decoded} pictures opened broken")
        lines += [line for problem in split.problems for line in (f"    {problem.what}", f"    -> {problem.next_step}")]
    if report.sheet:
        lines.append(f"Look whether the joints lie on the hands: {report.sheet}")
    return "\n".join(lines)
