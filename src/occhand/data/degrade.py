"""What a bad camera does to a picture: blur, motion, too little light, noise, JPEG."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter
from PIL.JpegImagePlugin import JpegImageFile

from occhand.image_io import encode_jpeg

Picture = UInt8[np.ndarray, "height width 3"]


def gaussian_blur(image: Picture, sigma: float) -> Picture:
    """Out of focus: three box filters that approach a Gaussian of `sigma` pixels; the border is repeated."""
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def motion_blur(image: Picture, length: float, angle: float) -> Picture:
    """Moved while the shutter was open.

    Args:
        image: sRGB.
        length: Pixels between the first and the last position.
        angle: Of the movement, radians from x towards y.
    """
    steps = max(2, 2 * int(np.ceil(length)) + 1)
    offsets = np.linspace(-length / 2, length / 2, steps)
    total = np.zeros(image.shape, np.float32)
    for offset in offsets:
        total += _shifted(image, offset * np.cos(angle), offset * np.sin(angle))
    return _to_uint8(total / steps)


def low_light(image: Picture, exposure: float, rng: np.random.Generator, full_well: float = 2000.0) -> Picture:
    """A short exposure, brightened no more than the gamma curve does: darker, less contrast, the photons' own noise.

    Args:
        image: sRGB.
        exposure: Share of the light that is left, 0..1.
        rng: Of the photons.
        full_well: Photons that make a pixel white; a small sensor has few.
    """
    light = (image.astype(np.float32) / 255) ** 2.2
    photons = rng.poisson(exposure * full_well * light)
    return _to_uint8(255 * np.clip(photons / full_well, 0, 1) ** (1 / 2.2))


def gaussian_noise(image: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    """Independent noise on every channel of every pixel, `sigma` in grey levels."""
    return _to_uint8(image + rng.standard_normal(image.shape, np.float32) * np.float32(sigma))


def jpeg(image: Picture, quality: int) -> Picture:
    """Compressed and opened again; `quality` from 1 to 95."""
    return np.array(JpegImageFile(io.BytesIO(encode_jpeg(image, quality))))  # as `Image.open` does, without asking every format


def _shifted(image: Picture, dx: float, dy: float) -> np.ndarray:
    """The picture moved by a part of a pixel or more, its border repeated; float32."""
    left, top = int(np.floor(dx)), int(np.floor(dy))
    height, width = image.shape[:2]
    rows = np.arange(height)[:, None] - top + (0, -1)
    columns = np.arange(width)[:, None] - left + (0, -1)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    x, y = np.float32(dx - left), np.float32(dy - top)
    along = (1 - x) * image[:, columns[:, 0]] + x * image[:, columns[:, 1]]
    return (1 - y) * along[rows[:, 0]] + y * along[rows[:, 1]]


def _to_uint8(values: np.ndarray) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
