"""Amplitude-spectrum mixing: another picture's contrast and colour at coarse scales, this picture's contents.

The amplitude of an image's Fourier transform carries its style, the phase its contents (Yang and Soatto, FDA, CVPR 2020; mixed rather than
replaced as in Xu et al., FACT, CVPR 2021).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8


def mix_amplitude(
    image: UInt8[np.ndarray, "height width 3"], other: UInt8[np.ndarray, "height width 3"], share: float, band: float = 0.1
) -> UInt8[np.ndarray, "height width 3"]:
    """`image` with part of its low frequencies' amplitude taken from `other`; nothing moves, so labels stay.

    Args:
        image: Gives the phase, and the amplitude of fine detail.
        other: Gives the amplitude of coarse structure.
        share: 0 leaves the picture, 1 takes all of the other's amplitude in the band.
        band: Highest frequency that is mixed, cycles per pixel in either direction (0.5 is all there is).
    """
    height, width = image.shape[:2]
    spectrum = np.fft.rfft2(image.astype(np.float32), axes=(0, 1))
    amplitude = np.abs(spectrum)
    theirs = np.abs(np.fft.rfft2(other.astype(np.float32), axes=(0, 1)))
    is_low = (np.abs(np.fft.fftfreq(height))[:, None] <= band) & (np.fft.rfftfreq(width)[None] <= band)
    gain = 1 + share * is_low[..., None] * (theirs - amplitude) / np.maximum(amplitude, 1e-6)
    mixed = np.fft.irfft2(spectrum * gain, s=(height, width), axes=(0, 1))
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
