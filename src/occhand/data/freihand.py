"""FreiHAND v2 as downloaded (Zimmermann et al., ICCV 2019): right hands in OpenCV axes, metres, house order.

Annotations are lists in JSON over the unique samples; the training pictures come in four colour versions of each. `xyz` and `verts` are
the truth: the MANO numbers beside them reproduce these to half a millimetre only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from occhand.data.index import AnnotationIndex, Hands, IndexedDataset, Progress, check_root, open_indexed
from occhand.data.number_lists import read_number_list
from occhand.data.record import DataError
from occhand.geometry.camera import project
from occhand.hand.hand_layer import HandLayer
from occhand.hand.kinematics import chain_transforms
from occhand.hand.skeleton import MANO_JOINT_NAMES

SPLITS = ("train", "evaluation")
IMAGE_SIZE = (224, 224)
COLOUR_VERSIONS = ("gs", "hom", "sample", "auto")
"""Green screen, then three ways of a new background: pictures 0..32559, 32560..65119, and so on."""
UNIQUE_SAMPLES = 32_560
"""Stride between the colour versions of a picture, however many lie on disk."""

_READER_VERSION = 1
_FOLDERS = {"train": "training", "evaluation": "evaluation"}
_SHAPES: dict[str, tuple[int, ...]] = {"K": (3, 3), "xyz": (21, 3), "verts": (778, 3), "mano": (1, 61)}
_ROOT_JOINT = MANO_JOINT_NAMES.index("middle1")
"""The joint that FreiHAND's MANO numbers place in the picture."""
_AGAIN = "Unpack FreiHAND_pub_v2 again."

logger = logging.getLogger(__name__)


def open_freihand(root: Path, split: str, hands: Hands, progress: Progress | None) -> IndexedDataset:
    """A split of FreiHAND. Keys are `<colour version>/<number of the picture>`, in evaluation `evaluation/<number>`.

    Args:
        root: `FreiHAND_pub_v2`.
        split: One of `SPLITS`.
        hands: The right MANO layer gives `pose` and `translation`; all else is known without.
        progress: Called per list while they are read for the first time.

    Raises:
        DataError: Another folder, a list that is broken or of another length than the others. Pictures that are missing are left out and
            named in the data set's `left_out`.
    """
    part = _FOLDERS[split]
    check_root(root, "FreiHAND v2", (f"{part}_K.json", part))
    if "right" not in hands:
        logger.warning("freihand %s: without the right MANO hand no pose is known; give hand=load_hand('mano').", split)

    def build() -> AnnotationIndex:
        lists = _read_lists(root, part, progress)
        versions = COLOUR_VERSIONS if split == "train" else (part,)
        return _fill(root, part, versions, lists, hands.get("right"))

    inputs = [*(root / f"{part}_{name}.json" for name in _SHAPES), root / part / "rgb"]
    return open_indexed("freihand", root, split, build, inputs, _READER_VERSION, hands)


def mano_placement(
    mano: Float[np.ndarray, "N 61"], K: Float[np.ndarray, "N 3 3"], hand: HandLayer
) -> tuple[Float[np.ndarray, "N 48"], Float[np.ndarray, "N 3"]]:
    """Pose with the mean included, and translation, of FreiHAND's numbers: 48 of pose, 10 betas, pixels of the middle knuckle, a scale s.

    The knuckle lies at ((u - cx), (v - cy), f) / s with f the mean focal length.
    """
    uv, scale = mano[:, 58:60], mano[:, 60:]
    focal_px = (K[:, 0, 0] + K[:, 1, 1])[:, None] / 2
    knuckle = np.concatenate([uv - K[:, :2, 2], focal_px], axis=1) / scale
    numbers = torch.from_numpy(mano).to(hand.hands_mean)
    with torch.no_grad():
        rotations = hand.rotations_from_axis_angle(numbers[:, :48], flat_hand_mean=False)
        _, joints = chain_transforms(rotations, hand.rest_joints(numbers[:, 48:58]))
    mean = np.concatenate([np.zeros(3), hand.hands_mean.double().cpu().numpy()])
    return mano[:, :48] + mean, knuckle - joints[:, _ROOT_JOINT].double().cpu().numpy()


def _read_lists(root: Path, part: str, progress: Progress | None) -> dict[str, np.ndarray]:
    """The lists there are. Of the evaluation all but K were released later, and may be missing; of the training MANO and vertices may."""
    lists: dict[str, np.ndarray] = {}
    for number, (name, shape) in enumerate(_SHAPES.items(), start=1):
        path = root / f"{part}_{name}.json"
        if path.exists() or name == "K" or (name == "xyz" and part == "training"):
            lists[name] = read_number_list(path, shape, np.float32 if name == "verts" else np.float64)
            if len(lists[name]) != len(lists["K"]):
                raise DataError(f"{path} has {len(lists[name]):,} entries, {part}_K.json has {len(lists['K']):,}. {_AGAIN}")
        if progress is not None:
            progress(number, len(_SHAPES))
    if part == "training" and len(lists["K"]) > UNIQUE_SAMPLES:
        raise DataError(f"{root / 'training_K.json'} has {len(lists['K']):,} entries, expected {UNIQUE_SAMPLES:,} at most. {_AGAIN}")
    return lists


def _fill(root: Path, part: str, versions: Sequence[str], lists: dict[str, np.ndarray], hand: HandLayer | None) -> AnnotationIndex:
    count = len(lists["K"])
    numbers = [(version, unique + UNIQUE_SAMPLES * k) for k, version in enumerate(versions) for unique in range(count)]
    keys = [f"{version}/{number:08d}" for version, number in numbers]
    images = [f"{part}/rgb/{number:08d}.jpg" for _, number in numbers]
    index = AnnotationIndex.blank(keys, images, IMAGE_SIZE)
    rows = np.tile(np.arange(count), len(versions))
    index.K[:] = lists["K"][rows]
    if "xyz" in lists:
        joints_img = project(torch.from_numpy(lists["xyz"]), torch.from_numpy(lists["K"])).numpy()
        index.joints_cam[:], index.joints_img[:] = lists["xyz"][rows], joints_img[rows]
        index.bbox_xyxy[:] = np.concatenate([joints_img.min(1), joints_img.max(1)], axis=1)[rows]
    else:
        index.bbox_xyxy[:] = (0, 0, IMAGE_SIZE[1] - 1, IMAGE_SIZE[0] - 1)  # the pictures are crops around the hand
    if "mano" in lists:
        mano = lists["mano"][:, 0]
        index.betas[:] = mano[rows, 48:58]
        if hand is not None:
            pose, translation = mano_placement(mano, lists["K"], hand)
            index.pose[:], index.translation[:] = pose[rows], translation[rows]
    if "verts" in lists:
        index = index.with_vertices(lists["verts"], rows)
    folder = root / part / "rgb"
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    is_there = np.array([Path(image).name in there for image in images], dtype=bool)
    missing = [(keys[row], f"no picture at {root / images[row]}. {_AGAIN}") for row in np.flatnonzero(~is_there)]
    return index.take(np.flatnonzero(is_there), missing)
