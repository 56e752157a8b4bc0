"""Pictures of a mesh alone, in motion and side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from occhand.files import atomic_path
from occhand.render.draw import draw_label
from occhand.render.shade import PALETTE, Colour, Mesh, draw_meshes

BACKDROP: tuple[Colour, Colour] = ((250, 250, 248), (206, 210, 216))
"""Top and bottom of the background."""


def turntable(
    vertices: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    frames: int = 36,
    size: int = 320,
    colour: Colour = PALETTE[0],
) -> list[UInt8[np.ndarray, "size size 3"]]:
    """Draw a mesh turning once about its vertical axis, alone before a plain background.

    The first frame sees it as the camera does; the camera stands where the mesh fits the frame at every angle.

    Args:
        vertices: Metres; the y axis points down.
        faces: Counter-clockwise seen from outside.
        frames: For one turn.
        size: Height and width of a frame, pixels.
        colour: Of the mesh, sRGB.
    """
    centred = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    radius = float(np.linalg.norm(centred, axis=1).max())
    distance = 4.5 * radius
    focal_px = 0.46 * size * np.sqrt(distance**2 - radius**2) / radius  # the sphere around the mesh takes 92 % of the frame
    K = np.array([[focal_px, 0.0, (size - 1) / 2], [0.0, focal_px, (size - 1) / 2], [0.0, 0.0, 1.0]])
    drawn = []
    for angle in np.linspace(0.0, 2.0 * np.pi, frames, endpoint=False):
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
        mesh = Mesh(centred @ turn.T + (0.0, 0.0, distance), faces, colour)
        picture = draw_meshes([mesh], K, size, size)
        opacity = picture.alpha[..., None]
        drawn.append(np.round(opacity * picture.rgb + (1.0 - opacity) * _backdrop(size, size)).astype(np.uint8))
    return drawn


def save_animation(frames: Sequence[UInt8[np.ndarray, "height width 3"]], path: Path | str, frames_per_second: float = 18.0) -> None:
    """Write frames as an endless animation, `.gif` or `.webp`; the file appears whole or not at all.

    Raises:
        ValueError: No frames, or another suffix.
    """
    path = Path(path)
    if not frames:
        raise ValueError("An animation needs at least one frame.")
    if path.suffix.lower() not in (".gif", ".webp"):
        raise ValueError(f"Animations are written as .gif or .webp, not as {path.name!r}.")
    first, *others = (Image.fromarray(frame) for frame in frames)
    with atomic_path(path) as temporary:
        first.save(temporary, save_all=True, append_images=others, duration=round(1000 / frames_per_second), loop=0)


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    labels: Sequence[str] = (),
    columns: int = 4,
    cell: int = 320,
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay pictures out in rows, each shrunk to fit a square cell and centred in it.

    Args:
        images: RGB, of any sizes.
        labels: One per picture, drawn into its upper left corner; none at all to leave them out.
        columns: Pictures per row.
        cell: Height and width of a cell, pixels.

    Raises:
        ValueError: No pictures, or another number of labels than of pictures.
    """
    if not images or (labels and len(labels) != len(images)):
        raise ValueError(f"{len(images)} pictures and {len(labels)} labels: expected at least one picture, and a label for each or none.")
    gap = max(2, cell // 80)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (cell + gap) + gap, columns * (cell + gap) + gap, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        small = Image.fromarray(image)
        small.thumbnail((cell, cell), Image.Resampling.LANCZOS)
        tile = _backdrop(cell, cell)
        top, left = (cell - small.height) // 2, (cell - small.width) // 2
        tile[top : top + small.height, left : left + small.width] = np.asarray(small)
        if labels:
            tile = draw_label(tile, labels[number])
        row, column = divmod(number, columns)
        y, x = gap + row * (cell + gap), gap + column * (cell + gap)
        sheet[y : y + cell, x : x + cell] = tile
    return sheet


def _backdrop(height: int, width: int) -> np.ndarray:
    """A soft vertical gradient."""
    top, bottom = np.array(BACKDROP, dtype=np.float64)
    rows = np.linspace(0.0, 1.0, height)[:, None]
    return np.repeat(np.round(top + rows * (bottom - top)).astype(np.uint8)[:, None], width, axis=1)
