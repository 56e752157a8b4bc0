"""What the standard library and numpy raise for files from outside that are damaged, by accident or on purpose.

Found by changing bytes of sound files. Readers turn these into one line; a `MemoryError` too, since a file may claim any size.
"""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib

try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it, whose zipfile raises RuntimeError instead
    LZMAError = RuntimeError  # type: ignore[assignment, misc]

BROKEN_JSON: tuple[type[Exception], ...] = (
    *(ValueError, KeyError, TypeError, OSError),
    *(OverflowError, RecursionError, MemoryError),  # OverflowError: an integer beyond all floats
)
"""Reading JSON, and making arrays of the numbers in it."""

BROKEN_ARCHIVE: tuple[type[Exception], ...] = (
    *BROKEN_JSON,
    *(zipfile.BadZipFile, zlib.error, struct.error, LZMAError, EOFError),
    *(SyntaxError, tokenize.TokenError),  # the header of an array is Python's text
    *(RuntimeError, AttributeError),  # encrypted, an unknown compression; a bare array where an archive should be
)
"""Reading arrays, or JSON, out of an .npz or .zip."""
