"""Hand files: the open hand that ships with the package, and the user's own MANO files."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from occhand.broken_files import BROKEN_ARCHIVE
from occhand.files import atomic_path, cache_dir
from occhand.hand.mano_pickle import read_mano_pickle
from occhand.hand.parameters import ARRAY_SHAPES, HandParameters, has_flipped_shapedirs, held_side
from occhand.hand.skeleton import PARENTS
from occhand.types import SIDES, Side

OPEN_HAND = Path(__file__).with_name("open_hand.npz")
_MAX_FILE_BYTES = 64 * 2**20
_CONVERT = "Make one with 'occhand convert mano FILE', or use --hand open."
_GET_MANO = "Register at mano.is.tue.mpg.de, download the models, then run 'occhand convert mano FILE'. To go on without it: --hand open."


def convert_mano(path: str | os.PathLike[str], side: Side | None = None) -> tuple[HandParameters, Path]:
    """Read an official MANO pickle without running anything in it, and keep it as .npz in the user's cache.

    Args:
        path: `MANO_RIGHT.pkl` or `MANO_LEFT.pkl` as downloaded.
        side: The side that the file is expected to hold; None takes what is there.

    Returns:
        The parameters and the .npz written.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a MANO file, hostile, broken, or of the other side.
    """
    hand = _read_mano(Path(path), side)
    target = _mano_cache(hand.side)
    with atomic_path(target) as temporary:
        np.savez_compressed(temporary, **{key: getattr(hand, key) for key in ARRAY_SHAPES}, side=hand.side, name=hand.name)
    return hand, target


def load_parameters(hand: str | os.PathLike[str] = "open", side: Side = "right") -> HandParameters:
    """Hand parameters by name or file.

    Args:
        hand: `open` (ours, in the package), `mano` (the user's, converted before), a MANO `.pkl` or an `.npz` of ours.
        side: `right` or `left`. The open hand is mirrored; MANO has a file for each side.

    Raises:
        FileNotFoundError: No such file, or MANO was not converted yet.
        ValueError: Unknown name or side, a broken file, or a file of the other side.
    """
    if side not in SIDES:
        raise ValueError(f"Unknown side {side!r}; choose right or left.")
    if hand == "open":
        ours = _read_npz(OPEN_HAND)
        return ours if side == "right" else ours.mirrored()
    if hand == "mano":
        path = _mano_cache(side)
        if not path.is_file():
            raise FileNotFoundError(f"MANO's {side} hand has not been converted yet. {_GET_MANO}")
        return _read_npz(path)
    path = Path(hand)
    if path.suffix.lower() == ".npz":
        return _checked_side(_read_npz(path), side, path)
    if path.suffix.lower() == ".pkl":
        return _read_mano(path, side)
    raise ValueError(f"Unknown hand {os.fspath(hand)!r}; choose open, mano, a MANO .pkl file or an .npz made by 'occhand convert mano'.")


def _mano_cache(side: Side) -> Path:
    return cache_dir() / f"mano_{side}.npz"


def _checked_side(hand: HandParameters, side: Side | None, path: Path) -> HandParameters:
    if side is not None and hand.side != side:
        raise ValueError(f"{path} holds a {hand.side} hand, expected a {side} one. Give the other MANO file.")
    return hand


def _read_mano(path: Path, side: Side | None) -> HandParameters:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _MAX_FILE_BYTES else b""
    except FileNotFoundError:
        raise FileNotFoundError(f"MANO file not found: {path}. {_GET_MANO}") from None
    except OSError as error:
        raise ValueError(f"MANO file cannot be read: {path} ({error.strerror}). Give a file, and check its permissions.") from None
    if size > _MAX_FILE_BYTES:
        raise ValueError(f"{path} has {size:,} bytes; a MANO file has about 4 million. {_GET_MANO}")
    arrays = read_mano_pickle(data, str(path))
    parents = arrays.pop("kintree_table")[0].astype(np.int64)
    if tuple(parents[1:]) != PARENTS[1:]:
        raise ValueError(f"{path} has another kinematic tree than MANO: parents {parents.tolist()}. {_GET_MANO}")
    if has_flipped_shapedirs(arrays["v_template"], arrays["shapedirs"]):
        arrays["shapedirs"] = arrays["shapedirs"] * np.array([-1.0, 1.0, 1.0])[:, None]
    return _checked_side(HandParameters(**arrays, side=held_side(arrays["v_template"]), name="mano"), side, path)


def _read_npz(path: Path) -> HandParameters:
    if not path.is_file():
        raise FileNotFoundError(f"Hand file not found: {path}. {_CONVERT}")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_FILE_BYTES:
                raise ValueError("it unpacks to more than any hand needs")
        with np.load(path, allow_pickle=False) as arrays:
            values = {key: arrays[key] for key in ARRAY_SHAPES}
            stated_side, name = str(arrays["side"]), str(arrays["name"])
        wrong = [key for key, shape in ARRAY_SHAPES.items() if values[key].shape != shape]
        if wrong:
            raise ValueError(f"'{wrong[0]}' has shape {values[wrong[0]].shape}, expected {ARRAY_SHAPES[wrong[0]]}")
    except BROKEN_ARCHIVE as error:
        raise ValueError(f"{path} is no hand file of ours ({error}). {_CONVERT}") from None
    hand = HandParameters(**values, side="left" if stated_side == "left" else "right", name=name)
    if held_side(hand.v_template) != stated_side:
        raise ValueError(f"{path} calls itself a {stated_side} hand but holds the other one. {_CONVERT}")
    return hand
