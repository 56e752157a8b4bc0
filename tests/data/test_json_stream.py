"""Files of long lists, whole and broken, in windows of any size."""

import json
import time
import tracemalloc

import pytest

from occhand.data import json_stream
from occhand.data.json_stream import stream_object
from occhand.data.record import DataError

CONTENT = {
    "header": {"version": 1, "nested": {"list": [1, 2, {"a": None}]}},
    "images": [{"id": 0, "file_name": 'ä"\\ [x] ,'}, {"id": 1, "file_name": ""}],
    "none": [],
    "annotations": [[1.5, -2e-3], 12345678, "]", True, None],
    "count": 123456,
}
EXPECTED = [(key, element) for key, value in CONTENT.items() for element in (value if isinstance(value, list) else [value])]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1 << 20])
def test_gives_elements_in_order_wherever_the_window_cuts(chunk, indent, tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    path = tmp_path / "file.json"
    path.write_text(json.dumps(CONTENT, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
    assert list(stream_object(path)) == EXPECTED


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected '{'.*where the file ends"),
        ("[1, 2]", "expected '{' at character 0"),
        ('{"a": [1, 2', "expected ']'.*where the file ends"),
        ('{"a": [1, {"b": 2', "where the file ends|delimiter"),
        ('{"a": [1, 2]} {}', "more text after"),
        ('{"a": [1 2]}', "expected ']'"),
        ('{"a": [1,]}', "Expecting value"),
        ("{1: 2}", "a key that is no text"),
        ('{"a": ' + "[" + '{"b":' * 200_000 + "1", "broken"),
        ('{"a": ' + "9" * 5000 + "}", "broken"),
    ],
)
def test_names_what_is_broken(text, problem, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DataError, match=problem) as caught:
        list(stream_object(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_refuses_bytes_that_are_no_text_and_files_that_are_none(tmp_path):
    (tmp_path / "binary.json").write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(DataError, match="broken"):
        list(stream_object(tmp_path / "binary.json"))
    with pytest.raises(DataError, match="cannot be read"):
        list(stream_object(tmp_path / "none.json"))
    with pytest.raises(DataError, match="cannot be read"):
        list(stream_object(tmp_path))


def test_an_element_without_end_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"a": ["' + "x" * (3 * json_stream.MAX_VALUE_CHARS) + '"]}')
    started = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(DataError, match="at character 7"):
        list(stream_object(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.9 * json_stream.MAX_VALUE_CHARS
    assert time.perf_counter() - started < 5


def test_the_longest_element_is_read_and_one_longer_is_not(tmp_path):
    path = tmp_path / "file.json"
    text = "x" * (json_stream.MAX_VALUE_CHARS - 2)
    path.write_text(f'{{"a": ["{text}"]}}')
    assert list(stream_object(path)) == [("a", text)]
    path.write_text(f'{{"a": ["{text}x"]}}')
    with pytest.raises(DataError, match="a value of 4,194,305 characters at character 7"):
        list(stream_object(path))


def test_holds_one_element_at_a_time(tmp_path):
    path = tmp_path / "file.json"
    element = json.dumps({"joints": "0.123456789, " * 4000})
    path.write_text('{"a": [' + ", ".join([element] * 400) + "]}")
    tracemalloc.start()
    count = sum(1 for _ in stream_object(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 400
    assert path.stat().st_size > 15e6
    assert peak < 6e6
