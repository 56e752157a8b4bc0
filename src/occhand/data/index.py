"""All annotations of a split as arrays: read once, kept in the user's cache, and checked against the data whenever they are opened.

A reader of a data set fills an `AnnotationIndex`; the rest (cache, pictures, samples) is the same for all and lies here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch.utils.data import Dataset

from occhand.broken_files import BROKEN_ARCHIVE
from occhand.data.record import DataError
from occhand.files import atomic_path, cache_dir
from occhand.hand.hand_layer import HandLayer
from occhand.image_io import BROKEN_PICTURE
from occhand.types import HandSample, Side

Progress = Callable[[int, int], None]
"""Told how many of how many annotations have been read."""
Hands = Mapping[Side, HandLayer]
"""The user's MANO layers by side; a data set whose poses need none goes without."""

_NUMBERS: dict[str, tuple[int, ...]] = {
    "K": (3, 3),
    "joints_cam": (21, 3),
    "joints_img": (21, 2),
    "bbox_xyxy": (4,),
    "pose": (48,),
    "betas": (10,),
    "translation": (3,),
}
_FORMAT = 1
"""Of the cache file; part of its name."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnnotationIndex:
    """Annotations of all samples of a split, in the official order. OpenCV axes, metres, pixels, house joint order; NaN where unknown."""

    keys: np.ndarray
    """(N,) str. What stands before the last slash is the sequence, see `sequence_of`."""
    images: np.ndarray
    """(N,) str: paths below the root of the data set."""
    sides: np.ndarray
    """(N,) str: `right` or `left`."""
    size: Int[np.ndarray, "N 2"]
    """(height, width) of the pictures."""
    official_index: Int[np.ndarray, "N"]
    """Place in the benchmark's list, and so in its result file."""
    K: Float[np.ndarray, "N 3 3"]
    joints_cam: Float[np.ndarray, "N 21 3"]
    joints_img: Float[np.ndarray, "N 21 2"]
    bbox_xyxy: Float[np.ndarray, "N 4"]
    """As the data set gives it, else around the 2D joints."""
    pose: Float[np.ndarray, "N 48"]
    """Axis-angle, camera frame, mean pose included (`flat_hand_mean=True`)."""
    betas: Float[np.ndarray, "N 10"]
    translation: Float[np.ndarray, "N 3"]
    """What added to the hand layer's output gives the camera frame."""
    official_length: int
    """Entries of the benchmark's list, also those that are no sample here."""
    vertices_cam: Float[np.ndarray, "meshes 778 3"] | None = None
    """float32. Row i is of sample i, unless `vertex_rows` says otherwise."""
    vertex_rows: Int[np.ndarray, "N"] | None = None
    """Row of `vertices_cam` of each sample, where samples share meshes (FreiHAND's colour versions)."""
    left_out: tuple[tuple[str, str], ...] = ()
    """(key, reason) of what the benchmark lists and the data on disk do not give."""

    @classmethod
    def blank(cls, keys: Sequence[str], images: Sequence[str], size: tuple[int, int], side: Side = "right") -> AnnotationIndex:
        """An index of right hands in pictures of one size, all numbers NaN, for a reader to fill in place."""
        count = len(keys)
        numbers: dict[str, Any] = {name: np.full((count, *shape), np.nan) for name, shape in _NUMBERS.items()}
        return cls(
            keys=np.array(keys, dtype=np.str_),
            images=np.array(images, dtype=np.str_),
            sides=np.full(count, side, dtype="<U5"),
            size=np.tile(np.array(size, dtype=np.int64), (count, 1)),
            official_index=np.arange(count),
            official_length=count,
            **numbers,
        )

    def __post_init__(self) -> None:
        count = len(self.keys)
        expected = {"keys": (), "images": (), "sides": (), "size": (2,), "official_index": (), **_NUMBERS}
        for name, shape in expected.items():
            if getattr(self, name).shape != (count, *shape):
                raise ValueError(f"Index of {count} samples: {name} has shape {getattr(self, name).shape}, expected {(count, *shape)}.")
        rows = count if self.vertex_rows is None else len(self.vertex_rows)
        meshes = rows if self.vertices_cam is None else len(self.vertices_cam)
        if rows != count or (self.vertex_rows is None and meshes != count):
            raise ValueError(f"Index of {count} samples: {meshes} meshes in {rows} rows. Give a row of vertices for each sample.")

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Int[np.ndarray, "M"], left_out: Sequence[tuple[str, str]] = ()) -> AnnotationIndex:
        """These samples only, in this order; what `left_out` names is added to what was left out before."""
        chosen = {name: getattr(self, name)[rows] for name in ("keys", "images", "sides", "size", "official_index", *_NUMBERS)}
        if self.vertex_rows is not None:
            chosen["vertex_rows"] = self.vertex_rows[rows]
        elif self.vertices_cam is not None:
            chosen["vertices_cam"] = self.vertices_cam[rows]
        return replace(self, **chosen, left_out=(*self.left_out, *left_out))

    def with_vertices(
        self, vertices_cam: Float[np.ndarray, "meshes 778 3"] | None, rows: Int[np.ndarray, "N"] | None = None
    ) -> AnnotationIndex:
        """The same samples with these meshes; `rows` names the mesh of each sample where they share meshes."""
        return replace(self, vertices_cam=vertices_cam, vertex_rows=rows)

    def vertices_of(self, row: int) -> Float[np.ndarray, "778 3"] | None:
        """The mesh of a sample, where there is one."""
        if self.vertices_cam is None:
            return None
        return self.vertices_cam[row if self.vertex_rows is None else self.vertex_rows[row]]


class IndexedDataset(Dataset[HandSample]):
    """A data set whose annotations are in memory: a sample costs the reading of its picture.

    Args:
        name: As in the registry.
        root: Folder that the paths of the index start from.
        split: Its part, as in the registry.
        index: The annotations.
    """

    def __init__(self, name: str, root: Path, split: str, index: AnnotationIndex) -> None:
        self.name, self.root, self.split, self.index = name, root, split, index

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """(key, reason) of what the benchmark lists and the data on disk do not give."""
        return self.index.left_out

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, place: int) -> HandSample:
        """The sample at a place, in the official order; negative places count from the end.

        Raises:
            DataError: Its picture is missing, broken or of another size.
        """
        row = place + len(self) if place < 0 else place
        if not 0 <= row < len(self):
            raise IndexError(f"Sample {place} of {len(self)}.")
        index = self.index
        key = str(index.keys[row])
        height, width = (int(pixels) for pixels in index.size[row])
        return HandSample(
            key=key,
            image=read_frame(self.root / str(index.images[row]), (height, width), key),
            K=index.K[row],
            side="left" if index.sides[row] == "left" else "right",
            joints_cam=index.joints_cam[row],
            joints_img=index.joints_img[row],
            bbox_xyxy=index.bbox_xyxy[row],
            vertices_cam=index.vertices_of(row),
            pose=_if_known(index.pose[row]),
            betas=_if_known(index.betas[row]),
            translation=_if_known(index.translation[row]),
        )

    def __iter__(self) -> Iterator[HandSample]:
        return (self[place] for place in range(len(self)))

    def __str__(self) -> str:
        without = f", {len(self.left_out)} left out" if self.left_out else ""
        return f"{self.name} {self.split} ({len(self)} hands{without})"


def sequence_of(key: str) -> str:
    """The recording that a sample belongs to: its key without the frame."""
    return key.rpartition("/")[0]


def open_indexed(
    name: str,
    root: Path,
    split: str,
    build: Callable[[], AnnotationIndex],
    inputs: Iterable[Path],
    reader_version: int,
    hands: Hands,
) -> IndexedDataset:
    """A data set from the cached index, or from a new one where there is none, it is broken, or the data have changed since.

    Args:
        name: As in the registry.
        root: Of the data set.
        split: As in the registry.
        build: Reads the annotations; takes minutes for a large data set.
        inputs: Files and folders that decide what `build` gives. A change is known by size and time of a file, and by time of a folder,
            which changes when a file in it comes, goes or is replaced.
        reader_version: Raised whenever `build` gives something else for the same data.
        hands: The layers whose numbers are in the index.

    Raises:
        DataError: No sample is left.
    """
    identity = json.dumps([name, split, os.fspath(root.resolve()), reader_version, _FORMAT, _digest_of_hands(hands)])
    path = cache_dir() / "indices" / f"{name}-{split}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"
    state = _state_of(inputs, root)
    index = _read_cache(path, state)
    if index is None:
        index = build()
        _write_cache(path, state, index)
    first = ": ".join(index.left_out[0]) if index.left_out else "its lists are empty."
    if not len(index):
        raise DataError(f"{name} {split} in {root}: no sample is left; {first} Is it the whole data set, and unpacked here?")
    if index.left_out:
        counts = f"{len(index.left_out)} of {index.official_length}"
        logger.warning("%s %s in %s: %s entries are left out, the first is %s", name, split, root, counts, first)
    return IndexedDataset(name, root, split, index)


def check_root(root: Path, title: str, expected: Sequence[str]) -> None:
    """See that a folder holds what a data set does.

    Args:
        root: What the user gave.
        title: Of the data set.
        expected: Names of files or folders in it.

    Raises:
        DataError: Something is missing; says what was found, and where the data set seems to lie instead.
    """
    missing = [name for name in expected if not (root / name).exists()]
    if not missing:
        return
    wanted = f"the folder of {title}, which holds {', '.join(expected)}"
    if not root.is_dir():
        raise DataError(f"No folder {root}. Give {wanted}.")
    names = sorted(path.name for path in root.iterdir())
    inside = next((name for name in names if all((root / name / part).exists() for part in expected)), None)
    listed = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"
    hint = f"It seems to be {root / inside}." if inside else f"Give {wanted}; if it is, unpack it again."
    raise DataError(f"{root} is not {title}: no {' and no '.join(missing)}; found {listed}. {hint}")


def read_frame(path: Path, size: tuple[int, int], key: str) -> UInt8[np.ndarray, "height width 3"]:
    """A picture as it was annotated: RGB, not turned by its EXIF tag.

    Args:
        path: A JPEG or PNG file.
        size: Expected height and width; anything else is refused before it is decoded.
        key: Of the sample, for errors.

    Raises:
        DataError: Missing, broken, or of another size.
    """
    again = "Copy or unpack it again."
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as opened:
            if opened.size != size[::-1]:
                found = f"{opened.width} x {opened.height}"
                raise DataError(f"Sample {key}: {path} is {found} pixels, expected {size[1]} x {size[0]}. {again}")
            return np.array(opened.convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"Sample {key}: no picture at {path}. {again}") from None
    except DataError:
        raise
    except BROKEN_PICTURE as error:
        reason = " ".join(str(error).split())
        raise DataError(f"Sample {key}: {path} cannot be decoded ({reason}), expected a whole JPEG or PNG picture. {again}") from None


def _if_known(numbers: np.ndarray) -> np.ndarray | None:
    return None if np.isnan(numbers).any() else numbers


def _digest_of_hands(hands: Hands) -> dict[str, str]:
    """Of the arrays that poses and translations are made with."""
    digests = {}
    for side, layer in sorted(hands.items()):
        arrays = (layer.hands_mean, layer.hands_components, layer.joint_template, layer.joint_directions)
        numbers = torch.cat([array.flatten() for array in arrays])
        digests[str(side)] = hashlib.sha256(numbers.float().cpu().numpy().tobytes()).hexdigest()
    return digests


def _state_of(paths: Iterable[Path], root: Path) -> str:
    """What can be known of files and folders without reading them, as one line to compare; the same however the root is written."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            stat = path.stat()
            known = [os.path.relpath(path, root), 0 if path.is_dir() else stat.st_size, stat.st_mtime_ns]
        except OSError:
            known = [os.path.relpath(path, root), "missing"]
        digest.update(json.dumps(known).encode())
    return digest.hexdigest()


def _read_cache(path: Path, state: str) -> AnnotationIndex | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["state"]) != state:
                logger.info("The data have changed since %s was written; reading the annotations again.", path)
                return None
            names = {field.name for field in fields(AnnotationIndex)} & set(arrays.files)
            content = {name: arrays[name] for name in names - {"left_out", "official_length"}}
            left_out = tuple((str(key), str(reason)) for key, reason in arrays["left_out"])
            return AnnotationIndex(**content, official_length=int(arrays["official_length"]), left_out=left_out)
    except FileNotFoundError:
        return None
    except BROKEN_ARCHIVE as error:
        logger.warning("The cache file %s is broken (%s); reading the annotations again.", path, " ".join(str(error).split()))
        return None


def _write_cache(path: Path, state: str, index: AnnotationIndex) -> None:
    content = {field.name: getattr(index, field.name) for field in fields(index)}
    content["left_out"] = np.array(index.left_out, dtype=np.str_).reshape(-1, 2)
    try:
        with atomic_path(path) as temporary:
            np.savez(temporary, state=state, **{name: value for name, value in content.items() if value is not None})
    except OSError as error:
        logger.warning("The index cannot be kept in %s (%s); the annotations will be read again next time.", path, error.strerror)
