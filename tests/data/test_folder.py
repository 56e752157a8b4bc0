"""Shards and folders of them: read back, addressed at random, and refused in one line when broken."""

import gzip
import json
import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from occhand.data.datasets import create_dataset, list_datasets
from occhand.data.folder import FolderDataset
from occhand.data.record import DataError, encode_sample
from occhand.data.shards import MANIFEST, Manifest, index_shard, read_manifest, write_manifest, write_shard
from tests.data.samples import assert_same, make_sample


def encoded(indices):
    for index in indices:
        sample = make_sample(3, index)
        yield sample.key, encode_sample(sample)


@pytest.fixture
def folder(tmp_path):
    """Seven samples in shards of three."""
    shards = tuple(write_shard(tmp_path / f"shard-{k:05d}.tar", encoded(range(3 * k, min(7, 3 * k + 3)))) for k in range(3))
    write_manifest(tmp_path, Manifest("stub 1", "", 3, 7, 32, None, 3, shards))
    return tmp_path


def test_samples_come_back_in_order_and_at_random(folder):
    dataset = create_dataset("folder", folder)
    assert len(dataset) == 7
    assert str(dataset).endswith("(stub 1, seed 3, 7 of 7 samples)")
    for index, sample in enumerate(dataset):
        assert_same(sample, make_sample(3, index))
    assert_same(dataset[-2], make_sample(3, 5))
    for outside in (7, -8):
        with pytest.raises(IndexError):
            dataset[outside]


def test_a_split_is_a_folder_inside(folder):
    assert len(create_dataset("folder", folder.parent, split=folder.name)) == 7


def test_loader_workers_see_the_same(folder):
    loader = torch.utils.data.DataLoader(FolderDataset(folder), batch_size=None, num_workers=2, multiprocessing_context="fork")
    for index, sample in enumerate(loader):
        np.testing.assert_array_equal(sample.image, make_sample(3, index).image)


def test_the_same_samples_give_the_same_bytes(folder, tmp_path):
    again = write_shard(tmp_path / "other" / "shard-00001.tar", encoded(range(3, 6)))
    assert again == read_manifest(folder).shards[1]
    assert (tmp_path / "other" / "shard-00001.tar").read_bytes() == (folder / "shard-00001.tar").read_bytes()


def test_the_tar_program_reads_a_shard(folder):
    listed = subprocess.run(["tar", "-tf", folder / "shard-00002.tar"], capture_output=True, text=True, check=True).stdout.split()
    assert listed == ["3-000006.png", "3-000006.json", "3-000006.npz"]


def test_a_shard_that_fails_leaves_no_file(tmp_path):
    def broken():
        yield from encoded([0])
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_shard(tmp_path / "shard-00000.tar", broken())
    with pytest.raises(ValueError, match="used twice"):
        write_shard(tmp_path / "shard-00000.tar", encoded([0, 0]))
    for key in ("../up", "up/../..", ""):
        with pytest.raises(ValueError, match="letters"):
            write_shard(tmp_path / "shard-00000.tar", [(key, {"png": b""})])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_truncated_or_changed_shard_is_named(folder):
    middle = folder / "shard-00001.tar"
    whole = middle.read_bytes()
    middle.write_bytes(whole[:-9000])
    with pytest.raises(DataError, match=r"truncated or changed: .*shard-00001.*Run the command"):
        FolderDataset(folder)
    middle.write_bytes(whole[:-1] + b"x")
    dataset = FolderDataset(folder)
    with pytest.raises(DataError, match="checksum"):
        dataset.verify()
    middle.unlink()
    with pytest.raises(DataError, match=r"missing: .*shard-00001"):
        FolderDataset(folder)


def test_a_shard_that_is_cut_or_removed_while_it_is_read_is_named(folder):
    dataset = FolderDataset(folder)
    assert_same(dataset[0], make_sample(3, 0))
    os.truncate(folder / "shard-00000.tar", index_shard(folder / "shard-00000.tar")["3-000001"]["png"].offset + 100)
    assert_same(dataset[0], make_sample(3, 0))
    with pytest.raises(DataError, match=r"^Shard is truncated: .*shard-00000\.tar\. Make or copy"):
        dataset[1]
    for number in range(2):
        (folder / f"shard-{number:05d}.tar").unlink()
    with pytest.raises(DataError, match=r"^Shard cannot be read: .*shard-00000\.tar \(No such file.*Make or copy"):
        dataset[0]
    with pytest.raises(DataError, match=r"^Shard is missing: .*shard-00001\.tar\. Run the command"):
        dataset[3]


@pytest.mark.parametrize("said", [2, 4])
def test_a_shard_of_another_number_of_samples_than_its_manifest_says_is_named(folder, said):
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, shards=(replace(manifest.shards[0], samples=said), *manifest.shards[1:])))
    with pytest.raises(DataError, match=rf"shard-00000\.tar holds 3 samples, the manifest says {said}"):
        FolderDataset(folder)[0]


def test_a_truncated_tar_is_found_without_its_manifest_line(folder):
    path = folder / "shard-00000.tar"
    whole = path.read_bytes()
    second = index_shard(path)["3-000001"]["png"].offset
    for cut in (512, second - 700, second - 512, second - 300, second, second + 300):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"truncated|cannot be read"):
            index_shard(path)
    for data in (b"no tar at all", gzip.compress(whole)):
        path.write_bytes(data)
        with pytest.raises(DataError, match="cannot be read"):
            index_shard(path)


def test_links_and_paths_in_a_tar_are_refused(tmp_path):
    wrong = [("a.png", tarfile.SYMTYPE), ("../a.png", tarfile.REGTYPE), ("b/a.png", tarfile.REGTYPE), ("a.exe", tarfile.REGTYPE)]
    for number, (name, kind) in enumerate(wrong):
        path = tmp_path / f"{number}.tar"
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo(name)
            member.type = kind
            archive.addfile(member)
        with pytest.raises(DataError, match="no file of a sample"):
            index_shard(path)


def test_a_file_that_comes_twice_or_is_huge_is_refused(tmp_path):
    once, huge = tarfile.TarInfo("a.png"), tarfile.TarInfo("a.png")
    huge.size = (1 << 28) + 1
    for path, headers, length in ((tmp_path / "twice.tar", [once, once], 2048), (tmp_path / "huge.tar", [huge], huge.size + 4096)):
        path.write_bytes(b"".join(header.tobuf(tarfile.USTAR_FORMAT) for header in headers))
        os.truncate(path, length)
        with pytest.raises(DataError, match=r"holds 'a\.png', no file of a sample"):
            index_shard(path)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 9},
        {"n": "many"},
        {"n": -1},
        {"shards": [{"name": "../../x.tar"}]},
        {"shards": 3},
        {"unheard": 1},
        {"generator": None},
        {"split": 3},
    ],
)
def test_a_manifest_that_makes_no_sense_is_one_line(folder, change):
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"^[^\n]*manifest\.json[^\n]*again"):
        FolderDataset(folder)


def test_a_shard_name_cannot_leave_the_folder(folder):
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, shards=(replace(manifest.shards[0], name="../shard-00000.tar"),)))
    with pytest.raises(DataError, match="plain file name"):
        FolderDataset(folder)
    write_manifest(folder, replace(manifest, shards=(manifest.shards[0], manifest.shards[0])))
    with pytest.raises(DataError, match="plain file name, or one twice"):
        FolderDataset(folder)


def test_a_manifest_with_negative_counts_or_without_end_is_one_line(folder):
    content = json.loads((folder / MANIFEST).read_text())
    for change in ({"samples": -3}, {"bytes": -1}, {"samples": 2.5}):
        shards = [content["shards"][0] | change, *content["shards"][1:]]
        (folder / MANIFEST).write_text(json.dumps(content | {"shards": shards}))
        with pytest.raises(DataError, match=r"^Manifest is broken: [^\n]*again"):
            read_manifest(folder)
    os.truncate(folder / MANIFEST, (1 << 26) + 1)
    with pytest.raises(DataError, match=r"^Manifest is broken: .*too large.*again"):
        read_manifest(folder)


def test_a_manifest_is_written_whole_or_the_old_one_stays(folder, monkeypatch):
    before = read_manifest(folder)

    def write_half(self, text):
        with self.open("w") as stream:
            stream.write(text[: len(text) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(OSError, match="No space"):
        write_manifest(folder, replace(before, shards=before.shards[:1]))
    assert read_manifest(folder) == before
    assert len(list(folder.iterdir())) == 4


def test_a_folder_without_manifest_or_shards_says_so(tmp_path):
    with pytest.raises(DataError, match="occhand synth"):
        FolderDataset(tmp_path)
    write_manifest(tmp_path, Manifest("stub 1", "", 0, 5, 32, None, 3))
    with pytest.raises(DataError, match="No finished shard"):
        FolderDataset(tmp_path)


def test_unknown_names_get_the_near_ones(tmp_path):
    with pytest.raises(ValueError, match="Did you mean folder"):
        create_dataset("foldr", tmp_path)
    with pytest.raises(ValueError, match=", ".join(list_datasets())):
        create_dataset("imagenet", tmp_path)


def test_sparse_reading_leaves_only_what_is_dense_out(folder):
    for whole, sparse in zip(FolderDataset(folder), FolderDataset(folder, is_sparse=True), strict=True):
        assert sparse.vertices_cam is None
        assert sparse.occlusion.depth.size == 0
        for name in ("key", "image", "K", "joints_cam", "joints_img", "pose", "betas", "side"):
            np.testing.assert_array_equal(getattr(sparse, name), getattr(whole, name), err_msg=name)
        np.testing.assert_array_equal(sparse.occlusion.joints_by_other, whole.occlusion.joints_by_other)
        assert sparse.occlusion.ratio == whole.occlusion.ratio
