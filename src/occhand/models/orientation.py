"""From the axes in which a network sees a hand to those of the camera."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from occhand.geometry.camera import look_at
from occhand.geometry.rotation import matrix_to_axis_angle
from occhand.models.config import ModelConfig
from occhand.types import ModelOutput


def in_camera_axes(output: ModelOutput, config: ModelConfig, K: Float[Tensor, "B 3 3"]) -> ModelOutput:
    """The same hands, those of an allocentric network turned about their wrists.

    Args:
        output: Of the network, about crops that were not turned. Depths of joints are left out, as they are in the crop's axes.
        config: The network's.
        K: From points in the camera frame to pixels of the crop.
    """
    if config.orientation == "egocentric":
        return output
    turn = look_at(torch.full_like(K[:, 0, :2], config.input_size / 2), K).to(output.joints)
    wrist, root = output.joints[:, :1], turn @ output.rotations[:, 0]
    about_wrist = torch.eye(4).to(turn).repeat(len(turn), 1, 1)
    about_wrist[:, :3, :3] = turn
    about_wrist[:, :3, 3:] = wrist.mT - turn @ wrist.mT
    return output._replace(
        vertices=(output.vertices - wrist) @ turn.mT + wrist,
        joints=(output.joints - wrist) @ turn.mT + wrist,
        rotations=torch.cat([root[:, None], output.rotations[:, 1:]], dim=1),
        pose=torch.cat([matrix_to_axis_angle(root), output.pose[:, 3:]], dim=1),
        transforms=about_wrist[:, None] @ output.transforms,
        joint_depth=None,
        joint_depth_sigma=None,
    )
