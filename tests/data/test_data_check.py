"""The check of a data set: what is whole, what is wrong and what to do, and a sheet whose joints lie on the pictures' marks."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from occhand.data.annotations import find_annotations
from occhand.data.annotations_writer import rebuild_annotations
from occhand.data.datasets import DATASETS, create_dataset
from occhand.data.dexycb import SUBJECTS
from occhand.data.official_counts import Count
from occhand.data_check import check_dataset, describe, draw_sample
from occhand.image_io import load_image
from occhand.synth.dataset import SynthDataset
from occhand.synth.write import write_synth
from tests.fixtures.make_fixtures import TREES


def problems_of(report):
    return [problem for split in report.splits for problem in split.problems]


@pytest.mark.parametrize("name", TREES)
def test_every_data_set_is_read_and_drawn(name, fake_root, tmp_path, monkeypatch):
    info = DATASETS[name]
    splits = info.cover or info.splits
    found = {split: len(create_dataset(name, fake_root(name), split)) for split in splits}
    monkeypatch.setitem(DATASETS, name, replace(info, counts={split: Count(count, count) for split, count in found.items()}))
    report = check_dataset(name, fake_root(name), sheet=tmp_path / "sheet.png", decode=5)
    assert [split.split for split in report.splits] == list(splits)
    assert [(split.state, split.hands, split.missing, split.broken) for split in report.splits] == [
        ("whole", count, 0, 0) for count in found.values()
    ]
    assert [split.decoded for split in report.splits] == [min(5, count) for count in found.values()]
    assert problems_of(report) == []
    assert report.is_usable
    shown = sum(min(5, count) for count in found.values())
    sheet = load_image(tmp_path / "sheet.png")
    assert sheet.shape[0] == 4 + 324 * -(-shown // 4)


def test_joints_are_drawn_on_the_marks_of_the_picture(fake_root):
    """The made-up pictures have a coloured square at each tip: the joint's dot lies in it, wherever the hand is cut out."""
    sample = create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train")[0]
    drawn, plain = draw_sample(sample), draw_sample(replace(sample, joints_img=np.full((21, 2), np.nan)))
    changed = np.abs(drawn.astype(int) - plain).max(-1) > 60
    for colour in ((255, 0, 0), (0, 255, 0), (255, 0, 255)):
        square = np.argwhere(np.abs(plain.astype(int) - colour).max(-1) < 60)
        assert len(square) > 20
        low, high = square.min(0), square.max(0)
        assert changed[low[0] : high[0] + 1, low[1] : high[1] + 1].mean() > 0.1
        assert changed[tuple(((low + high) / 2).astype(int))]


def test_a_small_tree_is_incomplete_and_says_so(fake_root, tmp_path):
    report = check_dataset("ho3d_v2", fake_root("ho3d_v2"), ["evaluation"], tmp_path / "sheet.png")
    (split,) = report.splits
    assert (split.state, split.hands, split.expected) == ("incomplete", 6, 11_524)
    text = describe(report)
    assert "6 hands, the whole split has 11,524: results on it are not comparable with published ones." in text
    assert "-> Copy or unpack the rest. The data: Project page of TU Graz" in text
    assert "0 of 6 pictures opened broken" in text
    assert str(tmp_path / "sheet.png") in text


def test_more_than_there_is_means_another_version(fake_root, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "ho3d_v2", replace(DATASETS["ho3d_v2"], counts={"train": Count(3, 3)}))
    (problem,) = problems_of(check_dataset("ho3d_v2", fake_root("ho3d_v2"), ["train"], tmp_path / "sheet.png"))
    assert problem.what == "8 hands, the official split has 3."
    assert "another version" in problem.next_step


def test_missing_and_broken_pictures_are_named(fake_copy, tmp_path):
    root = fake_copy("ho3d_v3")
    folder = root / "train" / "ABF10" / "rgb"
    (folder / "0000.jpg").unlink()
    whole = (folder / "0001.jpg").read_bytes()
    (folder / "0001.jpg").write_bytes(whole[: len(whole) // 2])
    (split,) = check_dataset("ho3d_v3", root, ["train"], tmp_path / "sheet.png").splits
    assert (split.state, split.hands, split.missing, split.decoded, split.broken) == ("incomplete", 7, 1, 7, 1)
    text = " ".join(problem.what for problem in split.problems)
    assert "1 samples are left out: ABF10/0000: no picture at" in text
    assert "1 of 7 pictures opened cannot be read: Sample ABF10/0001" in text
    assert all(problem.next_step for problem in split.problems)
    for place in (2, -1):
        (root / create_dataset("ho3d_v3", root, "train").index.images[place]).write_bytes(b"")
    (split,) = check_dataset("ho3d_v3", root, ["train"], tmp_path / "sheet.png", decode=2).splits
    assert (split.decoded, split.broken) == (2, 1)  # the first and the last


def test_pictures_that_an_annotation_file_names_and_nobody_copied(fake_copy, tmp_path):
    root = fake_copy("ho3d_v2")
    rebuild_annotations("ho3d_v2", root, "train")
    (root / "train" / "MC1" / "rgb" / "0000.png").unlink()
    (split,) = check_dataset("ho3d_annotations", root, ["train"], tmp_path / "sheet.png").splits
    assert (split.state, split.hands, split.missing, split.decoded) == ("incomplete", 8, 1, 7)
    assert "1 pictures are missing: " in split.problems[0].what
    assert str(root / "train/MC1/rgb/0000.png") in split.problems[0].what
    (split,) = check_dataset("ho3d_annotations", find_annotations("ho3d", root, "train"), ["train"], tmp_path / "sheet.png").splits
    assert str(root / "train/MC1/rgb/0000.png") in split.problems[0].what  # the root given is the file itself
    for picture in root.glob("train/*/rgb/*.png"):
        picture.unlink()
    (split,) = check_dataset("ho3d_annotations", root, ["train"], tmp_path / "none.png").splits
    assert (split.state, split.missing) == ("unusable", 8)
    (missing,) = [problem.what for problem in split.problems if "pictures are missing" in problem.what]
    assert missing.count(".png; ") == 3
    assert missing.endswith("; ...")
    assert not (tmp_path / "none.png").exists()


def test_a_wrong_root_is_unusable_and_the_report_says_what_next(tmp_path):
    report = check_dataset("dexycb", tmp_path, ["s0_test"], tmp_path / "sheet.png")
    assert not report.is_usable
    assert report.sheet is None
    text = describe(report)
    assert "s0_test        unusable" in text
    assert "-> docs/datasets.md shows the folder. The data: dex-ycb.github.io" in text
    for name in ("calibration", *SUBJECTS):
        (tmp_path / name).write_text("a file, no folder")
    (split,) = check_dataset("dexycb", tmp_path, ["s0_test"], tmp_path / "sheet.png").splits
    assert (split.state, len(split.problems)) == ("unusable", 1)


def test_joints_that_nobody_knows_are_no_problem(fake_copy, tmp_path, monkeypatch):
    root = fake_copy("ho3d_v2")
    shutil.rmtree(root.parent / "HO3D_v2_evaluation_gt")
    monkeypatch.setitem(DATASETS, "ho3d_v2", replace(DATASETS["ho3d_v2"], counts={}))
    (split,) = check_dataset("ho3d_v2", root, ["evaluation"], tmp_path / "sheet.png").splits
    assert (split.state, split.problems) == ("whole", ())


def test_unknown_names_and_splits_are_errors(tmp_path):
    with pytest.raises(ValueError, match="Did you mean dexycb"):
        check_dataset("dexycbb", tmp_path)
    with pytest.raises(ValueError, match="no split 's0_tests'"):
        check_dataset("dexycb", tmp_path, ["s0_tests"])


def test_shards_of_ours(tmp_path):
    write_synth(tmp_path / "hands", SynthDataset(seed=7, indices=range(3), size=64))
    report = check_dataset("folder", tmp_path / "hands", sheet=tmp_path / "sheet.png")
    assert [(split.state, split.hands, split.expected) for split in report.splits] == [("whole", 3, None)]
    assert "no official count" in describe(report)


@pytest.mark.parametrize(
    ("factor", "K", "problem"),
    [
        (1000, None, "From wrist to middle knuckle it is 9"),
        (0.1, None, "From wrist to middle knuckle it is 0.009"),
        (1, [[150, 0, 80], [0, 150, 60], [0, 0, 1]], "The camera sees the joints"),
        (1, [[np.nan, 0, 80], [0, 150, 60], [0, 0, 1]], "The camera sees the joints nan px from"),
    ],
    ids=["millimetres", "decimetres for metres", "camera of another size", "no camera"],
)
def test_a_reader_that_is_wrong_is_noticed(factor, K, problem, fake_root, tmp_path, monkeypatch):
    def open_wrongly(*args):
        dataset = DATASETS["ho3d_v2"].open(*args)
        dataset.index.joints_cam[:] *= factor
        dataset.index.K[:] = dataset.index.K if K is None else K
        return dataset

    monkeypatch.setitem(DATASETS, "mine", replace(DATASETS["ho3d_v2"], open=open_wrongly, counts={}))
    found = problems_of(check_dataset("mine", fake_root("ho3d_v2"), ["train"], tmp_path / "sheet.png"))
    assert [text.what.startswith(problem) for text in found] == [True]


def test_a_box_from_nowhere_does_not_stop_the_sheet(fake_root):
    sample = create_dataset("ho3d_v2", fake_root("ho3d_v2"), "train")[0]
    for box in ([1e30, 1e30, 1e31, 1e31], [np.nan] * 4, [5.0, 5.0, 5.0, 5.0]):
        assert draw_sample(replace(sample, bbox_xyxy=np.array(box)), size=64).shape == (64, 64, 3)
