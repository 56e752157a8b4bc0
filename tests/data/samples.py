"""Small made-up samples: the right shapes and types, consistent projections, no rendering."""

import struct
import zlib

import numpy as np

from occhand.types import HandSample, Occlusion


def make_sample(seed: int, index: int, size: int = 32) -> HandSample:
    """A function of its arguments alone, with the signature of the generator."""
    rng = np.random.default_rng([seed, index])
    joints_cam = rng.normal((0, 0, 0.6), 0.04, (21, 3))
    K = np.array([[1.5 * size, 0, size / 2], [0, 1.5 * size, size / 2], [0, 0, 1]])
    projected = joints_cam @ K.T
    joints_img = projected[:, :2] / projected[:, 2:]
    labels = rng.integers(0, 5, (size, size)).astype(np.uint8)
    truth = Occlusion(
        joints_by_self=rng.random(21) < 0.2,
        joints_by_other=rng.random(21) < 0.3,
        vertices_by_self=rng.random(778) < 0.2,
        vertices_by_other=rng.random(778) < 0.3,
        ratio=float(rng.random()),
        labels=labels,
        depth=np.where(labels > 0, rng.uniform(0.4, 0.8, (size, size)), np.inf).astype(np.float32),
        contacts=np.flatnonzero(rng.random(778) < 0.05),
        object_name="mug",
    )
    return HandSample(
        key=f"{seed}-{index:06d}",
        image=rng.integers(0, 256, (size, size, 3)).astype(np.uint8),
        K=K,
        side="left" if index % 2 else "right",
        joints_cam=joints_cam,
        joints_img=joints_img,
        bbox_xyxy=np.concatenate([joints_img.min(0), joints_img.max(0)]),
        vertices_cam=rng.normal(0, 0.04, (778, 3)).astype(np.float32),
        pose=rng.normal(0, 0.4, 48),
        betas=rng.normal(0, 1, 10),
        translation=rng.normal(0, 0.1, 3),
        occlusion=truth,
    )


def png_header_only(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be width x height."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")


def assert_same(first: HandSample, second: HandSample) -> None:
    """Equal in every field to the last bit, depth to the step of its file."""
    for name in HandSample.__dataclass_fields__:
        if name != "occlusion":
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert (first.occlusion is None) == (second.occlusion is None)
    if first.occlusion is not None:
        for name in Occlusion.__dataclass_fields__:
            if name != "depth":
                np.testing.assert_array_equal(getattr(first.occlusion, name), getattr(second.occlusion, name), err_msg=name)
        np.testing.assert_allclose(first.occlusion.depth, second.occlusion.depth, rtol=0, atol=0.5 / 2**14 + 1e-7)
