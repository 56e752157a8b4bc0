"""Hashed randomness for compiled loops: the same number for the same seed and place, with no generator to carry along."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit


@njit(cache=True)
@no_type_check
def hash3(x, y, z, seed):
    """A uniform number in 0..1 for a point of the integer grid."""
    # By way of a signed integer: what a negative float becomes as an unsigned one differs between processors.
    x, y, z = np.uint32(np.int64(x)), np.uint32(np.int64(y)), np.uint32(np.int64(z))
    h = np.uint32(x * np.uint32(0x8DA6B343) ^ y * np.uint32(0xD8163841) ^ z * np.uint32(0xCB1AB31F))
    h = np.uint32(h ^ np.uint32(seed) * np.uint32(0x9E3779B1))
    h = np.uint32((h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D))
    h = np.uint32((h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39))
    h = np.uint32(h ^ (h >> np.uint32(15)))
    return h * (1.0 / 4294967296.0)


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def value_noise(x, y, z, seed):
    """Smooth noise in 0..1 with features of size 1: hashed numbers at the integer grid, interpolated with a cubic fade."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    i, j, k = np.int64(fx), np.int64(fy), np.int64(fz)
    u, v, w = x - fx, y - fy, z - fz
    u, v, w = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v), w * w * (3.0 - 2.0 * w)
    near = (hash3(i, j, k, seed) * (1.0 - u) + hash3(i + 1, j, k, seed) * u) * (1.0 - v)
    near += (hash3(i, j + 1, k, seed) * (1.0 - u) + hash3(i + 1, j + 1, k, seed) * u) * v
    far = (hash3(i, j, k + 1, seed) * (1.0 - u) + hash3(i + 1, j, k + 1, seed) * u) * (1.0 - v)
    far += (hash3(i, j + 1, k + 1, seed) * (1.0 - u) + hash3(i + 1, j + 1, k + 1, seed) * u) * v
    return near * (1.0 - w) + far * w


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def flat_noise(x, y, seed):
    """`value_noise` over a plane, at half the cost."""
    fx, fy = np.floor(x), np.floor(y)
    i, j = np.int64(fx), np.int64(fy)
    u, v = x - fx, y - fy
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    low = hash3(i, j, 0, seed) * (1.0 - u) + hash3(i + 1, j, 0, seed) * u
    return low * (1.0 - v) + (hash3(i, j + 1, 0, seed) * (1.0 - u) + hash3(i + 1, j + 1, 0, seed) * u) * v


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def cloud_noise(x, y, seed, octaves):
    """Noise over a plane with detail at every scale, 0..1."""
    total, amount, norm = 0.0, 1.0, 0.0
    for octave in range(octaves):
        total += amount * flat_noise(x, y, seed + octave)
        norm += amount
        amount *= 0.55
        x, y = 2.03 * x + 17.3, 2.03 * y + 9.1
    return total / norm
