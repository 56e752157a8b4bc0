"""What a prediction is: `HandMesh`, its pictures, and `result.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

import occhand
from occhand.files import atomic_path
from occhand.geometry.camera import project
from occhand.hand.skeleton import JOINT_NAMES, MANO_JOINT_NAMES
from occhand.image_io import load_image
from occhand.mesh_io import save_mesh
from occhand.types import Camera, KeypointSource, Side

SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("result.schema.json")


@dataclass(frozen=True)
class HandMesh:
    """One reconstructed hand: metres, OpenCV camera frame (x right, y down, z forward), pixels of the full image."""

    vertices: Float[np.ndarray, "778 3"]
    joints: Float[np.ndarray, "21 3"]
    """House order (`occhand.hand.skeleton.JOINT_NAMES`)."""
    faces: Int[np.ndarray, "1538 3"]
    side: Side
    rotations: Float[np.ndarray, "16 3 3"]
    """Of each MANO joint relative to its parent, of a hand of this side; the first turns the hand model's frame into the camera's."""
    betas: Float[np.ndarray, "10"]
    translation: Float[np.ndarray, "3"]
    """`HandLayer(rotations, betas).vertices + translation == vertices`; for a left hand with the mirrored right hand as its model, which
    is not MANO_LEFT."""
    camera: Camera
    """With an assumed camera the distance, and with it the place of the hand, is a guess."""
    bbox_xyxy: Float[np.ndarray, "4"]
    bbox_source: KeypointSource
    keypoints: Float[np.ndarray, "21 2"]
    """The 2D joints that the mesh rests on: fitted to, or taken by the network, or its own where it needs none."""
    keypoint_weights: Float[np.ndarray, "21"]
    keypoint_source: KeypointSource
    score: float
    """Confidence of the detector in the hand and its side, 0 to 1; 1 for what the caller gave."""
    estimator: str
    """Which estimator made the mesh, and which cues it used beside the 2D joints."""
    hand_model: str
    """`open` or `mano`."""
    joint_sigma: Float[np.ndarray, "21"] | None = None
    """How far off each joint may be: standard deviation along each axis, metres, where truth and hand have the same mean joint. From the
    posterior of the fit, or as a network says of its own hand, before any refinement. None: nothing says so."""
    joint_visibility: Float[np.ndarray, "21"] | None = None
    """A network's probability that nothing hides the joint, 0 to 1. None: nothing says so."""

    @property
    def joints_img(self) -> Float[np.ndarray, "21 2"]:
        """The mesh's joints in the image, pixels."""
        return project(self.joints, self.camera.K)

    @property
    def reprojection_error_px(self) -> float:
        """Mean distance between the mesh's joints and `keypoints`, over joints of positive weight."""
        distance = np.linalg.norm(self.joints_img - self.keypoints, axis=1)
        return float(distance[self.keypoint_weights > 0].mean())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the mesh as .obj, .ply or .glb; see `occhand.mesh_io.save_mesh` for the frame of each."""
        return save_mesh(path, self.vertices, self.faces)

    def draw(self, image: str | os.PathLike[str] | UInt8[np.ndarray, "height width 3"]) -> Image.Image:
        """The mesh over the photograph it came from."""
        return draw_hands(image, [self])


def draw_hands(image: str | os.PathLike[str] | UInt8[np.ndarray, "height width 3"], hands: Sequence[HandMesh]) -> Image.Image:
    """All meshes over their photograph, the 2D joints that they rest on, each hand's side, and a label where the camera is assumed."""
    # Imported here, as numba is not needed to predict and takes a quarter of a second to import.
    from occhand.render.draw import draw_joints, draw_label, overlay
    from occhand.render.shade import PALETTE, Mesh

    picture = image if isinstance(image, np.ndarray) else load_image(image)
    if not hands:
        return Image.fromarray(draw_label(picture, "no hand found"))
    meshes = [Mesh(hand.vertices, hand.faces, PALETTE[k % len(PALETTE)]) for k, hand in enumerate(hands)]
    picture = overlay(picture, meshes, hands[0].camera.K)
    for hand in hands:
        picture = draw_joints(picture, hand.keypoints, hand.keypoint_weights <= 0)
        x, y = hand.bbox_xyxy[:2]
        picture = draw_label(picture, hand.side, at=(float(x), float(y)))
    if hands[0].camera.source == "assumed":
        picture = draw_label(picture, "camera assumed: distance is a guess", at=(0.0, float(picture.shape[0])))
    return Image.fromarray(picture)


def result_record(image: str, camera: Camera, hands: Sequence[HandMesh], mesh_files: Sequence[Sequence[str]] = ()) -> dict[str, Any]:
    """The content of `result.json`; its schema is `occhand.result.SCHEMA_FILE`.

    Args:
        image: Name of the picture as given.
        camera: The camera that all hands share.
        hands: May be empty.
        mesh_files: Names of the mesh files of each hand, relative to the JSON.
    """
    files = mesh_files or [()] * len(hands)
    return {
        "schema": "occhand.result",
        "schema_version": SCHEMA_VERSION,
        "occhand_version": occhand.__version__,
        "image": {"file": image, "height": camera.height, "width": camera.width},
        "frame": "OpenCV camera: x right, y down, z forward",
        "units": {"length": "metre", "image": "pixel", "rotation": "matrix"},
        "joint_names": list(JOINT_NAMES),
        "rotation_joint_names": list(MANO_JOINT_NAMES),
        "camera": {"K": camera.K.tolist(), "assumed": camera.source == "assumed"},
        "hands": [_hand_record(hand, names) for hand, names in zip(hands, files, strict=True)],
    }


def write_json(path: str | os.PathLike[str], record: dict[str, Any]) -> Path:
    """Write JSON whole or not at all; numbers that JSON cannot hold are refused."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Path(path)


def _hand_record(hand: HandMesh, mesh_files: Sequence[str]) -> dict[str, Any]:
    def rounded(array: np.ndarray | None, digits: int) -> list[Any] | None:
        return None if array is None else np.round(array.astype(np.float64), digits).tolist()

    return {
        "side": hand.side,
        "score": round(hand.score, 4),
        "mesh_files": list(mesh_files),
        "hand_model": hand.hand_model,
        "estimator": hand.estimator,
        "joints": rounded(hand.joints, 6),
        "joints_img": rounded(hand.joints_img, 2),
        "rotations": rounded(hand.rotations, 6),
        "betas": rounded(hand.betas, 4),
        "translation": rounded(hand.translation, 6),
        "bbox": {"xyxy": rounded(hand.bbox_xyxy, 2), "source": hand.bbox_source},
        "keypoints": {
            "joints_img": rounded(hand.keypoints, 2),
            "weights": rounded(hand.keypoint_weights, 4),
            "source": hand.keypoint_source,
        },
        "reprojection_error_px": round(hand.reprojection_error_px, 3),
        "joint_sigma": rounded(hand.joint_sigma, 6),
        "joint_visibility": rounded(hand.joint_visibility, 4),
    }
