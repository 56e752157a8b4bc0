"""Data sets written to shards: the same bytes from any number of workers, and after being killed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from occhand.data.datasets import create_dataset
from occhand.data.record import DataError
from occhand.data.shards import MANIFEST, read_manifest
from occhand.synth import write
from occhand.synth.dataset import SynthDataset
from occhand.synth.write import CONTACT_SHEET, write_synth
from tests.data.samples import assert_same, make_sample

ROOT = Path(__file__).parents[2]


class StandInDataset(SynthDataset):
    """Made-up samples, quickly; at module level, so that worker processes find it."""

    def __getitem__(self, place):
        return make_sample(self.seed, self.indices[place], self.size)


class SlowDataset(StandInDataset):
    def __getitem__(self, place):
        time.sleep(0.1)
        return super().__getitem__(place)


class DyingDataset(StandInDataset):
    def __getitem__(self, place):
        if place == 9:
            os._exit(1)
        return super().__getitem__(place)


def stand_in(count, kind=StandInDataset, seed=3):
    return kind(seed, range(count), 32)


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Eleven samples in shards of four, made in one process."""
    out = tmp_path_factory.mktemp("written")
    write_synth(out, stand_in(11), shard_samples=4)
    return out


def test_what_is_written_is_read(written):
    assert sorted(digests(written)) == [CONTACT_SHEET, MANIFEST, "shard-00000.tar", "shard-00001.tar", "shard-00002.tar"]
    dataset = create_dataset("folder", written)
    assert len(dataset) == 11
    assert read_manifest(written).is_complete
    for index, sample in enumerate(dataset):
        assert_same(sample, make_sample(3, index))


@pytest.mark.slow
def test_more_workers_give_the_same_bytes(written, tmp_path):
    counts = []
    write_synth(tmp_path, stand_in(11), workers=2, shard_samples=4, progress=counts.append)
    assert digests(tmp_path) == digests(written)
    assert counts == list(range(1, 12))


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: data[:5000] + b"?" + data[5001:]], ids=["cut", "changed"])
def test_damaged_and_missing_shards_are_made_again_and_no_others(written, tmp_path, damage):
    write_synth(tmp_path, stand_in(11), shard_samples=4)
    kept = (tmp_path / "shard-00001.tar").stat().st_mtime_ns
    (tmp_path / "shard-00000.tar").unlink()
    damaged = tmp_path / "shard-00002.tar"
    damaged.write_bytes(damage(damaged.read_bytes()))
    for leftover in (".shard-00002-abc.tar", ".manifest-abc.json", ".contact-abc.png"):
        (tmp_path / leftover).write_bytes(b"left by a killed run")
    counts = []
    write_synth(tmp_path, stand_in(11), shard_samples=4, progress=counts.append)
    assert digests(tmp_path) == digests(written)
    assert (tmp_path / "shard-00001.tar").stat().st_mtime_ns == kept
    assert counts == list(range(5, 12))


def test_a_killed_run_goes_on_to_the_same_bytes(written, tmp_path):
    """The process is killed with no chance to tidy up; its workers end too: they hold the other end of its output open."""
    code = (
        "from tests.synth.test_write import SlowDataset, stand_in\nfrom occhand.synth.write import write_synth\n"
        f"write_synth({str(tmp_path)!r}, stand_in(11, SlowDataset), 2, shard_samples=4, progress=lambda n: print(n, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 5:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=20)
    assert 1 <= len(read_manifest(tmp_path).shards) < 3
    write_synth(tmp_path, stand_in(11), shard_samples=4)
    assert digests(tmp_path) == digests(written)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 4}, "seed 3, not 4"),
        ({"indices": range(12)}, "n 11, not 12"),
        ({"indices": range(5, 16)}, "shard-00000.tar begins with 3-000000, not with index 5"),
        ({"size": 48}, "size 32, not 48"),
        ({"version": "none such"}, "generator .*, not 'synth none such'"),
    ],
)
def test_a_folder_of_other_data_is_left_alone(written, changes, named):
    before = digests(written)
    dataset = stand_in(11)
    vars(dataset).update(changes)
    with pytest.raises(DataError, match=named + r".*Its shards are kept\. Choose another folder"):
        write_synth(written, dataset, shard_samples=4)
    assert digests(written) == before


def test_a_full_disk_keeps_the_finished_shards(written, tmp_path, monkeypatch):
    whole = write.write_shard

    def full(path, samples):
        if path.name == "shard-00001.tar":
            next(samples)
            raise OSError(28, "No space left on device")
        return whole(path, samples)

    monkeypatch.setattr(write, "write_shard", full)
    with pytest.raises(DataError, match=r"No space left.*kept; make room"):
        write_synth(tmp_path, stand_in(11), shard_samples=4)
    assert [shard.name for shard in read_manifest(tmp_path).shards] == ["shard-00000.tar"]
    monkeypatch.undo()
    write_synth(tmp_path, stand_in(11), shard_samples=4)
    assert digests(tmp_path) == digests(written)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"^Cannot write to [^\n]*file/out: [^\n]*choose another folder"):
        write_synth(tmp_path / "file" / "out", stand_in(2))


@pytest.mark.slow
def test_a_worker_that_dies_is_one_line_and_shards_are_kept(tmp_path):
    with pytest.raises(DataError, match="worker process died"):
        write_synth(tmp_path, stand_in(11, DyingDataset), workers=2, shard_samples=2)
    assert not list(tmp_path.glob(".*"))
    write_synth(tmp_path, stand_in(11), shard_samples=2)
    assert len(create_dataset("folder", tmp_path)) == 11


@pytest.mark.parametrize("wrong", [{"count": 0}, {"workers": 0}, {"shard_samples": 0}, {"jpeg_quality": 96}, {"jpeg_quality": 0}])
def test_numbers_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="Expected at least one"):
        write_synth(tmp_path, stand_in(wrong.pop("count", 2)), **wrong)
    assert not list(tmp_path.iterdir())


def test_jpeg_is_an_option(tmp_path):
    manifest = write_synth(tmp_path, stand_in(2), jpeg_quality=90)
    assert replace(manifest, shards=()).jpeg_quality == 90
    image = create_dataset("folder", tmp_path)[0].image
    assert image.shape == make_sample(3, 0).image.shape
    assert not np.array_equal(image, make_sample(3, 0).image)


def test_the_contact_sheet_shows_samples_from_all_over_and_what_hides_them(tmp_path, monkeypatch):
    lay_out = Mock(return_value=np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(write, "contact_sheet", lay_out)
    manifest = write_synth(tmp_path, stand_in(80))
    assert manifest.shard_samples == 500
    images, labels = lay_out.call_args.args
    assert len(images) == len(labels) == 64
    for k, index in ((0, 0), (-1, 79)):
        sample = make_sample(3, index)
        np.testing.assert_array_equal(images[k], sample.image)
        assert labels[k] == f"mug, {round(100 * sample.occlusion.ratio)}% hidden"
