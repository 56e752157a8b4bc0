"""Annotation files made from the raw data, for the released training code of both networks, with what they mean written inside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

import occhand
from occhand.data.annotations import HEADER, LAYOUTS, Family, Header
from occhand.data.datasets import create_dataset, dataset_info
from occhand.data.index import AnnotationIndex, Hands, IndexedDataset, Progress, logger
from occhand.data.json_stream import stream_object
from occhand.data.pose_encoding import PoseMean, mean_poses
from occhand.data.record import DataError
from occhand.files import atomic_path
from occhand.hand.hand_layer import converted_mano

_DECIMALS = 7
"""Of metres, radians and pixels: below what float32 keeps of them, and half the size of a file of all digits."""
_CHUNK = 1000
"""Annotations turned into text at a time."""


class Written(NamedTuple):
    """What was made."""

    path: Path
    hands: int
    poses: int
    """Hands whose pose is in the file."""


def rebuild_annotations(
    name: str,
    root: str | os.PathLike[str],
    split: str,
    out: str | os.PathLike[str] | None = None,
    mean: PoseMean = "included",
    progress: Progress | None = None,
) -> Written:
    """Make the annotation file of a data set from its raw data, with the MANO that was converted before.

    Args:
        name: As in the registry: a version of HO-3D, or DexYCB.
        root: Of the raw data.
        split: Its part.
        out: The file; None puts it where the released training code looks for it, in `annotations` below the root.
        mean: As for `write_annotations`.
        progress: Called while annotations are read, then while they are written.

    Raises:
        ValueError: Unknown name or split, a data set that has no such files, or as for `write_annotations`.
    """
    family = dataset_info(name).protocol
    if family not in LAYOUTS:
        raise DataError(f"There are no annotation files of {name}; the released code reads those of HO-3D and DexYCB.")
    hands = converted_mano()
    dataset = create_dataset(name, root, split, hands, progress)
    assert isinstance(dataset, IndexedDataset)
    path = Path(out) if out else annotations_path(family, root, split)
    poses = write_annotations(dataset, family, path, mean, {hand.side: hand for hand in hands}, progress)
    return Written(path, len(dataset), poses)


def annotations_path(family: Family, root: str | os.PathLike[str], split: str) -> Path:
    """Where the released training code, and `open_annotations`, look for the file."""
    return Path(root) / "annotations" / LAYOUTS[family].json_name.format(split=split)


def write_annotations(
    dataset: IndexedDataset, family: Family, path: str | os.PathLike[str], mean: PoseMean, hands: Hands, progress: Progress | None = None
) -> int:
    """Write the annotations of a data set, in its order; the same data give the same bytes, and the file appears whole or not at all.

    Args:
        dataset: From the raw data, with the same `hands`.
        family: Whose layout the file has.
        path: Of the file. An old one is replaced if it is one of ours.
        mean: Whether the hand's mean pose stays in the finger numbers: `included` for HandGCAT's released layer, `excluded` for
            HandOccNet's. The root rotation is in OpenCV's axes in either.
        hands: The user's MANO layers by side.
        progress: Called now and then.

    Returns:
        How many annotations have a pose. DexYCB's need MANO; HO-3D's evaluation has none.

    Raises:
        DataError: There is a file that is not ours; the mean is to be taken out and there is no MANO to know it from.
    """
    path, index = Path(path), dataset.index
    _check_ours(path)
    pose = index.pose
    has_shape = np.isfinite(index.betas).all(1)  # of HO-3D's evaluation nobody knows shape or pose
    if mean == "excluded":
        means = mean_poses(hands, index.sides == "left")
        if np.isnan(means[has_shape]).any():
            raise DataError("Taking the mean pose out needs your MANO of each side in the data: run 'occhand convert mano FILE' first.")
        pose = np.concatenate([pose[:, :3], pose[:, 3:] - means], axis=1)
    is_known = np.isfinite(pose).all(1)
    if lacking := int((has_shape & ~is_known).sum()):
        logger.warning("%d of %d annotations have no pose, for want of your MANO: run 'occhand convert mano FILE'.", lacking, len(index))
    header = Header(dataset.name, dataset.split, "opencv", mean, index.official_length, occhand.__version__)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(f'{{"{HEADER}":{_text(asdict(header))},\n"images":[\n')
        stream.writelines(_lines(_pictures(index, family, dataset.split)))
        stream.write('],\n"annotations":[\n')
        stream.writelines(_lines(_annotations(index, pose, progress)))
        stream.write("]}\n")
    return int(is_known.sum())


def _check_ours(path: Path) -> None:
    """Leave a released file, which may be the only copy, alone."""
    if not path.exists():
        return
    try:
        is_ours = next(stream_object(path), ("", None))[0] == HEADER
    except DataError:
        is_ours = False
    if not is_ours:
        raise DataError(f"{path} is there and not made by occhand, so it is left alone. Name another file with --out, or move it away.")


def _pictures(index: AnnotationIndex, family: Family, split: str) -> Iterator[dict[str, Any]]:
    folder = LAYOUTS[family].pictures.format(split=split)
    for number, image, (height, width) in zip(index.official_index.tolist(), index.images.tolist(), index.size.tolist(), strict=True):
        yield {"id": number, "file_name": image.removeprefix(f"{folder}/"), "width": width, "height": height}


def _annotations(index: AnnotationIndex, pose: Float[np.ndarray, "N 48"], progress: Progress | None) -> Iterator[dict[str, Any]]:
    x1, y1, x2, y2 = index.bbox_xyxy.T
    columns: dict[str, np.ndarray] = {
        "joints_coord_cam": index.joints_cam,
        "joints_img": index.joints_img,
        "root_joint_cam": index.joints_cam[:, 0],
        "bbox": np.stack([x1, y1, x2 - x1, y2 - y1], axis=1),
        "focal": index.K[:, [0, 1], [0, 1]],
        "princpt": index.K[:, :2, 2],
        "pose": pose,
        "shape": index.betas,
        "translation": index.translation,
    }
    for start in range(0, len(index), _CHUNK):
        rows = slice(start, start + _CHUNK)
        lists = {name: np.round(values[rows], _DECIMALS).tolist() for name, values in columns.items()}
        unknown = {name: np.isnan(values[rows]).reshape(len(values[rows]), -1).any(1) for name, values in columns.items()}
        for place, (number, side) in enumerate(zip(index.official_index[rows].tolist(), index.sides[rows].tolist(), strict=True)):
            known = {name: lists[name][place] for name in columns if not unknown[name][place]}
            camera = {name: known.pop(name) for name in ("focal", "princpt")}
            hand = {name: known.pop(name) for name in ("pose", "shape", "translation") if name in known}
            yield {"id": number, "image_id": number, "hand_type": side, "cam_param": camera, "mano_param": hand or None, **known}
        if progress:
            progress(min(start + _CHUNK, len(index)), len(index))


def _lines(entries: Iterator[dict[str, Any]]) -> Iterator[str]:
    """One entry a line, with commas between."""
    for number, entry in enumerate(entries):
        yield (",\n" if number else "") + _text(entry)


def _text(entry: dict[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":"), allow_nan=False)
