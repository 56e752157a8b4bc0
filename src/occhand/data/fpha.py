"""FPHA, the First-Person Hand Action benchmark, as downloaded (Garcia-Hernando et al., CVPR 2018): right hands, joints without a mesh.

Joints come from magnetic sensors, in millimetres of a "world" of which one transform leads to the colour camera. The fits of MANO by
Hasson et al. (CVPR 2020) are read where `fhbhands_fits` lies in the root; without them a sample has joints only.

Protocols, as the authors' page has them:

- `action`: the two lists of `data_split_action_recognition.txt`; HandOccNet's numbers are of this one.
- `subject`: trained on subjects 1, 3 and 4, tested on 2, 5 and 6.
- `objects`: tested on all actions with peanut butter, fork, milk, tea, liquid soap, spray, paper (reading a letter included), calculator,
  phone, coin, card and wine bottle. The page names objects, not actions; `UNSEEN_OBJECT_ACTIONS` is our reading of it: `toast_wine` (a
  glass), `open_letter` and `take_letter_from_enveloppe` are trained on.

All are over the sequences that the lists name, so the three that the authors say they did not use (Subject_2/close_milk/4,
Subject_2/put_tea_bag/2, Subject_4/flip_sponge/2) are in none.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from occhand.data.index import AnnotationIndex, Hands, IndexedDataset, Progress, check_root, open_indexed
from occhand.data.record import DataError
from occhand.geometry.camera import project
from occhand.hand.skeleton import HOUSE_FROM_FPHA
from occhand.pickles import load_plain_dict, plain_numbers

SPLITS = tuple(f"{protocol}_{part}" for protocol in ("action", "subject", "objects") for part in ("train", "test"))
TRAINING_SUBJECTS = ("Subject_1", "Subject_3", "Subject_4")
UNSEEN_OBJECT_ACTIONS = frozenset(
    {
        *("close_peanut_butter", "open_peanut_butter", "prick", "close_milk", "open_milk", "pour_milk", "put_tea_bag"),
        *("close_liquid_soap", "open_liquid_soap", "pour_liquid_soap", "use_flash", "squeeze_paper", "tear_paper", "read_letter"),
        *("use_calculator", "charge_cell_phone", "give_coin", "receive_coin", "give_card", "pour_wine"),
    }
)
"""Actions of the objects that the `objects` protocol tests on."""

K = np.array([[1395.749023, 0.0, 935.732544], [0.0, 1395.749268, 540.681030], [0.0, 0.0, 1.0]])
"""Of the colour camera at its full size, pixels."""
IMAGE_SIZE = (1080, 1920)
CAMERA_FROM_WORLD = np.array(
    [
        [0.999988496304, -0.00468848412856, 0.000982563360594, 25.7],
        [0.00469115935266, 0.999985218048, -0.00273845880292, 1.22],
        [-0.000969709653873, 0.00274303671904, 0.99999576807, 3.902],
    ]
)
"""To the colour camera, OpenCV axes, millimetres; the same for all sequences."""

_PICTURES = {"Video_files": 1, "Video_files_480": 4}
"""Folders of pictures, and by what their size is divided. The smaller copy is the community's; its users divide pixels by 4 as well."""
_SKELETONS = ("Hand_pose_annotation_v1", "Hand_pose_annotation_v1_1")
_FITS = "fhbhands_fits"
_LIST = "data_split_action_recognition.txt"
_FIT_SHAPES = {"fullpose": (48,), "shape": (10,), "trans": (3,)}
_MAX_FILE_BYTES = 1 << 26
_READER_VERSION = 2
_AGAIN = "Copy or unpack it again."
_SEQUENCE = re.compile(r"(Subject_[1-6])/([a-z_]+)/(\d+)")

logger = logging.getLogger(__name__)


class _Folders(NamedTuple):
    """Where the parts of the data set lie, and how much smaller than the annotations its pictures are."""

    pictures: str
    reduction: int
    skeletons: Path
    fits: Path | None


class _Recording(NamedTuple):
    """One sequence of the lists: subject/action/repetition."""

    name: str
    num_frames: int


def open_fpha(root: Path, split: str, hands: Hands, progress: Progress | None = None) -> IndexedDataset:
    """A split of a protocol; the order is that of the lists, then of frames.

    Pose and shape are those of Hasson's fits (`fhbhands_fits/<sequence>/pkls.pkl`), NaN without. The full pictures are preferred where
    there is a smaller copy, too.

    Args:
        root: Folder with `data_split_action_recognition.txt`, `Subjects_info`, `Hand_pose_annotation_v1` and `Video_files`.
        split: One of `SPLITS`.
        hands: Not needed: the fits are of axis-angle with the mean pose included.
        progress: Told of the frames read.

    Raises:
        DataError: Not the data set's root, a broken list, no frame left. Sequences whose skeleton is missing or broken, and frames
            without picture, are in `left_out`. Frames after the last of a skeleton are no samples: of some sequences it is empty, as
            published.
    """
    folders = _find_folders(root)
    recordings = _recordings(root, split)
    inputs = [root / _LIST, *sorted((root / "Subjects_info").glob("*.txt"))]
    for recording in recordings:
        inputs += [folders.skeletons / recording.name / "skeleton.txt", root / folders.pictures / recording.name / "color"]
        inputs += [] if folders.fits is None else [folders.fits / recording.name / "pkls.pkl"]
    if folders.fits is None:
        logger.warning("FPHA: no %s in %s, so that samples have joints only: no pose, no shape.", _FITS, root)
    return open_indexed("fpha", root, split, lambda: _build_index(root, folders, recordings, progress), inputs, _READER_VERSION, {})


def _find_folders(root: Path) -> _Folders:
    check_root(root, "FPHA", (_LIST, "Subjects_info"))
    skeletons = next((root / name for name in _SKELETONS if (root / name).is_dir()), None)
    pictures = next((name for name in _PICTURES if (root / name).is_dir()), None)
    if skeletons is None or pictures is None:
        missing = " or ".join(_SKELETONS if skeletons is None else _PICTURES)
        raise DataError(f"{root} has no {missing}. Unpack it there; the other parts of FPHA are not needed.")
    fits = root / _FITS
    return _Folders(pictures, _PICTURES[pictures], skeletons, fits if fits.is_dir() else None)


def _recordings(root: Path, split: str) -> list[_Recording]:
    lists = read_action_lists(root / _LIST)
    protocol, _, part = split.partition("_")
    names = lists[part] if protocol == "action" else [name for name in (*lists["train"], *lists["test"]) if part_of(name, protocol) == part]
    lengths = _read_lengths(root / "Subjects_info", sorted({name.partition("/")[0] for name in names}))
    unknown = [name for name in names if name not in lengths]
    if unknown:
        raise DataError(f"{root / 'Subjects_info'} does not tell the length of {unknown[0]} ({len(unknown)} are missing). {_AGAIN}")
    return [_Recording(name, lengths[name]) for name in names]


def part_of(name: str, protocol: str) -> str:
    """`train` or `test`: the part of a sequence `Subject_1/put_salt/1` in the `subject` or the `objects` protocol."""
    subject, action, _ = name.split("/")
    is_training = subject in TRAINING_SUBJECTS if protocol == "subject" else action not in UNSEEN_OBJECT_ACTIONS
    return "train" if is_training else "test"


def read_action_lists(path: Path) -> dict[str, list[str]]:
    """The sequences of `data_split_action_recognition.txt`, in order.

    Raises:
        DataError: A line that names no sequence, or fewer lines than announced. One fewer is fine: copies differ in whether they hold the
            discarded Subject_5/use_flash/6.
    """
    lists: dict[str, list[str]] = {"train": [], "test": []}
    announced = {"train": 0, "test": 0}
    part = ""
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        words = line.split()
        if len(words) == 2 and words[0] in ("Training", "Test") and words[1].isdecimal():
            part = "train" if words[0] == "Training" else "test"
            announced[part] = int(words[1])
        elif words and part and _SEQUENCE.fullmatch(words[0]):
            lists[part].append(words[0])
        elif words:
            raise DataError(f"{path}, line {number}: {line[:60]!r}; expected 'Training 600' or 'Subject_1/use_flash/3 24'. {_AGAIN}")
    for part, names in lists.items():
        if not names or announced[part] - len(names) > 1:
            raise DataError(f"{path} lists {len(names)} {part} sequences and announces {announced[part]}. {_AGAIN}")
    return lists


def _read_lengths(folder: Path, subjects: Sequence[str]) -> dict[str, int]:
    """Number of frames by sequence, from rows of action, repetition, frames below three lines of heading."""
    lengths = {}
    for subject in subjects:
        path = folder / f"{subject}_info.txt"
        for line in _read_text(path).splitlines()[3:]:
            words = line.split()
            if len(words) == 3 and words[1].isdecimal() and words[2].isdecimal() and len(words[2]) < 6:
                lengths[f"{subject}/{words[0]}/{words[1]}"] = int(words[2])
            elif words:
                raise DataError(f"{path}: {line[:60]!r}; expected action, repetition and number of frames. {_AGAIN}")
    return lengths


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes, expected less than {_MAX_FILE_BYTES:,}. {_AGAIN}")
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise DataError(f"{path} cannot be read ({reason}). {_AGAIN}") from None


class _Frames(NamedTuple):
    """The frames of a recording that can be used, and those that cannot."""

    numbers: Int[np.ndarray, "frames"]
    joints_cam: Float[np.ndarray, "frames 21 3"]
    fits: Float[np.ndarray, "frames 61"]
    """48 of pose, 10 of shape, 3 of translation; NaN without."""
    left_out: list[tuple[str, str]]


def _build_index(root: Path, folders: _Folders, recordings: Sequence[_Recording], progress: Progress | None) -> AnnotationIndex:
    total, done = sum(recording.num_frames for recording in recordings), 0
    keys, images, places, found = [], [], [], []
    for recording in recordings:
        frames = _read_recording(root, folders, recording)
        found.append(frames)
        for number in frames.numbers.tolist():
            keys.append(f"{recording.name}/{number:04d}")
            images.append(f"{folders.pictures}/{recording.name}/color/{_picture_name(number)}")
        places.append(done + frames.numbers)
        done += recording.num_frames
        if progress is not None:
            progress(done, total)
    height, width = IMAGE_SIZE
    index = AnnotationIndex.blank(keys, images, (height // folders.reduction, width // folders.reduction))
    index.official_index[:] = np.concatenate(places)
    index.joints_cam[:] = np.concatenate([frames.joints_cam for frames in found])
    index.K[:] = K
    index.K[:, :2] /= folders.reduction
    index.joints_img[:] = project(torch.from_numpy(index.joints_cam), torch.from_numpy(index.K)).numpy()
    index.bbox_xyxy[:] = np.concatenate([index.joints_img.min(1), index.joints_img.max(1)], axis=1)
    fits = np.concatenate([frames.fits for frames in found])
    index.pose[:], index.betas[:], index.translation[:] = fits[:, :48], fits[:, 48:58], fits[:, 58:]
    return replace(index, official_length=total, left_out=tuple(entry for frames in found for entry in frames.left_out))


def _picture_name(number: int) -> str:
    return f"color_{number:04d}.jpeg"


def _read_recording(root: Path, folders: _Folders, recording: _Recording) -> _Frames:
    path = folders.skeletons / recording.name / "skeleton.txt"
    picture_folder = root / folders.pictures / recording.name / "color"
    try:
        names = {entry.name for entry in os.scandir(picture_folder)}
    except OSError:
        names = set()
    length = recording.num_frames
    try:
        skeletons, reason = _read_skeletons(path), f"{path} has no line for this frame. {_AGAIN}"
        length = min(length, 1 + max(skeletons, default=-1))
    except DataError as error:
        skeletons, reason = {}, str(error)
    numbers, left_out = [], []
    for number in range(length):
        if number in skeletons and _picture_name(number) in names:
            numbers.append(number)
            continue
        is_without_picture = number in skeletons
        why = f"{picture_folder / _picture_name(number)} is missing. {_AGAIN}" if is_without_picture else reason
        left_out.append((f"{recording.name}/{number:04d}", why))
    joints_cam = np.array([skeletons[number] for number in numbers]).reshape(-1, 21, 3)
    return _Frames(np.array(numbers, np.int64), joints_cam, _read_fits(folders.fits, recording.name, numbers), left_out)


def _read_skeletons(path: Path) -> dict[int, Float[np.ndarray, "21 3"]]:
    """Joints by frame, camera frame, metres, house order; none of an empty file.

    Raises:
        DataError: No such file, or a line without a frame and 63 finite numbers.
    """
    lines = [line.split() for line in _read_text(path).splitlines() if line.strip()]
    if not lines:
        return {}
    try:
        rows = np.array(lines, dtype=np.float64)
    except ValueError:
        rows = np.empty((0, 0))
    if rows.shape != (len(lines), 64) or not np.isfinite(rows).all():
        raise DataError(f"{path} has a line that is not of 64 finite numbers: the frame, then x y z of 21 joints. {_AGAIN}")
    world = rows[:, 1:].reshape(-1, 21, 3)[:, list(HOUSE_FROM_FPHA)]
    joints_cam = (world @ CAMERA_FROM_WORLD[:, :3].T + CAMERA_FROM_WORLD[:, 3]) / 1000
    return dict(zip(rows[:, 0].astype(np.int64).tolist(), joints_cam, strict=True))


def _read_fits(folder: Path | None, name: str, numbers: Sequence[int]) -> Float[np.ndarray, "frames 61"]:
    """The fits of these frames, a row of NaN for a frame without; a broken file gives none, and a warning."""
    rows = np.full((len(numbers), sum(length for (length,) in _FIT_SHAPES.values())), np.nan)
    path = None if folder is None else folder / name / "pkls.pkl"
    if path is None or not path.is_file():
        return rows
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ValueError(f"of {path.stat().st_size:,} bytes, expected less than {_MAX_FILE_BYTES:,}")
        content = load_plain_dict(path.read_bytes())
        for row, number in enumerate(numbers):
            if (fit := content.get(f"{number:06d}.pkl")) is not None:
                rows[row] = np.concatenate([plain_numbers(fit[part]).reshape(shape) for part, shape in _FIT_SHAPES.items()])
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        logger.warning("FPHA: %s is not used (%s); expected fullpose, shape and trans by frame. %s", path, reason, _AGAIN)
        rows[:] = np.nan
    return rows
