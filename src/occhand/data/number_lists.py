"""Lists of lists of numbers in JSON, as the benchmarks release them: a gigabyte of text in the memory of its numbers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from occhand.broken_files import BROKEN_JSON
from occhand.data.record import DataError

_CHUNK_BYTES = 1 << 24
_BRACKETS_TO_SPACES = bytes.maketrans(b"[]", b"  ")
_AGAIN = "Download or unpack it again."


def read_number_list(
    path: str | os.PathLike[str], entry_shape: tuple[int, ...], dtype: type[np.floating] = np.float64
) -> Float[np.ndarray, "entries *entry_shape"]:
    """A list whose entries all have one shape, such as 21 x 3.

    Args:
        path: The file.
        entry_shape: Of one entry; () for a list of numbers.
        dtype: Of the result.

    Raises:
        DataError: The file cannot be read, is cut short, or holds anything else.
    """
    path = Path(path)
    expected = " x ".join(map(str, ("N", *entry_shape)))
    opened = closed = 0
    parts = []
    try:
        with path.open("rb") as stream:
            for text in _whole_numbers(stream):
                opened += text.count(b"[")
                closed += text.count(b"]")
                # Without its brackets a list is flat, which the standard parser reads strictly and at once.
                parts.append(np.array(json.loads(b"[" + text.translate(_BRACKETS_TO_SPACES) + b"]"), dtype=dtype))
    except FileNotFoundError:
        raise DataError(f"No file {path}; expected a list of {expected} numbers. {_AGAIN}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check the path and its permissions.") from None
    except BROKEN_JSON as error:
        raise DataError(f"{path} is no list of {expected} numbers ({' '.join(str(error).split())[:120]}). {_AGAIN}") from None
    numbers = np.concatenate(parts) if parts else np.empty(0, dtype)
    count, rest = divmod(numbers.size, math.prod(entry_shape))
    # One bracket around all, and one for each list at each depth.
    brackets = 1 + sum(count * math.prod(entry_shape[:depth]) for depth in range(len(entry_shape)))
    if rest or numbers.ndim != 1 or (opened, closed) != (brackets, brackets) or not np.isfinite(numbers).all():
        found = f"{numbers.size:,} numbers in {opened:,} lists, of which {closed:,} are closed"
        raise DataError(f"{path} holds {found}; expected a list of {expected} finite numbers. {_AGAIN}")
    return numbers.reshape(count, *entry_shape)


def _whole_numbers(stream: BinaryIO) -> Iterator[bytes]:
    """The text in parts that end where a number does; the commas between parts are taken out."""
    rest = b""
    while chunk := stream.read(_CHUNK_BYTES):
        whole, comma, after = chunk.rpartition(b",")
        if comma:
            yield rest + whole
            rest = after
        else:
            rest += chunk
    if rest:
        yield rest
