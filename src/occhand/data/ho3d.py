"""HO-3D v2 and v3 as downloaded (Hampali et al., CVPR 2020 and 2022): right hands, in the order of the benchmark's lists.

Annotations are pickles in OpenGL axes, metres, MANO's joint order. The evaluation split gives the wrist and a box; the truth released
later is used where it lies in the root, in its `evaluation` folder or beside the root in `<root>_evaluation_gt`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from occhand.data.index import AnnotationIndex, Hands, IndexedDataset, Progress, check_root, open_indexed
from occhand.data.number_lists import read_number_list
from occhand.data.record import DataError
from occhand.geometry.camera import flip_opencv_opengl, project
from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from occhand.hand.hand_layer import HandLayer
from occhand.hand.skeleton import HOUSE_FROM_HO3D
from occhand.pickles import load_plain_dict, plain_numbers

Version = Literal["v2", "v3"]
SPLITS = ("train", "evaluation")
IMAGE_SIZE = (480, 640)

_READER_VERSION = 1
_SUFFIXES: dict[Version, str] = {"v2": ".png", "v3": ".jpg"}
_LINE = re.compile(r"[\w-]+/\d{4}")
_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "train": {"camMat": (3, 3), "handJoints3D": (21, 3), "handPose": (48,), "handBeta": (10,), "handTrans": (3,)},
    "evaluation": {"camMat": (3, 3), "handJoints3D": (3,), "handBoundingBox": (4,)},
}
"""What is read of an annotation; the object's keys are not."""
_MAX_META_BYTES = 1 << 22
_MAX_WRIST_ERROR = 0.01
"""Metres between the released truth and the wrist in the annotations, in the median; another order or version is far beyond."""
_READERS = 8
"""Threads: most of the time is waiting where the data lie on a network."""
_AGAIN = "Copy or unpack it again."

logger = logging.getLogger(__name__)


def open_ho3d(root: Path, split: str, hands: Hands, progress: Progress | None, version: Version) -> IndexedDataset:
    """A split of HO-3D.

    Args:
        root: The folder with `train.txt` and `evaluation.txt`.
        split: One of `SPLITS`.
        hands: The right MANO layer gives `translation`; all else is known without.
        progress: Called per annotation while they are read for the first time.
        version: `v2` has PNG pictures, `v3` JPEG.

    Raises:
        DataError: Another folder or version, a broken list, a released truth of another length or order. Frames without annotation or
            picture are left out and named in the data set's `left_out`.
    """
    check_root(root, f"HO-3D {version}", (f"{split}.txt", split))
    keys = _read_list(root / f"{split}.txt")
    sequences = sorted({key.partition("/")[0] for key in keys})
    folders = [root / split / sequence / kind for sequence in sequences for kind in ("rgb", "meta")]
    if split == "train" and "right" not in hands:
        logger.warning("ho3d_%s train: without the right MANO hand no translation is known; give hand=load_hand('mano').", version)

    def build() -> AnnotationIndex:
        return _build(root, split, version, keys, hands.get("right"), progress)

    inputs = [root / f"{split}.txt", *folders, *_truth_places(root, "xyz"), *_truth_places(root, "verts")]
    return open_indexed(f"ho3d_{version}", root, split, build, inputs, _READER_VERSION, hands if split == "train" else {})


def camera_pose(
    pose: Float[np.ndarray, "N 48"], betas: Float[np.ndarray, "N 10"], translation: Float[np.ndarray, "N 3"], hand: HandLayer | None
) -> tuple[Float[np.ndarray, "N 48"], Float[np.ndarray, "N 3"]]:
    """MANO numbers of OpenGL axes in OpenCV axes: pose, and the translation, which is NaN without the hand.

    MANO turns about its own wrist, not about the origin, so the wrist at rest enters the translation: t' = F (J0 + t) - J0.
    """
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    roots = matrix_to_axis_angle(flip @ axis_angle_to_matrix(torch.from_numpy(pose[:, :3]))).numpy()
    if hand is None:
        return np.concatenate([roots, pose[:, 3:]], axis=1), np.full_like(translation, np.nan)
    with torch.no_grad():
        wrist = hand.rest_joints(torch.from_numpy(betas).to(hand.joint_template))[:, 0].double().cpu()
    moved = flip_opencv_opengl(wrist + torch.from_numpy(translation)) - wrist
    return np.concatenate([roots, pose[:, 3:]], axis=1), moved.numpy()


def _read_list(path: Path) -> list[str]:
    """`<sequence>/<frame>` per line. The order is the benchmark's; the folders hold more frames than are listed."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    for number, line in enumerate(lines, start=1):
        if not _LINE.fullmatch(line):
            raise DataError(f"{path}, line {number}: found {line[:40]!r}, expected a sequence and a frame such as ABF10/0000. {_AGAIN}")
    if not lines:
        raise DataError(f"{path} is empty, expected a frame per line such as ABF10/0000. {_AGAIN}")
    return lines


def _build(root: Path, split: str, version: Version, keys: list[str], hand: HandLayer | None, progress: Progress | None) -> AnnotationIndex:
    images = [f"{split}/{key.replace('/', '/rgb/')}{_SUFFIXES[version]}" for key in keys]
    pictures = _pictures(root, split, version, keys)
    index = AnnotationIndex.blank(keys, images, IMAGE_SIZE)
    raw = {name: np.full((len(keys), *shape), np.nan) for name, shape in _SHAPES[split].items()}
    left_out: dict[int, str] = {}

    def read(place: int) -> Mapping[str, np.ndarray] | str:
        if keys[place] not in pictures:
            return f"no picture at {root / images[place]}. {_AGAIN}"
        try:
            return _read_meta(root / split / f"{keys[place].replace('/', '/meta/')}.pkl", _SHAPES[split])
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(_READERS) as pool:
        for place, found in enumerate(pool.map(read, range(len(keys)))):
            if isinstance(found, str):
                left_out[place] = found
            else:
                for name, numbers in found.items():
                    raw[name][place] = numbers
            if progress is not None:
                progress(place + 1, len(keys))

    if split == "train":
        _fill_train(index, raw, hand)
    else:
        index = _fill_evaluation(index, raw, root, version)
    kept = np.array([place for place in range(len(keys)) if place not in left_out], dtype=np.int64)
    return index.take(kept, [(keys[place], reason) for place, reason in left_out.items()])


def _pictures(root: Path, split: str, version: Version, keys: list[str]) -> set[str]:
    """Keys whose picture is there, by listing each folder once."""
    found, others = set(), 0
    for sequence in {key.partition("/")[0] for key in keys}:
        folder = root / split / sequence / "rgb"
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        found |= {f"{sequence}/{name.partition('.')[0]}" for name in names if name.endswith(_SUFFIXES[version])}
        others += len(names)
    if not found and others:
        expected, other = _SUFFIXES[version], "v3" if version == "v2" else "v2"
        raise DataError(
            f"{root} holds no {expected} pictures, expected those of HO-3D {version}. If it is HO-3D {other}, use ho3d_{other}."
        )
    return found


def _read_meta(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The numbers of an annotation.

    Raises:
        DataError: Missing, empty (frames that the authors could not annotate), broken, hostile, or not as expected.
    """
    try:
        if path.stat().st_size > _MAX_META_BYTES:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes, expected some thousands. {_AGAIN}")
        content = load_plain_dict(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"no annotation at {path}. {_AGAIN}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path} is {error}. {_AGAIN}") from None
    if all(content.get(name) is None for name in shapes):
        raise DataError(f"{path} holds no annotation (its fields are None), expected {', '.join(shapes)}. The data set has such frames.")
    return {name: _field(content, name, shape, path) for name, shape in shapes.items()}


def _field(content: Mapping[str, Any], name: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    try:
        numbers = plain_numbers(content.get(name)).astype(np.float64)
    except ValueError as error:
        raise DataError(f"{path}: {name} is no array of numbers ({error}), expected {shape}. {_AGAIN}") from None
    if numbers.shape != shape or not np.isfinite(numbers).all():
        hint = "Is it of the other split?" if name == "handJoints3D" else _AGAIN
        raise DataError(f"{path}: {name} has shape {numbers.shape}, expected {shape} finite numbers. {hint}")
    return numbers


def _fill_train(index: AnnotationIndex, raw: Mapping[str, np.ndarray], hand: HandLayer | None) -> None:
    index.K[:] = raw["camMat"]
    index.joints_cam[:] = _house_joints(raw["handJoints3D"])
    index.joints_img[:] = _projected(index.joints_cam, index.K)
    index.bbox_xyxy[:] = np.concatenate([index.joints_img.min(1), index.joints_img.max(1)], axis=1)
    index.betas[:] = raw["handBeta"]
    index.pose[:], index.translation[:] = camera_pose(raw["handPose"], raw["handBeta"], raw["handTrans"], hand)


def _fill_evaluation(index: AnnotationIndex, raw: Mapping[str, np.ndarray], root: Path, version: Version) -> AnnotationIndex:
    index.K[:] = raw["camMat"]
    index.bbox_xyxy[:] = raw["handBoundingBox"]
    index.joints_cam[:, 0] = _flipped(raw["handJoints3D"])
    vertices = None
    if joints_file := _truth_file(root, "xyz"):
        joints = _house_joints(_read_truth(joints_file, (21, 3), len(index), version))
        distance = np.linalg.norm(joints[:, 0] - index.joints_cam[:, 0], axis=1)
        if np.nanmedian(distance) > _MAX_WRIST_ERROR:
            found = f"its wrists lie {1000 * np.nanmedian(distance):.0f} mm from those of the annotations"
            raise DataError(
                f"{joints_file}: {found}, expected the same. Is it in the order of {root / 'evaluation.txt'}, and of {version}?"
            )
        index.joints_cam[:] = joints
        if vertices_file := _truth_file(root, "verts"):
            vertices = _flipped(_read_truth(vertices_file, (778, 3), len(index), version, np.float32))
    index.joints_img[:] = _projected(index.joints_cam, index.K)
    return index.with_vertices(vertices)


def _truth_places(root: Path, kind: str) -> list[Path]:
    folders = (root, root / "evaluation", root.parent / f"{root.name}_evaluation_gt")
    return [folder / f"evaluation_{kind}.json" for folder in folders]


def _truth_file(root: Path, kind: str) -> Path | None:
    return next((path for path in _truth_places(root, kind) if path.is_file()), None)


def _read_truth(path: Path, shape: tuple[int, ...], count: int, version: Version, dtype: type[np.floating] = np.float64) -> np.ndarray:
    numbers = read_number_list(path, shape, dtype)
    if len(numbers) != count:
        other = "Is it of the other version? " if len(numbers) in (11_524, 20_137) else ""
        hint = f"{other}Take the one released for HO-3D {version}, or move it away to go on without."
        raise DataError(f"{path} has {len(numbers):,} entries, evaluation.txt lists {count:,}. {hint}")
    return numbers


def _house_joints(joints: Float[np.ndarray, "N 21 3"]) -> Float[np.ndarray, "N 21 3"]:
    return _flipped(joints[:, list(HOUSE_FROM_HO3D)])


def _flipped(points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    return flip_opencv_opengl(torch.from_numpy(points)).numpy()


def _projected(joints_cam: Float[np.ndarray, "N 21 3"], K: Float[np.ndarray, "N 3 3"]) -> Float[np.ndarray, "N 21 2"]:
    return project(torch.from_numpy(joints_cam), torch.from_numpy(K)).numpy()
