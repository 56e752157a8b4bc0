"""Meshes as smooth, softly lit pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8
from numba import njit

from occhand.render.raster import Raster, rasterize

Colour = tuple[int, int, int]
"""sRGB, 0 to 255."""

PALETTE: tuple[Colour, ...] = ((226, 178, 150), (138, 172, 206), (158, 192, 150), (198, 164, 206))
"""Warm clay, blue-grey, sage, mauve: one per hand, told apart by lightness as well as by hue."""


@dataclass(frozen=True)
class Mesh:
    """A surface to draw."""

    vertices_cam: Float[np.ndarray, "vertices 3"]
    """Metres, camera frame."""
    faces: Int[np.ndarray, "faces 3"]
    """Counter-clockwise seen from outside; the inside, seen through the open wrist, is drawn darker."""
    colour: Colour | UInt8[np.ndarray, "vertices 3"] = PALETTE[0]
    """sRGB, one for all or one per vertex."""


@dataclass(frozen=True)
class Light:
    """A far light with a soft terminator, as from a large lamp."""

    direction: tuple[float, float, float]
    """Towards the light, camera frame (y points down, so a lamp overhead has a negative y)."""
    intensity: tuple[float, float, float]
    """Linear RGB."""


STUDIO: tuple[Light, ...] = (
    Light((-0.60, -0.75, -0.55), (1.12, 1.06, 0.98)),  # key: warm, upper left, in front
    Light((0.85, 0.10, -0.45), (0.20, 0.24, 0.30)),  # fill: cool, right
    Light((0.45, -0.50, 0.75), (0.62, 0.64, 0.70)),  # rim: from behind, parts fingers that overlap
)
SKY = (0.27, 0.28, 0.31)
GROUND = (0.15, 0.13, 0.12)
"""Linear RGB of the light from above and below that has no direction."""


@dataclass(frozen=True)
class Picture:
    """Meshes before an empty background."""

    rgb: UInt8[np.ndarray, "height width 3"]
    alpha: Float32[np.ndarray, "height width"]
    """Part of the pixel that the meshes cover, 0 to 1."""


def vertex_normals(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> Float[np.ndarray, "vertices 3"]:
    """Unit normals at the vertices, the mean over the faces around each weighted by area; 0 for a vertex of no face."""
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices, dtype=np.float64)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(np.float64).tiny)


def shade(
    raster: Raster,
    vertices_cam: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    colours: Float[np.ndarray, "vertices 3"],
    lights: Sequence[Light] = STUDIO,
    gloss: float = 0.07,
) -> Float32[np.ndarray, "height width 3"]:
    """Light what a raster sees: smooth normals, wrapped diffuse light, a little gloss.

    Args:
        raster: Of the same vertices and faces.
        vertices_cam: Metres, camera frame.
        faces: Counter-clockwise seen from outside.
        colours: Linear RGB in 0..1 (see `linear_from_srgb`).
        lights: Added up, on top of the light of sky and ground.
        gloss: Strength of the highlights, 0 for chalk.

    Returns:
        Linear RGB in 0..1; 0 where nothing is seen.
    """
    directions = np.array([light.direction for light in lights], dtype=np.float64).reshape(-1, 3)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    intensities = np.array([light.intensity for light in lights], dtype=np.float64).reshape(-1, 3)
    vertices = np.ascontiguousarray(vertices_cam, dtype=np.float64)
    image = np.zeros((*raster.face_ids.shape, 3), dtype=np.float32)
    _shade(
        raster.face_ids,
        raster.barycentrics,
        vertices,
        np.ascontiguousarray(faces, dtype=np.int64),
        vertex_normals(vertices, faces),
        np.ascontiguousarray(colours, dtype=np.float64),
        directions,
        intensities,
        np.array([SKY, GROUND]),
        gloss,
        image,
    )
    return image


def draw_meshes(meshes: Sequence[Mesh], K: Float[np.ndarray, "3 3"], height: int, width: int, supersample: int = 2) -> Picture:
    """Draw meshes in one pass, so that each hides what lies behind it, with smooth edges.

    Args:
        meshes: In the camera frame of `K`.
        K: Pinhole intrinsics of the picture, pixels.
        height: Of the picture, pixels.
        width: Of the picture, pixels.
        supersample: Samples per pixel along x and along y.
    """
    rgb = np.zeros((height, width, 3), dtype=np.uint8)
    alpha = np.zeros((height, width), dtype=np.float32)
    if not meshes:
        return Picture(rgb, alpha)
    vertices, faces, colours = _join(meshes)
    strip = 128  # rows at a time: the samples of a whole 12-megapixel picture would take a gigabyte
    for top in range(0, height, strip):
        rows = slice(top, min(top + strip, height))
        # Sample i of pixel x lies at x + (i + 0.5) / supersample - 0.5, as pixel centres are whole numbers.
        offset = (supersample - 1) / 2
        samples_from_img = np.array([[supersample, 0.0, offset], [0.0, supersample, offset - supersample * top], [0.0, 0.0, 1.0]])
        raster = rasterize(vertices, faces, samples_from_img @ K, (rows.stop - top) * supersample, width * supersample)
        light, alpha[rows] = _average_samples(shade(raster, vertices, faces, colours), raster.face_ids, supersample)
        seen = alpha[rows] > 0.0
        rgb[rows][seen] = srgb_from_linear(light[seen])
    return Picture(rgb, alpha)


def linear_from_srgb(colours: UInt8[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
    """Amounts of light in 0..1 behind sRGB values (IEC 61966-2-1)."""
    value = np.asarray(colours, dtype=np.float64) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(light: Float[np.ndarray, "*any 3"]) -> UInt8[np.ndarray, "*any 3"]:
    """sRGB values of amounts of light; what lies outside 0..1 is clipped."""
    return np.round(255.0 * srgb_curve(np.clip(light, 0.0, 1.0))).astype(np.uint8)


def srgb_curve(light: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """sRGB values in 0..1 of amounts of light in 0..1 (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1.0 / 2.4) - 0.055)


def _join(meshes: Sequence[Mesh]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and linear colours of several meshes as one."""
    starts = np.cumsum([0, *(len(mesh.vertices_cam) for mesh in meshes)])
    vertices = np.concatenate([mesh.vertices_cam for mesh in meshes]).astype(np.float64)
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)])
    colours = [np.broadcast_to(np.asarray(mesh.colour, dtype=np.uint8), mesh.vertices_cam.shape) for mesh in meshes]
    return vertices, faces, linear_from_srgb(np.concatenate(colours))


@njit(cache=True, error_model="numpy")
@no_type_check
def _average_samples(samples, face_ids, size):
    """Mean light of the covered samples in each block of `size` x `size`, and the part that they are of it."""
    height, width = face_ids.shape[0] // size, face_ids.shape[1] // size
    light = np.zeros((height, width, 3), dtype=np.float32)
    alpha = np.zeros((height, width), dtype=np.float32)
    for y in range(height):
        for x in range(width):
            red, green, blue, covered = 0.0, 0.0, 0.0, 0
            for row in range(y * size, (y + 1) * size):
                for column in range(x * size, (x + 1) * size):
                    if face_ids[row, column] >= 0:
                        red += samples[row, column, 0]
                        green += samples[row, column, 1]
                        blue += samples[row, column, 2]
                        covered += 1
            if covered:
                light[y, x, 0], light[y, x, 1], light[y, x, 2] = red / covered, green / covered, blue / covered
                alpha[y, x] = covered / size**2
    return light, alpha


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _mix(values, i, j, k, weights):
    """Values at the corners of a face, weighted."""
    u, v, w = weights[0], weights[1], weights[2]
    return (
        u * values[i, 0] + v * values[j, 0] + w * values[k, 0],
        u * values[i, 1] + v * values[j, 1] + w * values[k, 1],
        u * values[i, 2] + v * values[j, 2] + w * values[k, 2],
    )


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _unit(x, y, z):
    scale = 1.0 / np.sqrt(x * x + y * y + z * z + 1e-30)
    return x * scale, y * scale, z * scale


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _faces_away(vertices, i, j, k):
    """Whether the camera sees the inner side of a face."""
    ux, uy, uz = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
    vx, vy, vz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    return nx * vertices[i, 0] + ny * vertices[i, 1] + nz * vertices[i, 2] > 0.0


@njit(cache=True, fastmath=True, error_model="numpy")
@no_type_check
def _shade(face_ids, barycentrics, vertices, faces, normals, colours, directions, intensities, surroundings, gloss, image):
    wrap = 0.15  # how far light reaches past the terminator: soft, as on skin
    inner = 0.22  # part of the light that reaches the inner side
    height, width = face_ids.shape
    for y in range(height):
        for x in range(width):
            face = face_ids[y, x]
            if face < 0:
                continue
            i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
            weights = barycentrics[y, x]
            px, py, pz = _mix(vertices, i, j, k, weights)
            ex, ey, ez = _unit(-px, -py, -pz)
            nx, ny, nz = _mix(normals, i, j, k, weights)
            nx, ny, nz = _unit(nx, ny, nz)
            amount = 1.0
            if _faces_away(vertices, i, j, k):
                nx, ny, nz, amount = -nx, -ny, -nz, inner
            up = 0.5 - 0.5 * ny
            open_view = 0.45 + 0.55 * max(0.0, nx * ex + ny * ey + nz * ez)  # less light reaches what curves away, as between fingers
            highlight = 0.0
            red, green, blue = (
                open_view * (up * surroundings[0, 0] + (1.0 - up) * surroundings[1, 0]),
                open_view * (up * surroundings[0, 1] + (1.0 - up) * surroundings[1, 1]),
                open_view * (up * surroundings[0, 2] + (1.0 - up) * surroundings[1, 2]),
            )
            for light in range(directions.shape[0]):
                lx, ly, lz = directions[light, 0], directions[light, 1], directions[light, 2]
                cosine = nx * lx + ny * ly + nz * lz
                diffuse = max(0.0, (cosine + wrap) / (1.0 + wrap))
                diffuse *= diffuse
                red += diffuse * intensities[light, 0]
                green += diffuse * intensities[light, 1]
                blue += diffuse * intensities[light, 2]
                if cosine > 0.0:
                    hx, hy, hz = _unit(lx + ex, ly + ey, lz + ez)
                    gleam = max(0.0, nx * hx + ny * hy + nz * hz)
                    for _ in range(4):  # to the 16th power, much faster than by pow
                        gleam *= gleam
                    highlight += intensities[light, 1] * gleam
            r, g, b = _mix(colours, i, j, k, weights)
            image[y, x, 0] = min(1.0, amount * (r * red + gloss * highlight))
            image[y, x, 1] = min(1.0, amount * (g * green + gloss * highlight))
            image[y, x, 2] = min(1.0, amount * (b * blue + gloss * highlight))
