"""Hand files: the MANO stand-in reads exactly, hostile and broken files are refused with a next step."""

import os
import pickle
import stat
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from occhand.files import atomic_path
from occhand.hand.assets import convert_mano, load_parameters
from occhand.hand.parameters import ARRAY_SHAPES, has_flipped_shapedirs, held_side
from tests.hand.mano_standin import Select, mano_content, write_mano


@pytest.fixture(scope="module")
def right():
    return load_parameters("open")


@pytest.fixture
def mano_right(tmp_path, right):
    return write_mano(tmp_path / "MANO_RIGHT.pkl", mano_content(right))


@pytest.fixture
def mano_left(tmp_path, right):
    return write_mano(tmp_path / "MANO_LEFT.pkl", mano_content(right.mirrored()))


def assert_same_hand(mine, other):
    for key in ARRAY_SHAPES:
        np.testing.assert_allclose(getattr(mine, key), getattr(other, key), atol=1e-7, err_msg=key)


def test_the_stand_in_names_the_globals_of_the_official_file(mano_right):
    data = mano_right.read_bytes()
    for name in (b"chumpy.ch\nCh", b"chumpy.reordering\nSelect", b"scipy.sparse.csc\ncsc_matrix", b"numpy.core.multiarray\n_reconstruct"):
        assert name in data
    assert b"_codecs" not in data  # nor does it name what Python 3 writes for bytes


def test_mano_is_read_exactly_and_kept(mano_right, right):
    hand, kept = convert_mano(mano_right, "right")
    assert hand.side == "right"
    assert_same_hand(hand, right)
    assert_same_hand(load_parameters("mano"), right)
    assert (load_parameters("mano").side, load_parameters("mano").name) == ("right", "mano")
    assert load_parameters("mano").faces.dtype == hand.faces.dtype == np.int64
    assert_same_hand(load_parameters(mano_right), right)
    assert_same_hand(load_parameters(kept), right)
    assert list(kept.parent.iterdir()) == [kept]
    for path in (mano_right, kept):
        assert_same_hand(load_parameters(path.rename(path.with_suffix(path.suffix.upper()))), right)


def test_resaved_copy_by_a_new_python_is_read_too(tmp_path, right):
    content = mano_content(right)
    content["J_regressor"] = np.asarray(right.J_regressor)
    content["shapedirs"] = np.concatenate([right.shapedirs, np.ones((778, 3, 10))], axis=2)
    path = tmp_path / "resaved.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    assert_same_hand(load_parameters(path), right)


def test_resaved_copies_of_other_protocols_and_packages_are_read_too(tmp_path, right):
    content = mano_content(right)
    regressor = content["J_regressor"]  # entries of one place add up
    regressor.indptr, regressor.indices, regressor.data = 2 * regressor.indptr, regressor.indices.repeat(2), regressor.data.repeat(2) / 2
    path = write_mano(tmp_path / "old.pkl", content, protocol=1)
    assert_same_hand(load_parameters(path), right)
    data = path.read_bytes()
    for old, new in (("numpy.core", "numpy._core"), ("sparse.csc", "sparse._csc"), ("__builtin__", "builtins"), ("copy_reg", "copyreg")):
        assert old.encode() in data
        data = data.replace(old.encode(), new.encode())
    path.write_bytes(data)
    assert_same_hand(load_parameters(path), right)


def test_left_file_is_recognised_and_its_sign_fault_mended(tmp_path, mano_left, right):
    left = right.mirrored()
    hand, kept = convert_mano(mano_left)
    assert hand.side == load_parameters("mano", "left").side == load_parameters(kept, "left").side == "left"
    assert_same_hand(load_parameters("mano", "left"), left)
    with pytest.raises(FileNotFoundError, match="right hand has not been converted yet"):
        load_parameters("mano")
    faulty = replace(left, shapedirs=left.shapedirs * np.array([-1.0, 1.0, 1.0])[:, None])
    assert has_flipped_shapedirs(faulty.v_template, faulty.shapedirs)
    assert not has_flipped_shapedirs(left.v_template, left.shapedirs)
    assert_same_hand(convert_mano(write_mano(tmp_path / "v1_2.pkl", mano_content(faulty)))[0], left)


def test_the_side_is_told_by_the_fingers_wherever_the_hand_lies(right):
    for at in (-0.3, 0.3):
        assert held_side(right.v_template + at) == "right"
        assert held_side(right.mirrored().v_template + at) == "left"


@pytest.mark.parametrize("growth", [(1, 1, 1), (1, -0.1, 1), (1, 1, -0.01)])
def test_the_sign_fault_is_told_by_the_component_that_grows_the_hand_most(right, growth):
    shapedirs = np.zeros((778, 3, 10))
    shapedirs[:, 0, 0], shapedirs[:, 1, 0] = 1.0, right.v_template[:, 1].mean() - right.v_template[:, 1]
    shapedirs[:, :, 4] = 3 * (right.v_template - right.v_template.mean(0)) * growth
    for at in (0.0, 0.3):
        assert not has_flipped_shapedirs(right.v_template + at, shapedirs)
        assert has_flipped_shapedirs(right.v_template + at, shapedirs * np.array([-1, 1, 1])[:, None])


def test_wrong_side_is_refused_and_nothing_is_written(mano_left, tmp_path):
    with pytest.raises(ValueError, match=r"holds a left hand, expected a right one\. Give the other"):
        convert_mano(mano_left, "right")
    assert not (tmp_path / "cache").exists()


def test_a_kept_hand_of_the_other_side_is_refused(mano_right, tmp_path, right):
    _, kept = convert_mano(mano_right)
    with pytest.raises(ValueError, match=r"holds a right hand, expected a left one\. Give the other"):
        load_parameters(kept, "left")
    np.savez(tmp_path / "hand.npz", **{key: getattr(right, key) for key in ARRAY_SHAPES}, side="left", name="mano")
    with pytest.raises(ValueError, match="calls itself a left hand but holds the other one"):
        load_parameters(tmp_path / "hand.npz", "left")


def test_missing_mano_names_the_next_step(tmp_path):
    for ask in (lambda: load_parameters("mano"), lambda: convert_mano(tmp_path / "none.pkl")):
        with pytest.raises(FileNotFoundError, match=r"Register at mano.is.tue.mpg.de.*occhand convert mano"):
            ask()


def test_another_kinematic_tree_is_refused(tmp_path, right):
    content = mano_content(right)
    content["kintree_table"][0, 5] = 0
    with pytest.raises(ValueError, match="has another kinematic tree than MANO"):
        load_parameters(write_mano(tmp_path / "tree.pkl", content))


def test_a_file_larger_than_any_of_mano_is_not_read(tmp_path, monkeypatch):
    with (tmp_path / "large.pkl").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("read"))
    with pytest.raises(ValueError, match="has 67,108,865 bytes; a MANO file has about 4 million"):
        load_parameters(tmp_path / "large.pkl")


def test_unreadable_mano_names_the_next_step(tmp_path, mano_right, monkeypatch):
    (tmp_path / "folder.pkl").mkdir()
    with pytest.raises(ValueError, match=r"cannot be read: .*Is a directory.*Give a file"):
        convert_mano(tmp_path / "folder.pkl")

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # file modes bind everyone but root
    with pytest.raises(ValueError, match=r"Permission denied.*check its permissions"):
        load_parameters(mano_right)


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def hostile_pickles(target):
    yield "call", pickle.dumps(Hostile(target), protocol=2)
    yield "stack global", pickle.dumps(Hostile(target), protocol=4)
    yield "eval", b"c__builtin__\neval\n(S'1/0'\ntR."
    yield "huge memo", b"\x80\x02}r\xff\xff\xff\x7f."
    doubled = b"2\x86" * 60  # t = (t, t), sixty times: 2 to the 60th leaves to hash
    yield "key that takes for ever to hash", b"\x80\x02})" + doubled + b"Ns."
    yield "key in a batch", b"\x80\x02}()" + doubled + b"Nu."
    yield "key in a dict of marks", b"\x80\x02()" + doubled + b"Nd."
    yield "set", b"\x80\x02c__builtin__\nset\n(])" + doubled + b"atR."
    yield "set of protocol 4", b"\x80\x04\x8f()" + doubled + b"\x90."
    yield "key that overflows C's stack", b"\x80\x02})" + b"\x85" * 200_000 + b"Ns."
    yield "function changed", b"\x80\x02c_codecs\nencode\nN}(X\x0c\x00\x00\x00__defaults__)u\x86b."
    yield "not a dict", pickle.dumps([1, 2], protocol=2)
    yield "missing keys", pickle.dumps({"f": 1}, protocol=2)
    yield "garbage", b"\x00garbage"
    yield "long name", b"c" + 5000 * b"a" + b"\nb\n."
    yield "empty", b""
    yield "object reconstructor", b"ccopy_reg\n_reconstructor\n(c__builtin__\nset\nc__builtin__\nobject\nNtR."


def test_hostile_pickles_run_nothing(tmp_path):
    target = tmp_path / "made-by-the-pickle"
    for name, data in hostile_pickles(target):
        path = tmp_path / "hostile.pkl"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"is no MANO file: .*Nothing in it was run") as error:
            convert_mano(path)
        assert "\n" not in str(error.value), name
        assert len(str(error.value)) < 400 + len(str(path)), name
        assert not target.exists(), name


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("f", -1, r"a face that names a vertex outside of 0\.\.777\. Get a fresh copy"),
        ("f", 778, r"a face that names a vertex outside of 0\.\.777\. Get a fresh copy"),
        ("posedirs", np.nan, "a number that is not finite in 'posedirs'. Get a fresh copy"),
        ("hands_mean", np.inf, "a number that is not finite in 'hands_mean'. Get a fresh copy"),
    ],
)
def test_numbers_that_no_hand_has_are_refused(tmp_path, right, key, value, message):
    content = mano_content(right)
    content["f"] = content["f"].astype(np.int32)
    content[key].flat[7] = value
    with pytest.raises(ValueError, match=message):
        load_parameters(write_mano(tmp_path / "odd.pkl", content))
    arrays = {{"f": "faces"}.get(name, name): content[name] for name in ("f", "posedirs", "hands_mean")}
    np.savez(tmp_path / "odd.npz", **{name: arrays.get(name, getattr(right, name)) for name in ARRAY_SHAPES}, side="right", name="mano")
    with pytest.raises(ValueError, match=message):
        load_parameters(tmp_path / "odd.npz")


def test_object_arrays_are_refused(tmp_path, right):
    content = mano_content(right)
    content["v_template"] = np.full((778, 3), None)
    with pytest.raises(ValueError, match="other than numbers"):
        load_parameters(write_mano(tmp_path / "objects.pkl", content))


def test_selections_of_selections_are_refused(tmp_path, right):
    """Each level would be worked out twice: sixty levels, for ever."""
    content = mano_content(right)
    selection = np.zeros(1, np.int64)
    for _ in range(60):
        selection = Select(a=selection, idxs=selection, preferred_shape=(1,))
    content["hands_mean"] = selection
    with pytest.raises(ValueError, match="a _ChumpySelect where numbers were expected"):
        load_parameters(write_mano(tmp_path / "selections.pkl", content))


def test_sparse_columns_that_ask_for_all_memory_are_refused(tmp_path, right):
    content = mano_content(right)
    content["J_regressor"].indptr[-1] = 2**30
    with pytest.raises(ValueError, match="do not add up"):
        load_parameters(write_mano(tmp_path / "sparse.pkl", content))
    content["J_regressor"]._shape = (2**30, 2**30)
    with pytest.raises(ValueError, match=r"a sparse matrix of shape \(1073741824, 1073741824\), expected \(16, 778\)"):
        load_parameters(write_mano(tmp_path / "sparse.pkl", content))


def test_truncated_file_and_wrong_shape_are_refused(tmp_path, mano_right, right):
    short = tmp_path / "short.pkl"
    short.write_bytes(mano_right.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="is no MANO file"):
        load_parameters(short)
    content = mano_content(right)
    content["weights"] = content["weights"][:, :12]
    with pytest.raises(ValueError, match=r"'weights' has shape \(778, 12\), expected \(778, 16\)"):
        load_parameters(write_mano(tmp_path / "thin.pkl", content))
    np.savez(
        tmp_path / "thin.npz",
        **{key: getattr(right, key) for key in ARRAY_SHAPES} | {"weights": content["weights"]},
        side="right",
        name="x",
    )
    with pytest.raises(ValueError, match=r"'weights' has shape \(778, 12\), expected \(778, 16\)\)\. Make one"):
        load_parameters(tmp_path / "thin.npz")
    content["shapedirs"] = np.zeros(5)
    with pytest.raises(ValueError, match=r"'shapedirs' has shape \(5,\), expected \(778, 3, 10\)"):
        load_parameters(write_mano(tmp_path / "flat.pkl", content))


def test_broken_npz_is_refused(tmp_path):
    path = tmp_path / "hand.npz"
    for content in (b"", b"PK\x03\x04nothing", b"text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no hand file of ours"):
            load_parameters(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("v_template.npy", bytes(64 * 2**20 + 1))
    with pytest.raises(ValueError, match="unpacks to more than any hand needs"):
        load_parameters(path)
    with pytest.raises(ValueError, match="choose open, mano"):
        load_parameters("opne")


def test_an_unknown_side_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run the package: its own checks only
    with pytest.raises(ValueError, match="Unknown side 'Left'; choose right or left"):
        load_parameters("open", "Left")


def test_mirroring_twice_changes_nothing(right):
    assert_same_hand(right.mirrored().mirrored(), right)


def test_atomic_path_leaves_nothing_behind_on_failure(tmp_path):
    target = tmp_path / "new" / "deep" / "file.txt"

    def write(text, fail):
        with atomic_path(target) as temporary:
            temporary.write_text(text)
            if fail:
                raise RuntimeError

    write("first", fail=False)
    with pytest.raises(RuntimeError):
        write("second", fail=True)
    assert target.read_text() == "first"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_atomic_path_minds_the_umask_without_changing_it_for_other_threads(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "umask", lambda mask: pytest.fail("changed for all threads"))
            with atomic_path(tmp_path / "file.txt") as temporary:
                temporary.write_text("text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o640
