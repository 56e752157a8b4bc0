"""Lists of numbers against the standard parser, cut anywhere; everything else is one line."""

import json

import numpy as np
import pytest

from occhand.data import number_lists
from occhand.data.number_lists import read_number_list
from occhand.data.record import DataError


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 2)])
def test_the_numbers_of_the_standard_parser(shape, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(number_lists, "_CHUNK_BYTES", chunk)
    values = np.random.default_rng(0).normal(0, 1, (5, *shape)).round(6)
    for indent in (None, 2):
        (tmp_path / "list.json").write_text(json.dumps(values.tolist(), indent=indent))
        np.testing.assert_array_equal(read_number_list(tmp_path / "list.json", shape), values)


def test_a_list_of_nothing_has_no_entries(tmp_path):
    (tmp_path / "list.json").write_text("[]")
    assert read_number_list(tmp_path / "list.json", (21, 3)).shape == (0, 21, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[[1, 2]",
        "[[1, 2], [3]]",
        "[[1, 2, 3]]",
        "[[[1, 2]]]",
        "[1, 2]",
        "[[1, NaN]]",
        '[["a", "b"]]',
        "[[1 2]]",
        "[[1, null]]",
        "\xff",
    ],
)
def test_anything_else_is_one_line(text, tmp_path):
    path = tmp_path / "list.json"
    path.write_text(text, encoding="latin1")
    with pytest.raises(DataError, match=r"^[^\n]*list\.json[^\n]*list of N x 2 [^\n]*again\.$"):
        read_number_list(path, (2,))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match=r"No file .*missing\.json"):
        read_number_list(tmp_path / "missing.json", ())
    with pytest.raises(DataError, match="cannot be read"):
        read_number_list(tmp_path, ())
