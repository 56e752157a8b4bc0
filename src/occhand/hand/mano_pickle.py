"""Read the official MANO pickle without chumpy, without scipy and without running anything in it.

The file is a protocol 2 pickle written by Python 2. What its chumpy and scipy objects mean is worked out from their recorded state.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from occhand.hand.parameters import ARRAY_SHAPES
from occhand.pickles import NUMPY_GLOBALS, Recorded, load_recorded, plain_array

_SHAPES = {**{"f" if key == "faces" else key: shape for key, shape in ARRAY_SHAPES.items()}, "kintree_table": (2, 16)}


class _Sparse(Recorded):
    """scipy.sparse csc_matrix."""


class _Chumpy(Recorded):
    """chumpy.Ch: the numbers are in `x`."""


class _ChumpySelect(Recorded):
    """chumpy.Select: `a.x.ravel()[idxs]` in `preferred_shape`."""


def _reconstruct_object(cls: Any, *_: Any) -> Any:
    if not (isinstance(cls, type) and issubclass(cls, Recorded)):
        raise pickle.UnpicklingError("an object of a class that MANO files do not use")
    return cls()


_ALLOWED: dict[tuple[str, str], Any] = {
    **NUMPY_GLOBALS,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _ChumpySelect,
    ("__builtin__", "set"): Recorded,
    ("__builtin__", "object"): object,
    ("copy_reg", "_reconstructor"): _reconstruct_object,
    **{(module, "csc_matrix"): _Sparse for module in ("scipy.sparse.csc", "scipy.sparse._csc")},
}
for _module, _name in (("__builtin__", "set"), ("__builtin__", "object"), ("copy_reg", "_reconstructor")):
    _ALLOWED[{"__builtin__": "builtins", "copy_reg": "copyreg"}[_module], _name] = _ALLOWED[_module, _name]


def read_mano_pickle(data: bytes, path: str) -> dict[str, np.ndarray]:
    """The arrays of a MANO file, float64 metres and int64 indices, under the names of `HandParameters` plus `kintree_table`.

    Args:
        data: The whole file.
        path: How the file is called in errors.

    Raises:
        ValueError: Not a pickle, a pickle of something else, or one that names anything beyond what MANO files use.
    """
    try:
        content = load_recorded(data, _ALLOWED)
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, expected a dict")
        arrays = {key: _dense(content, key) for key in _SHAPES}
    # A hostile pickle can raise anything at all from the machine's own opcodes; none of it is ours to let through.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
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
        return _numbers(value.state["a"]).ravel()[plain_array(value.state["idxs"])].reshape(value.state["preferred_shape"])
    if isinstance(value, _Sparse):
        return _dense_csc(value.state)
    return plain_array(value)


def _dense_csc(state: dict[str, Any]) -> np.ndarray:
    rows, columns = (int(n) for n in state["_shape"])
    if (rows, columns) != _SHAPES["J_regressor"]:
        raise pickle.UnpicklingError(f"a sparse matrix of shape {(rows, columns)}, expected {_SHAPES['J_regressor']}")
    indptr, indices, data = (plain_array(state[key]) for key in ("indptr", "indices", "data"))
    per_column: np.ndarray = np.diff(indptr.astype(np.int64))
    if per_column.min() < 0 or per_column.sum() != len(data):
        raise pickle.UnpicklingError("a sparse matrix whose columns do not add up")
    dense = np.zeros((rows, columns))
    np.add.at(dense, (indices, np.repeat(np.arange(columns), per_column)), data)
    return dense
