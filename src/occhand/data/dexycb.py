"""DexYCB as downloaded (Chao et al., CVPR 2021): the splits S0 to S3, in the order of the official results file.

Labels are in the frame of their camera, OpenCV axes, metres, house order. Poses are 45 PCA coefficients of the hand's own MANO model,
right or left, so axis-angle needs that model.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from jaxtyping import Float, Float32, Int

from occhand.data.index import AnnotationIndex, Hands, IndexedDataset, Progress, check_root, open_indexed
from occhand.data.npz import NpzArrays
from occhand.data.record import DataError
from occhand.types import SIDES, Side

SUBJECTS = (
    *("20200709-subject-01", "20200813-subject-02", "20200820-subject-03", "20200903-subject-04", "20200908-subject-05"),
    *("20200918-subject-06", "20200928-subject-07", "20201002-subject-08", "20201015-subject-09", "20201022-subject-10"),
)
SERIALS = (
    *("836212060125", "839512060362", "840412060917", "841412060263"),
    *("932122060857", "932122060861", "932122061900", "932122062010"),
)
"""The cameras in the order that the splits count them in."""
SEQUENCES_PER_SUBJECT = 100
IMAGE_SIZE = (480, 640)

_LABEL_SHAPES = {"joint_3d": (21, 3), "joint_2d": (21, 2), "pose_m": (51,)}
"""Of one hand, float32. `pose_m`: 3 of the root, 45 PCA coefficients, 3 of translation."""
_MAX_FRAMES = 10_000
"""Of a sequence; real ones have about 70."""
_MAX_YAML_BYTES = 1 << 20
_MAX_LABEL_BYTES = 1 << 23
_THREADS = 8
"""A label takes 0.6 ms of work, and on a disk or a network more of waiting."""
_READER_VERSION = 1
_AGAIN = "Copy it from the original again."

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """What a split takes: ranks of subjects, of each subject's sequences in sorted order, and of cameras."""

    subjects: tuple[int, ...] = tuple(range(len(SUBJECTS)))
    sequences: tuple[int, ...] = tuple(range(SEQUENCES_PER_SUBJECT))
    cameras: tuple[int, ...] = tuple(range(len(SERIALS)))


def _sequences(is_in: Callable[[int], bool]) -> tuple[int, ...]:
    return tuple(rank for rank in range(SEQUENCES_PER_SUBJECT) if is_in(rank))


PARTS = {
    "s0_train": Part(sequences=_sequences(lambda rank: rank % 5 != 4)),
    "s0_val": Part(subjects=(0, 1), sequences=_sequences(lambda rank: rank % 5 == 4)),
    "s0_test": Part(subjects=(2, 3, 4, 5, 6, 7, 8, 9), sequences=_sequences(lambda rank: rank % 5 == 4)),
    "s1_train": Part(subjects=(0, 1, 2, 3, 4, 5, 9)),
    "s1_val": Part(subjects=(6,)),
    "s1_test": Part(subjects=(7, 8)),
    "s2_train": Part(cameras=(0, 1, 2, 3, 4, 5)),
    "s2_val": Part(cameras=(6,)),
    "s2_test": Part(cameras=(7,)),
    "s3_train": Part(sequences=_sequences(lambda rank: rank // 5 not in (3, 7, 11, 15, 19))),
    "s3_val": Part(sequences=_sequences(lambda rank: rank // 5 in (3, 19))),
    "s3_test": Part(sequences=_sequences(lambda rank: rank // 5 in (7, 11, 15))),
}
"""The official splits by repetition (S0), subject (S1), camera (S2) and grasped object (S3); a subject grasps each object five times."""
SPLITS = tuple(f"{part}{side}" for part in PARTS for side in ("", "_right", "_left"))


def open_dexycb(root: Path, split: str, hands: Hands, progress: Progress | None = None) -> IndexedDataset:
    """A split, or only its right or left hands.

    Frames without a visible hand, or without annotation, are no samples, but count in `official_index`, as in the official results file.
    Joints and boxes need no MANO; poses are NaN for the sides that `hands` does not have.

    Args:
        root: Folder with `20200709-subject-01` and `calibration`.
        split: One of `SPLITS`.
        hands: The user's MANO layers. Right and left poses each need their own.
        progress: Told of the frames read; the first opening of a split takes minutes.

    Raises:
        DataError: Not the data set's root; `meta.yml` or calibration missing or broken; no frame left.
    """
    setup, stage, *sides = split.split("_")
    part = PARTS[f"{setup}_{stage}"]
    check_root(root, "DexYCB", ("calibration", *(SUBJECTS[subject] for subject in part.subjects)))
    folders = _list_sequences(root, part)
    inputs = [_intrinsics_path(root, camera) for camera in part.cameras] + sorted(root.glob("calibration/mano_*/mano.yml"))
    inputs += [root / folder / item for folder in folders for item in ("meta.yml", *(SERIALS[camera] for camera in part.cameras))]

    def build() -> AnnotationIndex:
        sequences = _read_sequences(root, folders)
        return _build_index(root, list(_views(sequences, part.cameras)), sides or SIDES, hands, progress)

    # A left hand's model changes nothing of a split of right hands, and should not have it read again.
    hands = {side: hand for side, hand in hands.items() if side in (sides or SIDES)}
    dataset = open_indexed("dexycb", root, split, build, inputs, _READER_VERSION, hands)
    for side in sorted(set(np.unique(dataset.index.sides).tolist()) - hands.keys()):
        logger.warning("DexYCB: poses of %s hands are unknown, since they need your MANO_%s.pkl; joints do not.", side, side.upper())
    return dataset


@dataclass(frozen=True)
class _Sequence:
    """What `meta.yml` and the calibration say of a recording of one hand."""

    folder: str
    side: Side
    num_frames: int
    betas: Float[np.ndarray, "10"]


class _View(NamedTuple):
    """The frames of one camera of one sequence."""

    sequence: _Sequence
    camera: int
    first_index: int
    """Place of its first frame in the official results file."""

    @property
    def folder(self) -> str:
        return f"{self.sequence.folder}/{SERIALS[self.camera]}"


class _Labels(NamedTuple):
    """The frames of a view that show a hand, and those that cannot be read."""

    frames: Int[np.ndarray, "frames"]
    joints_cam: Float32[np.ndarray, "frames 21 3"]
    joints_img: Float32[np.ndarray, "frames 21 2"]
    encoded: Float32[np.ndarray, "frames 51"]
    """`pose_m`."""
    left_out: list[tuple[str, str]]


def _list_sequences(root: Path, part: Part) -> list[str]:
    """The folders of a part's sequences in their order.

    Raises:
        DataError: A subject without its 100 sequences: the splits would be others.
    """
    found = []
    for subject in part.subjects:
        folder = root / SUBJECTS[subject]
        names = sorted(item.name for item in os.scandir(folder) if re.fullmatch(r"\d{8}_\d{6}", item.name) and item.is_dir())
        if len(names) != SEQUENCES_PER_SUBJECT:
            raise DataError(
                f"{folder} has {len(names)} sequences, expected {SEQUENCES_PER_SUBJECT}: splits go by their rank. Unpack this subject "
                "again; of sequences that you go without, leave meta.yml."
            )
        found += [f"{SUBJECTS[subject]}/{names[rank]}" for rank in part.sequences]
    return found


def _read_sequences(root: Path, folders: Sequence[str]) -> list[_Sequence]:
    betas: dict[str, np.ndarray] = {}  # 1,000 sequences share 20
    sequences = []
    for folder in folders:
        side, calibration, num_frames = _read_meta(root / folder / "meta.yml")
        if calibration not in betas:
            betas[calibration] = _read_betas(root / "calibration" / f"mano_{calibration}" / "mano.yml")
        sequences.append(_Sequence(folder, side, num_frames, betas[calibration]))
    return sequences


def _read_meta(path: Path) -> tuple[Side, str, int]:
    """Side of the hand, name of its calibration, number of frames."""
    meta = _read_yaml(path)
    try:
        (side,), (calibration,), num_frames = meta["mano_sides"], meta["mano_calib"], int(meta["num_frames"])
        is_usable = side in SIDES and re.fullmatch(r"[\w-]+", calibration) and 0 <= num_frames <= _MAX_FRAMES
    except (KeyError, TypeError, ValueError):
        is_usable = False
    if not is_usable:
        raise DataError(f"{path} does not name one of mano_sides, one of mano_calib and num_frames. {_AGAIN}")
    return side, calibration, num_frames


def _read_betas(path: Path) -> Float[np.ndarray, "10"]:
    content = _read_yaml(path)
    try:
        betas = np.array(content["betas"], dtype=np.float64)
        is_usable = betas.shape == (10,) and np.isfinite(betas).all()
    except (KeyError, TypeError, ValueError):
        is_usable = False
    if not is_usable:
        raise DataError(f"{path} does not hold 10 finite betas. {_AGAIN}")
    return betas


def _intrinsics_path(root: Path, camera: int) -> Path:
    return root / "calibration" / "intrinsics" / f"{SERIALS[camera]}_{IMAGE_SIZE[1]}x{IMAGE_SIZE[0]}.yml"


def _read_intrinsics(root: Path, camera: int) -> Float[np.ndarray, "3 3"]:
    path = _intrinsics_path(root, camera)
    content = _read_yaml(path)
    try:
        fx, fy, cx, cy = (float(content["color"][name]) for name in ("fx", "fy", "ppx", "ppy"))
        is_usable = fx > 0 and fy > 0 and np.isfinite([fx, fy, cx, cy]).all()
    except (KeyError, TypeError, ValueError):
        is_usable = False
    if not is_usable:
        raise DataError(f"{path} does not hold fx, fy, ppx and ppy of the colour camera. {_AGAIN}")
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _read_yaml(path: Path) -> Any:
    """Lists, mappings and text: no object is made and no type guessed, since YAML takes the id 20200702_151821 for a number."""
    try:
        if path.stat().st_size > _MAX_YAML_BYTES:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes, expected a few lines. {_AGAIN}")
        # The loader in C is 14 times faster; wheels of PyYAML have it.
        return yaml.load(path.read_bytes(), Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    except FileNotFoundError:
        raise DataError(f"{path} is missing; samples cannot be placed without it. {_AGAIN}") from None
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}). {_AGAIN}") from None


def _views(sequences: Sequence[_Sequence], cameras: Sequence[int]) -> Iterator[_View]:
    """In the official order: sequences, then cameras, then frames; frames without a hand count."""
    first = 0
    for sequence in sequences:
        for camera in cameras:
            yield _View(sequence, camera, first)
            first += sequence.num_frames


def _build_index(root: Path, views: list[_View], sides: Sequence[str], hands: Hands, progress: Progress | None) -> AnnotationIndex:
    official_length = sum(view.sequence.num_frames for view in views)
    views = [view for view in views if view.sequence.side in sides]
    if not views:
        raise DataError(f"{root} has no sequence of a {' or '.join(sides)} hand in this split. {_AGAIN}")
    labels = _read_all(root, views, progress)
    frames, joints_cam, joints_img, encoded = (np.concatenate([found[column] for found in labels]) for column in range(4))
    of_view = np.repeat(np.arange(len(views)), [len(found.frames) for found in labels])
    of_sample = [views[place] for place in of_view]
    sides_found = np.array([view.sequence.side for view in of_sample], dtype="<U5")
    intrinsics = {camera: _read_intrinsics(root, camera) for camera in sorted({view.camera for view in views})}
    return AnnotationIndex(
        keys=np.array([f"{view.folder}/{frame:06d}" for view, frame in zip(of_sample, frames, strict=True)], dtype=np.str_),
        images=np.array([f"{view.folder}/color_{frame:06d}.jpg" for view, frame in zip(of_sample, frames, strict=True)], dtype=np.str_),
        sides=sides_found,
        size=np.tile(np.array(IMAGE_SIZE), (len(frames), 1)),
        official_index=np.array([view.first_index for view in views])[of_view] + frames,
        official_length=official_length,
        K=np.array([intrinsics[view.camera] for view in views])[of_view],
        joints_cam=joints_cam,
        joints_img=joints_img,
        bbox_xyxy=np.concatenate([joints_img.min(1), joints_img.max(1)], axis=1),
        pose=_decode_poses(encoded[:, :48], sides_found, hands),
        betas=np.array([view.sequence.betas for view in views], dtype=np.float32)[of_view],
        translation=encoded[:, 48:],
        left_out=tuple(entry for found in labels for entry in found.left_out),
    )


def _decode_poses(encoded: Float32[np.ndarray, "n 48"], sides: np.ndarray, hands: Hands) -> Float32[np.ndarray, "n 48"]:
    """Root axis-angle and 45 PCA coefficients to 48 numbers of axis-angle, the side's mean pose included; NaN without the side's hand."""
    pose = np.full_like(encoded, np.nan)
    for side, hand in hands.items():
        rows = sides == side
        components, mean = hand.hands_components.cpu().numpy(), hand.hands_mean.cpu().numpy()
        pose[rows] = np.concatenate([encoded[rows, :3], encoded[rows, 3:] @ components + mean], axis=1)
    return pose


def _read_all(root: Path, views: list[_View], progress: Progress | None) -> list[_Labels]:
    done, total = 0, sum(view.sequence.num_frames for view in views)
    labels = []
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for view, found in zip(views, pool.map(partial(_read_view, root), views), strict=True):
            labels.append(found)
            done += view.sequence.num_frames
            if progress is not None:
                progress(done, total)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupted run does not go on reading
    return labels


def _read_view(root: Path, view: _View) -> _Labels:
    try:
        names = {entry.name for entry in os.scandir(root / view.folder)}
    except OSError:
        names = set()
    frames, labels, left_out = [], [], []
    for frame in range(view.sequence.num_frames):
        missing = [name for name in (f"labels_{frame:06d}.npz", f"color_{frame:06d}.jpg") if name not in names]
        try:
            if missing:
                raise DataError(f"{root / view.folder / missing[0]} is missing. {_AGAIN}")
            label = _read_label(root / view.folder / f"labels_{frame:06d}.npz")
        except DataError as error:
            left_out.append((f"{view.folder}/{frame:06d}", str(error)))
            continue
        if label is not None:
            frames.append(frame)
            labels.append(label)
    joints_cam, joints_img, encoded = (
        np.array([label[name] for label in labels], np.float32).reshape(-1, *shape) for name, shape in _LABEL_SHAPES.items()
    )
    return _Labels(np.array(frames, np.int64), joints_cam, joints_img, encoded, left_out)


def _read_label(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of `_LABEL_SHAPES`; None where no hand is visible, or nobody annotated it.

    Raises:
        DataError: The file cannot be used.
    """
    try:
        if path.stat().st_size > _MAX_LABEL_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes, expected some thousands")
        arrays = NpzArrays(path.read_bytes())
        label = {name: arrays.read(name, np.float32, (1, *shape))[0] for name, shape in _LABEL_SHAPES.items()}
        if not all(np.isfinite(numbers).all() for numbers in label.values()):
            raise ValueError("a number in it is not finite")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be used: {error}. {_AGAIN}") from None
    return None if (label["joint_3d"] == -1).all() else label
