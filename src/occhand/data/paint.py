"""Cheap augmentation of whole batches of crops: things in the way, mixed spectra, poor lenses, other light. On any device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from occhand.data.transforms import TrainingCrop


@dataclass(frozen=True)
class Paint:
    """What is laid over the pictures of a batch: shares of the crops that get each, independently, and strengths.

    Pictures that are needed besides (to cover with, to take spectra from) are the batch's own, one place on. One crop costs 0.5 ms of one
    core at 96 pixels; `occhand.data.augment` does the like for single crops, with more care and 6 ms.
    """

    cover: float = 0.12
    """Twice: a rectangle or an ellipse over the hand, of another picture or of one colour. Joints under it count as hidden."""
    spectrum: float = 0.12
    """Low frequencies get some of another picture's amplitudes."""
    soften: float = 0.2
    """As if enlarged from a smaller picture."""
    noise: float = 0.25
    grey: float = 0.05
    brightness: float = 0.22
    """Standard deviation of its logarithm, cut at two."""
    gamma: float = 0.15
    """Likewise."""
    contrast: float = 0.18
    saturation: float = 0.4
    gain: float = 0.25
    """Factors of red, green and blue are uniform between 1 minus and 1 plus this."""

    def __call__(self, crop: TrainingCrop, generator: torch.Generator) -> TrainingCrop:
        """The batch, painted over; `joints_visible` follows."""
        draw = _Draws(generator, crop.image)
        for _ in range(2):
            crop = self._cover(crop, draw)
        image = self._soften(self._mix_spectra(crop.image, draw), draw)
        return crop._replace(image=self._light(image, draw))

    def _cover(self, crop: TrainingCrop, draw: _Draws) -> TrainingCrop:
        chosen = draw.chosen(self.cover)
        n, image = len(chosen), crop.image[chosen]
        if n == 0:
            return crop
        joints = crop.joints_crop[chosen]
        middle = joints[torch.arange(n), draw.integers(joints.shape[1], n)] + 0.08 * draw.normal(n, 2)
        half, angle, is_round = 0.05 + 0.17 * draw.uniform(n, 2), math.pi * draw.uniform(n), draw.uniform(n) < 0.5
        along = torch.stack([angle.cos(), angle.sin()], dim=-1)
        across = torch.stack([-angle.sin(), angle.cos()], dim=-1)
        exponent = torch.where(is_round, 2.0, 16.0)[:, None]

        def is_under(points: Float[Tensor, "n points 2"]) -> Tensor:
            offset = points - middle[:, None]
            p, q = ((offset * axis[:, None]).sum(-1).abs() / half[:, k, None] for k, axis in enumerate((along, across)))
            return p**exponent + q**exponent < 1

        size = image.shape[-1]
        line = (torch.arange(size, device=image.device) + 0.5) / size
        pixels = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).view(1, -1, 2).expand(n, -1, -1)
        mask = is_under(pixels).view(n, 1, size, size)
        is_plain = (draw.uniform(n) < 0.5)[:, None, None, None]
        cloth = torch.where(is_plain, draw.uniform(n, 3)[..., None, None], crop.image.roll(1, 0)[chosen])
        visible = crop.joints_visible.index_copy(0, chosen, crop.joints_visible[chosen] & ~is_under(joints))
        return crop._replace(image=crop.image.index_copy(0, chosen, torch.where(mask, cloth, image)), joints_visible=visible)

    def _mix_spectra(self, image: Float[Tensor, "B 3 size size"], draw: _Draws) -> Float[Tensor, "B 3 size size"]:
        chosen = draw.chosen(self.spectrum)
        if len(chosen) == 0:
            return image
        size = image.shape[-1]
        spectrum, other = torch.fft.rfft2(image[chosen]), torch.fft.rfft2(image.roll(1, 0)[chosen])
        frequency = torch.fft.fftfreq(size, device=image.device).abs()
        band, share = 0.01 + 0.09 * draw.uniform(len(chosen), 1, 1, 1), 0.1 + 0.7 * draw.uniform(len(chosen), 1, 1, 1)
        weight = share * (torch.maximum(frequency[:, None], frequency[: size // 2 + 1]) < band)
        amplitude = (1 - weight) * spectrum.abs() + weight * other.abs()
        return image.index_copy(0, chosen, torch.fft.irfft2(spectrum * (amplitude / spectrum.abs().clamp_min(1e-9)), s=(size, size)))

    def _soften(self, image: Float[Tensor, "B 3 size size"], draw: _Draws) -> Float[Tensor, "B 3 size size"]:
        """All chosen crops to the same degree, which changes from batch to batch."""
        chosen, size = draw.chosen(self.soften), image.shape[-1]
        if len(chosen) == 0:
            return image
        smaller = max(2, int(size * (0.33 + 0.6 * draw.number())))
        coarse = interpolate(image[chosen], size=(smaller, smaller), mode="bilinear", antialias=True)
        return image.index_copy(0, chosen, interpolate(coarse, size=(size, size), mode="bilinear"))

    def _light(self, image: Float[Tensor, "B 3 size size"], draw: _Draws) -> Float[Tensor, "B 3 size size"]:
        """Exposure, colours and the sensor's noise; cut to 0..1."""
        B = len(image)

        def spread(deviation: float) -> Tensor:
            return deviation * draw.normal(B, 1, 1, 1).clamp(-2, 2)

        gain = 1 + self.gain * (2 * draw.uniform(B, 3, 1, 1) - 1)
        gamma, gain, contrast = spread(self.gamma).exp(), gain * spread(self.brightness).exp(), 1 + spread(self.contrast)
        saturation = torch.where(draw.uniform(B, 1, 1, 1) < self.grey, 0.0, (1 + spread(self.saturation)).clamp_min(0))
        chosen = draw.chosen(self.noise)
        noise = 0.05 * draw.uniform(len(chosen), 1, 1, 1) * draw.normal(len(chosen), *image.shape[1:])

        image = image.clamp(1e-4, 1).pow_(gamma).mul_(gain)  # in place from here on: memory is what this waits for
        image = image.lerp_(image.mean((2, 3), keepdim=True), 1 - contrast)
        image = image.lerp_(image.mean(1, keepdim=True), 1 - saturation)
        return image.index_add_(0, chosen, noise).clamp_(0, 1)


class _Draws:
    """Random numbers where the pictures are; drawn on the CPU, so that every device gets the same."""

    def __init__(self, generator: torch.Generator, image: Tensor) -> None:
        self._generator, self._device, self._batch = generator, image.device, len(image)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator).to(self._device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator).to(self._device)

    def integers(self, below: int, count: int) -> Tensor:
        return torch.randint(below, (count,), generator=self._generator).to(self._device)

    def number(self) -> float:
        return float(torch.rand((), generator=self._generator))

    def chosen(self, share: float) -> Tensor:
        """Places in the batch, each with this chance."""
        return (torch.rand(self._batch, generator=self._generator) < share).nonzero().squeeze(1).to(self._device)
