"""Every hand of every frame as `hands.npz` and, where pyarrow is installed, `hands.parquet`, written piece by piece."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from occhand.files import atomic_path

Pieces = Callable[[], Iterable[Mapping[str, np.ndarray]]]
"""Gives the tables of a run piece by piece, as often as asked."""


def write_npz(path: Path, pieces: Pieces, extra: Mapping[str, np.ndarray]) -> None:
    """Columns of all pieces end to end, one at a time, so that no more than a piece is in memory.

    Args:
        path: Of the file; it appears whole or not at all.
        pieces: At least one.
        extra: Small arrays to stand beside the columns.
    """
    count = sum(len(piece["frame"]) for piece in pieces())
    first = next(iter(pieces()))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, column in first.items():
            # ZipInfo is dated 1980: equal runs give equal bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                header = {"descr": column.dtype.str, "fortran_order": False, "shape": (count, *column.shape[1:])}
                np.lib.format.write_array_header_2_0(member, header)
                for piece in pieces():
                    member.write(np.ascontiguousarray(piece[name]).tobytes())
        for name, array in extra.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def write_parquet(path: Path, pieces: Pieces, metadata: Mapping[str, str]) -> bool:
    """The same columns as Parquet, arrays flattened to fixed-size lists; False where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        return False
    import pyarrow.parquet

    with atomic_path(path) as temporary:
        writer = None
        for piece in pieces():
            table = _arrow_table(piece).replace_schema_metadata(dict(metadata))
            writer = writer or pyarrow.parquet.ParquetWriter(str(temporary), table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
    return True


def _arrow_table(piece: Mapping[str, np.ndarray]) -> Any:
    import pyarrow

    columns = {}
    for name, column in piece.items():
        values = pyarrow.array(column.reshape(-1))
        width = int(np.prod(column.shape[1:]))
        columns[name] = values if column.ndim == 1 else pyarrow.FixedSizeListArray.from_arrays(values, width)
    return pyarrow.table(columns)
