"""The loss that both networks were trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from occhand.hand.hand_layer import HandLayer
from occhand.types import ModelInput, ModelOutput, ModelTarget


@dataclass(frozen=True)
class LossConfig:
    """Weights of the squared errors, as released; each is a mean over all numbers of the batch."""

    vertices: float = 1e4
    """Metres."""
    joints: float = 1e4
    """Metres."""
    rotations: float = 10.0
    """Entries of the joints' rotation matrices."""
    betas: float = 0.1
    joints_crop: float = 100.0
    """Parts of the crop."""
    joints_crop_target: Literal["annotation", "input"] = "annotation"
    """`input`: HandGCAT's released code asks for the 2D joints it was given, **with their noise**."""


class HandLosses(NamedTuple):
    """The terms, already weighted."""

    vertices: Float[Tensor, ""]
    joints: Float[Tensor, ""]
    rotations: Float[Tensor, ""]
    betas: Float[Tensor, ""]
    joints_crop: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Their sum."""
        return self.vertices + self.joints + self.rotations + self.betas + self.joints_crop


def hand_losses(
    output: ModelOutput,
    target: ModelTarget,
    inputs: ModelInput,
    hand: HandLayer,
    flat_hand_mean: bool,
    config: LossConfig = LossConfig(),
) -> HandLosses:
    """Squared errors of a network's output.

    Target vertices and joints are the same hand layer's on the target pose and shape, not aligned at the root; target rotations are
    those of the pose as it stands, without the mean pose (as is the output's `rotations`).

    Args:
        output: Of the network.
        target: What it should have been.
        inputs: What it was given.
        hand: The network's hand layer.
        flat_hand_mean: The network's meaning of pose zero (its config's field), which is the target's too.
        config: Weights.

    Raises:
        ValueError: `joints_crop_target` is `input` and the network was given no 2D joints.
    """
    joints_crop = target.joints_crop if config.joints_crop_target == "annotation" else inputs.joints_crop
    if joints_crop is None:
        raise ValueError("joints_crop_target 'input' needs a network with 2D joints as input; use 'annotation'.")
    posed = hand(hand.rotations_from_axis_angle(target.pose, flat_hand_mean), target.betas)
    rotations = hand.rotations_from_axis_angle(target.pose)
    return HandLosses(
        vertices=config.vertices * mse_loss(output.vertices, posed.vertices),
        joints=config.joints * mse_loss(output.joints, posed.joints),
        rotations=config.rotations * mse_loss(output.rotations, rotations),
        betas=config.betas * mse_loss(output.betas, target.betas),
        joints_crop=config.joints_crop * mse_loss(output.joints_crop, joints_crop),
    )
