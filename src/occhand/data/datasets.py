"""Every data set on disk by name, and what evaluation must know of it.

A data set is one reader file and one entry here.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from occhand.data import dexycb, fpha, freihand, ho3d, official_counts
from occhand.data.annotations import open_annotations
from occhand.data.folder import FolderDataset
from occhand.data.index import Hands, Progress
from occhand.data.official_counts import Count
from occhand.hand.hand_layer import HandLayer
from occhand.hand.skeleton import TipSet
from occhand.types import EvaluationProtocol, HandSample, Side


@runtime_checkable
class HandDataset(Protocol):
    """Samples by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> HandSample: ...

    def __iter__(self) -> Iterator[HandSample]: ...


@dataclass(frozen=True)
class DatasetInfo:
    """What is particular to a data set."""

    open: Callable[[Path, str, Hands, Progress | None], HandDataset]
    """Root, split, the user's hand layers, progress; raises `DataError` for a root that is not the data set's."""
    splits: tuple[str, ...]
    """All official splits; empty where the split is any folder below the root, and may be left out."""
    tips: TipSet | None
    """Fingertip vertices that its 21 joints were made with; None where the joints come from no mesh."""
    test_box: Literal["given", "joints"]
    """Where the released test-time box comes from: the data set, or the true 2D joints, enlarged as in training."""
    test_expansion: float
    """Of the square around that box at test time, as released."""
    protocol: EvaluationProtocol
    """Of its official evaluation."""
    title: str
    """As papers write it."""
    source: str
    """Where to ask for it and what its licence allows, in one line."""
    counts: Mapping[str, Count] = field(default_factory=dict)
    """Of the whole data set, for the splits where it is published; `occhand data check` compares with them."""
    cover: tuple[str, ...] = ()
    """Splits that hold each sample once, where the official ones overlap; `occhand data check` looks at these."""
    result_splits: tuple[str, ...] = ()
    """Splits whose result files a server or a script of the authors scores."""


_DEXYCB_TESTS = tuple(f"s{setup}_test" for setup in range(4))


def _open_folder(root: Path, split: str, hands: Hands, progress: Progress | None) -> HandDataset:
    return FolderDataset(root / split if split else root)


def _ho3d(version: ho3d.Version, counts: Mapping[str, Count]) -> DatasetInfo:
    return DatasetInfo(
        open=partial(ho3d.open_ho3d, version=version),
        splits=ho3d.SPLITS,
        tips="ho3d",
        test_box="given",
        test_expansion=1.5,
        protocol="ho3d",
        title=f"HO-3D {version}",
        source="Project page of TU Graz ('HOnnotate'); for research only, not to be passed on.",
        counts=counts,
        result_splits=("evaluation",),
    )


DATASETS: dict[str, DatasetInfo] = {
    "ho3d_v2": _ho3d("v2", official_counts.HO3D_V2),
    "ho3d_v3": _ho3d("v3", official_counts.HO3D_V3),
    "dexycb": DatasetInfo(
        open=dexycb.open_dexycb,
        splits=dexycb.SPLITS,
        tips="manopth",
        test_box="joints",
        test_expansion=1.0,
        protocol="dexycb",
        title="DexYCB",
        source="dex-ycb.github.io; CC BY-NC 4.0.",
        counts=official_counts.DEXYCB,
        cover=("s0_train", "s0_val", "s0_test"),
        result_splits=_DEXYCB_TESTS,
    ),
    "freihand": DatasetInfo(
        open=freihand.open_freihand,
        splits=freihand.SPLITS,
        tips="freihand",
        test_box="joints",
        test_expansion=1.0,
        protocol="freihand",
        title="FreiHAND v2",
        source="Project page of the University of Freiburg; for research only.",
        counts=official_counts.FREIHAND,
        result_splits=("evaluation",),
    ),
    "ho3d_annotations": DatasetInfo(
        open=partial(open_annotations, "ho3d"),
        splits=ho3d.SPLITS,
        tips="ho3d",
        test_box="given",
        test_expansion=1.5,
        protocol="ho3d",
        title="HO-3D (annotation file)",
        source="Made from HO-3D by 'occhand convert annotations', or linked from HandOccNet's page; HO-3D's terms hold.",
        result_splits=("evaluation",),
    ),
    "dexycb_annotations": DatasetInfo(
        open=partial(open_annotations, "dexycb"),
        splits=dexycb.SPLITS,
        tips="manopth",
        test_box="joints",
        test_expansion=1.0,
        protocol="dexycb",
        title="DexYCB (annotation file)",
        source="Made from DexYCB by 'occhand convert annotations', or linked from HandOccNet's page; CC BY-NC 4.0.",
        counts=official_counts.DEXYCB,
        cover=("s0_train", "s0_test"),
        result_splits=_DEXYCB_TESTS,
    ),
    "fpha": DatasetInfo(
        open=fpha.open_fpha,
        splits=fpha.SPLITS,
        tips=None,
        test_box="joints",
        test_expansion=1.0,
        protocol="fpha",
        title="FPHA",
        source="github.com/guiggh/hand_pose_action, by form; for academic research only, not to be passed on.",
        cover=("action_train", "action_test"),
    ),
    "folder": DatasetInfo(
        open=_open_folder,
        splits=(),
        tips="manopth",
        test_box="joints",
        test_expansion=1.0,
        protocol="open",
        title="Shards",
        source="Made by 'occhand synth'; yours.",
    ),
}


def list_datasets() -> list[str]:
    """The names that `create_dataset` knows."""
    return sorted(DATASETS)


def dataset_info(name: str) -> DatasetInfo:
    """The entry of a data set.

    Raises:
        ValueError: Unknown name.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(list_datasets())}."
        raise ValueError(f"Unknown data set {name!r}. {hint} Generated splits: occhand.synth.dataset.load_split.")
    return DATASETS[name]


def create_dataset(
    name: str,
    root: str | os.PathLike[str],
    split: str | None = None,
    hand: HandLayer | tuple[HandLayer, ...] = (),
    progress: Progress | None = None,
) -> HandDataset:
    """A data set by name.

    Args:
        name: One of `list_datasets()`. `folder`: shards that `occhand synth` wrote.
        root: Where it lies.
        split: Its part, one of `dataset_info(name).splits`; of a `folder`, a folder in it.
        hand: The user's MANO layer, or one for each side. Some poses and translations cannot be known without (each data set says so in
            a warning); joints, boxes and cameras never need it.
        progress: Called while annotations are read for the first time.

    Raises:
        ValueError: Unknown name or split; a hand that is not MANO; files that cannot be used (`DataError`).
    """
    info = dataset_info(name)
    if info.splits and split not in info.splits:
        near = difflib.get_close_matches(split or "", info.splits, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Choose one of {', '.join(info.splits)}."
        raise ValueError(f"{name} has no split {split!r}. {hint}" if split else f"{name} needs a split. {hint}")
    return info.open(Path(root), split or "", _by_side(hand), progress)


def _by_side(hand: HandLayer | tuple[HandLayer, ...]) -> dict[Side, HandLayer]:
    layers = (hand,) if isinstance(hand, HandLayer) else hand
    for layer in layers:
        if layer.name != "mano":
            raise ValueError(f"Poses here are MANO's, the hand given is {layer.name!r}. Give load_hand('mano') or leave it out.")
    return {layer.side: layer for layer in layers}
