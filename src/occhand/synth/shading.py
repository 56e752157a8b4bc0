"""A lit, textured picture of a scene: solid textures and painted skin, several lights, shadows cast and corners darkened.

A surface is lit at points, one for each pixel that it covers any part of, in one pass per question: where is the point, what colour is it,
how open is it to the light from all around, does the first lamp reach it. Light is linear RGB and may exceed 1; the sensor clips it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8
from numba import njit

from occhand.render.raster import NearestFaces, corner_weights
from occhand.render.shadow import ShadowMap, lit_share
from occhand.synth.materials import Material, Pattern, second_colour_share
from occhand.synth.noise import value_noise
from occhand.synth.skin import TILE
from occhand.synth.surfaces import Surfaces

SAMPLES_FROM_IMG = np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0, 0.0, 1.0]])
"""A pixel sees nine samples half a pixel apart, those at its edges shared with its neighbours; the middle one is its centre.

An image of n pixels has 2 n + 1 samples. A surface that covers several samples of a pixel is lit once.
"""
_NEIGHBOURS = np.array([(1, 1), (0, 1), (1, 0), (1, 2), (2, 1), (0, 0), (0, 2), (2, 0), (2, 2)])
_TENT = np.array([4, 2, 2, 2, 2, 1, 1, 1, 1]) / 16
"""The nine samples, the middle one first, and their shares: the filter is a tent one pixel wide to either side."""
_SAME_SURFACE = 0.004
"""Metres of depth within which two samples of a pixel on the same material are one surface."""
_OPEN_REACH = 0.02
"""Metres over which something close darkens a corner: folds between fingers, and where a finger rests on an object."""
_SPIRAL = [(np.sqrt((k + 0.7) / 7), 2.399963 * (k + 0.5)) for k in range(7)]
_TAPS = np.array([(radius * np.cos(angle), radius * np.sin(angle)) for radius, angle in _SPIRAL])
"""Where openness looks, over the unit disc."""
_OFF_SURFACE = 0.0025
"""Metres along the normal by which a point is moved to ask for its shadow: a lit face must not lie in its own."""


@dataclass(frozen=True)
class Lighting:
    """Far lights, the first of which casts shadows, and the light from all around."""

    directions: Float[np.ndarray, "lights 3"]
    """Unit, towards the light, camera frame."""
    intensities: Float[np.ndarray, "lights 3"]
    sky: Float[np.ndarray, "3"]
    ground: Float[np.ndarray, "3"]


class _Points(NamedTuple):
    """Where surfaces are lit."""

    pixels: Int[np.ndarray, "points 2"]
    """Row, column."""
    shares: Float32[np.ndarray, "points"]
    """Of the pixel that the surface covers."""
    faces: Int[np.ndarray, "points"]
    weights: Float32[np.ndarray, "points 3"]
    """Of the face's corners."""
    positions: Float32[np.ndarray, "points 3"]
    normals: Float32[np.ndarray, "points 3"]
    """Unit, towards the camera."""


def light_scene(
    surfaces: Surfaces,
    normals: Float[np.ndarray, "vertices 3"],
    samples: NearestFaces,
    depth: Float32[np.ndarray, "height width"],
    K: Float[np.ndarray, "3 3"],
    materials: list[Material],
    skin_tiles: UInt8[np.ndarray, "tiles points 5"],
    lighting: Lighting,
    shadows: ShadowMap,
    background: Float32[np.ndarray, "height width 3"],
) -> Float32[np.ndarray, "height width 3"]:
    """Draw surfaces over a background.

    Args:
        surfaces: What to draw.
        normals: At the vertices, of any length.
        samples: Of the surfaces, on the grid of `SAMPLES_FROM_IMG`.
        depth: Of them, at the pixel centres.
        K: Of the picture, pixels.
        materials: What `surfaces.material_ids` names.
        skin_tiles: What `surfaces.tile_ids` names.
        lighting: Camera frame.
        shadows: Of the first light.
        background: Linear RGB.
    """
    points = _Points(*_find_points(samples, surfaces.vertices_cam, surfaces.material_ids, normals))
    patterns = np.array([int(material.pattern) for material in materials])
    numbers = np.array([[m.period, m.share, m.gloss, m.shininess, *m.axis] for m in materials])
    seeds = np.array([material.seed for material in materials])
    colours = np.stack([material.colours for material in materials])
    mesh = (surfaces.local, surfaces.faces, surfaces.material_ids, surfaces.tile_ids)
    paint = _paint(points.weights, points.faces, *mesh, skin_tiles, patterns, colours, numbers, seeds)
    camera = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
    openness = _openness(points.pixels, points.positions, points.normals, depth, camera)
    lit = _lit(points.positions, points.normals, lighting.directions[0], shadows.inverse_depth, shadows.light_from_cam, shadows.K)
    surroundings = np.stack([lighting.sky, lighting.ground])
    image = background * _uncovered(points.pixels, points.shares, depth.shape[0], depth.shape[1])
    lights = (lighting.directions, lighting.intensities, surroundings)
    _add_light(points, paint, openness, lit, surfaces.material_ids, patterns, numbers, *lights, image)
    return image


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _find_points(samples, vertices, material_ids, normals):
    """The first sample of each surface in each pixel, its centre before all others, stands for all that the surface covers there."""
    height, width, stride = samples.face_ids.shape[0] // 2, samples.face_ids.shape[1] // 2, samples.face_ids.shape[1]
    ids, inverse_depths, faces = samples.face_ids.ravel(), samples.inverse_depth.ravel(), samples.faces
    kinds, covered = np.zeros(ids.size, np.uint8), 0  # 0 or 1 + material: one look instead of two
    for at in range(ids.size):
        if ids[at] >= 0:
            kinds[at] = 1 + material_ids[ids[at]]
            covered += 1
    ahead = np.empty(9, np.int64)  # where a pixel's samples lie behind its first in memory
    for sample in range(9):
        ahead[sample] = _NEIGHBOURS[sample, 0] * stride + _NEIGHBOURS[sample, 1]
    most = min(4 * covered, 9 * height * width)  # each sample lies in up to four pixels
    pixels, shares, kept = np.empty((most, 2), np.int64), np.empty(most, np.float32), np.empty(most, np.int64)
    weights, positions, directions = np.empty((most, 3), np.float32), np.empty((most, 3), np.float32), np.empty((most, 3), np.float32)
    count = 0
    for py in range(height):
        for px in range(width):
            first = 2 * py * stride + 2 * px
            upper = kinds[first] | kinds[first + 1] | kinds[first + 2] | kinds[first + stride] | kinds[first + stride + 1]
            lower = kinds[first + 2 * stride] | kinds[first + 2 * stride + 1] | kinds[first + 2 * stride + 2] | kinds[first + stride + 2]
            if upper | lower == 0:
                continue
            done = 0  # a bit for each sample that an earlier one stands for
            for sample in range(9):
                at = first + ahead[sample]
                if kinds[at] == 0 or (done >> sample) & 1:
                    continue
                z, share = np.float32(1.0 / inverse_depths[at]), _TENT[sample]
                for other in range(sample + 1, 9):
                    there = first + ahead[other]
                    if kinds[there] == kinds[at] and abs(np.float32(1.0 / inverse_depths[there]) - z) < _SAME_SURFACE:
                        done |= 1 << other
                        share += _TENT[other]
                face, row, column = ids[at], at // stride, at % stride
                pixels[count, 0], pixels[count, 1] = py, px
                shares[count], kept[count] = share, face
                i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
                weights[count, 0], weights[count, 1], weights[count, 2] = corner_weights(samples.points, i, j, k, column, row)
                u, v, w = weights[count, 0], weights[count, 1], weights[count, 2]
                length, towards = 1e-30, 0.0
                for axis in range(3):
                    position = u * vertices[i, axis] + v * vertices[j, axis] + w * vertices[k, axis]
                    normal = u * normals[i, axis] + v * normals[j, axis] + w * normals[k, axis]
                    positions[count, axis], directions[count, axis] = position, normal
                    length += normal * normal
                    towards -= normal * position
                scale = 1.0 / np.sqrt(length)
                if towards * scale < -0.2 * z:  # the inside of a sleeve
                    scale = -scale
                for axis in range(3):
                    directions[count, axis] *= scale
                count += 1
                if share > 0.999:
                    break
    return pixels[:count], shares[:count], kept[:count], weights[:count], positions[:count], directions[:count]


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _lattice_place(u, v):
    """Three points of a tile's lattice around a point inside a face, and their weights; u and v in lattice steps."""
    i, j = min(int(u), TILE - 1), min(int(v), TILE - 1)
    j = min(j, TILE - 1 - i)
    u, v = u - i, v - j
    here = i * (2 * TILE + 3 - i) // 2 + j
    right = (i + 1) * (2 * TILE + 2 - i) // 2 + j
    if u + v <= 1.0 or i + j >= TILE - 1:
        return here, right, here + 1, 1.0 - u - v, u, v
    return right + 1, right, here + 1, u + v - 1.0, 1.0 - v, 1.0 - u


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _paint(weights, points_faces, local, faces, material_ids, tile_ids, tiles, patterns, colours, numbers, seeds):
    """Colour before light, and how much glossier than its material the point is: nails are smoother than skin."""
    paint = np.empty((weights.shape[0], 4), np.float32)
    for point in range(weights.shape[0]):
        face = points_faces[point]
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        u, v, w = weights[point, 0], weights[point, 1], weights[point, 2]
        x = u * local[i, 0] + v * local[j, 0] + w * local[k, 0]
        y = u * local[i, 1] + v * local[j, 1] + w * local[k, 1]
        z = u * local[i, 2] + v * local[j, 2] + w * local[k, 2]
        kind, tile, polish = material_ids[face], tile_ids[face], 0.0
        seed = seeds[kind]
        r, g, b = colours[kind, 0, 0], colours[kind, 0, 1], colours[kind, 0, 2]
        if patterns[kind] == Pattern.SKIN:
            if tile >= 0:
                first, second, third, a, b_share, c = _lattice_place(v * TILE, w * TILE)
                for mask in range(5):
                    value = a * tiles[tile, first, mask] + b_share * tiles[tile, second, mask] + c * tiles[tile, third, mask]
                    if value > 0.0:
                        share = min(1.0, value / 255.0)
                        r += share * (colours[kind, mask + 1, 0] - r)
                        g += share * (colours[kind, mask + 1, 1] - g)
                        b += share * (colours[kind, mask + 1, 2] - b)
                        polish = share if mask == 4 else polish
            # Blotches, and the fine grain that makes skin not plastic.
            rough = numbers[kind, 1] * (1.0 - polish)
            blotch = rough * (value_noise(55.0 * x, 55.0 * y, 55.0 * z, seed) - 0.5)
            grain = rough * (value_noise(420.0 * x, 420.0 * y, 420.0 * z, seed + 1) - 0.5)
            amount = 1.0 + 1.6 * blotch + 1.2 * grain
            r, g, b = r * amount, g * (amount - 0.9 * blotch), b * (amount - 0.9 * blotch)
        else:
            ax, ay, az = numbers[kind, 4], numbers[kind, 5], numbers[kind, 6]
            second_share, third_share = second_colour_share(patterns[kind], x, y, z, ax, ay, az, numbers[kind, 0], numbers[kind, 1], seed)
            r += second_share * (colours[kind, 1, 0] - r)
            g += second_share * (colours[kind, 1, 1] - g)
            b += second_share * (colours[kind, 1, 2] - b)
            r += third_share * (colours[kind, 2, 0] - r)
            g += third_share * (colours[kind, 2, 1] - g)
            b += third_share * (colours[kind, 2, 2] - b)
        paint[point, 0], paint[point, 1], paint[point, 2], paint[point, 3] = r, g, b, polish
    return paint


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _openness(pixels, positions, normals, depth, camera):
    """Share of the light from all around that reaches each point: less where something close rises above its tangent plane."""
    height, width = depth.shape
    per_x, per_y = np.float32(1.0 / camera[0]), np.float32(1.0 / camera[1])
    middle_x, middle_y, reach = np.float32(camera[2]), np.float32(camera[3]), np.float32(_OPEN_REACH)
    openness = np.empty(pixels.shape[0], np.float32)
    for point in range(pixels.shape[0]):
        x, y, z = positions[point, 0], positions[point, 1], positions[point, 2]
        nx, ny, nz = normals[point, 0], normals[point, 1], normals[point, 2]
        scale = reach * camera[0] / z
        blocked = np.float32(0.0)
        for tap in range(_TAPS.shape[0]):
            column, row = int(pixels[point, 1] + scale * _TAPS[tap, 0] + 0.5), int(pixels[point, 0] + scale * _TAPS[tap, 1] + 0.5)
            if column < 0 or row < 0 or column >= width or row >= height:
                continue
            there = depth[row, column]
            if there > 100.0:
                continue
            dx, dy, dz = (column - middle_x) * per_x * there - x, (row - middle_y) * per_y * there - y, there - z
            above = nx * dx + ny * dy + nz * dz
            if above > 0.0:
                squared = dx * dx + dy * dy + dz * dz + np.float32(1e-12)
                blocked += max(np.float32(0.0), above / np.sqrt(squared) - np.float32(0.12)) / (1.0 + squared / (reach * reach))
        openness[point] = 1.0 / (1.0 + 0.55 * blocked)
    return openness


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _lit(positions, normals, direction, shadow_map, light_from_cam, light_K):
    """Share of the first lamp's light that reaches each point past everything else."""
    lit = np.zeros(positions.shape[0], np.float32)
    for point in range(positions.shape[0]):
        nx, ny, nz = normals[point, 0], normals[point, 1], normals[point, 2]
        if nx * direction[0] + ny * direction[1] + nz * direction[2] > -0.3:  # light wraps no farther around anything
            x, y, z = (
                positions[point, 0] + _OFF_SURFACE * nx,
                positions[point, 1] + _OFF_SURFACE * ny,
                positions[point, 2] + _OFF_SURFACE * nz,
            )
            lit[point] = lit_share(shadow_map, light_from_cam, light_K, x, y, z, 0.0015)
    return lit


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _uncovered(pixels, shares, height, width):
    """Share of each pixel that the background keeps."""
    left = np.ones((height, width, 1), np.float32)
    for point in range(pixels.shape[0]):
        left[pixels[point, 0], pixels[point, 1], 0] -= shares[point]
    return left


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _add_light(points, paint, openness, lit, material_ids, patterns, numbers, directions, intensities, surroundings, image):
    """What leaves each point towards the camera, added to its pixel."""
    for point in range(points.pixels.shape[0]):
        kind = material_ids[points.faces[point]]
        x, y, z = points.positions[point, 0], points.positions[point, 1], points.positions[point, 2]
        scale = -1.0 / np.sqrt(x * x + y * y + z * z)
        ex, ey, ez = x * scale, y * scale, z * scale
        nx, ny, nz = points.normals[point, 0], points.normals[point, 1], points.normals[point, 2]
        up, open_share = 0.5 - 0.5 * ny, openness[point]
        red = open_share * (up * surroundings[0, 0] + (1.0 - up) * surroundings[1, 0])
        green = open_share * (up * surroundings[0, 1] + (1.0 - up) * surroundings[1, 1])
        blue = open_share * (up * surroundings[0, 2] + (1.0 - up) * surroundings[1, 2])
        # Light scatters inside flesh, red light farthest: the terminator is soft and ruddy.
        wrap_r, wrap_g, wrap_b = 0.05, 0.05, 0.05
        if patterns[kind] == Pattern.SKIN:
            wrap_r, wrap_g, wrap_b = 0.30, 0.16, 0.12
        polish = paint[point, 3]
        gloss, shininess = numbers[kind, 2] + 0.25 * polish, numbers[kind, 3] + 30.0 * polish
        facing = 1.0 - max(0.0, nx * ex + ny * ey + nz * ez)
        gloss *= (1.0 + 3.0 * facing * facing * facing * facing) * (shininess + 8.0) / 25.0
        shine_r, shine_g, shine_b = 0.0, 0.0, 0.0
        for light in range(directions.shape[0]):
            amount = lit[point] if light == 0 else 0.4 + 0.6 * open_share
            lx, ly, lz = directions[light, 0], directions[light, 1], directions[light, 2]
            cosine = nx * lx + ny * ly + nz * lz
            red += amount * max(0.0, (cosine + wrap_r) / (1.0 + wrap_r)) * intensities[light, 0]
            green += amount * max(0.0, (cosine + wrap_g) / (1.0 + wrap_g)) * intensities[light, 1]
            blue += amount * max(0.0, (cosine + wrap_b) / (1.0 + wrap_b)) * intensities[light, 2]
            if cosine > 0.0:
                hx, hy, hz = lx + ex, ly + ey, lz + ez
                gleam = (hx * nx + hy * ny + hz * nz) / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
                if gleam > 0.6:
                    # A power of the cosine, near enough and ten times faster (Schlick, "A fast alternative to Phong's specular model").
                    strength = amount * gloss * cosine * gleam / (shininess - shininess * gleam + gleam) ** 2
                    shine_r += strength * intensities[light, 0]
                    shine_g += strength * intensities[light, 1]
                    shine_b += strength * intensities[light, 2]
        row, column, share = points.pixels[point, 0], points.pixels[point, 1], points.shares[point]
        image[row, column, 0] += share * (paint[point, 0] * red + shine_r)
        image[row, column, 1] += share * (paint[point, 1] * green + shine_g)
        image[row, column, 2] += share * (paint[point, 2] * blue + shine_b)
