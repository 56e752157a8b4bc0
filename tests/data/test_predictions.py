"""Predictions from files: both forms, and what each mistake says."""

import json

import numpy as np
import pytest

from occhand.data.predictions import Predictions, read_predictions
from tests.data.samples import make_sample


@pytest.fixture
def samples():
    return [make_sample(0, index) for index in range(3)]


@pytest.fixture
def joints(samples):
    return np.stack([sample.joints_cam for sample in samples])


def test_both_forms_give_the_same(joints, samples, tmp_path):
    keys, vertices = ["a", "b", "c"], np.stack([sample.vertices_cam for sample in samples])
    np.savez(tmp_path / "p.npz", keys=keys, joints_cam=joints, vertices_cam=vertices)
    entries = {key: {"joints_cam": j.tolist(), "vertices_cam": v.tolist()} for key, j, v in zip(keys, joints, vertices, strict=True)}
    (tmp_path / "p.json").write_text(json.dumps(entries))
    (tmp_path / "short.json").write_text(json.dumps({key: j.tolist() for key, j in zip(keys, joints, strict=True)}))
    (tmp_path / "P.NPZ").write_bytes((tmp_path / "p.npz").read_bytes())
    for name in ("p.npz", "P.NPZ", "p.json", "short.json"):
        predictions = read_predictions(tmp_path / name)
        assert predictions.keys == ("a", "b", "c")
        assert np.allclose(predictions.joints_cam, joints)
        if name == "short.json":
            assert predictions.vertices_cam is None
        else:
            assert predictions.vertices_cam.dtype == np.float64
            assert np.allclose(predictions.vertices_cam, vertices)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda joints: {"a": (1000 * joints[0]).tolist()}, "Millimetres\\? Divide by 1000"),
        (lambda joints: {"a": (joints[0] * (20, 1, 1)).tolist()}, r"the median hand is [\d.]+ m long, a real one 0\.2 m\. Expected metres"),
        (
            lambda joints: {"a": {"joints_cam": joints[0].tolist(), "vertices_cam": [[0, 0, 1]] * 778}, "b": joints[1].tolist()},
            "1 of 2 samples",
        ),
        (lambda joints: {"a": joints[0, :20].tolist()}, r"shape \(1, 20, 3\), expected \(1, 21, 3\)"),
        (lambda joints: {"a": joints[0].tolist(), "b": joints[0, :5].tolist()}, "sample 'b' has shape"),
        (lambda joints: {}, "empty"),
        (
            lambda joints: "{" + ", ".join(f'"{key}": {json.dumps(hand.tolist())}' for key, hand in zip("aba", joints, strict=True)) + "}",
            "Sample 'a' is predicted more than once",
        ),
        (lambda joints: [joints.tolist()], "one entry per sample"),
        (lambda joints: {"a": {"joints": joints[0].tolist()}}, "no 'joints_cam' in it"),
        (lambda joints: '{"a": [[NaN, 0, 0]]}', "shape"),
        (lambda joints: "not json", "Expecting value"),
        (lambda joints: {"a": {"joints_cam": joints[0].tolist(), "vertices_cam": [[0, 0, 1]]}}, "778"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(joints, tmp_path, change, message):
    path = tmp_path / "predictions.json"
    write(path, change(joints))
    with pytest.raises(ValueError, match=message) as caught:
        read_predictions(path)
    assert str(path) in str(caught.value)


def test_numbers_that_are_none_and_keys_that_come_twice(joints, tmp_path):
    broken = joints.copy()
    broken[1, 3, 0] = np.nan
    np.savez(tmp_path / "p.npz", keys=["a", "b", "c"], joints_cam=broken)
    with pytest.raises(ValueError, match="not finite, in 1 of 3 samples: 'b'"):
        read_predictions(tmp_path / "p.npz")
    np.savez(tmp_path / "p.npz", keys=["a", "b", "a"], joints_cam=joints)
    with pytest.raises(ValueError, match="'a' is predicted more than once"):
        read_predictions(tmp_path / "p.npz")


def test_a_key_that_comes_twice_is_found_in_one_pass(joints):
    class Keys(tuple):
        def count(self, _):
            pytest.fail("a pass for each key")

    with pytest.raises(ValueError, match="'b' is predicted more than once"):
        Predictions(Keys("abb"), joints)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="No predictions at"):
        read_predictions(tmp_path / "none.json")
    (tmp_path / "p.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match=r"from \.json or \.npz, not \.pkl"):
        read_predictions(tmp_path / "p.pkl")
    (tmp_path / "p.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"p\.npz"):
        read_predictions(tmp_path / "p.npz")
