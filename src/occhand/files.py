"""Where our files live, and how they are written: under a temporary name first, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The user's cache folder for OccHand: `$OCCHAND_CACHE`, else the platform's; not created here."""
    return Path(os.environ.get("OCCHAND_CACHE") or platformdirs.user_cache_dir("occhand"))


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path` to write to; renamed to `path` when the block ends well, removed when it does not.

    Folders on the way are made. The suffix is kept, since writers choose a format by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike[str], pattern: str) -> None:
    """Remove what a killed `atomic_path` left under temporary names.

    Args:
        folder: Where the files were to be.
        pattern: Their names; `*` and `?` stand for what they do in a shell.
    """
    names = Path(pattern)
    for leftover in Path(folder).glob(f".{names.stem}-*{names.suffix}"):
        leftover.unlink(missing_ok=True)
