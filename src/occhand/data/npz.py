"""Arrays out of an .npz that anyone may have made: nothing is unpickled, nothing unpacks to more than was expected of it."""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np

from occhand.broken_files import BROKEN_ARCHIVE

_NPY_VERSION = (1, 0)
MOST_OF_ANY = 778
"""The most that a length of -1 stands for."""


class NpzArrays:
    """The arrays of an .npz, each checked against what is expected before it is unpacked.

    Args:
        data: The whole file.

    Raises:
        ValueError: Not an archive, or a truncated one.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except BROKEN_ARCHIVE as error:
            raise ValueError(f"no archive, or a truncated one ({error})") from None
        self._names = set(self._archive.namelist())

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._names

    def read(self, name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
        """The array `name`; a length of -1 stands for any up to `MOST_OF_ANY`.

        Raises:
            ValueError: It is missing, or of another type or shape (an array of objects is of another type).
        """
        if name not in self:
            raise ValueError(f"it has no {name}")
        expected = np.dtype(dtype)
        most = math.prod(MOST_OF_ANY if length < 0 else length for length in shape) * expected.itemsize
        try:
            found, is_fortran, found_dtype, values = self._unpack(name, most)
        except BROKEN_ARCHIVE as error:
            raise ValueError(f"its {name} is broken ({error})") from None
        lengths = zip(shape, found, strict=True)
        fits = len(found) == len(shape) and all(have <= MOST_OF_ANY if want < 0 else have == want for want, have in lengths)
        if not fits or is_fortran or found_dtype != expected or len(values) != math.prod(found) * expected.itemsize:
            raise ValueError(f"its {name} is {found_dtype} {found}, expected {expected} {shape}")
        return np.frombuffer(values, dtype=expected).reshape(found).copy()

    def _unpack(self, name: str, most: int) -> tuple[tuple[int, ...], bool, np.dtype, bytes]:
        """Shape, order, type and bytes of an array, as many as `most` and a header are."""
        with self._archive.open(f"{name}.npy") as member:
            data = member.read(most + 4096)  # an archive that lies about its sizes unpacks to no more than this
        stream = io.BytesIO(data)
        if np.lib.format.read_magic(stream) != _NPY_VERSION:
            raise ValueError("no .npy of version 1.0")
        return *np.lib.format.read_array_header_1_0(stream), data[stream.tell() :]
