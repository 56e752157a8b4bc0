"""Solid textures: the colour of a point inside a block of wood, marble, paint or cloth, so that any shape can be carved out of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from occhand.synth.noise import value_noise


class Pattern(IntEnum):
    """How the second and third colour lie on the first."""

    SKIN = 0
    PLAIN = 1
    STRIPES = 2
    CHECKER = 3
    DOTS = 4
    MARBLE = 5
    WOOD = 6
    LABEL = 7
    SPECKLE = 8
    WEAVE = 9
    BRUSHED = 10
    TWO_TONE = 11


@dataclass(frozen=True)
class Material:
    """A solid texture and its gloss."""

    pattern: Pattern
    colours: Float[np.ndarray, "6 3"]
    """Linear RGB; of a solid the first three are used, of skin all six (see `occhand.synth.skin.skin_palette`)."""
    axis: Float[np.ndarray, "3"]
    """Unit; across stripes, along the grain of wood, up a labelled packet."""
    period: float
    """Metres over which the pattern repeats or varies."""
    share: float
    """Of the second colour, 0..1."""
    gloss: float
    """Strength of highlights."""
    shininess: float
    """Exponent of highlights: small is dull and wide."""
    seed: int


def skin_material(palette: Float[np.ndarray, "6 3"], rng: np.random.Generator) -> Material:
    """Skin, dry to sweaty."""
    return Material(
        pattern=Pattern.SKIN,
        colours=palette,
        axis=np.array([1.0, 0.0, 0.0]),
        period=rng.uniform(0.004, 0.012),
        share=rng.uniform(0.03, 0.14),
        gloss=rng.uniform(0.02, 0.12),
        shininess=rng.uniform(8.0, 28.0),
        seed=int(rng.integers(2**31)),
    )


_GREYS = np.array([0.02, 0.10, 0.28, 0.5, 0.75])
_WHEEL_TURNS = np.array([[0.0], [4.0], [2.0]])
_SOLIDS = tuple(pattern for pattern in Pattern if pattern not in (Pattern.SKIN, Pattern.WEAVE))
_SOLID_CHANCES = np.array([0.22, 0.08, 0.04, 0.05, 0.08, 0.12, 0.18, 0.06, 0.07, 0.10])


def sample_solid(rng: np.random.Generator, up: Float[np.ndarray, "3"]) -> Material:
    """The stuff of an object: plastic, wood, stone, metal, a printed packet.

    Args:
        rng: Source of randomness.
        up: The object's long axis; prints and grain follow it.
    """
    pattern = _SOLIDS[int(rng.choice(len(_SOLIDS), p=_SOLID_CHANCES))]
    colours = sample_colours(rng, 3)
    if pattern is Pattern.WOOD:
        brown = np.array([0.36, 0.18, 0.07]) * rng.uniform(0.25, 1.5)
        colours[0], colours[1] = brown * rng.uniform(0.9, 1.1, 3), brown * rng.uniform(0.35, 0.7)
    if pattern is Pattern.BRUSHED:
        colours[0] = rng.uniform(0.15, 0.65) * np.array([1.0, 1.0, 1.0]) * rng.uniform(0.93, 1.07, 3)
        colours[1] = 0.7 * colours[0]
    axis = up if rng.random() < 0.7 else _unit_vector(rng)
    is_dull = pattern is Pattern.WOOD or rng.random() < 0.4
    return Material(
        pattern=pattern,
        colours=np.concatenate([colours, np.zeros((3, 3))]),
        axis=np.asarray(axis, dtype=np.float64),
        period=float(np.exp(rng.uniform(np.log(0.006), np.log(0.035)))),
        share=rng.uniform(0.2, 0.7),
        gloss=rng.uniform(0.0, 0.08) if is_dull else rng.uniform(0.1, 0.7),
        shininess=rng.uniform(6.0, 20.0) if is_dull else rng.uniform(20.0, 120.0),
        seed=int(rng.integers(2**31)),
    )


def sample_cloth(rng: np.random.Generator, along: Float[np.ndarray, "3"]) -> Material:
    """Cloth of a sleeve: plain weave, knit or stripes."""
    is_striped = rng.random() < 0.25
    colours = 0.85 * sample_colours(rng, 3)
    if not is_striped:
        colours[1] = colours[0] * rng.uniform(0.55, 0.9)
    return Material(
        pattern=Pattern.STRIPES if is_striped else Pattern.WEAVE,
        colours=np.concatenate([colours, np.zeros((3, 3))]),
        axis=np.asarray(along, dtype=np.float64),
        period=rng.uniform(0.008, 0.03) if is_striped else rng.uniform(0.0015, 0.005),
        share=rng.uniform(0.2, 0.6),
        gloss=rng.uniform(0.0, 0.03),
        shininess=6.0,
        seed=int(rng.integers(2**31)),
    )


def sample_colours(rng: np.random.Generator, count: int) -> Float[np.ndarray, "count 3"]:
    """Linear RGB of things: white, black and grey often, muted colours most often, bright ones too."""
    kind, hue, saturation, value, *tint = rng.random((7, count))
    grey = _GREYS[(len(_GREYS) * hue).astype(np.int64)] * (0.8 + 0.4 * value)
    wheel = np.clip(np.abs((6 * hue + _WHEEL_TURNS) % 6 - 3) - 1, 0, 1)
    saturation = np.where(kind < 0.7, 0.25 + 0.4 * saturation, 0.7 + 0.3 * saturation)
    colour = ((0.25 + 0.7 * value) * (1 - saturation * (1 - wheel))) ** 2.2
    return np.clip(np.where(kind < 0.3, grey * (0.92 + 0.16 * np.array(tint)), colour), 0.006, 0.9).T


def _unit_vector(rng: np.random.Generator) -> np.ndarray:
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def second_colour_share(pattern, x, y, z, ax, ay, az, period, share, seed):
    """How much of the second, and of the third, colour a solid has at a point of its own frame (metres)."""
    along = (x * ax + y * ay + z * az) / period
    px, py, pz = x / period, y / period, z / period
    if pattern == Pattern.STRIPES:  # stripes
        phase = along - np.floor(along)
        edge = 0.06
        return min(1.0, max(0.0, 0.5 + (0.5 * share - abs(phase - 0.5)) / edge)), 0.0
    if pattern == Pattern.CHECKER:  # checker
        parity = (np.int64(np.floor(px)) + np.int64(np.floor(py)) + np.int64(np.floor(pz))) & 1
        return float(parity), 0.0
    if pattern == Pattern.DOTS:  # dots
        fx, fy, fz = px - np.floor(px) - 0.5, py - np.floor(py) - 0.5, pz - np.floor(pz) - 0.5
        radius = 0.25 + 0.25 * share
        return min(1.0, max(0.0, 0.5 + 10.0 * (radius - np.sqrt(fx * fx + fy * fy + fz * fz)))), 0.0
    if pattern == Pattern.MARBLE:  # marble
        cloud = value_noise(1.3 * px, 1.3 * py, 1.3 * pz, seed) + 0.5 * value_noise(3.1 * px, 3.1 * py, 3.1 * pz, seed + 1)
        vein = 1.0 - abs(np.sin(3.0 * along + 5.0 * cloud))
        return vein * vein * vein, 0.4 * cloud * share
    if pattern == Pattern.WOOD:  # wood: rings about the axis, stretched along it
        rx, ry, rz = px - along * ax, py - along * ay, pz - along * az
        wobble = value_noise(0.4 * px + 0.1 * along, 0.4 * py, 0.4 * pz, seed)
        ring = 2.2 * np.sqrt(rx * rx + ry * ry + rz * rz) + 2.0 * wobble
        ring -= np.floor(ring)
        fibre = value_noise(9.0 * rx, 9.0 * ry, 9.0 * rz + 0.6 * along, seed + 1)
        return min(1.0, 0.75 * ring * ring + 0.35 * fibre), 0.0
    if pattern == Pattern.LABEL:  # a printed band with lines of text and a spot on it
        metres = along * period
        band = 1.0 if abs(metres - 0.4 * period) < 0.012 + 0.5 * period + 0.02 * share else 0.0
        row = metres / (0.004 + 0.1 * period)
        line = row - np.floor(row)
        around = np.arctan2(y - x, z + x + 1e-9) * 5.0
        word = value_noise(6.0 * around, np.floor(row), 0.5, seed)
        is_text = 1.0 if line < 0.45 and word > 0.52 else 0.0
        return band, band * is_text * 0.9
    if pattern == Pattern.SPECKLE:  # speckle
        return (1.0 if value_noise(7.0 * px, 7.0 * py, 7.0 * pz, seed) > 0.86 - 0.3 * share else 0.0), 0.0
    if pattern == Pattern.WEAVE:  # weave
        thread = 0.5 + 0.5 * np.sin(6.2832 * along) * np.sin(6.2832 * (px + py + pz - along))
        fold = value_noise(45.0 * x, 45.0 * y, 45.0 * z, seed)
        return min(1.0, 0.6 * thread + 0.6 * fold), 0.0
    if pattern == Pattern.BRUSHED:  # brushed metal: streaks across the axis
        return value_noise(25.0 * along, 0.6 * (px - py), 0.6 * (pz - px), seed), 0.0
    if pattern == Pattern.TWO_TONE:
        return (1.0 if along * period > 0.08 * (share - 0.45) else 0.0), 0.0
    cloud = value_noise(px, py, pz, seed)  # plain, a little worn
    return 0.12 * cloud * cloud, 0.0
