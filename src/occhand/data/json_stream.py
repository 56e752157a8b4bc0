"""Read a JSON object of long lists element by element: annotation files of a gigabyte in the memory of one annotation."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any, TextIO

from occhand.broken_files import BROKEN_JSON
from occhand.data.record import DataError

_CHUNK = 1 << 20
MAX_VALUE_CHARS = 1 << 22
"""Of one element or one value that is no list; an annotation of a hand has some thousands."""
_SPACE = re.compile(r"[ \t\n\r]*")


def stream_object(path: str | os.PathLike[str]) -> Iterator[tuple[str, Any]]:
    """What a file holds, in its order: (key, element) for each element of a list at the top, (key, value) for anything else there.

    Raises:
        DataError: The file cannot be read, is no JSON object, is cut short, or has an element of more than `MAX_VALUE_CHARS`.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            yield from _Scanner(stream).top_object()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check the path and its permissions.") from None
    except DataError as error:
        raise DataError(f"{path} is broken: {error} Download, copy or make it again.") from None
    except BROKEN_JSON as error:  # such as a number of thousands of digits, or lists in lists without end
        raise DataError(f"{path} is broken: {' '.join(str(error).split())[:120]}. Download, copy or make it again.") from None


class _Scanner:
    """A window on the text that moves on and never holds more than an element and a chunk."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._window, self._place, self._passed = "", 0, 0
        self._decoder = json.JSONDecoder()

    def top_object(self) -> Iterator[tuple[str, Any]]:
        self._expect("{")
        if self._accept("}"):
            return
        while True:
            key = self._value()
            if not isinstance(key, str):
                raise self._broken("a key that is no text")
            self._expect(":")
            if self._accept("["):
                yield from ((key, element) for element in self._elements())
            else:
                yield key, self._value()
            if not self._accept(","):
                break
        self._expect("}")
        if self._next():
            raise self._broken("more text after the object")

    def _elements(self) -> Iterator[Any]:
        if self._accept("]"):
            return
        yield self._value()
        while self._accept(","):
            yield self._value()
        self._expect("]")

    def _value(self) -> Any:
        self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._place)
            except json.JSONDecodeError as error:
                # It may only go on in the next chunk.
                if len(self._window) - self._place > MAX_VALUE_CHARS or not self._read_on():
                    raise self._broken(error.msg) from None
                continue
            if end < len(self._window) or not self._read_on():  # a number at the very end may go on too
                break
        if end - self._place > MAX_VALUE_CHARS:
            raise self._broken(f"a value of {end - self._place:,} characters")
        self._place = end
        return value

    def _next(self) -> str:
        """The next character that is no space, which is left where it is; nothing at the end."""
        while True:
            match = _SPACE.match(self._window, self._place)
            self._place = match.end() if match else self._place
            if self._place < len(self._window):
                return self._window[self._place]
            if not self._read_on():
                return ""

    def _accept(self, character: str) -> bool:
        if self._next() != character:
            return False
        self._place += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._accept(character):
            raise self._broken(f"expected {character!r}")

    def _read_on(self) -> bool:
        chunk = self._stream.read(_CHUNK)
        self._passed += self._place
        self._window, self._place = self._window[self._place :] + chunk, 0
        return bool(chunk)

    def _broken(self, what: str) -> DataError:
        cut = "" if self._next() else ", where the file ends"
        return DataError(f"{what} at character {self._passed + self._place:,}{cut}.")
