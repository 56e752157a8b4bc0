"""What one sample of the open data measures, and the panels and table of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.synth.dataset import OCCLUSION_STRATA
from occhand.types import HandSample
from tools.open_data.chart import Bars

FACING_DEG = {"towards": 60.0, "side": 120.0, "away": 180.0}
"""Largest angle between the palm and the way to the camera."""


class Measures(NamedTuple):
    """Of one sample."""

    ratio: float
    joints_visible: int
    joints_by_self: int
    """Hidden by the hand alone; one hidden by both counts as hidden by other things."""
    joints_by_other: int
    joints_outside: int
    """Of the picture; hidden or not."""
    side: str
    object_name: str
    distance: float
    """Of the wrist along z, metres."""
    focal: float
    """In widths of the picture."""
    extent: float
    """Longer side of the 2D joints' box in widths of the picture."""
    palm: str
    """Whether it faces the camera."""
    lightness: float
    """Median L* of the hand's visible pixels, 0 to 100: skin tone and light together."""
    contacts: int
    has_forearm: bool
    has_second_hand: bool


def measure(sample: HandSample) -> Measures:
    """The numbers of a generated sample."""
    truth = sample.occlusion
    assert truth is not None
    assert sample.pose is not None
    height, width = sample.image.shape[:2]
    hidden = truth.joints_by_self | truth.joints_by_other
    outside = ((sample.joints_img < -0.5) | (sample.joints_img > (width - 0.5, height - 0.5))).any(1)
    return Measures(
        ratio=truth.ratio,
        joints_visible=int((~hidden & ~outside).sum()),
        joints_by_self=int((truth.joints_by_self & ~truth.joints_by_other).sum()),
        joints_by_other=int(truth.joints_by_other.sum()),
        joints_outside=int(outside.sum()),
        side=sample.side,
        object_name=truth.object_name or "none",
        distance=float(sample.joints_cam[0, 2]),
        focal=float(sample.K[0, 0]) / width,
        extent=float(np.ptp(sample.joints_img, axis=0).max()) / width,
        palm=_palm(sample.pose, sample.joints_cam),
        lightness=_lightness(sample.image[truth.labels == 1]),
        contacts=len(truth.contacts),
        has_forearm=bool((truth.labels == 3).any()),
        has_second_hand=bool((truth.labels == 4).any()),
    )


def panels(measured: Sequence[Measures]) -> list[Bars]:
    """Histograms of a split."""
    kinds = Counter(one.object_name for one in measured)
    objects = dict(kinds.most_common(10))
    objects["others"] = kinds.total() - sum(objects.values())
    return [
        _histogram("occlusion ratio, %", [100 * one.ratio for one in measured], range(0, 101, 10)),
        _histogram("joints visible of 21", [one.joints_visible for one in measured], range(0, 22, 2)),
        Bars(
            "joints: seen, behind the hand itself, behind others, outside", ("seen", "itself", "others", "outside"), _joint_shares(measured)
        ),
        Bars("object", list(objects), list(objects.values())),
        _histogram("distance of the wrist, cm", [100 * one.distance for one in measured], range(20, 131, 10)),
        _histogram("focal length, widths of the picture", [one.focal for one in measured], np.arange(1.0, 7.1, 0.5).tolist()),
        Bars("palm to the camera", list(FACING_DEG), [sum(one.palm == name for one in measured) for name in FACING_DEG]),
        _histogram("lightness of the hand, L*", [one.lightness for one in measured], range(0, 101, 10)),
        _histogram("hand, % of the picture's width", [100 * one.extent for one in measured], range(40, 131, 10)),
    ]


def table(measured: Sequence[Measures]) -> str:
    """The numbers of a split as rows of Markdown."""

    def share(values: Sequence[bool]) -> str:
        return f"{100 * float(np.mean(values)):.0f} %"

    def spread(values: Sequence[float], unit: str, digits: int = 0) -> str:
        low, middle, high = np.percentile(values, (5, 50, 95))
        return f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f} {unit}".rstrip()

    ratios = np.array([one.ratio for one in measured])
    strata = np.histogram(ratios, (*OCCLUSION_STRATA, 1.01))[0]
    rows = [
        ("samples", str(len(measured))),
        ("samples with occlusion 0-20, 20-40, 40-60, 60-80, over 80 %", ", ".join(map(str, strata))),
        ("joints visible, 5th / 50th / 95th percentile", spread([one.joints_visible for one in measured], "of 21")),
        ("right hands", share([one.side == "right" for one in measured])),
        ("with an object / a forearm in view / a second hand", " / ".join(map(share, _companions(measured)))),
        ("kinds of object", str(len({one.object_name for one in measured} - {"none"}))),
        (
            "touching vertices where there is an object, 5th / 50th / 95th",
            spread([one.contacts for one in measured if one.object_name != "none"], ""),
        ),
        ("distance of the wrist, 5th / 50th / 95th", spread([100 * one.distance for one in measured], "cm")),
        ("focal length, 5th / 50th / 95th", spread([one.focal for one in measured], "widths of the picture", 2)),
        ("hands cut by the border", share([one.joints_outside > 0 for one in measured])),
        ("palm towards the camera / sideways / away", " / ".join(share([one.palm == name for one in measured]) for name in FACING_DEG)),
        ("lightness of the hand, 5th / 50th / 95th", spread([one.lightness for one in measured], "L*")),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _companions(measured: Sequence[Measures]) -> tuple[list[bool], list[bool], list[bool]]:
    return [one.object_name != "none" for one in measured], [one.has_forearm for one in measured], [one.has_second_hand for one in measured]


def _joint_shares(measured: Sequence[Measures]) -> list[int]:
    seen, itself, others = (
        sum(counts) for counts in zip(*((m.joints_visible, m.joints_by_self, m.joints_by_other) for m in measured), strict=True)
    )
    return [seen, itself, others, 21 * len(measured) - seen - itself - others]


def _histogram(title: str, values: Sequence[float], edges: Sequence[float]) -> Bars:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return Bars(title, [f"{edge:g}" for edge in edges[:-1]], counts.tolist())


def _palm(pose: np.ndarray, joints_cam: np.ndarray) -> str:
    """The palm looks along -Y in rest, on both sides."""
    R = axis_angle_to_matrix(torch.from_numpy(np.asarray(pose[:3])).double()).numpy()
    to_camera = -joints_cam[9] / np.linalg.norm(joints_cam[9])
    angle = np.rad2deg(np.arccos(np.clip(-R[:, 1] @ to_camera, -1, 1)))
    return next(name for name, largest in FACING_DEG.items() if angle <= largest)


def _lightness(colours: np.ndarray) -> float:
    """CIE L* from sRGB."""
    if len(colours) == 0:
        return 0.0
    linear = (np.median(colours, axis=0) / 255) ** 2.2
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.0089 else 903.3 * luminance
