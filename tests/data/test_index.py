"""The cache of annotations: used when it may be, made again when it may not."""

import os
import shutil
from copy import deepcopy
from dataclasses import fields, replace

import numpy as np
import pytest

from occhand.data import ho3d
from occhand.data.datasets import create_dataset
from occhand.data.index import AnnotationIndex, sequence_of
from occhand.data.record import DataError
from occhand.files import cache_dir
from tests.data.samples import png_header_only


@pytest.fixture
def built(monkeypatch):
    """How often annotations were read from the data."""
    calls = []
    build = ho3d._build
    monkeypatch.setattr(ho3d, "_build", lambda *arguments: calls.append(1) or build(*arguments))
    return calls


def assert_same(index, other):
    for field in fields(AnnotationIndex):
        np.testing.assert_array_equal(getattr(index, field.name), getattr(other, field.name))


def cache_file():
    (path,) = (cache_dir() / "indices").glob("*.npz")
    return path


def test_annotations_are_read_once(fake_root, built, mano_like):
    root = fake_root("ho3d_v2")
    told = []
    first = create_dataset("ho3d_v2", root, "evaluation", progress=lambda done, total: told.append((done, total)))
    again = create_dataset("ho3d_v2", root, "evaluation", mano_like, lambda done, total: pytest.fail("read again"))  # has no poses
    assert len(built) == 1
    assert told == [(number, 6) for number in range(1, 7)]
    assert_same(first.index, again.index)
    assert cache_file().name.startswith("ho3d_v2-evaluation-")


def test_left_out_frames_are_remembered_and_said_again(fake_copy, built, caplog):
    root = fake_copy("ho3d_v2")
    (root / "train" / "ABF10" / "meta" / "0001.pkl").unlink()
    first = create_dataset("ho3d_v2", root, "train")
    caplog.clear()
    again = create_dataset("ho3d_v2", root, "train")
    assert len(built) == 1
    assert first.left_out == again.left_out
    assert "1 of 8 entries are left out" in caplog.text


def test_a_broken_cache_is_made_again(fake_root, built, caplog):
    root = fake_root("ho3d_v2")
    good = create_dataset("ho3d_v2", root, "evaluation").index
    path = cache_file()
    whole = path.read_bytes()
    broken = [b"", b"no archive", whole[: len(whole) // 2], whole[:-1]]
    rng = np.random.default_rng(5)
    for place in rng.integers(0, len(whole), 25):
        broken.append(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    for data in broken:
        path.write_bytes(data)
        assert_same(create_dataset("ho3d_v2", root, "evaluation").index, good)
    assert len(built) > 20  # a byte that no reader looks at may change
    assert "is broken" in caplog.text


def test_a_cache_of_something_else_is_made_again(fake_root, built):
    root = fake_root("ho3d_v2")
    create_dataset("ho3d_v2", root, "evaluation")
    with np.load(cache_file()) as arrays:
        content = dict(arrays)
    for change in ({"keys": np.array([None])}, {"K": content["K"][:2]}, {"left_out": np.zeros(3)}):
        np.savez(cache_file(), **(content | change))
        assert len(create_dataset("ho3d_v2", root, "evaluation")) == 6
    assert len(built) == 4


def test_a_picture_that_claims_to_be_huge_is_one_line(fake_copy):
    dataset = create_dataset("ho3d_v2", fake_copy("ho3d_v2"), "train")
    path = dataset.root / str(dataset.index.images[0])
    path.write_bytes(png_header_only(30_000, 30_000))
    with pytest.raises(DataError, match=r"ABF10/0000: .* cannot be decoded .*Copy or unpack it again"):
        _ = dataset[0]


def test_changed_data_are_read_again(fake_copy, built):
    root = fake_copy("ho3d_v2")
    assert len(create_dataset("ho3d_v2", root, "train")) == 8
    picture = root / "train" / "ABF10" / "rgb" / "0000.png"
    picture.rename(root / "away.png")
    assert len(create_dataset("ho3d_v2", root, "train")) == 7
    (root / "away.png").rename(picture)
    assert len(create_dataset("ho3d_v2", root, "train")) == 8
    lines = (root / "train.txt").read_text().split()
    (root / "train.txt").write_text("\n".join(lines[:5]))
    assert create_dataset("ho3d_v2", root, "train").index.keys.tolist() == lines[:5]
    assert len(built) == 4
    written = (root / "train.txt").stat().st_mtime_ns
    (root / "train.txt").write_text("\n".join(lines[:4]))
    os.utime(root / "train.txt", ns=(written, written))
    assert create_dataset("ho3d_v2", root, "train").index.keys.tolist() == lines[:4]


def test_every_root_hand_and_reader_has_a_cache_of_its_own(fake_root, fake_copy, built, mano_like, monkeypatch):
    create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train")
    create_dataset("ho3d_v2", fake_copy("ho3d_v2"), "train")
    create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train", mano_like)
    assert create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train", mano_like)[0].translation is not None
    assert create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train")[0].translation is None
    assert len(built) == 3
    monkeypatch.setattr(ho3d, "_READER_VERSION", 99)
    create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train")
    assert len(built) == 4


def test_a_cache_is_of_all_that_poses_and_translations_are_made_with(fake_root, built, mano_like):
    for count, name in enumerate(("hands_mean", "hands_components", "joint_template", "joint_directions")):
        other = deepcopy(mano_like)
        getattr(other, name).mul_(1.01)
        create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train", other)
        assert len(built) == count + 1
    create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train", mano_like)
    assert len(built) == 5


def test_a_cache_that_cannot_be_written_is_no_obstacle(fake_root, tmp_path, monkeypatch, caplog):
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    monkeypatch.setenv("OCCHAND_CACHE", os.fspath(blocked))
    assert len(create_dataset("ho3d_v2", fake_root("ho3d_v2"), "evaluation")) == 6
    assert "cannot be kept" in caplog.text


def test_a_root_given_another_way_is_the_same_root(fake_root, built, monkeypatch):
    root = fake_root("ho3d_v2")
    create_dataset("ho3d_v2", root, "evaluation")
    monkeypatch.chdir(root.parent)
    assert create_dataset("ho3d_v2", root.name, "evaluation")[0].image.any()
    assert len(built) == 1


def test_samples_by_number(fake_root):
    dataset = create_dataset("ho3d_v2", fake_root("ho3d_v2"), "evaluation")
    assert dataset[-1].key == dataset[5].key
    for wrong in (6, -7):
        with pytest.raises(IndexError, match="of 6"):
            dataset[wrong]
    assert sequence_of(dataset[0].key) in ("SM1", "MPM10")


def test_shapes_are_checked_where_an_index_is_made():
    index = AnnotationIndex.blank(["a/0", "a/1"], ["0.png", "1.png"], (4, 6))
    with pytest.raises(ValueError, match=r"sides has shape \(1,\), expected \(2,\)"):
        replace(index, sides=np.array(["left"]))
    with pytest.raises(ValueError, match="3 meshes in 2 rows"):
        index.with_vertices(np.zeros((3, 778, 3), np.float32))


def test_meshes_go_along_with_their_samples():
    index = AnnotationIndex.blank(["a/0", "a/1", "a/2"], ["0", "1", "2"], (4, 6))
    assert index.vertices_of(1) is None
    meshes = np.arange(3, dtype=np.float32)[:, None, None] * np.ones((778, 3), np.float32)
    taken = index.with_vertices(meshes).take(np.array([2, 0]), [("a/1", "gone")])
    assert [taken.vertices_of(row)[0, 0] for row in range(2)] == [2, 0]
    shared = index.with_vertices(meshes[:2], np.array([0, 1, 0])).take(np.array([1, 2]))
    assert [shared.vertices_of(row)[0, 0] for row in range(2)] == [1, 0]
    assert taken.left_out == (("a/1", "gone"),)
    assert taken.take(np.array([0]), [("a/0", "gone too")]).left_out == (("a/1", "gone"), ("a/0", "gone too"))


def test_a_moved_cache_folder_is_made_anew(fake_root, built):
    root = fake_root("ho3d_v2")
    create_dataset("ho3d_v2", root, "evaluation")
    shutil.rmtree(cache_dir())
    create_dataset("ho3d_v2", root, "evaluation")
    assert len(built) == 2
