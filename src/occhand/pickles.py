"""Pickles of numbers, read without running anything in them.

Every global is replaced by an inert stand-in that only records its state; any other global is refused, so a hostile file cannot reach a
callable. What the objects mean is then worked out from what was recorded.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np


class Recorded:
    """Stands in for a pickled object: keeps the arguments and the state, does nothing with them."""

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(Recorded):
    """numpy.ndarray; its state is (version, shape, dtype, is_fortran, bytes)."""


class _DType(Recorded):
    """numpy.dtype; made with (code, align, copy), its state holds the byte order at 1."""


class _Scalar(Recorded):
    """A number of numpy's; made with (dtype, bytes)."""


def _reconstruct_array(*_: Any) -> _Array:
    return _Array()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


def _array_from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """How protocol 5 holds an array."""
    array = _Array()
    array.state = (1, shape, dtype, order == "F", buffer)
    return array


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
NUMPY_GLOBALS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
    **{(module, "_reconstruct"): _reconstruct_array for module in _MULTIARRAY},
    **{(module, "scalar"): _Scalar for module in _MULTIARRAY},
    **{(module, "_frombuffer"): _array_from_buffer for module in ("numpy.core.numeric", "numpy._core.numeric")},
}
"""What arrays and numbers of numpy need, by (module, name)."""


def _guarded(load: Callable[[Any], None], touched: slice, allowed: tuple[type, ...]) -> Callable[[Any], None]:
    def checked(unpickler: Any) -> None:
        if not all(isinstance(value, allowed) for value in unpickler.stack[touched]):
            raise pickle.UnpicklingError("a key or an object of a kind that files of numbers do not use")
        load(unpickler)

    return checked


_GUARDS: dict[bytes, tuple[slice, tuple[type, ...]]] = {
    pickle.SETITEM: (slice(-2, -1), (str, bytes)),
    **dict.fromkeys((pickle.SETITEMS, pickle.DICT), (slice(None, None, 2), (str, bytes))),
    **dict.fromkeys((pickle.ADDITEMS, pickle.FROZENSET), (slice(None), (str, bytes))),
    pickle.BUILD: (slice(-2, -1), (Recorded,)),
}
"""Opcodes that hash what lies on the stack, or change it. A tuple of tuples takes for ever to hash, or overflows C's stack."""


class _RestrictedUnpickler(pickle._Unpickler):
    """Python's unpickler in Python, since the one in C has no place for the guards, and allocates as many memos as a file asks for."""

    dispatch: ClassVar = {
        **pickle._Unpickler.dispatch,
        **{code[0]: _guarded(pickle._Unpickler.dispatch[code[0]], *guard) for code, guard in _GUARDS.items()},
    }

    def __init__(self, data: bytes, allowed: Mapping[tuple[str, str], Any]) -> None:
        # Files of Python 2 hold the bytes of arrays as text; latin1 gives back every byte, and files of Python 3 do not ask for it.
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which files of numbers do not use")
        return self._allowed[module, name]


def load_recorded(data: bytes, allowed: Mapping[tuple[str, str], Any] = NUMPY_GLOBALS) -> Any:
    """What a pickle holds, objects as their `Recorded` stand-ins.

    Args:
        data: The whole file.
        allowed: The stand-ins by (module, name); any other name is refused.

    Raises:
        Exception: Of any kind: a hostile pickle can make the machine's own opcodes raise anything at all. Callers turn it into a line.
    """
    for _ in pickletools.genops(data):  # its lengths are those of the file
        pass
    return _RestrictedUnpickler(data, allowed).load()


def load_plain_dict(data: bytes) -> dict[str, Any]:
    """A pickled dict of text, numbers, lists and arrays; take numbers out of it with `plain_numbers`.

    Raises:
        ValueError: Not a pickle, a pickle of something else, or one that names more than numpy's arrays.
    """
    try:
        content = load_recorded(data)
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, expected a dict")
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"no pickle of numbers: {reason}; nothing in it was run") from None
    return content


def plain_numbers(value: Any) -> np.ndarray:
    """The array that an entry of a pickle stands for, be it an array, a number, or a list of numbers.

    Raises:
        ValueError: Anything but numbers.
    """
    try:
        if isinstance(value, list | tuple):
            return np.array([_number(item) for item in value])
        return plain_array(value) if isinstance(value, _Array) else np.array(_number(value))
    except Exception as error:  # what was recorded may be anything at all
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from None


def plain_array(value: Any) -> np.ndarray:
    """The numpy array that a stand-in recorded.

    Raises:
        pickle.UnpicklingError: Not an array, or not one of numbers.
    """
    if not isinstance(value, _Array):
        raise pickle.UnpicklingError(f"a {type(value).__name__} where numbers were expected")
    _, shape, dtype, is_fortran, raw = value.state
    return _unpacked(dtype, raw).reshape(shape, order="F" if is_fortran else "C")


def _number(value: Any) -> float:
    if isinstance(value, _Scalar):
        return float(_unpacked(*value.args).item())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise pickle.UnpicklingError(f"a {type(value).__name__} where a number was expected")
    return float(value)


def _unpacked(dtype: Any, raw: Any) -> np.ndarray:
    kind = _numeric_dtype(dtype)
    return np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else raw, kind)


def _numeric_dtype(dtype: Any) -> np.dtype:
    if not isinstance(dtype, _DType) or dtype.args[0] not in ("f4", "f8", "i4", "i8", "u4", "u8"):
        raise pickle.UnpicklingError("an array of something other than numbers")
    byte_order = dtype.state[1] if dtype.state else "<"
    return np.dtype(("<" if byte_order not in ("<", ">") else byte_order) + dtype.args[0])
