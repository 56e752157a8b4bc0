"""A lit, textured picture of a scene: solid textures and painted skin, several lights, shadows cast and corners darkened.

Light is linear RGB throughout and may exceed 1; the sensor clips it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8
from numba import njit

from occhand.render.raster import Raster
from occhand.render.shadow import ShadowMap, lit_share
from occhand.synth.materials import Material, Pattern, second_colour_share
from occhand.synth.noise import value_noise
from occhand.synth.skin import TILE

SAMPLES = 2
"""Samples per pixel along x and y of the raster that is lit; a surface that covers several of a pixel's samples is lit once."""


@dataclass(frozen=True)
class Surfaces:
    """Everything visible in a scene, as one mesh."""

    vertices_cam: Float[np.ndarray, "vertices 3"]
    """Metres."""
    local: Float[np.ndarray, "vertices 3"]
    """The same points in the frame in which their solid texture is defined, metres."""
    faces: Int[np.ndarray, "faces 3"]
    """Counter-clockwise seen from outside."""
    labels: UInt8[np.ndarray, "faces"]
    """As in `occhand.types.Occlusion.labels`."""
    material_ids: Int[np.ndarray, "faces"]
    """Row of the scene's materials."""
    tile_ids: Int[np.ndarray, "faces"]
    """Row of the skin tiles; -1 where skin is bare or there is none."""


@dataclass(frozen=True)
class Lighting:
    """Far lights, the first of which casts shadows, and the light from all around."""

    directions: Float[np.ndarray, "lights 3"]
    """Unit, towards the light, camera frame."""
    intensities: Float[np.ndarray, "lights 3"]
    sky: Float[np.ndarray, "3"]
    ground: Float[np.ndarray, "3"]


def smooth_normals(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> Float[np.ndarray, "vertices 3"]:
    """Sum of the normals of the faces around each vertex, weighted by area; not unit."""
    return _smooth_normals(vertices, faces)


def light_scene(
    surfaces: Surfaces,
    raster: Raster,
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
        raster: Of them, `SAMPLES` per pixel along x and y.
        depth: Of them, at the pixel centres.
        K: Of the picture, pixels.
        materials: What `surfaces.material_ids` names.
        skin_tiles: What `surfaces.tile_ids` names.
        lighting: Camera frame.
        shadows: Of the first light.
        background: Linear RGB.
    """
    image = background.copy()
    colours = np.stack([material.colours for material in materials])
    patterns = np.array([int(material.pattern) for material in materials])
    numbers = np.array([[m.period, m.share, m.gloss, m.shininess, *m.axis] for m in materials])
    seeds = np.array([material.seed for material in materials])
    _light(
        raster.face_ids,
        raster.barycentrics,
        raster.depth,
        depth,
        np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]]),
        surfaces.vertices_cam,
        _smooth_normals(surfaces.vertices_cam, surfaces.faces),
        surfaces.local,
        surfaces.faces,
        surfaces.material_ids,
        surfaces.tile_ids,
        skin_tiles,
        patterns,
        colours,
        numbers,
        seeds,
        lighting.directions,
        lighting.intensities,
        np.stack([lighting.sky, lighting.ground]),
        shadows.depth,
        shadows.light_from_cam,
        shadows.K,
        image,
    )
    return image


@njit(cache=True, fastmath=True)
@no_type_check
def _smooth_normals(vertices, faces):
    normals = np.zeros(vertices.shape)
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        ux, uy, uz = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        vx, vy, vz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (i, j, k):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    return normals


@njit(cache=True, fastmath=True)
@no_type_check
def _mix(values, i, j, k, weights):
    u, v, w = weights[0], weights[1], weights[2]
    return (
        u * values[i, 0] + v * values[j, 0] + w * values[k, 0],
        u * values[i, 1] + v * values[j, 1] + w * values[k, 1],
        u * values[i, 2] + v * values[j, 2] + w * values[k, 2],
    )


@njit(cache=True, fastmath=True)
@no_type_check
def _unit(x, y, z):
    scale = 1.0 / np.sqrt(x * x + y * y + z * z + 1e-30)
    return x * scale, y * scale, z * scale


@njit(cache=True, fastmath=True)
@no_type_check
def _tile_mask(tile, weights, mask):
    """A painted mask inside a face: linear between the points of the face's lattice."""
    u, v = weights[1] * TILE, weights[2] * TILE
    i, j = min(int(u), TILE - 1), min(int(v), TILE - 1)
    if i + j > TILE - 1:
        i, j = min(i, TILE - 1), max(0, TILE - 1 - i)
    u, v = u - i, v - j
    here = i * (2 * TILE + 3 - i) // 2 + j
    right = (i + 1) * (2 * TILE + 2 - i) // 2 + j
    if u + v <= 1.0 or i + j >= TILE - 1:
        value = (1.0 - u - v) * tile[here, mask] + u * tile[right, mask] + v * tile[here + 1, mask]
    else:
        value = (u + v - 1.0) * tile[right + 1, mask] + (1.0 - v) * tile[right, mask] + (1.0 - u) * tile[here + 1, mask]
    return min(1.0, max(0.0, value / 255.0))


@njit(cache=True, fastmath=True)
@no_type_check
def _surface_colour(pattern, colours, numbers, seed, tile_id, tiles, weights, x, y, z):
    """Colour before light, and by how much gloss grows (nails are smoother than skin)."""
    r, g, b, polish = colours[0, 0], colours[0, 1], colours[0, 2], 0.0
    if pattern == Pattern.SKIN:
        if tile_id >= 0:
            for mask in range(5):
                share = _tile_mask(tiles[tile_id], weights, mask)
                if share > 0.0:
                    r += share * (colours[mask + 1, 0] - r)
                    g += share * (colours[mask + 1, 1] - g)
                    b += share * (colours[mask + 1, 2] - b)
                    polish = share if mask == 4 else polish
        # Blotches, and the fine grain that makes skin not plastic.
        blotch = value_noise(55.0 * x, 55.0 * y, 55.0 * z, seed) - 0.5
        grain = value_noise(420.0 * x, 420.0 * y, 420.0 * z, seed + 1) - 0.5
        rough = 1.0 - polish
        amount = 1.0 + numbers[1] * rough * (1.6 * blotch + 1.2 * grain)
        return r * amount, g * (amount - 0.9 * numbers[1] * rough * blotch), b * (amount - 0.9 * numbers[1] * rough * blotch), polish
    second, third = second_colour_share(pattern, x, y, z, numbers[4:7], numbers[0], numbers[1], seed)
    r += second * (colours[1, 0] - r)
    g += second * (colours[1, 1] - g)
    b += second * (colours[1, 2] - b)
    r += third * (colours[2, 0] - r)
    g += third * (colours[2, 1] - g)
    b += third * (colours[2, 2] - b)
    return r, g, b, 0.0


@njit(cache=True, fastmath=True)
@no_type_check
def _openness(depth, camera, px, py, x, y, z, nx, ny, nz):
    """Share of the light from all around that reaches a point: less where the depth map shows something close above its tangent plane."""
    height, width = depth.shape
    reach = 0.02  # metres: folds between fingers, and where a finger rests on an object
    blocked = 0.0
    for tap in range(8):
        angle = 2.399963 * (tap + 0.5)
        step = reach * np.sqrt((tap + 0.7) / 8.0) * camera[0] / z
        column = int(px + step * np.cos(angle) + 0.5)
        row = int(py + step * np.sin(angle) + 0.5)
        if column < 0 or row < 0 or column >= width or row >= height:
            continue
        there = depth[row, column]
        if there > 100.0:
            continue
        dx = (column - camera[2]) / camera[0] * there - x
        dy = (row - camera[3]) / camera[1] * there - y
        dz = there - z
        squared = dx * dx + dy * dy + dz * dz + 1e-12
        rise = (nx * dx + ny * dy + nz * dz) / np.sqrt(squared) - 0.12
        if rise > 0.0:
            blocked += rise / (1.0 + squared / (reach * reach))
    return 1.0 / (1.0 + 0.55 * blocked)


@njit(cache=True, fastmath=True)
@no_type_check
def _light_point(pattern, gloss, shininess, colour, normal, eye, openness, lit, directions, intensities, surroundings):
    """Light that leaves a point towards the eye."""
    (r, g, b), (nx, ny, nz), (ex, ey, ez) = colour, normal, eye
    up = 0.5 - 0.5 * ny
    red = openness * (up * surroundings[0, 0] + (1.0 - up) * surroundings[1, 0])
    green = openness * (up * surroundings[0, 1] + (1.0 - up) * surroundings[1, 1])
    blue = openness * (up * surroundings[0, 2] + (1.0 - up) * surroundings[1, 2])
    # Light scatters inside flesh, red light farthest: the terminator is soft and ruddy.
    wrap_r, wrap_g, wrap_b = (0.30, 0.16, 0.12) if pattern == Pattern.SKIN else (0.05, 0.05, 0.05)
    shine_r, shine_g, shine_b = 0.0, 0.0, 0.0
    facing = max(0.0, nx * ex + ny * ey + nz * ez)
    fresnel = gloss * (1.0 + 3.0 * (1.0 - facing) ** 4)
    for light in range(directions.shape[0]):
        amount = lit if light == 0 else 0.4 + 0.6 * openness
        lx, ly, lz = directions[light, 0], directions[light, 1], directions[light, 2]
        cosine = nx * lx + ny * ly + nz * lz
        for_r, for_g, for_b = (
            max(0.0, (cosine + wrap_r) / (1.0 + wrap_r)),
            max(0.0, (cosine + wrap_g) / (1.0 + wrap_g)),
            max(0.0, (cosine + wrap_b) / (1.0 + wrap_b)),
        )
        red += amount * for_r * intensities[light, 0]
        green += amount * for_g * intensities[light, 1]
        blue += amount * for_b * intensities[light, 2]
        if cosine > 0.0:
            hx, hy, hz = _unit(lx + ex, ly + ey, lz + ez)
            gleam = max(0.0, nx * hx + ny * hy + nz * hz)
            if gleam > 0.5:
                strength = amount * fresnel * gleam**shininess * (shininess + 8.0) / 25.0 * cosine
                shine_r += strength * intensities[light, 0]
                shine_g += strength * intensities[light, 1]
                shine_b += strength * intensities[light, 2]
    return r * red + shine_r, g * green + shine_g, b * blue + shine_b


@njit(cache=True, fastmath=True)
@no_type_check
def _light(
    face_ids,
    barycentrics,
    sample_depth,
    depth,
    camera,
    vertices,
    normals,
    local,
    faces,
    material_ids,
    tile_ids,
    tiles,
    patterns,
    colours,
    numbers,
    seeds,
    directions,
    intensities,
    surroundings,
    shadow_depth,
    light_from_cam,
    light_K,
    image,
):
    height, width = depth.shape
    per_pixel = SAMPLES * SAMPLES
    for py in range(height):
        for px in range(width):
            done = 0  # bit per sample that another sample of the pixel already stands for
            covered = 0
            red, green, blue = 0.0, 0.0, 0.0
            for sample in range(per_pixel):
                row, column = SAMPLES * py + sample // SAMPLES, SAMPLES * px + sample % SAMPLES
                face = face_ids[row, column]
                if face < 0 or (done >> sample) & 1:
                    continue
                material, z = material_ids[face], sample_depth[row, column]
                count = 1
                for other in range(sample + 1, per_pixel):
                    other_row, other_column = SAMPLES * py + other // SAMPLES, SAMPLES * px + other % SAMPLES
                    other_face = face_ids[other_row, other_column]
                    if other_face >= 0 and material_ids[other_face] == material and abs(sample_depth[other_row, other_column] - z) < 0.004:
                        done |= 1 << other
                        count += 1
                covered += count
                i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
                weights = barycentrics[row, column]
                x, y, z = _mix(vertices, i, j, k, weights)
                nx, ny, nz = _mix(normals, i, j, k, weights)
                nx, ny, nz = _unit(nx, ny, nz)
                ex, ey, ez = _unit(-x, -y, -z)
                if nx * ex + ny * ey + nz * ez < -0.2:  # the inside of a sleeve
                    nx, ny, nz = -nx, -ny, -nz
                lx, ly, lz = _mix(local, i, j, k, weights)
                r, g, b, polish = _surface_colour(
                    patterns[material], colours[material], numbers[material], seeds[material], tile_ids[face], tiles, weights, lx, ly, lz
                )
                openness = _openness(depth, camera, px, py, x, y, z, nx, ny, nz)
                # Moved off the surface along the normal: a lit face must not be in its own shadow.
                lit = lit_share(shadow_depth, light_from_cam, light_K, x + 0.0025 * nx, y + 0.0025 * ny, z + 0.0025 * nz, 0.0015)
                gloss, shininess = numbers[material, 2] + 0.25 * polish, numbers[material, 3] + 30.0 * polish
                r, g, b = _light_point(
                    patterns[material],
                    gloss,
                    shininess,
                    (r, g, b),
                    (nx, ny, nz),
                    (ex, ey, ez),
                    openness,
                    lit,
                    directions,
                    intensities,
                    surroundings,
                )
                red += count * r
                green += count * g
                blue += count * b
            if covered:
                share = covered / per_pixel
                image[py, px, 0] = red / per_pixel + (1.0 - share) * image[py, px, 0]
                image[py, px, 1] = green / per_pixel + (1.0 - share) * image[py, px, 1]
                image[py, px, 2] = blue / per_pixel + (1.0 - share) * image[py, px, 2]
