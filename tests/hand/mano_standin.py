"""A pickle laid out as the official MANO file, with our open hand's numbers in it; and hostile ones.

Stub classes are pickled under the names of chumpy's and scipy's, as Python 2 would have written them.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from pathlib import Path
from typing import ClassVar

import numpy as np

from occhand.hand.parameters import HandParameters
from occhand.hand.skeleton import PARENTS


class _Stub:
    def __init__(self, **state):
        self.__dict__.update(state)


def _named(module: str, name: str) -> type:
    return type(name, (_Stub,), {"__module__": module})


Ch = _named("chumpy.ch", "Ch")
Select = _named("chumpy.reordering", "Select")
csc_matrix = _named("scipy.sparse.csc", "csc_matrix")


_OLD_NAMES = {"numpy._core.multiarray": "numpy.core.multiarray", "builtins": "__builtin__", "copyreg": "copy_reg"}


class _PythonTwoPickler(pickle._Pickler):
    """With the module names that Python 2 and old numpy wrote."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_global(self, obj, name=None):
        module = _OLD_NAMES.get(obj.__module__, obj.__module__)
        self.write(f"c{module}\n{name or obj.__name__}\n".encode("ascii"))
        self.memoize(obj)

    def save_text(self, text):
        """Its `str`, of text and of the bytes of arrays."""
        data = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_text
    dispatch[type] = save_global
    dispatch[types.FunctionType] = save_global
    dispatch[types.BuiltinFunctionType] = save_global


def mano_content(hand: HandParameters) -> dict:
    """The dict of an official file; `shapedirs` has 20 components of which a chumpy Select takes 10."""
    twenty = np.zeros((778, 3, 20))
    twenty[:, :, :10] = hand.shapedirs
    flat_ids = np.arange(778 * 3 * 20).reshape(778, 3, 20)[:, :, :10].ravel()
    rows, columns = np.nonzero(hand.J_regressor.T)[::-1]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=778))]).astype(np.int32)
    regressor = csc_matrix(
        _shape=(16, 778), indptr=indptr, indices=rows.astype(np.int32), data=hand.J_regressor[rows, columns].astype(float), maxprint=50
    )
    kintree = np.asfortranarray(np.array([[p % 2**32 for p in PARENTS], range(16)], dtype=np.int64))
    return {
        "v_template": hand.v_template.astype(float),
        "f": hand.faces.astype(np.uint32),
        "shapedirs": Select(a=Ch(x=twenty, _dirty_vars={1}), idxs=flat_ids, preferred_shape=(778, 3, 10)),
        "posedirs": hand.posedirs.astype(float),
        "weights": hand.weights.astype(float),
        "J_regressor": regressor,
        "J": (hand.J_regressor @ hand.v_template).astype(float),
        "kintree_table": kintree,
        "hands_mean": hand.hands_mean.astype(float),
        "hands_components": hand.hands_components.astype(float),
        "hands_coeffs": np.zeros((4, 45)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def write_mano(path: Path, content: dict, protocol: int = 2) -> Path:
    buffer = io.BytesIO()
    _PythonTwoPickler(buffer, protocol).dump(content)
    path.write_bytes(buffer.getvalue())
    assert "chumpy" not in sys.modules
    return path
