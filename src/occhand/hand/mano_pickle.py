"""Read the official MANO pickle without chumpy, without scipy and without running anything in it.

The file is a protocol 2 pickle written by Python 2. Its globals are replaced by inert stand-ins that only record their state; any other
global is refused, so a hostile file cannot reach a callable. What the objects mean is then worked out from the recorded numbers.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from occhand.hand.parameters import ARRAY_SHAPES

_SHAPES = {**{"f" if key == "faces" else key: shape for key, shape in ARRAY_SHAPES.items()}, "kintree_table": (2, 16)}


class _Inert:
    """Stands in for a pickled object: keeps the arguments and the state, does nothing with them."""

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Inert):
    """numpy.ndarray; its state is (version, shape, dtype, is_fortran, bytes)."""


class _DType(_Inert):
    """numpy.dtype; made with (code, align, copy), its state holds the byte order at 1."""


class _Sparse(_Inert):
    """scipy.sparse csc_matrix."""


class _Chumpy(_Inert):
    """chumpy.Ch: the numbers are in `x`."""


class _ChumpySelect(_Inert):
    """chumpy.Select: `a.x.ravel()[idxs]` in `preferred_shape`."""


def _reconstruct_array(*_: Any) -> _Array:
    return _Array()


def _reconstruct_object(cls: Any, *_: Any) -> Any:
    if not (isinstance(cls, type) and issubclass(cls, _Inert)):
        raise pickle.UnpicklingError("an object of a class that MANO files do not use")
    return cls()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _ChumpySelect,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "set"): _Inert,
    ("__builtin__", "object"): object,
    ("copy_reg", "_reconstructor"): _reconstruct_object,
    **{(module, "_reconstruct"): _reconstruct_array for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    **{(module, "csc_matrix"): _Sparse for module in ("scipy.sparse.csc", "scipy.sparse._csc")},
}
for _module, _name in (("__builtin__", "set"), ("__builtin__", "object"), ("copy_reg", "_reconstructor")):
    _ALLOWED[{"__builtin__": "builtins", "copy_reg": "copyreg"}[_module], _name] = _ALLOWED[_module, _name]


def _guarded(load: Callable[[Any], None], touched: slice, allowed: tuple[type, ...]) -> Callable[[Any], None]:
    def checked(unpickler: Any) -> None:
        if not all(isinstance(value, allowed) for value in unpickler.stack[touched]):
            raise pickle.UnpicklingError("a key or an object of a kind that MANO files do not use")
        load(unpickler)

    return checked


_GUARDS: dict[bytes, tuple[slice, tuple[type, ...]]] = {
    pickle.SETITEM: (slice(-2, -1), (str, bytes)),
    **dict.fromkeys((pickle.SETITEMS, pickle.DICT), (slice(None, None, 2), (str, bytes))),
    **dict.fromkeys((pickle.ADDITEMS, pickle.FROZENSET), (slice(None), (str, bytes))),
    pickle.BUILD: (slice(-2, -1), (_Inert,)),
}
"""Opcodes that hash what lies on the stack, or change it. A tuple of tuples takes for ever to hash, or overflows C's stack."""


class _RestrictedUnpickler(pickle._Unpickler):
    """Python's unpickler in Python, since the one in C has no place for the guards, and allocates as many memos as a file asks for."""

    dispatch: ClassVar = {
        **pickle._Unpickler.dispatch,
        **{code[0]: _guarded(pickle._Unpickler.dispatch[code[0]], *guard) for code, guard in _GUARDS.items()},
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which MANO files do not use")
        return _ALLOWED[module, name]


def read_mano_pickle(data: bytes, path: str) -> dict[str, np.ndarray]:
    """The arrays of a MANO file, float64 metres and int64 indices, under the names of `HandParameters` plus `kintree_table`.

    Args:
        data: The whole file.
        path: How the file is called in errors.

    Raises:
        ValueError: Not a pickle, a pickle of something else, or one that names anything beyond what MANO files use.
    """
    try:
        for _ in pickletools.genops(data):  # its lengths are those of the file
            pass
        content = _RestrictedUnpickler(io.BytesIO(data), encoding="latin1").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, expected a dict")
        arrays = {key: _dense(content, key) for key in _SHAPES}
    # A hostile pickle can raise anything at all from the machine's own opcodes; none of it is ours to let through.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path} is no MANO file: {reason}. Nothing in it was run. Give MANO_RIGHT.pkl or MANO_LEFT.pkl from mano.is.tue.mpg.de."
        ) from None
    arrays["faces"] = arrays.pop("f")
    return arrays


def _dense(content: dict[str, Any], key: str) -> np.ndarray:
    if key not in content:
        raise pickle.UnpicklingError(f"the key '{key}' is missing")
    array = _numbers(content[key])
    if key == "shapedirs" and array.shape[:2] == (778, 3):
        array = array[:, :, :10]
    if array.shape != _SHAPES[key]:
        raise pickle.UnpicklingError(f"'{key}' has shape {array.shape}, expected {_SHAPES[key]}")
    return array.astype(np.int64 if array.dtype.kind in "iu" else np.float64)


def _numbers(value: Any) -> np.ndarray:
    """The numpy array that a recorded object stands for."""
    if isinstance(value, _Chumpy):
        return _numbers(value.state["x"])
    if isinstance(value, _ChumpySelect):
        return _numbers(value.state["a"]).ravel()[_plain_array(value.state["idxs"])].reshape(value.state["preferred_shape"])
    if isinstance(value, _Sparse):
        return _dense_csc(value.state)
    return _plain_array(value)


def _plain_array(value: Any) -> np.ndarray:
    if not isinstance(value, _Array):
        raise pickle.UnpicklingError(f"a {type(value).__name__} where numbers were expected")
    _, shape, dtype, is_fortran, raw = value.state
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    return np.frombuffer(raw, _numeric_dtype(dtype)).reshape(shape, order="F" if is_fortran else "C")


def _numeric_dtype(dtype: Any) -> np.dtype:
    if not isinstance(dtype, _DType) or dtype.args[0] not in ("f4", "f8", "i4", "i8", "u4", "u8"):
        raise pickle.UnpicklingError("an array of something other than numbers")
    byte_order = dtype.state[1] if dtype.state else "<"
    return np.dtype(("<" if byte_order not in ("<", ">") else byte_order) + dtype.args[0])


def _dense_csc(state: dict[str, Any]) -> np.ndarray:
    rows, columns = (int(n) for n in state["_shape"])
    if (rows, columns) != _SHAPES["J_regressor"]:
        raise pickle.UnpicklingError(f"a sparse matrix of shape {(rows, columns)}, expected {_SHAPES['J_regressor']}")
    indptr, indices, data = (_plain_array(state[key]) for key in ("indptr", "indices", "data"))
    per_column: np.ndarray = np.diff(indptr.astype(np.int64))
    if per_column.min() < 0 or per_column.sum() != len(data):
        raise pickle.UnpicklingError("a sparse matrix whose columns do not add up")
    dense = np.zeros((rows, columns))
    np.add.at(dense, (indices, np.repeat(np.arange(columns), per_column)), data)
    return dense
