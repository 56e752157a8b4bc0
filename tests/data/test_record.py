"""A sample survives its files, and files from anyone do no harm."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from occhand.data.record import DataError, decode_sample, encode_sample
from tests.data.samples import assert_same, make_sample, png_header_only

SAMPLE = make_sample(0, 0)
FILES = encode_sample(SAMPLE)


def with_annotation(**changes):
    return FILES | {"json": json.dumps(json.loads(FILES["json"]) | changes).encode()}


def with_occlusion(**changes):
    return with_annotation(occlusion=json.loads(FILES["json"])["occlusion"] | changes)


def with_picture(mode, form="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(SAMPLE.image).convert(mode).save(buffer, form)
    return FILES | {"png": buffer.getvalue()}


def with_arrays(**changes):
    buffer = io.BytesIO()
    np.savez(buffer, **(dict(np.load(io.BytesIO(FILES["npz"]))) | changes))
    return FILES | {"npz": buffer.getvalue()}


def test_a_sample_comes_back_to_the_last_bit():
    decoded = decode_sample(SAMPLE.key, FILES)
    assert_same(decoded, SAMPLE)
    assert decoded.vertices_cam.flags.writeable


def test_a_sparse_sample_has_nothing_dense_even_where_it_is_there():
    sparse = decode_sample(SAMPLE.key, FILES, is_sparse=True)
    assert sparse.vertices_cam is None
    assert sparse.occlusion.labels.size == sparse.occlusion.contacts.size == 0


def test_a_sample_without_mesh_and_occlusion_comes_back():
    bare = replace(SAMPLE, vertices_cam=None, pose=None, betas=None, translation=None, occlusion=None)
    files = encode_sample(bare)
    assert sorted(files) == ["json", "png"]
    assert_same(decode_sample(bare.key, files), bare)
    meshless = replace(SAMPLE, vertices_cam=None)
    assert_same(decode_sample(meshless.key, encode_sample(meshless)), meshless)


def test_same_sample_same_bytes_and_numpy_reads_the_archive():
    assert encode_sample(make_sample(0, 0)) == FILES
    with np.load(io.BytesIO(FILES["npz"]), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["labels"], SAMPLE.occlusion.labels)


def test_jpeg_is_smaller_and_near():
    smooth = np.asarray(Image.fromarray(SAMPLE.image).resize((8, 8)).resize((64, 64)))
    occlusion = replace(SAMPLE.occlusion, labels=np.zeros((64, 64), np.uint8), depth=np.ones((64, 64), np.float32))
    sample = replace(SAMPLE, image=smooth, occlusion=occlusion)
    files = encode_sample(sample, jpeg_quality=90)
    assert len(files["jpg"]) < len(encode_sample(sample)["png"])
    assert np.abs(decode_sample(sample.key, files).image.astype(int) - smooth).mean() < 4


@pytest.mark.parametrize(
    "files",
    [
        {},
        FILES | {"jpg": FILES["png"]},
        FILES | {"json": b"{"},
        FILES | {"json": b"[" * 100_000},
        FILES | {"json": b"\xff\xfe"},
        with_annotation(schema=99),
        FILES | {"json": FILES["json"].replace(b'"schema":1,', b"")},
        with_annotation(key="other"),
        with_annotation(side="both"),
        with_annotation(K=[[1, 2], [3, 4]]),
        with_annotation(joints_cam="a lot"),
        with_annotation(joints_img=[[float("nan"), 0.0]] * 21),
        with_annotation(pose=[[1], [2, 3]]),
        with_annotation(occlusion={"ratio": 0.5}),
        with_annotation(occlusion=json.loads(FILES["json"])["occlusion"] | {"ratio": 1.5}),
        with_annotation(occlusion=json.loads(FILES["json"])["occlusion"] | {"ratio": -0.5}),
        with_annotation(occlusion=[1]),
        with_occlusion(object_name=7),
        with_occlusion(joints_by_self=[0] * 21),
        with_occlusion(joints_by_other=[True] * 20),
        {key: value for key, value in FILES.items() if key != "npz"},
        FILES | {"png": FILES["png"][:200]},
        FILES | {"png": b"GIF89a"},
        with_picture("L"),
        with_picture("RGBA"),
        with_picture("RGB", "BMP"),
        FILES | {"png": png_header_only(30_000, 30_000)},
        FILES | {"npz": FILES["npz"][:500]},
        FILES | {"npz": b"no archive"},
        with_arrays(labels=np.zeros((9, 9), np.uint8)),
        with_arrays(depth=np.zeros((32, 32))),
        with_arrays(depth=np.zeros((32, 32), ">f4")),
        with_arrays(vertices_by_self=np.zeros(778, np.uint8)),
        with_arrays(vertices_cam=np.zeros((778, 3), np.float32, order="F")),
        with_arrays(vertices_cam=np.array([{}], dtype=object)),
        with_arrays(contacts=np.array([778], np.int32)),
        with_arrays(contacts=np.array([-1], np.int32)),
        with_arrays(contacts=np.zeros(779, np.int32)),
        with_arrays(contacts=np.zeros(100_000, np.int32)),
    ],
)
def test_broken_files_are_one_line_with_the_key(files):
    with pytest.raises(DataError, match=r"^Sample 0-000000\b[^\n]*again") as raised:
        decode_sample(SAMPLE.key, files)
    assert len(str(raised.value)) < 400


def test_a_bomb_is_not_unpacked(monkeypatch):
    """A member that unpacks to a gigabyte is read as far as the array it should be."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vertices_cam.npy", bytes(1 << 26))
    unpacked = []
    read = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: unpacked.append(read(self, n)) or unpacked[-1])
    with pytest.raises(DataError):
        decode_sample(SAMPLE.key, FILES | {"npz": buffer.getvalue()})
    assert sum(map(len, unpacked)) < 1 << 16
