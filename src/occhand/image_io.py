"""Pictures in and out: any common file becomes uint8 RGB, upright; anything else becomes one clear line."""

from __future__ import annotations

import base64
import io
import os
import stat
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from occhand.files import atomic_path

MAX_PIXELS = 128_000_000
"""Larger pictures are refused before they are decoded: no camera's photograph is larger, and a decompression bomb is."""
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
"""Pillow's raster decoders. Others are left out on purpose: EPS, for one, would start Ghostscript."""
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".mpo", ".png", ".webp", ".avif", ".tif", ".tiff"),
    *(".bmp", ".gif", ".ppm", ".pgm", ".pnm", ".jp2"),
)
"""What a folder is searched for; a file named outright may have any name."""
BROKEN_PICTURE: tuple[type[Exception], ...] = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, MemoryError),
    *(RuntimeError, Image.DecompressionBombError),  # RuntimeError: AVIF's decoder
)
"""What Pillow raises for pictures that are damaged, or claim to be too large."""
_FORMATS_TEXT = "JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF, PNM or JPEG 2000"


class ImageError(ValueError):
    """A picture that cannot be read, in one line: what was found, what was expected, the next step."""


def load_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width 3"]:
    """A picture as uint8 RGB, turned upright by its EXIF tag.

    Grey is repeated over the channels; 16 bits are scaled to 8, floats and 32-bit integers by what they hold; CMYK and palettes are
    converted; the first frame of an animation is taken. Transparency is laid over white, as viewers and printers show it: a cut-out hand
    keeps its dark outline.

    Raises:
        ImageError: No such file, a folder, unreadable, empty, truncated, not a picture, or above `MAX_PIXELS`.
    """
    path = Path(path)
    _check_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked instead
            with Image.open(path, formats=_formats_here()) as opened:
                _check_pixels(opened.size, path)
                opened.load()
                return _to_rgb(ImageOps.exif_transpose(opened), path, opened.format == "TIFF")
    except UnidentifiedImageError:
        raise ImageError(f"Not a picture: {path}. Expected {_FORMATS_TEXT}; convert it (HEIC, RAW, PDF, SVG) to JPEG or PNG.") from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(path, f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels")) from None
    except MemoryError:
        raise ImageError(_too_large(path, "more pixels than memory holds")) from None
    except ImageError:
        raise
    except BROKEN_PICTURE as error:
        reason = " ".join(str(error).split())
        raise ImageError(f"Broken or truncated picture: {path} ({reason}). Copy or download it again.") from None


def list_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files named, in order, with each folder replaced by the pictures directly in it, sorted by name.

    Subfolders are not searched: results go back beside their pictures, and a run over a whole disk is never what was meant.

    Raises:
        ImageError: A path that does not exist, a folder that cannot be read or that holds no picture.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not stat.S_ISDIR(_mode(path, "file or folder")):
            found.append(path)
            continue
        try:
            # A dead link stays on the list, so that it is named as what could not be read.
            inside = sorted(item for item in path.iterdir() if item.suffix.lower() in IMAGE_SUFFIXES and not item.is_dir())
        except OSError as error:
            raise ImageError(f"Folder cannot be read: {path} ({error.strerror}). Check its permissions.") from None
        if not inside:
            raise ImageError(f"No pictures in folder: {path}. Expected {_FORMATS_TEXT} directly in it; subfolders are not searched.")
        found += inside
    return found


def save_image(image: UInt8[np.ndarray, "height width 3"], path: str | os.PathLike[str]) -> None:
    """Write RGB to `path` in the format of its suffix; the file appears whole or not at all.

    Raises:
        ImageError: A suffix that names no picture format.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ImageError(f"Cannot write a picture named {path}: unknown suffix {suffix!r}. Use .png or .jpg.")
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, quality=95)  # formats without loss ignore it


def encode_jpeg(image: UInt8[np.ndarray, "height width 3"], quality: int, is_sharp: bool = False) -> bytes:
    """A JPEG file's bytes; `is_sharp` keeps colours at full resolution."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0 if is_sharp else -1)
    return buffer.getvalue()


def data_url(image: UInt8[np.ndarray, "height width 3"], quality: int = 88) -> str:
    """The picture as a JPEG inside its own address, so that a page asks for no file."""
    return f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(image, quality)).decode()}"


def _formats_here() -> list[str]:
    """`IMAGE_FORMATS` without those that this build of Pillow lacks (AVIF came with 11.3)."""
    Image.init()
    return [name for name in IMAGE_FORMATS if name in Image.OPEN]


def _mode(path: Path, what: str) -> int:
    """Kind and permissions of what lies at a path.

    Raises:
        ImageError: There is nothing, or a folder on the way cannot be looked into.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name with a zero byte
        raise ImageError(f"No such {what}: {path}. Check the path.") from None
    except OSError as error:
        raise ImageError(f"Cannot be reached: {path} ({error.strerror}). Check the path and the permissions on the way.") from None


def _check_readable(path: Path) -> None:
    mode = _mode(path, "picture")
    if stat.S_ISDIR(mode):
        raise ImageError(f"A folder, not a picture: {path}. Name a file in it.")
    if not stat.S_ISREG(mode):
        raise ImageError(f"Not a regular file: {path}. Name a picture file.")
    if not os.access(path, os.R_OK):
        raise ImageError(f"Picture cannot be read: {path}. Check its permissions.")
    if path.stat().st_size == 0:
        raise ImageError(f"Empty file: {path} holds 0 bytes. Copy or download it again.")


def _check_pixels(size: tuple[int, int], path: Path) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large(path, f"{width} x {height} pixels"))
    if min(width, height) < 1:
        raise ImageError(f"Picture without pixels: {path} is {width} x {height}. Copy or download it again.")


def _too_large(path: Path, found: str) -> str:
    return f"Picture too large: {path} unpacks to {found}, the limit is {MAX_PIXELS:,}. Scale it down first."


def _to_rgb(image: Image.Image, path: Path, is_tiff: bool) -> UInt8[np.ndarray, "height width 3"]:
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image).astype(np.float64)
        grey = _to_8_bits(grey, _white(grey, image.mode, path, is_tiff))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (255, 255, 255, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return np.array(image.convert("RGB"))


def _white(grey: np.ndarray, mode: str, path: Path, is_tiff: bool) -> float:
    """The number that stands for white: 65535 of 16 bits. Floats and a TIFF's 32-bit integers have none; what is brightest decides.

    Raises:
        ImageError: No number at all, or integers that are neither 8 nor 16 bits deep.
    """
    if mode == "F":
        known = grey[np.isfinite(grey)]
        if not known.size:
            raise ImageError(f"Picture without a number: every pixel of {path} is NaN or infinite. Save it again, as 8 or 16 bits.")
        return 1.0 if known.max() <= 1.0 else 255.0
    if mode == "I" and is_tiff:
        low, high = grey.min(), grey.max()
        if low < 0 or high > 65535:
            raise ImageError(f"{path} holds integers from {low:.0f} to {high:.0f}, expected 0 to 65535. Save it as 8 or 16 bits.")
        return 255.0 if high <= 255 else 65535.0
    return 65535.0  # I;16 and its kin, and I, which a 16-bit PGM gives, and older Pillow for a 16-bit PNG


def _to_8_bits(grey: Float[np.ndarray, "height width"], white: float) -> UInt8[np.ndarray, "height width"]:
    return np.clip(np.nan_to_num(grey) * (255.0 / white) + 0.5, 0, 255).astype(np.uint8)
