"""Rows of hands posed: vertices, joints, and which joints the camera could see past the hands themselves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from occhand.geometry.camera import project
from occhand.geometry.rotation import mirror_rotation
from occhand.hand.hand_layer import HandLayer
from occhand.synth.forearm import OTHER_HAND_LABEL
from occhand.synth.visibility import HAND_LABEL, first_crossings, flesh_depth
from occhand.types import Camera
from occhand.video.rows import HandRows

_MIRROR_POINT = np.array([-1.0, 1.0, 1.0])


class PosedRows(NamedTuple):
    """Hands of rows, metres, camera frame."""

    vertices: Float[np.ndarray, "n 778 3"]
    joints: Float[np.ndarray, "n 21 3"]


@torch.no_grad()
def pose_rows(rows: HandRows, layer: HandLayer) -> PosedRows:
    """Pose every row by the right hand's layer; left hands are its mirror image, as in `HandMesh`."""
    left, rotations = rows.is_left[:, None, None], torch.from_numpy(rows.rotations)
    rotations = torch.where(torch.from_numpy(left[..., None]), mirror_rotation(rotations), rotations)
    posed = layer(rotations.to(layer.v_template), torch.from_numpy(rows.betas).to(layer.v_template))
    mirror = np.where(left, _MIRROR_POINT, 1.0)
    place = rows.translation[:, None]
    return PosedRows(posed.vertices.double().numpy() * mirror + place, posed.joints.double().numpy() * mirror + place)


def mirrored_faces(faces: Int[np.ndarray, "faces 3"]) -> Int[np.ndarray, "faces 3"]:
    """Of a left hand: seen in a mirror, the corners go round the other way."""
    return np.ascontiguousarray(faces[:, ::-1])


def visible_joints(
    frame: Int[np.ndarray, "n"], posed: PosedRows, faces: Int[np.ndarray, "faces 3"], camera: Camera
) -> Bool[np.ndarray, "n 21"]:
    """Whether each joint lies in the picture and in front of all estimated hands of its frame; of objects nothing is known."""
    pixels = project(posed.joints, camera.K)
    visible = np.all((pixels >= -0.5) & (pixels < np.array([camera.width, camera.height]) - 0.5), axis=-1)
    none = np.full(21, -1)
    for row in range(len(frame)):
        together = np.flatnonzero(frame == frame[row])
        vertices = posed.vertices[together].reshape(-1, 3)
        all_faces = np.concatenate([faces + k * posed.vertices.shape[1] for k in range(len(together))])
        labels = np.repeat(np.where(together == row, HAND_LABEL, OTHER_HAND_LABEL), len(faces)).astype(np.uint8)
        by_self, by_other = first_crossings(posed.joints[row], none, vertices, all_faces, labels, camera.K)
        depth = posed.joints[row, :, 2]
        visible[row] &= (by_self >= depth - flesh_depth()) & (by_other >= depth)
    return np.asarray(visible)
