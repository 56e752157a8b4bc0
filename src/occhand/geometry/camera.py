"""The pinhole camera: projection, its inverse, mirrored intrinsics, OpenCV and OpenGL axes.

Image coordinates are OpenCV's: the centre of the first pixel is (0, 0).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Array = TypeVar("Array", Tensor, np.ndarray)


def project(points_cam: Float[Array, "*batch points 3"], K: Float[Array, "*#batch 3 3"]) -> Float[Array, "*batch points 2"]:
    """Pixels of points in the camera frame; points behind the camera give mirrored pixels, at depth 0 infinities."""
    homogeneous = points_cam @ K.swapaxes(-1, -2)
    return homogeneous[..., :2] / homogeneous[..., 2:]


def unproject(
    points_img: Float[Tensor, "*batch points 2"], depth: Float[Tensor, "*batch points"], K: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch points 3"]:
    """Points in the camera frame at the given depth along z, metres."""
    homogeneous = torch.cat([points_img, torch.ones_like(points_img[..., :1])], dim=-1)
    return torch.linalg.solve(K, homogeneous.mT).mT * depth[..., None]


def look_at(pixel: Float[Tensor, "*batch 2"], K: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """`camera_from_view`: to this camera's axes from those of one at the same place that looks at a pixel, turned no further than it must.

    `K` may be any matrix that takes points to homogeneous pixels, such as that of a turned crop.
    """
    ray = torch.linalg.solve(K, torch.cat([pixel, torch.ones_like(pixel[..., :1])], dim=-1)[..., None]).squeeze(-1)
    x, y, z = (ray / ray.norm(dim=-1, keepdim=True)).unbind(-1)
    shared = -x * y / (1 + z)
    return torch.stack([1 - x * x / (1 + z), shared, x, shared, 1 - y * y / (1 + z), y, -x, -y, z], dim=-1).unflatten(-1, (3, 3))


def flip_opencv_opengl(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """OpenCV axes (y down, z forward) to OpenGL axes (y up, z backward), or back: half a turn about x, its own inverse."""
    return points * points.new_tensor([1.0, -1.0, -1.0])


def mirror_intrinsics(K: Float[Tensor, "*batch 3 3"], width: int) -> Float[Tensor, "*batch 3 3"]:
    """Intrinsics of the image mirrored left to right (u -> width - 1 - u), where camera x is mirrored too."""
    mirror = K.new_tensor([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return mirror @ K @ K.new_tensor([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
