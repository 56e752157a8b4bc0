"""Every data set on disk by name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from occhand.data.folder import FolderDataset
from occhand.types import HandSample


@runtime_checkable
class HandDataset(Protocol):
    """Samples by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> HandSample: ...

    def __iter__(self) -> Iterator[HandSample]: ...


def _open_folder(root: Path, split: str | None) -> HandDataset:
    return FolderDataset(root / split if split else root)


_READERS: dict[str, Callable[[Path, str | None], HandDataset]] = {"folder": _open_folder}


def list_datasets() -> list[str]:
    """The names that `create_dataset` knows."""
    return sorted(_READERS)


def create_dataset(name: str, root: str | os.PathLike[str], split: str | None = None) -> HandDataset:
    """A data set by name.

    Args:
        name: One of `list_datasets()`. `folder`: shards that `occhand synth` wrote.
        root: Where it lies.
        split: Its part; of a `folder`, a folder in it.

    Raises:
        ValueError: Unknown name; files that cannot be used (`DataError`).
    """
    if name not in _READERS:
        near = difflib.get_close_matches(name, _READERS, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(list_datasets())}."
        raise ValueError(f"Unknown data set {name!r}. {hint} Generated splits: occhand.synth.dataset.load_split.")
    return _READERS[name](Path(root), split)
