"""Render the example picture and its 2D joints: the open hand around a can. A rendering, not a photograph.

    python examples/make_rendered_hand.py

writes rendered-hand.png and rendered-hand.json beside this file. The joints are the renderer's own, rounded to half a pixel; those
behind the can have weight 0, as if nobody had seen them.
"""

import json
from functools import reduce
from pathlib import Path

import numpy as np
import torch
import trimesh

from occhand.geometry.camera import project
from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.hand.assets import OPEN_HAND, load_parameters
from occhand.hand.hand_layer import HandLayer
from occhand.hand.prior import load_prior, rotations_from_angles
from occhand.image_io import save_image
from occhand.render.draw import draw_label, overlay
from occhand.render.raster import rasterize
from occhand.render.shade import Mesh

HERE = Path(__file__).parent
HEIGHT, WIDTH = 480, 640
K = np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]])
SKIN, CAN = (214, 162, 132), (52, 98, 140)
TURNS = ((0.0, 0.0, -1.5), (0.0, -0.3, 0.0), (0.2, 0.0, 0.0))
"""Axis-angles that turn the set scene, fingers up and palm to the camera, into the picture's; the last one first."""


def pose_hand() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, joints and faces of the open hand in its cylinder grip, palm to the camera, fingers up; metres about the palm."""
    hand = load_parameters("open")
    with np.load(OPEN_HAND) as arrays:
        angles = arrays["key_poses"][list(arrays["key_pose_names"]).index("cylinder")]
    posed = HandLayer(hand)(rotations_from_angles(torch.from_numpy(angles), load_prior().axes), torch.zeros(10))
    camera_from_rest = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    vertices, joints = (points.double().numpy() @ camera_from_rest.T for points in posed[:2])
    palm = joints[[0, 9]].mean(axis=0)
    return vertices - palm, joints - palm, hand.faces


def main() -> None:
    vertices, joints, faces = pose_hand()
    can = trimesh.creation.cylinder(radius=0.030, height=0.14, sections=96)
    along_x = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    can_vertices = can.vertices @ along_x.T + (0.0, -0.022, -0.047)
    view = reduce(torch.matmul, axis_angle_to_matrix(torch.tensor(TURNS))).double().numpy()
    place = np.array([0.01, 0.01, 0.33])
    vertices, joints, can_vertices = (points @ view.T + place for points in (vertices, joints, can_vertices))

    backdrop = np.linspace((228, 224, 216), (168, 164, 160), HEIGHT)[:, None].repeat(WIDTH, axis=1).astype(np.uint8)
    meshes = [Mesh(vertices, faces, SKIN), Mesh(can_vertices, np.asarray(can.faces), CAN)]
    picture = draw_label(overlay(backdrop, meshes, K, alpha=1.0), "rendered, not a photograph")
    save_image(picture, HERE / "rendered-hand.png")

    joints_img = np.round(2 * project(joints, K)) / 2
    depth = rasterize(can_vertices, np.asarray(can.faces), K, HEIGHT, WIDTH).depth
    columns, rows = np.round(joints_img).astype(int).T
    visible = depth[rows, columns] > joints[:, 2]
    hands = [{"side": "right", "joints_img": joints_img.tolist(), "weights": visible.astype(float).tolist()}]
    (HERE / "rendered-hand.json").write_text(json.dumps(hands, indent=1) + "\n")


if __name__ == "__main__":
    main()
