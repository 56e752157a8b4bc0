"""Result files of the benchmarks: form, order, units, and what each mistake says."""

import json
import zipfile

import numpy as np
import pytest

from occhand.data import submission
from occhand.data.submission import joints_from_ho3d, joints_to_ho3d, read_any_predictions, read_submission, write_submission
from occhand.hand.skeleton import HO3D_JOINT_NAMES, JOINT_NAMES

KEYS = ["B/0001", "A/0002", "A/0000"]
INDEX = np.array([0, 1, 2])


@pytest.fixture
def hands():
    rng = np.random.default_rng(0)
    return rng.normal((0, 0, 0.6), 0.04, (3, 21, 3)), rng.normal((0, 0, 0.6), 0.04, (3, 778, 3)).astype(np.float32)


def pred_json(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["pred.json"]
        return json.loads(archive.read("pred.json"))


def test_ho3d_is_opengl_in_its_own_order_of_five_decimals(hands, tmp_path):
    joints, vertices = hands
    write_submission(tmp_path / "pred.zip", "ho3d", joints, vertices, INDEX, 3)
    xyz, verts = (np.array(part) for part in pred_json(tmp_path / "pred.zip"))
    tip = HO3D_JOINT_NAMES.index("index4")
    np.testing.assert_allclose(xyz[1, tip], joints[1, JOINT_NAMES.index("index4")] * (1, -1, -1), atol=5.1e-6)
    np.testing.assert_allclose(verts[2, 444], vertices[2, 444] * (1, -1, -1), atol=5.1e-6)
    assert (xyz[..., 2] < 0).all()
    assert np.array_equal(xyz, np.round(xyz, 5))
    np.testing.assert_array_equal(joints_from_ho3d(joints_to_ho3d(joints)), joints)


def test_freihand_is_opencv_in_the_house_order(hands, tmp_path):
    write_submission(tmp_path / "pred.zip", "freihand", *hands, INDEX, 3)
    xyz, verts = pred_json(tmp_path / "pred.zip")
    np.testing.assert_allclose(xyz, hands[0], atol=5.1e-6)
    np.testing.assert_allclose(verts, hands[1], atol=5.1e-6)
    assert np.array_equal(verts, np.round(verts, 5))  # float32 as it is would be written with digits that it does not have


def test_dexycb_is_millimetres_under_the_official_index(hands, tmp_path):
    write_submission(tmp_path / "results.txt", "dexycb", hands[0], None, np.array([4, 7, 9]), 3)
    lines = (tmp_path / "results.txt").read_text().splitlines()
    values = np.array([float(value) for value in lines[1].split(",")])
    assert len(values) == 64
    assert values[0] == 7
    np.testing.assert_allclose(values[1:4], 1e3 * hands[0][1, 0], atol=5.1e-5)


@pytest.mark.parametrize("benchmark", ["ho3d", "freihand", "dexycb"])
def test_what_is_written_is_read_back(benchmark, hands, tmp_path):
    path = tmp_path / ("results.txt" if benchmark == "dexycb" else "pred.zip")
    index = np.array([1, 2, 5]) if benchmark == "dexycb" else INDEX
    written = write_submission(path, benchmark, *hands, index, 3)
    predictions = read_any_predictions(written, benchmark, KEYS, index, 3)
    assert predictions.keys == tuple(KEYS)
    np.testing.assert_allclose(predictions.joints_cam, hands[0], atol=5.1e-6)
    if benchmark != "dexycb":
        np.testing.assert_allclose(predictions.vertices_cam, hands[1], atol=5.1e-6)


def test_a_result_file_is_known_by_its_content(hands, tmp_path):
    write_submission(tmp_path / "pred.zip", "ho3d", *hands, INDEX, 3)
    (tmp_path / "pred.json").write_text("\n  " + json.dumps(pred_json(tmp_path / "pred.zip")))
    by_key = dict(zip(KEYS, hands[0].tolist(), strict=True))
    (tmp_path / "by-key.json").write_text(json.dumps(by_key))
    (tmp_path / "pred.zip").rename(tmp_path / "PRED.ZIP")
    for name in ("PRED.ZIP", "pred.json", "by-key.json"):
        predictions = read_any_predictions(tmp_path / name, "ho3d", KEYS, INDEX, 3)
        assert predictions.keys == tuple(KEYS)
        np.testing.assert_allclose(predictions.joints_cam, hands[0], atol=5.1e-6)
    with pytest.raises(ValueError, match=r"from \.json or \.npz, not \.txt"):
        read_any_predictions(write_submission(tmp_path / "dexycb.txt", "dexycb", *hands, INDEX, 3), "ho3d", KEYS, INDEX, 3)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe[")
    with pytest.raises(ValueError, match=r"^/.*binary\.json: "):
        read_any_predictions(tmp_path / "binary.json", "ho3d", KEYS, INDEX, 3)


def test_a_sample_that_is_not_here_is_passed_over(hands, tmp_path):
    """The file has an entry for every listed sample; of a copy without the second one the others keep their places."""
    write_submission(tmp_path / "pred.zip", "ho3d", *hands, INDEX, 3)
    predictions = read_submission(tmp_path / "pred.zip", "ho3d", [KEYS[0], KEYS[2]], np.array([0, 2]), 3)
    np.testing.assert_allclose(predictions.joints_cam, hands[0][[0, 2]], atol=5.1e-6)
    np.testing.assert_allclose(predictions.vertices_cam, hands[1][[0, 2]], atol=5.1e-6)


def test_a_part_or_another_order_is_not_written(hands, tmp_path):
    joints, vertices = hands
    path = tmp_path / "pred.zip"
    with pytest.raises(ValueError, match=r"3 predictions, the benchmark takes exactly 11,524"):
        write_submission(path, "ho3d", joints, vertices, INDEX, 11_524)
    with pytest.raises(ValueError, match="not in the order"):
        write_submission(path, "ho3d", joints, vertices, INDEX[::-1], 3)
    with pytest.raises(ValueError, match="not in the order"):
        write_submission(tmp_path / "results.txt", "dexycb", joints, None, np.array([4, 7, 7]), 3)
    for benchmark in ("ho3d", "freihand"):
        with pytest.raises(ValueError, match="for entry 3 of the benchmark's list, so that entries are missing"):
            write_submission(path, benchmark, joints, vertices, np.array([0, 1, 3]), 3)
    with pytest.raises(ValueError, match="778 vertices"):
        write_submission(path, "ho3d", joints, None, INDEX, 3)
    with pytest.raises(ValueError, match="not finite"):
        write_submission(path, "ho3d", np.where(joints > 0.6, np.nan, joints), vertices, INDEX, 3)
    with pytest.raises(ValueError, match="not finite"):
        write_submission(path, "ho3d", joints, np.where(vertices > 0.7, np.nan, vertices), INDEX, 3)
    assert not list(tmp_path.iterdir())


def zipped(path, content, name="pred.json"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, json.dumps(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([[[[0, 0, 1]] * 21] * 2, [[[0, 0, 1]] * 778] * 2], "2 samples of joints, the benchmark lists 3"),
        ([[[[0, 0, 1]] * 21] * 3, [[[0, 0, 1]] * 778] * 2], "2 samples of vertices, the benchmark lists 3"),
        ([[[[0, 0, 1]] * 20] * 3, [[[0, 0, 1]] * 778] * 3], r"joints of entry 0 have shape \(20, 3\), expected \(21, 3\)"),
        ([[[[0, 0, 1]] * 21] * 3, [[[0, 0, 1]] * 500] * 3], r"vertices of entry 0 have shape \(500, 3\)"),
        ({"xyz": []}, r"expected \[joints, vertices\]"),
        ([[], [], []], r"expected \[joints, vertices\]"),
        ([{}, {}], r"expected \[joints, vertices\]"),
        ([[[[0, 0, float("nan")]] * 21] * 3, [[[0, 0, 1]] * 778] * 3], "not finite, in 3 of 3 samples: 'B/0001'"),
    ],
)
def test_a_bad_zip_is_named_with_its_fault(content, message, tmp_path):
    zipped(tmp_path / "pred.zip", content)
    with pytest.raises(ValueError, match=message) as caught:
        read_submission(tmp_path / "pred.zip", "ho3d", KEYS, INDEX, 3)
    assert "pred.zip" in str(caught.value)


def test_other_files(hands, tmp_path, monkeypatch):
    zipped(tmp_path / "deep.zip", [], name="results/pred.json")
    with pytest.raises(ValueError, match=r"no pred\.json at the top of the archive, which holds results/pred\.json"):
        read_submission(tmp_path / "deep.zip", "ho3d", KEYS, INDEX, 3)
    (tmp_path / "cut.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"cut\.zip"):
        read_submission(tmp_path / "cut.zip", "ho3d", KEYS, INDEX, 3)
    zipped(tmp_path / "bomb.zip", [0] * 1000)
    asked, read = [], zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: asked.append(n) or read(self, n))
    monkeypatch.setattr(submission, "_MOST_BYTES", 2999)
    with pytest.raises(ValueError, match=r"bomb\.zip: its pred\.json unpacks to more than 2,999 bytes"):
        read_submission(tmp_path / "bomb.zip", "ho3d", KEYS, INDEX, 3)
    assert asked == [3000]
    with pytest.raises(FileNotFoundError, match="No predictions at"):
        read_submission(tmp_path / "none.zip", "ho3d", KEYS, INDEX, 3)


def test_dexycb_lines_that_do_not_fit(hands, tmp_path):
    path = tmp_path / "results.txt"
    write_submission(path, "dexycb", hands[0], None, np.array([4, 7, 9]), 3)
    text = path.read_text()
    with pytest.raises(ValueError, match=r"1 of 3 samples are missing, the first is 8 \(A/0002\)"):
        read_submission(path, "dexycb", KEYS, np.array([4, 8, 9]), 20)
    path.write_text("\n" + text.replace("\n", "\r\n\r\n"))
    np.testing.assert_allclose(read_submission(path, "dexycb", KEYS, np.array([4, 7, 9]), 20).joints_cam, hands[0], atol=5.1e-8)
    path.write_text(text + "10,1,2,3\n")
    with pytest.raises(ValueError, match="line 4 has 4 numbers, expected 64"):
        read_submission(path, "dexycb", KEYS, np.array([4, 7, 9]), 20)
    path.write_text(text + text)
    with pytest.raises(ValueError, match="line 4 is a second one for sample 4"):
        read_submission(path, "dexycb", KEYS, np.array([4, 7, 9]), 20)
    write_submission(path, "dexycb", hands[0] / 1e3, None, np.array([4, 7, 9]), 3)
    with pytest.raises(ValueError, match=r"Metres\? The file takes millimetres"):
        read_submission(path, "dexycb", KEYS, np.array([4, 7, 9]), 20)
