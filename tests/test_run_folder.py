"""The folder of a training run: what is begun, gone on with, refused and taken back."""

import json

import numpy as np
import pytest
import torch

from occhand.data.folder import FolderDataset
from occhand.data.loader import FirstSamples
from occhand.run_folder import BEST, CHECKPOINT, CONFIG, DATA, FINAL, LOG, RunLog, begin_run, check_same_run, data_manifest, save_state
from tests.data.conftest import fake_root  # noqa: F401 (fixture)
from tests.training_child import write_data

OURS = {"version": "1", "recipe": {"lr": 1.0}, "network": {}, "run": {}}
DATA_OF_IT = {"samples": 3}


@pytest.mark.parametrize("kept", [CHECKPOINT, FINAL])
def test_a_state_or_final_weights_are_a_run(kept, tmp_path):
    (tmp_path / kept).touch()
    with pytest.raises(ValueError, match=r"holds a run already.*--resume"):
        begin_run(tmp_path, OURS, DATA_OF_IT)
    assert [path.name for path in tmp_path.iterdir()] == [kept]


@pytest.mark.parametrize("name", [LOG, BEST, DATA])
def test_files_of_something_else_stay(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"holds a {name} that is of no training run"):
        begin_run(tmp_path, OURS, DATA_OF_IT)
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_that_was_stopped_before_its_first_state_is_begun_anew(tmp_path):
    begin_run(tmp_path, OURS, DATA_OF_IT)
    for name in (LOG, BEST):
        (tmp_path / name).write_text("of before")
    begin_run(tmp_path, OURS | {"version": "2"}, DATA_OF_IT)
    assert {path.name for path in tmp_path.iterdir()} == {CONFIG, DATA}
    assert json.loads((tmp_path / CONFIG).read_text())["version"] == "2"


def test_what_differs_is_named_whether_it_was_changed_added_or_taken_away(tmp_path):
    begin_run(tmp_path, OURS, DATA_OF_IT)
    check_same_run(tmp_path, OURS, DATA_OF_IT)
    changed = OURS | {"recipe": {"lr": 2.0, "clip": 1.0}, "network": (1, 2)}
    with pytest.raises(ValueError, match=r'recipe.lr was 1.0, now 2.0; recipe.clip was "absent", now 1.0; network was {}, now \[1, 2\]'):
        check_same_run(tmp_path, changed, DATA_OF_IT)
    with pytest.raises(ValueError, match=r'otherwise: samples was 3, now "absent"\. Ask for the same'):
        check_same_run(tmp_path, OURS, {})
    many = OURS | {"run": {f"option{k}": k for k in range(10)}}
    with pytest.raises(ValueError, match=r"option7 was .*; and 2 more\."):
        check_same_run(tmp_path, many, DATA_OF_IT)


def test_other_samples_are_other_data(fake_root, tmp_path):  # noqa: F811
    from occhand.data.datasets import create_dataset

    folders = [FolderDataset(write_data(tmp_path / name / "hands", 4, first)) for name, first in (("a", 0), ("b", 4))]
    train = create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train")
    short = type(train)(train.name, train.root, train.split, train.index.take(np.arange(7)))
    other = type(train)(train.name, train.root, train.split, train.index.take(np.array([*range(6), 7])))
    pairs = [(folders[0], folders[1]), (FirstSamples(folders[0], 2), FirstSamples(folders[1], 2)), (short, other)]
    for one, another in pairs:
        assert str(one) == str(another)
        assert data_manifest(one) != data_manifest(another)
    assert data_manifest(FirstSamples(folders[0], 2))["samples"] == 2


def test_a_log_goes_on_after_its_last_state(tmp_path):
    (tmp_path / LOG).write_text('{"step": 1, "a": 1.0}\n{"step": 4, "a": 4.0}\n{"step": 5, "a": 5.0}\n{"step": 5, "a"')
    log = RunLog(tmp_path, 4)
    log.write(5, {"a": 0.123456789})
    log.close()
    assert [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()] == [
        {"step": 1, "a": 1.0},
        {"step": 4, "a": 4.0},
        {"step": 5, "a": 0.123457},
    ]


def test_a_first_state_that_cannot_be_written_says_that_there_is_none(tmp_path, monkeypatch):
    def full_disk(*_):
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match=r"step 8 could not be written .*No space left.*there was none before\. Free space"):
        save_state(tmp_path / CHECKPOINT, {}, 8)
    assert list(tmp_path.iterdir()) == []
