"""The verbs that deal with data sets on disk, as a user meets them."""

import json

import pytest

from occhand.data.datasets import list_datasets
from tests.fixtures.make_fixtures import TREES


@pytest.fixture
def root(tmp_path):
    TREES["ho3d_v2"].write(tmp_path)
    return tmp_path / TREES["ho3d_v2"].folder


def test_data_list_names_them_all_and_where_they_are(run):
    code, out, _ = run("data", "list")
    assert code == 0
    for name in list_datasets():
        assert f"\n{name} " in f"\n{out}"
    assert "dex-ycb.github.io" in out


def test_data_check_says_what_is_there_and_draws_it(run, root, tmp_path):
    code, out, _ = run("data", "check", "ho3d_v2", root, "--out", tmp_path / "sheet.png")
    assert code == 0
    assert "6 hands (official 11,524)" in out
    assert (tmp_path / "sheet.png").is_file()
    code, out, _ = run("data", "check", "ho3d_v2", root, "--split", "train", "--out", tmp_path / "sheet.png", "--json")
    assert [split["split"] for split in json.loads(out)["splits"]] == ["train"]


def test_data_check_ends_with_2_when_a_split_cannot_be_read(run, root, tmp_path):
    (root / "train.txt").unlink()
    code, out, _ = run("data", "check", "ho3d_v2", root, "--out", tmp_path / "sheet.png")
    assert code == 2
    assert "train          unusable" in out
    assert "evaluation     incomplete" in out
    assert run("data", "check", "ho3d_v2", root, "--split", "evaluation", "--out", tmp_path / "sheet.png")[0] == 0
    code, _, err = run("data", "check", "ho3d", root)
    assert code == 2
    assert "Unknown data set 'ho3d'. Did you mean ho3d_v" in err


def test_convert_annotations_writes_where_the_readers_look(run, root):
    code, out, _ = run("convert", "annotations", "ho3d_v2", root, "train")
    path = root / "annotations" / "HO3D_train_data.json"
    assert code == 0
    assert f"Wrote {path}: 8 hands, 8 of them with pose (OpenCV axes, mean pose included)." in out
    assert json.loads(path.read_text())["occhand"]["mean"] == "included"
    other = root.parent / "elsewhere" / "mine.json"
    assert run("convert", "annotations", "ho3d_v2", root, "train", "--out", other)[0] == 0
    assert other.read_bytes() == path.read_bytes()
    code, _, err = run("convert", "annotations", "ho3d_v2", root, "train", "--mean", "excluded")
    assert code == 2
    assert "needs your MANO" in err
    code, _, err = run("convert", "annotations", "freihand", root, "train")
    assert code == 2
    assert "no annotation files of freihand" in err
