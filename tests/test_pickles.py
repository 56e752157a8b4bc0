"""Pickles of numbers: what any Python wrote comes back, and nothing in a hostile one runs."""

import codecs
import pickle

import numpy as np
import pytest

from occhand.pickles import load_plain_dict, plain_numbers

VALUES = {
    "array": np.arange(12, dtype=np.float32).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.array([1.5, -2.0], dtype=">f8"),
    "whole": np.array([[1], [2]], dtype=np.int64),
    "scalar": np.float32(0.25),
    "list": [1, 2.5, np.float64(3.5)],
    "number": 4,
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numbers_come_back(protocol):
    content = load_plain_dict(pickle.dumps(VALUES | {"text": "clé", "nothing": None, "names": ["a"]}, protocol=protocol))
    for name, value in VALUES.items():
        np.testing.assert_array_equal(plain_numbers(content[name]), np.array(value))
    assert (content["text"], content["nothing"], content["names"]) == ("clé", None, ["a"])


class Call:
    """Pickled as a call of any function with any arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_nothing_of_a_hostile_pickle_runs(tmp_path):
    target = tmp_path / "made-by-the-pickle"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for hostile in (Call(open, str(target), "w"), Call(eval, "1/0"), Call(np.load, "x"), Call(getattr, "a", "upper")):
            with pytest.raises(ValueError, match=r"^no pickle of numbers: it names [^\n]*; nothing in it was run$"):
                load_plain_dict(pickle.dumps({"a": hostile}, protocol=protocol))
    assert not target.exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", b"garbage", pickle.dumps([1]), pickle.dumps({"a": 1})[:-2], b"}Va\nc" + 5000 * b"a" + b"\nb\ns."],
    ids=["empty", "start", "garbage", "list", "cut", "long name"],
)
def test_anything_else_is_one_line(data):
    with pytest.raises(ValueError, match=r"^no pickle of numbers: [^\n]{1,200}; nothing in it was run$"):
        load_plain_dict(data)


def test_a_length_beyond_the_file_takes_no_memory():
    with pytest.raises(ValueError, match=r"expected 268435456 bytes in a bytearray8, but only \d+ remain"):
        load_plain_dict(b"\x80\x05}Va\n\x96" + (2**28).to_bytes(8, "little") + b"bytes.s.")


def test_python_2_wrote_bytes_as_text():
    dtype, state = b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR", np.array([-1.5, 1e-3]).tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x02t" + dtype
    content = load_plain_dict(b"\x80\x02}U\x01a" + array + b"I00\nU\x10" + state + b"tbs.")
    np.testing.assert_array_equal(plain_numbers(content["a"]), [-1.5, 1e-3])


def test_text_is_turned_to_bytes_one_by_one_whatever_the_file_asks_for():
    assert load_plain_dict(pickle.dumps({"a": Call(codecs.encode, "\xe9x", "utf-16")}, protocol=2)) == {"a": b"\xe9x"}


@pytest.mark.parametrize(
    "value",
    [None, "text", True, {"a": 1}, [1, "b"], [[1]], np.array(["a"]), np.array([None]), np.array([(1, 2)], dtype="i4,i4")],
    ids=repr,
)
def test_what_is_no_number_is_refused(value):
    content = load_plain_dict(pickle.dumps({"a": value}, protocol=2))
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        plain_numbers(content["a"])


@pytest.mark.parametrize(
    "state", [None, 3, (1, 2), (1, (10**30,), None, False, b"x"), (1, (-5,), "f8", False, b"x"), (1, "x", [], 0, ["y"])]
)
def test_arrays_with_any_state_are_refused(state):
    """What a hostile file can say of an array without naming anything that is refused."""
    rebuild = pickle.dumps(np.zeros(2), protocol=2)
    prefix = rebuild[2 : rebuild.index(b"K\x01K\x02\x85")]
    cut = prefix.rindex(b"(")  # the mark before numpy's own state
    data = b"\x80\x02}X\x01\x00\x00\x00a" + prefix[:cut] + pickle.dumps(state, protocol=2)[2:-1] + b"bs."
    content = load_plain_dict(data)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        plain_numbers(content["a"])
