"""Files from outside with changed bytes: every reader has one line for each, and no traceback."""

import io
import json
import zipfile

import numpy as np
import pytest

from occhand.data.npz import NpzArrays
from occhand.data.predictions import read_predictions
from occhand.data.submission import read_submission
from occhand.detect.given import read_hands
from occhand.evaluate import JointSource
from occhand.evaluate.collect import Kept
from occhand.hand.assets import load_parameters
from occhand.video.segments import SegmentFolder


def archive_of(member: bytes) -> bytes:
    """A sound archive with this member under the names that readers look for."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("keys.npy", "joints_cam.npy", "v_template.npy", "shapedirs.npy", "places.npy", "pred.json"):
            archive.writestr(name, member)
    return buffer.getvalue()


def array_of(header: bytes) -> bytes:
    """The bytes of an array under a header of its own."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(24)


def compressed_by(method: int) -> bytes:
    """Members that are stored, and say that they are compressed."""
    data = archive_of(array_of(SOUND) + bytes(1 << 15))
    for start in (place for place in range(len(data)) if data[place : place + 4] == b"PK\x01\x02"):
        data = data[: start + 10] + bytes([method]) + data[start + 11 :]
    return data


SOUND = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}\n"
ARCHIVES = {
    "10^13 rows": archive_of(array_of(SOUND.replace(b"(3,)", b"(10000000000000, 21, 3)"))),
    "a header without end": archive_of(array_of(SOUND.replace(b"(3,)}", b"(3,), (L"))),
    "a header of no Python": archive_of(array_of(SOUND.replace(b"(3,)", b"\x00\xff("))),
    "no bytes": archive_of(b""),
    "no deflate": compressed_by(8),
    "no bzip2": compressed_by(12),
    "no lzma": compressed_by(14),
    "unknown compression": compressed_by(99),
    "a bare array": array_of(SOUND),
    "cut": archive_of(array_of(SOUND))[:-30],
}
JSONS = {
    "deep": "[" * 100_000,
    "an integer of 400 digits": "1" + "0" * 400,
    "an integer of 5,000 digits": "1" + "0" * 5000,
    "a word": '"hand"',
}


@pytest.mark.parametrize("damage", ARCHIVES)
def test_archives(damage, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(ARCHIVES[damage])
    for read in (
        lambda: read_predictions(path),
        lambda: load_parameters(path),
        lambda: NpzArrays(path.read_bytes()).read("joints_cam", np.float64, (1, 21, 3)),
        lambda: read_submission(path.rename(path.with_suffix(".zip")), "ho3d", ["a"], np.array([0]), 1),
    ):
        with pytest.raises(ValueError, match=r"."):
            read()
    (tmp_path / "chunk-00000.npz").write_bytes(ARCHIVES[damage])
    assert Kept(tmp_path, {}).read(range(1)) is None
    (tmp_path / "done-00000.npz").write_bytes(ARCHIVES[damage])
    assert SegmentFolder(tmp_path, {}).read_done(0) is None


@pytest.mark.parametrize("damage", JSONS)
def test_json(damage, tmp_path):
    path = tmp_path / "a.json"
    hand, joints = JSONS[damage], json.dumps([[0.5, 0.5]] * 21)
    for text, read in (
        (f'{{"a": [[{hand}, 0, 0]]}}', read_predictions),
        (f'{{"a": {{"joints_cam": {hand}}}}}', read_predictions),
        (f"[[{hand}], []]", lambda path: read_submission(path, "freihand", ["a"], np.array([0]), 1)),
        (joints.replace("0.5", hand, 1), lambda path: JointSource.file(path, "house", 1)),
        (f'{{"side": "right", "joints_img": {joints.replace("0.5", hand, 1)}}}', read_hands),
        (f'{{"bbox_xyxy": [{hand}, 0, 9, 9]}}', read_hands),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"."):
            read(path)


def test_an_index_of_infinity(tmp_path):
    path = tmp_path / "results.txt"
    path.write_text("inf" + ",1" * 63 + "\n")
    with pytest.raises(ValueError, match=r"results\.txt: cannot convert float infinity"):
        read_submission(path, "dexycb", ["a"], np.array([0]), 1)
