"""One sample as files and back: the picture, `.json` for what is small, `.npz` for what is dense.

What is read may come from anyone, so every size, type and shape is checked before it is used and nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from occhand.broken_files import BROKEN_ARCHIVE
from occhand.data.npz import NpzArrays
from occhand.image_io import BROKEN_PICTURE, MAX_PIXELS, encode_jpeg
from occhand.types import SIDES, HandSample, Occlusion

SCHEMA_VERSION = 1
"""Of the files of a sample and of the manifest; a reader refuses others."""
MAX_MEMBER_BYTES = 1 << 28
"""No file of a sample is near it; a larger one is refused before it is read."""

_NUMBERS = {"K": (3, 3), "joints_cam": (21, 3), "joints_img": (21, 2), "bbox_xyxy": (4,)}
_OPTIONAL_NUMBERS = {"pose": (48,), "betas": (10,), "translation": (3,)}
_NPY_VERSION = (1, 0)
_ZIP_LEVEL, _PNG_LEVEL = 1, 1
"""Level 6 makes a sample 8 % smaller and its writing 2.5 times slower."""
_DEPTH_STEPS = 2**14
"""Per metre: depth is kept to 0.03 mm, which compresses to half of what all of its bits do."""


class DataError(ValueError):
    """Data on disk that cannot be used, in one line: what was found, what was expected, the next step."""


def encode_sample(sample: HandSample, jpeg_quality: int | None = None) -> dict[str, bytes]:
    """The files of a sample by suffix, the same bytes for the same sample.

    Args:
        sample: What to write; `vertices_cam` is kept as float32, depth to 0.03 mm, other numbers as float64.
        jpeg_quality: None keeps every pixel (PNG); a number from 1 to 95 makes the picture a JPEG, about 8 times smaller.
    """
    files = {"png": _encode_png(sample.image)} if jpeg_quality is None else {"jpg": encode_jpeg(sample.image, jpeg_quality, is_sharp=True)}
    files["json"] = json.dumps(_annotation(sample), separators=(",", ":"), allow_nan=False).encode()
    if dense := _dense_arrays(sample):
        files["npz"] = _encode_npz(dense)
    return files


def decode_sample(key: str, files: Mapping[str, bytes], is_sparse: bool = False) -> HandSample:
    """A sample from its files.

    Args:
        key: Of the sample.
        files: By suffix.
        is_sparse: Leave out what is dense: the mesh, and of the truth about occlusion all but the joints and the ratio (its other arrays
            are empty). A quarter of the time, and all that training needs.

    Raises:
        DataError: A file is missing, broken, of another schema, or disagrees with the others.
    """
    try:
        return _decode(key, files, is_sparse)
    except DataError as error:
        raise DataError(f"Sample {key}: {error}") from None
    except (*BROKEN_ARCHIVE, *BROKEN_PICTURE) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"Sample {key} is broken ({type(error).__name__}: {reason}). Make or copy its shard again.") from None


def _annotation(sample: HandSample) -> dict[str, Any]:
    annotation: dict[str, Any] = {"schema": SCHEMA_VERSION, "key": sample.key, "side": sample.side}
    for name in (*_NUMBERS, *_OPTIONAL_NUMBERS):
        value = getattr(sample, name)
        annotation[name] = None if value is None else np.asarray(value).tolist()
    annotation["occlusion"] = None
    if sample.occlusion is not None:
        annotation["occlusion"] = {
            "ratio": float(sample.occlusion.ratio),
            "object_name": sample.occlusion.object_name,
            "joints_by_self": np.asarray(sample.occlusion.joints_by_self, dtype=bool).tolist(),
            "joints_by_other": np.asarray(sample.occlusion.joints_by_other, dtype=bool).tolist(),
        }
    return annotation


def _dense_arrays(sample: HandSample) -> dict[str, np.ndarray]:
    arrays = {}
    if sample.vertices_cam is not None:
        arrays["vertices_cam"] = np.asarray(sample.vertices_cam, dtype=np.float32)
    if sample.occlusion is not None:
        truth = sample.occlusion
        arrays["vertices_by_self"] = np.asarray(truth.vertices_by_self, dtype=bool)
        arrays["vertices_by_other"] = np.asarray(truth.vertices_by_other, dtype=bool)
        arrays["labels"] = np.asarray(truth.labels, dtype=np.uint8)
        arrays["depth"] = (np.rint(truth.depth * _DEPTH_STEPS) / _DEPTH_STEPS).astype(np.float32)
        arrays["contacts"] = np.asarray(truth.contacts, dtype=np.int32)
    return arrays


def _encode_png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _encode_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """What `numpy.savez_compressed` writes, at a faster level and with fixed headers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), version=_NPY_VERSION, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, so that the bytes say nothing of when
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED, _ZIP_LEVEL)
    return buffer.getvalue()


def _decode(key: str, files: Mapping[str, bytes], is_sparse: bool) -> HandSample:
    pictures = [files[suffix] for suffix in ("png", "jpg") if suffix in files]
    if len(pictures) != 1 or "json" not in files:
        raise DataError(f"expected one picture and one .json, found {sorted(files)}. Make or copy its shard again.")
    annotation = json.loads(files["json"])
    if not isinstance(annotation, dict) or annotation.get("schema") != SCHEMA_VERSION:
        raise DataError(f"no annotation of schema {SCHEMA_VERSION}. Read it with the version of occhand that wrote it, or make it again.")
    if annotation["key"] != key or annotation["side"] not in SIDES:
        raise DataError(f"its .json is of {str(annotation['key'])[:80]!r}, side {str(annotation['side'])[:80]!r}. Make its shard again.")
    if not isinstance(annotation["occlusion"], dict | None):
        raise DataError("its occlusion is no object of JSON. Make its shard again.")
    image = _decode_picture(pictures[0])
    dense = NpzArrays(files["npz"]) if "npz" in files and not is_sparse else None
    optional = {name: shape for name, shape in _OPTIONAL_NUMBERS.items() if annotation[name] is not None}
    numbers = {name: _numbers(annotation, name, shape) for name, shape in (_NUMBERS | optional).items()}
    return HandSample(
        key=key,
        image=image,
        side=annotation["side"],
        **numbers,
        vertices_cam=dense.read("vertices_cam", np.float32, (778, 3)) if dense and "vertices_cam" in dense else None,
        occlusion=None
        if annotation["occlusion"] is None
        else _decode_occlusion(annotation["occlusion"], dense, image.shape[:2], is_sparse),
    )


def _decode_occlusion(truth: Mapping[str, Any], dense: NpzArrays | None, image_shape: tuple[int, ...], is_sparse: bool) -> Occlusion:
    if not 0 <= float(truth["ratio"]) <= 1 or not isinstance(truth["object_name"], str):
        raise DataError("its occlusion ratio or object is out of range. Make its shard again.")
    joints_only = Occlusion(
        joints_by_self=_flags(truth, "joints_by_self"),
        joints_by_other=_flags(truth, "joints_by_other"),
        vertices_by_self=np.empty(0, np.bool_),
        vertices_by_other=np.empty(0, np.bool_),
        ratio=float(truth["ratio"]),
        labels=np.empty((0, 0), np.uint8),
        depth=np.empty((0, 0), np.float32),
        contacts=np.empty(0, np.int32),
        object_name=truth["object_name"],
    )
    if is_sparse:
        return joints_only
    if dense is None:
        raise DataError("its .json tells of occlusion, and it has no .npz. Make or copy its shard again.")
    contacts = dense.read("contacts", np.int32, (-1,))
    if (contacts < 0).any() or (contacts >= 778).any():
        raise DataError("its contacts are out of range. Make its shard again.")
    return replace(
        joints_only,
        vertices_by_self=dense.read("vertices_by_self", np.bool_, (778,)),
        vertices_by_other=dense.read("vertices_by_other", np.bool_, (778,)),
        labels=dense.read("labels", np.uint8, image_shape),
        depth=dense.read("depth", np.float32, image_shape),
        contacts=contacts,
    )


def _decode_picture(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
        if opened.mode != "RGB" or opened.width * opened.height > MAX_PIXELS:
            found = f"{opened.mode}, {opened.width} x {opened.height}"
            raise DataError(f"its picture is {found}; expected RGB, at most {MAX_PIXELS:,} pixels. Make or copy its shard again.")
        return np.array(opened)


def _numbers(annotation: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.array(annotation[name], dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise DataError(f"its {name} is no array of {shape} finite numbers. Make its shard again.")
    return array


def _flags(truth: Mapping[str, Any], name: str) -> np.ndarray:
    array = np.array(truth[name])
    if array.dtype != np.bool_ or array.shape != (21,):
        raise DataError(f"its {name} is no list of 21 booleans. Make its shard again.")
    return array
