"""Annotation files in COCO's style, as HandOccNet and HandGCAT read them (`HO3D_train_data.json` and its kin): read, and made again.

A file is `{"occhand": header, "images": [{id, file_name, width, height}], "annotations": [{id, image_id, ...}]}`; the header, which ours
have and the released ones lack, says what the 48 pose numbers mean. Joints, cameras and boxes mean the same in all: OpenCV axes, metres,
pixels, house order, boxes as x, y, width, height. Files have up to 400,000 annotations and are read and written as a stream.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float

from occhand.data import official_counts
from occhand.data.index import AnnotationIndex, Hands, IndexedDataset, Progress, logger, open_indexed
from occhand.data.json_stream import stream_object
from occhand.data.pose_encoding import PoseEncoding, PoseFrame, PoseMean, detect_encoding, mean_poses, to_house
from occhand.data.record import DataError
from occhand.geometry.camera import project
from occhand.image_io import MAX_PIXELS
from occhand.types import SIDES

Family = Literal["ho3d", "dexycb"]
HEADER = "occhand"
SCHEMA_VERSION = 1
"""Of our files; others are refused."""
MAX_ENTRIES = 1_000_000
"""Of one list; the longest released one has 406,888."""
_READER_VERSION = 1
_NUMBERS: dict[str, tuple[int, ...]] = {
    "joints_coord_cam": (21, 3),
    "joints_img": (21, 2),
    "root_joint_cam": (3,),
    "bbox": (4,),
    "focal": (2,),
    "princpt": (2,),
    "pose": (48,),
    "shape": (10,),
    "translation": (3,),
}
"""What an annotation may hold, its `cam_param` and `mano_param` among it."""


@dataclass(frozen=True)
class Layout:
    """Where a data set's annotation files and pictures lie, and what a picture's name says."""

    json_name: str
    pictures: str
    """Folder below the root that `file_name` starts from."""
    file_name: re.Pattern[str]
    official_lengths: Mapping[str, int]
    """Entries of the benchmark's list, where the file leaves out some."""

    def key(self, file_name: str) -> str:
        """Of the sample, as the reader of the raw data calls it."""
        match = self.file_name.fullmatch(file_name)
        if not match:
            raise DataError(f"file_name is {file_name[:100]!r}, expected {self.file_name.pattern}")
        return "/".join(match.groups())


LAYOUTS: dict[Family, Layout] = {
    "ho3d": Layout("HO3D_{split}_data.json", "{split}", re.compile(r"(\w+)/rgb/(\d+)\.(?:png|jpg)"), {}),
    "dexycb": Layout(
        "DEX_YCB_{split}_data.json",
        "",
        re.compile(r"([\w-]+/\w+/\d+)/color_(\d+)\.jpg"),
        {split: count.listed for split, count in official_counts.DEXYCB.items()},
    ),
}


@dataclass(frozen=True)
class Header:
    """What our files say of themselves."""

    dataset: str
    split: str
    frame: PoseFrame
    mean: PoseMean
    official_length: int
    written_by: str
    """Version of occhand."""
    version: int = SCHEMA_VERSION


def open_annotations(
    family: Family,
    root: Path,
    split: str,
    hands: Hands,
    progress: Progress | None = None,
    encoding: PoseEncoding | None = None,
) -> IndexedDataset:
    """A data set whose annotations come from an annotation file, its pictures from the raw data.

    Args:
        family: Whose file it is.
        root: Folder of the data set, with the file in it or in its `annotations`; or the file itself, there.
        split: Its part.
        hands: The user's MANO layers. Without them translation is unknown, and so is the pose where the file leaves the mean pose out.
        progress: Called while the file is read for the first time.
        encoding: What the pose numbers mean, of a file that does not say; None finds out from the joints, or refuses.

    Raises:
        DataError: No such file, or one that cannot be used.
    """
    path = find_annotations(family, root, split)
    pictures_root = path.parent.parent if path.parent.name == "annotations" else path.parent
    return open_indexed(
        name=f"{family}_annotations" + ("" if encoding is None else "-" + "-".join(encoding)),
        root=pictures_root,
        split=split,
        build=lambda: read_annotations(family, path, split, hands, progress, encoding),
        inputs=[path],
        reader_version=_READER_VERSION,
        hands=hands,
    )


def find_annotations(family: Family, root: Path, split: str) -> Path:
    """The annotation file of a split.

    Raises:
        DataError: There is none.
    """
    if root.suffix == ".json":
        return root
    name = LAYOUTS[family].json_name.format(split=split)
    for path in (root / "annotations" / name, root / name):
        if path.is_file():
            return path
    raise DataError(f"No {name} in {root} or its annotations folder. Make it from the raw data with 'occhand convert annotations'.")


def read_annotations(
    family: Family, path: Path, split: str, hands: Hands, progress: Progress | None = None, encoding: PoseEncoding | None = None
) -> AnnotationIndex:
    """The annotations of a file, in its order.

    Args:
        family: Whose file it is.
        path: Of the file.
        split: As expected; a file of ours that is of another is refused.
        hands: The user's MANO layers by side.
        progress: Called now and then.
        encoding: As for `open_annotations`.

    Raises:
        DataError: The file is broken, of another version or split, or does not tell what its poses mean.
    """
    layout = LAYOUTS[family]
    content = _Content(layout)
    try:
        for place, (name, element) in enumerate(stream_object(path)):
            content.add(name, element)
            if progress and place % 1000 == 0:
                progress(len(content.picture_ids), max(len(content.pictures), len(content.picture_ids)))
        header = content.header
        if header and header.split != split:
            raise DataError(f"it is of {header.dataset} {header.split}, expected {split}")
        if header and encoding and encoding != (header.frame, header.mean):
            raise DataError(f"its header says {header.frame} with the mean {header.mean}, not {' with the mean '.join(encoding)}")
        index = content.index(family, split)
        if header:
            encoding = PoseEncoding(header.frame, header.mean)
        return _with_house_poses(index, encoding, hands)
    except DataError as error:
        reason = str(error).removeprefix(f"{path} is broken: ").rstrip(".")
        rebuild = "Make it from the raw data with 'occhand convert annotations'."
        raise DataError(f"{path} cannot be used: {reason}. {rebuild}") from None


class _Content:
    """What has been read of a file so far, checked; numbers as plain rows of floats."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.header: Header | None = None
        self.pictures: dict[int, tuple[str, int, int]] = {}
        self.picture_ids, self.ids, self.is_left, self.numbers = array("q"), array("q"), array("b"), array("d")

    def add(self, name: str, element: Any) -> None:
        """Take one entry of a list, or the header; whatever else COCO allows is passed over."""
        adders: dict[str, Callable[[Any], None]] = {
            HEADER: self._add_header,
            "images": self._add_picture,
            "annotations": self._add_annotation,
        }
        if name not in adders:
            return
        try:
            adders[name](element)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            count = {"images": len(self.pictures), "annotations": len(self.ids)}.get(name)
            where = name if count is None else f"{name}[{count}]"
            reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise DataError(f"{where}: {reason[:300]}") from None

    def _add_header(self, header: Any) -> None:
        if header["version"] != SCHEMA_VERSION:
            raise ValueError(f"version {str(header['version'])[:20]}, this occhand reads {SCHEMA_VERSION}")
        is_known = header["frame"] in get_args(PoseFrame) and header["mean"] in get_args(PoseMean)
        length = header["official_length"]
        if not is_known or not isinstance(length, int) or not 0 <= length <= MAX_ENTRIES:
            raise ValueError("a frame, mean or official_length that is none")
        self.header = Header(**header)

    def _add_picture(self, picture: Any) -> None:
        number, width, height = (int(picture[name]) for name in ("id", "width", "height"))
        if number in self.pictures:
            raise ValueError(f"id {number} comes twice")
        if len(self.pictures) >= MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES:,} entries")
        if min(width, height) < 1 or width * height > MAX_PIXELS:
            raise ValueError(f"a picture of {width} x {height} pixels")
        self.layout.key(picture["file_name"])
        self.pictures[number] = (picture["file_name"], height, width)

    def _add_annotation(self, annotation: Any) -> None:
        if len(self.ids) >= MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES:,} entries")
        side = annotation.get("hand_type", "right")
        if side not in SIDES:
            raise ValueError(f"hand_type {str(side)[:20]!r}, expected right or left")
        values = {**annotation, **annotation["cam_param"], **(annotation.get("mano_param") or {})}
        row = np.concatenate([_numbers(values.get(name), name, shape) for name, shape in _NUMBERS.items()])
        if not min(values["focal"]) > 0 or "princpt" not in values:
            raise ValueError("a camera without positive focal lengths and princpt")
        number, picture = int(annotation["id"]), int(annotation["image_id"])
        self.ids.append(number)
        self.picture_ids.append(picture)
        self.is_left.append(side == "left")
        self.numbers.frombytes(row.tobytes())

    def index(self, family: Family, split: str) -> AnnotationIndex:
        """All of it; the pose as the file has it."""
        pictures = [self._picture_of(place) for place in range(len(self.ids))]
        if not pictures:
            raise DataError("it has no annotations")
        keys = [self.layout.key(file_name) for file_name, *_ in pictures]
        prefix = self.layout.pictures.format(split=split)
        images = [f"{prefix}/{file_name}" if prefix else file_name for file_name, *_ in pictures]
        index = AnnotationIndex.blank(keys, images, pictures[0][1:])
        index.size[:] = [size for _, *size in pictures]
        index.sides[np.array(self.is_left, dtype=bool)] = "left"
        _fill(index, np.frombuffer(self.numbers, dtype=np.float64).reshape(len(pictures), -1))
        if family == "ho3d" and not self.header:  # the place in the list is the place in the benchmark
            return index
        ids = np.frombuffer(self.ids, dtype=np.int64)
        length = self.header.official_length if self.header else self.layout.official_lengths.get(split, int(ids.max()) + 1)
        if not (np.diff(ids) > 0).all() or ids[0] < 0 or ids[-1] >= length:
            raise DataError(f"the ids of annotations are no rising places in a list of {length:,}")
        return replace(index, official_index=ids, official_length=length)

    def _picture_of(self, place: int) -> tuple[str, int, int]:
        number = self.picture_ids[place]
        if number not in self.pictures:
            raise DataError(f"annotations[{place}]: image_id {number} is of none of the {len(self.pictures)} images")
        return self.pictures[number]


def _numbers(value: Any, name: str, shape: tuple[int, ...]) -> Float[np.ndarray, "numbers"]:
    if value is None:
        return np.full(int(np.prod(shape)), np.nan)
    numbers = np.array(value, dtype=np.float64)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise ValueError(f"{name} is no array of {shape} finite numbers")
    return numbers.ravel()


def _fill(index: AnnotationIndex, rows: Float[np.ndarray, "N numbers"]) -> None:
    """Put the numbers of a file into an index, and derive the 2D joints and boxes that it leaves out."""
    ends = np.cumsum([int(np.prod(shape)) for shape in _NUMBERS.values()])
    split = np.split(rows, ends[:-1], axis=1)
    column = {name: part.reshape(-1, *shape) for (name, shape), part in zip(_NUMBERS.items(), split, strict=True)}
    index.K[:] = np.eye(3)
    index.K[:, [0, 1], [0, 1]] = column["focal"]
    index.K[:, :2, 2] = column["princpt"]
    index.joints_cam[:] = column["joints_coord_cam"]
    has_root_only = np.isnan(index.joints_cam).any((1, 2))
    index.joints_cam[has_root_only, 0] = column["root_joint_cam"][has_root_only]
    rootless, behind = np.isnan(index.joints_cam[:, 0]).any(1), (index.joints_cam[..., 2] <= 0).any(1)
    for is_wrong, what in ((rootless, "no joints_coord_cam and no root_joint_cam"), (behind, "joints behind the camera")):
        if is_wrong.any():
            raise DataError(f"annotations[{is_wrong.argmax()}]: {what}")
    index.joints_img[:] = np.where(np.isnan(column["joints_img"]), project(index.joints_cam, index.K), column["joints_img"])
    xywh = column["bbox"]
    around = np.concatenate([index.joints_img.min(1), index.joints_img.max(1)], axis=1)
    index.bbox_xyxy[:] = np.where(np.isnan(xywh), around, np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1))
    index.pose[:] = column["pose"]
    index.betas[:] = column["shape"]
    index.translation[:] = column["translation"]


def _with_house_poses(index: AnnotationIndex, encoding: PoseEncoding | None, hands: Hands) -> AnnotationIndex:
    """The index with poses that mean the same as everywhere here, and translations where the user's MANO tells them."""
    is_left = index.sides == "left"
    has_pose = np.isfinite(index.pose).all(1)
    if has_pose.any():
        encoding = encoding or detect_encoding(index.pose, index.joints_cam, is_left, hands)
        index.pose[:] = to_house(index.pose, encoding, mean_poses(hands, is_left))
        unknown = int((has_pose & np.isnan(index.pose).any(1)).sum())
        if unknown:
            logger.warning(
                "%d of %d poses leave the mean pose out, so they stay unknown without your MANO of that side.", unknown, len(index)
            )
    for side, layer in hands.items():
        rows = np.flatnonzero((index.sides == side) & np.isfinite(index.betas).all(1) & np.isnan(index.translation).any(1))
        wrists = layer.rest_joints(torch.from_numpy(index.betas[rows]).to(layer.v_template))[:, 0]
        index.translation[rows] = index.joints_cam[rows, 0] - wrists.double().cpu().numpy()
    return index
