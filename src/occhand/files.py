"""Where our files live, and how they are written: under a temporary name first, then renamed."""

from __future__ import annotations

import os
import secrets
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
    temporary = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
    # Readable as the umask says, which a file of `tempfile` is not: to read the umask one must change it, for all threads.
    temporary.touch(exist_ok=False)
    try:
        yield temporary
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
