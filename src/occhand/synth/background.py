"""Backgrounds without photographs: walls, boards, bricks, cloth, rooms, shelves and blurred lights, every seed another one."""

from __future__ import annotations

from enum import IntEnum
from typing import no_type_check

import numpy as np
from jaxtyping import Float32
from numba import njit

from occhand.synth.materials import sample_colours
from occhand.synth.noise import cloud_noise, flat_noise, hash3


class Backdrop(IntEnum):
    """Families of backgrounds."""

    WALL = 0
    GRADIENT = 1
    BOARDS = 2
    BRICKS = 3
    TILES = 4
    STRIPES = 5
    CHECKER = 6
    CLOTH = 7
    FOLIAGE = 8
    TERRAZZO = 9
    ROOM = 10
    SHELVES = 11
    SHAPES = 12
    BOKEH = 13
    HORIZON = 14
    CLUTTER = 15


def draw_background(rng: np.random.Generator, size: int) -> Float32[np.ndarray, "size size 3"]:
    """One background, linear RGB; its family, colours, scale, turn, light and focus are all random."""
    family = Backdrop(int(rng.integers(len(Backdrop))))
    colours = sample_colours(rng, 4)
    if rng.random() < 0.6:  # most rooms have few hues
        colours = 0.65 * colours.mean(0) * np.exp(rng.normal(0.0, 0.45, (4, 1))) + 0.35 * colours
    is_level = family in (Backdrop.ROOM, Backdrop.SHELVES, Backdrop.HORIZON)
    angle = rng.normal(0.0, 0.12) if is_level else rng.uniform(0.0, 2.0 * np.pi)
    zoom = float(np.exp(rng.uniform(np.log(2.0), np.log(9.0))))
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    tilt = rng.normal(0.0, 0.25, 2)
    place = np.array([[cosine, -sine, rng.uniform(-50, 50)], [sine, cosine, rng.uniform(-50, 50)], [tilt[0], tilt[1], 1.0]])
    # What is out of focus needs fewer pixels.
    blur = 0.0 if rng.random() < 0.22 else float(rng.uniform(0.6, 4.0)) * size / 256
    shrink = 2 if blur > 0.0 else 1
    small = -(-size // shrink)
    image = _paint(int(family), colours, place, rng.uniform(0.0, 1.0, 4), int(rng.integers(2**31)), small)
    if blur > 0.3:
        blur_in_place(image, blur / shrink)
    if shrink == 2:
        image = _enlarge(image, size)
    # Light falls off across the scene.
    slope = rng.normal(0.0, 0.35, 2)
    return _relight(image, slope, np.float32(np.exp(rng.normal(-0.25, 0.4))))


def blur_in_place(image: Float32[np.ndarray, "height width 3"], sigma: float) -> None:
    """Gaussian blur, edges repeated."""
    radius = max(1, int(np.ceil(2.5 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    _convolve(image, (kernel / kernel.sum()).astype(np.float32))


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _convolve(image, kernel):
    height, width, _ = image.shape
    radius = len(kernel) // 2
    between = np.zeros_like(image)
    for y in range(height):
        for tap in range(-radius, radius + 1):
            weight = kernel[tap + radius]
            source = image[min(height - 1, max(0, y + tap))]
            for x in range(width):
                for channel in range(3):
                    between[y, x, channel] += weight * source[x, channel]
    for y in range(height):
        for x in range(width):
            r, g, b = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for tap in range(-radius, radius + 1):
                column = min(width - 1, max(0, x + tap))
                weight = kernel[tap + radius]
                r += weight * between[y, column, 0]
                g += weight * between[y, column, 1]
                b += weight * between[y, column, 2]
            image[y, x, 0], image[y, x, 1], image[y, x, 2] = r, g, b


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _enlarge(image, size):
    """Twice as large, between the pixels."""
    last = image.shape[0] - 1
    large = np.empty((size, size, 3), dtype=np.float32)
    for y in range(size):
        v = min(max(0.5 * y - 0.25, 0.0), last)
        row = int(v)
        below, dv = min(row + 1, last), np.float32(v - row)
        for x in range(size):
            u = min(max(0.5 * x - 0.25, 0.0), last)
            column = int(u)
            beside, du = min(column + 1, last), np.float32(u - column)
            for channel in range(3):
                upper = image[row, column, channel] + du * (image[row, beside, channel] - image[row, column, channel])
                lower = image[below, column, channel] + du * (image[below, beside, channel] - image[below, column, channel])
                large[y, x, channel] = upper + dv * (lower - upper)
    return large


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _relight(image, slope, exposure):
    height, width, _ = image.shape
    for y in range(height):
        for x in range(width):
            light = exposure * max(0.15, 1.0 + slope[0] * (x / width - 0.5) + slope[1] * (y / height - 0.5))
            for channel in range(3):
                image[y, x, channel] *= light
    return image


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _paint(family, colours, place, knobs, seed, size):
    """Every pixel: where it lies on the backdrop, then how far from colour to colour it is there."""
    image = np.empty((size, size, 3), dtype=np.float32)
    for row in range(size):
        for column in range(size):
            u, v = (column + 0.5) / size - 0.5, (row + 0.5) / size - 0.5
            w = max(0.35, 1.0 + place[2, 0] * u + place[2, 1] * v)
            x = (place[0, 0] * u + place[0, 1] * v) / w + place[0, 2]
            y = (place[1, 0] * u + place[1, 1] * v) / w + place[1, 2]
            second, third, fourth, shade = _pattern(family, x, y, u, v, knobs, seed)
            for channel in range(3):
                colour = colours[0, channel]
                colour += second * (colours[1, channel] - colour)
                colour += third * (colours[2, channel] - colour)
                colour += fourth * (colours[3, channel] - colour)
                image[row, column, channel] = max(0.002, colour * shade)
    return image


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _ramp(x, width):
    """0 left of 0, 1 beyond `width`."""
    return min(1.0, max(0.0, x / width))


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _pattern(family, x, y, u, v, knobs, seed):
    """Shares of the second, third and fourth colour, and a factor on the light; (x, y) on the backdrop, (u, v) in the picture."""
    if family == Backdrop.WALL:  # plaster
        cloud, grain = cloud_noise(0.3 * x, 0.3 * y, seed, 3), cloud_noise(6.0 * x, 6.0 * y, seed + 9, 2)
        return 0.5 * knobs[0] * cloud, 0.0, 0.0, 0.85 + 0.3 * knobs[1] * grain
    if family == Backdrop.GRADIENT:
        return _ramp(0.5 + u * (knobs[0] - 0.5) * 2.0 + v * (knobs[1] - 0.5) * 2.0, 1.0), 0.0, 0.0, 1.0
    if family == Backdrop.BOARDS:
        board = np.floor(y)
        edge = y - board
        offset = 40.0 * hash3(board, 7, 0, seed)
        grain = cloud_noise(0.7 * (x + offset), 7.0 * y, seed, 3)
        ring = 3.0 * cloud_noise(0.25 * (x + offset), 1.8 * y, seed + 5, 2) + 2.0 * grain
        ring -= np.floor(ring)
        gap = 0.35 if edge < 0.03 or edge > 0.97 else 1.0
        return 0.5 * ring * knobs[0] + 0.3 * grain, 0.25 * hash3(board, 3, 1, seed), 0.0, gap * (0.75 + 0.4 * hash3(board, 1, 2, seed))
    if family in (Backdrop.BRICKS, Backdrop.TILES):
        row = np.floor(2.0 * y) if family == Backdrop.BRICKS else np.floor(y)
        across = x + 0.5 * (np.int64(row) & 1) if family == Backdrop.BRICKS else x
        down = 2.0 * y - row if family == Backdrop.BRICKS else y - row
        column = np.floor(across)
        joint = 0.03 + 0.05 * knobs[0]
        is_joint = across - column < joint or down < (2.0 * joint if family == Backdrop.BRICKS else joint)
        one = hash3(column, row, 0, seed)
        rough = cloud_noise(5.0 * x, 5.0 * y, seed + 3, 2)
        return 0.8 * one * knobs[1], 1.0 if is_joint else 0.0, 0.0, 0.75 + 0.25 * one + 0.3 * (rough - 0.5)
    if family == Backdrop.STRIPES:
        phase = x - np.floor(x)
        broad = 0.2 + 0.6 * knobs[0]
        thin = 1.0 if abs(phase - broad - 0.5 * (1.0 - broad)) < 0.06 and knobs[1] > 0.5 else 0.0
        return 1.0 if phase < broad else 0.0, thin, 0.0, 0.9 + 0.2 * cloud_noise(4.0 * x, 4.0 * y, seed, 2)
    if family == Backdrop.CHECKER:
        parity = (np.int64(np.floor(x)) + np.int64(np.floor(y))) & 1
        return float(parity), 0.0, 0.0, 0.85 + 0.3 * cloud_noise(1.5 * x, 1.5 * y, seed, 3)
    if family == Backdrop.CLOTH:  # threads over slow folds, sometimes tartan
        folds = cloud_noise(0.5 * x, 0.25 * y, seed, 2)
        thread = np.sin(25.0 * x) * np.sin(25.0 * y)
        plaid_x, plaid_y = flat_noise(3.0 * np.floor(1.5 * x), 0.5, seed + 4), flat_noise(3.0 * np.floor(1.5 * y), 0.5, seed + 5)
        plaid = (0.5 * plaid_x + 0.5 * plaid_y) if knobs[0] > 0.5 else 0.0
        return plaid, 0.0, 0.0, (0.5 + 0.8 * folds) * (1.0 + 0.12 * thread)
    if family == Backdrop.FOLIAGE:
        leaf = cloud_noise(2.0 * x, 2.0 * y, seed, 4)
        gap = cloud_noise(0.8 * x, 0.8 * y, seed + 20, 2)
        return _ramp(leaf - 0.4, 0.25), 0.7 * _ramp(leaf - 0.6, 0.1), 0.5 * _ramp(gap - 0.6, 0.1), 0.35 + 1.0 * leaf
    if family == Backdrop.TERRAZZO:
        i, j = np.floor(3.0 * x), np.floor(3.0 * y)
        cx, cy = i + 0.25 + 0.5 * hash3(i, j, 1, seed), j + 0.25 + 0.5 * hash3(i, j, 2, seed)
        radius = 0.1 + 0.35 * hash3(i, j, 3, seed)
        wobble = 0.7 * cloud_noise(6.0 * x, 6.0 * y, seed, 2)
        inside = 1.0 if (3.0 * x - cx) ** 2 + (3.0 * y - cy) ** 2 < (radius * (0.5 + wobble)) ** 2 else 0.0
        which = hash3(i, j, 4, seed)
        return inside if which < 0.4 else 0.0, inside if 0.4 <= which < 0.75 else 0.0, inside if which >= 0.75 else 0.0, 0.9 + 0.2 * wobble
    if family == Backdrop.ROOM:  # a corner: two walls, floor, perhaps a window
        corner, floor = knobs[0] - 0.5, 0.1 + 0.35 * knobs[1]
        slope = 0.25 * (u - corner) if u < corner else -0.3 * (u - corner)
        is_floor = v > floor - slope
        window = abs(u - corner - 0.3) < 0.15 and abs(v + 0.2) < 0.14 and knobs[2] > 0.4
        wood = cloud_noise(3.0 * x, 12.0 * y, seed, 2)
        dim = 1.0 if u < corner else 0.72
        light = 0.7 + 0.5 * cloud_noise(0.4 * x, 0.4 * y, seed + 2, 2)
        return 1.0 if is_floor else 0.0, 0.4 * wood if is_floor else 0.0, 0.0, 3.0 if window else dim * light
    if family == Backdrop.SHELVES:  # books on boards
        shelf = np.floor(0.8 * y)
        height = 0.8 * y - shelf
        book = np.floor(3.0 * x + 0.4 * hash3(np.floor(3.0 * x), shelf, 9, seed))
        tall = 0.55 + 0.4 * hash3(book, shelf, 0, seed)
        if height > 0.94:
            return 1.0, 0.0, 0.0, 0.8
        if 0.94 - height > tall:
            return 0.0, 0.0, 0.0, 0.25
        back = 0.6 + 0.8 * hash3(book, shelf, 5, seed)
        return 0.0, hash3(book, shelf, 1, seed), hash3(book, shelf, 2, seed), back
    if family == Backdrop.SHAPES:
        second, third, fourth = 0.0, 0.0, 0.0
        for k in range(7):
            cx, cy = hash3(k, 1, 0, seed) - 0.5, hash3(k, 2, 0, seed) - 0.5
            radius, turn = 0.08 + 0.3 * hash3(k, 3, 0, seed), 6.28 * hash3(k, 4, 0, seed)
            dx = (u - cx) * np.cos(turn) + (v - cy) * np.sin(turn)
            dy = (v - cy) * np.cos(turn) - (u - cx) * np.sin(turn)
            squash = 0.3 + 0.7 * hash3(k, 5, 0, seed)
            is_in = max(abs(dx), abs(dy) / squash) < radius if k % 2 == 0 else dx * dx + (dy / squash) ** 2 < radius * radius
            if is_in:
                second, third, fourth = hash3(k, 6, 0, seed), hash3(k, 7, 0, seed), hash3(k, 8, 0, seed)
        return second, third, fourth, 0.9 + 0.2 * cloud_noise(x, y, seed, 2)
    if family == Backdrop.BOKEH:
        light = 0.0
        tint = 0.0
        for k in range(14):
            cx, cy = 1.2 * hash3(k, 1, 0, seed) - 0.6, 1.2 * hash3(k, 2, 0, seed) - 0.6
            radius = 0.03 + 0.1 * hash3(k, 3, 0, seed) * (0.4 + knobs[0])
            distance = np.sqrt((u - cx) ** 2 + (v - cy) ** 2)
            disc = 1.0 - _ramp(distance - radius, 0.015)
            light += disc * (0.3 + hash3(k, 4, 0, seed))
            tint += disc * hash3(k, 5, 0, seed)
        return min(1.0, tint), 0.0, 0.0, 0.25 + 0.3 * cloud_noise(0.4 * x, 0.4 * y, seed, 2) + 1.3 * light
    if family == Backdrop.HORIZON:  # a table top before a wall, or ground before sky
        line = 0.4 * (knobs[0] - 0.5)
        table, wall = cloud_noise(1.5 * x, 8.0 * y, seed, 3), cloud_noise(0.5 * x, 0.5 * y, seed + 6, 3)
        is_table = _ramp(v - line, 0.01)
        return is_table, 0.35 * is_table * table, 0.3 * (1.0 - is_table) * wall, 0.75 + 0.4 * (table * is_table + wall * (1.0 - is_table))
    # Clutter: things of all sizes, each a block in its own light.
    second, third, fourth, shade = 0.0, 0.0, 0.0, 0.8
    for scale in range(3):
        i, j = np.floor(x * 0.5 * 2.0**scale), np.floor(y * 0.5 * 2.0**scale)
        if hash3(i, j, 10 + scale, seed) < 0.55:
            second, third, fourth = hash3(i, j, 1 + scale, seed), hash3(i, j, 4 + scale, seed), hash3(i, j, 7 + scale, seed)
            shade = 0.4 + 0.9 * hash3(i, j, 20 + scale, seed)
    return second, third, fourth, shade * (0.8 + 0.4 * cloud_noise(3.0 * x, 3.0 * y, seed, 2))
