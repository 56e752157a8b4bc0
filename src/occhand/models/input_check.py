"""What both networks ask of their input."""

from __future__ import annotations

import torch

from occhand.hand.skeleton import JOINT_NAMES
from occhand.models.config import HandGCATConfig, ModelConfig
from occhand.types import ModelInput

_TOLERANCE = 1e-3
"""Interpolation may leave 0..1 by rounding."""


def check_input(inputs: ModelInput, config: ModelConfig, check_values: bool) -> None:
    """Refuse what the network cannot work with; nothing is checked inside a compiled or exported graph.

    Args:
        inputs: What the network was given.
        config: Of the network.
        check_values: Look at the numbers too, for which a GPU has to be waited for: in evaluation, not in every step of training.

    Raises:
        ValueError: Crops of another size, outside of 0..1, not finite, or none; HandGCAT without 2D joints.
    """
    if torch.compiler.is_compiling():
        return
    image, size = inputs.image, config.input_size
    if image.ndim != 4 or image.shape[1:] != (3, size, size) or len(image) == 0:
        raise ValueError(
            f"The image is {' x '.join(map(str, image.shape))}, expected B x 3 x {size} x {size} with B of at least 1, RGB. "
            "Cut crops with occhand.geometry.crop, or choose a model of another input size ('occhand models')."
        )
    if check_values and not image.is_meta:
        low, high = (float(value) for value in image.detach().aminmax())
        if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):  # NaN fails both
            raise ValueError(f"The image has values from {low:g} to {high:g}, expected 0..1 (RGB divided by 255, no mean taken out).")
    if isinstance(config, HandGCATConfig):
        _check_joints(inputs, check_values and not config.inputs_may_miss)


def _check_joints(inputs: ModelInput, check_values: bool) -> None:
    image, joints_crop = inputs
    if joints_crop is None:
        raise ValueError(
            "HandGCAT takes 2D joints beside the image (joints_crop). Sources: a 2D detector, HandOccNet's own 2D head, a file of "
            "joints, or annotations with noise (training). Without any, use a HandOccNet model."
        )
    if joints_crop.shape != (len(image), len(JOINT_NAMES), 2):
        raise ValueError(f"joints_crop is {' x '.join(map(str, joints_crop.shape))}, expected {len(image)} x {len(JOINT_NAMES)} x 2.")
    if check_values and not joints_crop.is_meta and not bool(joints_crop.isfinite().all()):
        raise ValueError("joints_crop has numbers that are not finite; expected 0..1 over the crop (a little outside is fine).")
