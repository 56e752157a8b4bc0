"""From light to a picture file's pixels: exposure, white balance, blur, movement, noise, tone curve, JPEG."""

from __future__ import annotations

from functools import lru_cache
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, UInt8
from numba import njit

from occhand.data.degrade import jpeg
from occhand.render.shade import srgb_curve
from occhand.synth.background import blur_in_place

_CURVE_STEPS = 1024


def develop(light: Float32[np.ndarray, "height width 3"], exposure: float, rng: np.random.Generator) -> UInt8[np.ndarray, "height width 3"]:
    """A photograph of a scene, by a camera of random quality.

    Args:
        light: Linear RGB; blurred in place.
        exposure: Factor on the light that is right for the subject; a random error is added.
        rng: Source of randomness.
    """
    scale = light.shape[0] / 256
    if rng.random() < 0.8:
        blur_in_place(light, float(rng.uniform(0.3, 1.1)) * max(scale, 0.6))
    if rng.random() < 0.12:
        light = _move(light, rng.uniform(0.0, np.pi), int(np.ceil(rng.uniform(2.0, 9.0) * scale)))
    gains = (exposure * np.exp(rng.normal(0.08, 0.22) + rng.normal(0.0, (0.07, 0.02, 0.07)))).astype(np.float32)
    is_noisy = rng.random() < 0.7
    read_noise = np.float32(rng.uniform(0.0, 0.003) if is_noisy else 0.0)
    shot_noise = np.float32(rng.uniform(0.0, 0.018) if is_noisy else 0.0)
    curve = _tone_curve(rng.uniform(0.85, 1.2))
    picture = _expose(light, gains, curve, read_noise, shot_noise, int(rng.integers(1, 2**31)))
    return jpeg(picture, int(rng.integers(35, 96))) if rng.random() < 0.6 else picture


def _tone_curve(gamma: float) -> np.ndarray:
    """8-bit values over the square root of light, so that dark tones get their share of the table."""
    return (255 * _curve_steps() ** gamma).astype(np.float32)


@lru_cache(maxsize=1)
def _curve_steps() -> np.ndarray:
    return srgb_curve(np.linspace(0.0, 1.0, _CURVE_STEPS) ** 2)


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _expose(light, gains, curve, read_noise, shot_noise, seed):
    """Gain, noise from a hashed counter (sum of four uniforms: near enough to normal), tone curve."""
    height, width, _ = light.shape
    picture = np.empty((height, width, 3), dtype=np.uint8)
    state, last = np.uint32(seed), np.float32(len(curve) - 1)
    spread = np.float32(np.sqrt(3.0) / 255.0)  # standard deviation 1 for a sum of four bytes
    for y in range(height):
        for x in range(width):
            for channel in range(3):
                value = light[y, x, channel] * gains[channel]
                # A shoulder instead of hard clipping.
                if value > np.float32(0.7):
                    value = np.float32(1.0) - np.float32(0.09) / (value - np.float32(0.4))
                # Marsaglia's xorshift; compiled arithmetic widens, so each step is cut back to 32 bits.
                state = np.uint32(state ^ (state << np.uint32(13)))
                state = np.uint32(state ^ (state >> np.uint32(17)))
                state = np.uint32(state ^ (state << np.uint32(5)))
                total = (state & 255) + ((state >> 8) & 255) + ((state >> 16) & 255) + (state >> 24)
                noise = (np.float32(total) - np.float32(510.0)) * spread
                # On the root of light, shot noise is the same everywhere, and read noise falls off.
                root = np.sqrt(max(value, np.float32(0.0)))
                root += noise * (shot_noise + read_noise / (root + np.float32(0.1)))
                picture[y, x, channel] = np.uint8(curve[int(min(np.float32(1.0), max(np.float32(0.0), root)) * last)] + np.float32(0.5))
    return picture


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _move(light, angle, length):
    """Mean along a line: the camera or the hand moved while the shutter was open."""
    height, width, _ = light.shape
    moved = np.zeros_like(light)
    for step in range(length):
        offset = step - (length - 1) / 2
        dx, dy = int(np.round(offset * np.cos(angle))), int(np.round(offset * np.sin(angle)))
        for y in range(height):
            row = min(height - 1, max(0, y + dy))
            for x in range(width):
                column = min(width - 1, max(0, x + dx))
                for channel in range(3):
                    moved[y, x, channel] += light[row, column, channel] / length
    return moved
