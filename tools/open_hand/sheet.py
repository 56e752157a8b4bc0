"""The contact sheet of the documentation: `python -m tools.open_hand.sheet` draws 8 poses from 4 sides."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image

from occhand.hand.assets import OPEN_HAND
from occhand.hand.hand_layer import load_hand
from occhand.hand.prior import rotations_from_angles
from occhand.render.draw import draw_label
from occhand.render.gallery import BACKDROP, contact_sheet
from occhand.render.shade import Mesh, draw_meshes, vertex_normals
from occhand.synth.hand_surface import Subdivision, subdivide
from occhand.synth.skin import mix_skin, skin_masks

POSES = ("flat", "relaxed", "spread", "fist", "point", "pinch", "ok", "cylinder")
VIEWS = {"dorsal": (0.0, 0.0), "palmar": (180.0, 0.0), "radial": (-80.0, -8.0), "oblique": (215.0, -25.0)}
"""Turn about the forearm and tilt of the camera, degrees, from the back of an upright hand."""
DISTANCE, FIELD = 0.65, 0.225
"""Camera to hand, and what its height covers there, metres."""
CELL = 240
SKIN = np.array([[218.0, 168, 138], [232, 180, 156], [214, 138, 116], [176, 116, 94], [190, 132, 112], [238, 198, 184]])
"""sRGB of bare skin, palm, flush, creases, nail edges and nails."""


def view_rotation(turn_deg: float, tilt_deg: float) -> Float[np.ndarray, "3 3"]:
    """From MANO's rest frame to a camera that sees the fingers up."""
    upright = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
    turn, tilt = np.deg2rad([turn_deg, tilt_deg])
    about_y = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return about_x @ about_y @ upright


def subdivisions(faces: Int[np.ndarray, "faces 3"], vertex_count: int, levels: int) -> list[Subdivision]:
    """Steps of Loop subdivision, each of the mesh before."""
    steps: list[Subdivision] = []
    for _ in range(levels):
        steps.append(subdivide(faces, vertex_count))
        faces, vertex_count = steps[-1].faces, len(steps[-1].sources)
    return steps


def refine(vertices: Float[np.ndarray, "coarse 3"], steps: list[Subdivision]) -> Float[np.ndarray, "fine 3"]:
    """Vertices of the finest mesh."""
    points = vertices.astype(np.float64)
    for step in steps:
        points = step.refine(points)
    return points


def draw_sheet(hand_file: Path, bare: bool = False) -> UInt8[np.ndarray, "height width 3"]:
    """Two poses a row, each from every side; `bare` draws the 778 vertices alone in one colour."""
    with np.load(hand_file) as arrays:
        names = [str(name) for name in arrays["key_pose_names"]]
        angles, axes = arrays["key_poses"][[names.index(pose) for pose in POSES]], arrays["joint_axes"]
    hand = load_hand(hand_file)
    with torch.no_grad():
        posed = hand(rotations_from_angles(torch.from_numpy(angles), torch.from_numpy(axes)), torch.zeros(len(POSES), 10)).vertices.numpy()
    steps = subdivisions(hand.faces.numpy(), posed.shape[1], 0 if bare else 3)
    faces = steps[-1].faces if steps else hand.faces.numpy()
    rest = refine(hand.v_template.numpy(), steps)
    colours = np.round(mix_skin(skin_masks(rest, vertex_normals(rest, faces)), SKIN)).astype(np.uint8)
    focal = CELL * DISTANCE / FIELD
    K = np.array([[focal, 0, CELL / 2], [0, focal, CELL / 2], [0, 0, 1.0]])
    images = []
    for name, vertices in zip(POSES, posed, strict=True):
        for view, (turn, tilt) in VIEWS.items():
            points = refine(vertices, steps) @ view_rotation(turn, tilt).T
            points = points - (points.min(0) + points.max(0)) / 2 + np.array([0, 0, DISTANCE])
            picture = draw_meshes([Mesh(points, faces, (226, 178, 150) if bare else colours)], K, CELL, CELL)
            opacity = picture.alpha[..., None]
            image = np.round(opacity * picture.rgb + (1 - opacity) * np.array(BACKDROP[0])).astype(np.uint8)
            images.append(draw_label(image, name) if view == "dorsal" else image)
    return contact_sheet(images, columns=2 * len(VIEWS), cell=CELL)


def main() -> None:
    """Parse the command line, draw, write."""
    parser = argparse.ArgumentParser(prog="python -m tools.open_hand.sheet", description=__doc__)
    parser.add_argument("--hand", type=Path, default=OPEN_HAND, help="hand file to draw (default: the package's)")
    parser.add_argument("--out", type=Path, default=Path("docs/open-hand.png"), help="picture to write")
    parser.add_argument("--bare", action="store_true", help="draw the 778 vertices in one colour")
    arguments = parser.parse_args()
    Image.fromarray(draw_sheet(arguments.hand, arguments.bare)).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
