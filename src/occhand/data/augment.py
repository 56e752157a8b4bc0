"""Augmentation of training crops: the released jitter, and what our small models need beside it to see real pictures.

Everything is drawn from random generators that the caller gives, and nothing here changes a label: geometry is drawn here and done
where the crop is cut (`occhand.data.transforms`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from occhand.data.cutout import random_cutout
from occhand.data.degrade import gaussian_blur, gaussian_noise, jpeg, low_light, motion_blur
from occhand.data.spectrum import mix_amplitude


@dataclass(frozen=True)
class Jitter:
    """One draw of the released augmentation."""

    scale: float = 1.0
    """Above 1 shows more around the box."""
    rotation: float = 0.0
    """Radians; the content of the crop turns by minus this angle."""
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors of red, green and blue."""


@dataclass(frozen=True)
class JitterRange:
    """How far the released augmentation goes; the defaults are the released values."""

    scale: float = 0.25
    """Of one standard deviation; draws are cut there."""
    rotation_deg: float = 30.0
    """Of one standard deviation; draws are cut at two."""
    rotation_probability: float = 0.6
    colour: float = 0.2
    """Factors are uniform between 1 minus and 1 plus this."""

    def draw(self, normal: Callable[[], float], uniform: Callable[[], float]) -> Jitter:
        """Draw in the released order: scale; whether to turn; the turn, only if so; three colours.

        Args:
            normal: Gives a standard normal number: `rng.standard_normal`. The release takes it from `numpy.random.randn`.
            uniform: Gives a number in 0..1: `rng.random`. The release takes it from `random.random`.
        """
        scale = 1 + self.scale * float(np.clip(normal(), -1, 1))
        rotation = 0.0
        if uniform() <= self.rotation_probability:
            rotation = float(np.deg2rad(self.rotation_deg * np.clip(normal(), -2, 2)))
        red, green, blue = (1 - self.colour + 2 * self.colour * uniform() for _ in range(3))
        return Jitter(scale, rotation, (red, green, blue))


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training crop: the share of crops that get each, independently. The defaults are the release: jitter alone.

    Raises:
        ValueError: A share outside of 0..1.
    """

    jitter: JitterRange = JitterRange()
    cutout: float = 0.0
    """One to three shapes laid over the hand."""
    spectrum: float = 0.0
    """Amplitude-spectrum mixing with another picture."""
    low_light: float = 0.0
    blur: float = 0.0
    """Out of focus or moved, equally often."""
    noise: float = 0.0
    jpeg: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            share = getattr(self, field.name)
            if field.name != "jitter" and not 0 <= share <= 1:
                raise ValueError(f"Augmentation {field.name} of {share}; expected the share of crops that get it, 0..1.")

    def degrade(
        self,
        crop: UInt8[np.ndarray, "size size 3"],
        bbox_xyxy: Float[np.ndarray, "4"],
        rng: np.random.Generator,
        others: Sequence[UInt8[np.ndarray, "_ _ 3"]] = (),
    ) -> UInt8[np.ndarray, "size size 3"]:
        """Everything but the jitter, in the order of the light's way: occluders, scene, exposure, lens, sensor, file.

        Args:
            crop: sRGB.
            bbox_xyxy: The hand's box in the crop, pixels.
            rng: Decides everything.
            others: Pictures of any size to take amplitude spectra from.

        Raises:
            ValueError: Spectra are to be mixed and there are no other pictures.
        """
        if self.spectrum > 0 and not others:
            raise ValueError("Spectrum mixing needs other pictures to take spectra from; give some, or set spectrum=0.")
        # Each share is drawn whether or not it is zero, so that switching one augmentation off leaves the others as they were.
        cut, mix, dark, blurred, noisy, compressed = rng.random(6) < (
            *(self.cutout, self.spectrum, self.low_light, self.blur, self.noise, self.jpeg),
        )
        if cut:
            for _ in range(rng.integers(1, 4)):
                crop = random_cutout(rng, crop, bbox_xyxy, coverage=rng.uniform(0.03, 0.25)).over(crop)
        if mix:
            other = Image.fromarray(others[int(rng.integers(len(others)))]).resize(crop.shape[1::-1], Image.Resampling.BILINEAR)
            crop = mix_amplitude(crop, np.asarray(other), share=rng.uniform(0.1, 0.8), band=rng.uniform(0.01, 0.1))
        if dark:
            crop = low_light(crop, exposure=float(np.exp(rng.uniform(np.log(0.05), np.log(0.6)))), rng=rng)
        if blurred:
            crop = _blur(crop, rng)
        if noisy:
            crop = gaussian_noise(crop, sigma=rng.uniform(1, 12), rng=rng)
        if compressed:
            crop = jpeg(crop, quality=int(rng.integers(20, 91)))
        return crop


RELEASED = Augmentation()


def _blur(crop: UInt8[np.ndarray, "size size 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "size size 3"]:
    """Strengths in parts of the crop, since a crop of any size shows the same hand."""
    size = crop.shape[0]
    if rng.random() < 0.5:
        return gaussian_blur(crop, sigma=size * rng.uniform(0.001, 0.01))
    return motion_blur(crop, length=size * rng.uniform(0.005, 0.05), angle=rng.uniform(0, np.pi))
