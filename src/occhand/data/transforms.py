"""What happens to a sample on its way into a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occhand.data.augment import RELEASED, Augmentation, Jitter
from occhand.geometry.camera import look_at
from occhand.geometry.crop import crop_image, crop_matrix, joints_bbox, square_bbox, transform_points
from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from occhand.types import HandSample

JOINTS_BOX_EXPANSION = 1.5
"""Of the box around the 2D joints, in training; the square around it is not enlarged again, as released."""


class TrainingCrop(NamedTuple):
    """A right hand cut out of its picture, turned with it, and what a network should say of it."""

    image: Float[Tensor, "*batch 3 size size"]
    """RGB, 0..1."""
    joints_crop: Float[Tensor, "*batch 21 2"]
    """2D joints, 0..1 over the crop; may leave it."""
    joints_cam: Float[Tensor, "*batch 21 3"]
    """Metres, in the camera that sees the crop upright; after `look_at_middle`, in one that looks at its middle, too."""
    joints_visible: Bool[Tensor, "*batch 21"]
    """All true where nobody knows."""
    K: Float[Tensor, "*batch 3 3"]
    """From that camera's points to pixels of the crop."""
    pose: Float[Tensor, "*batch 48"]
    """Axis-angle, mean pose included; the root turned with the crop. NaN where the data set does not say."""
    betas: Float[Tensor, "*batch 10"]
    """NaN where the data set does not say."""
    is_mirrored: Bool[Tensor, "*batch"]
    """Whether it was a left hand."""


@dataclass(frozen=True)
class JointNoise:
    """Noise on the 2D joints that HandGCAT takes in training; the target keeps its own.

    The defaults are the released ones for HO-3D v2. Its training on HO-3D v3 and DexYCB has none: `JointNoise(probability=0)`.

    Raises:
        ValueError: A negative `sigma`, or a `probability` outside of 0..1.
    """

    sigma: float = 0.01
    """Standard deviation per coordinate, in sides of the crop."""
    probability: float = 0.5
    """Share of the hands that get noise, all joints of a hand or none."""

    def __post_init__(self) -> None:
        if self.sigma < 0 or not 0 <= self.probability <= 1:
            raise ValueError(f"Joint noise of sigma {self.sigma}, probability {self.probability}; expected sigma >= 0, probability 0..1.")

    def __call__(self, joints_crop: Float[Tensor, "*batch 21 2"], generator: torch.Generator | None = None) -> Float[Tensor, "*batch 21 2"]:
        """The joints with noise, 0..1 over the crop; a copy."""
        draw = torch.rand(joints_crop.shape[:-2], generator=generator)[..., None, None]
        noise = self.sigma * torch.randn(joints_crop.shape, generator=generator)
        return joints_crop + torch.where(draw < self.probability, noise, 0.0).to(joints_crop)


@dataclass(frozen=True)
class CropForTraining:
    """Samples to crops as the released training makes them, then degraded.

    The box is the 2D joints' times 1.5; where that lies outside of the picture, all of the picture.
    """

    size: int = 256
    """Side of the crop, pixels."""
    augmentation: Augmentation = RELEASED
    needs_pose: bool = True
    """Whether samples without pose or betas are refused."""
    is_allocentric: bool = False
    """Whether hands stand in the axes of a camera that looks at the middle of the crop."""

    def __call__(self, sample: HandSample, rng: np.random.Generator, others: Sequence[np.ndarray] = ()) -> TrainingCrop:
        """One crop with its targets.

        Args:
            sample: With 2D joints; see `needs_pose`.
            rng: Of the augmentation.
            others: Pictures to take amplitude spectra from.

        Raises:
            ValueError: As `cut_crop`.
        """
        jitter = self.augmentation.jitter.draw(rng.standard_normal, rng.random)
        crop = cut_crop(sample, jitter, self.size, self.needs_pose)
        if self.is_allocentric:
            crop = look_at_middle(crop, self.size)
        pixels = (255 * crop.image.permute(1, 2, 0)).round().byte().numpy()
        joints = (crop.joints_crop * self.size).double().numpy()
        box = np.concatenate([joints.min(0), joints.max(0)]).clip(0, self.size)
        pixels = self.augmentation.degrade(pixels, box, rng, others)
        return crop._replace(image=torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)


def mirror_sample(sample: HandSample) -> HandSample:
    """The sample seen in a mirror: a left hand becomes a right one, x negated, pixels u -> W - 1 - u; truth about occlusion goes along.

    Pose, shape and translation are exact where the left hand model is the right one's mirror, as the open hand's is; MANO's nearly is.
    """
    width = sample.image.shape[1]
    low, high = sample.bbox_xyxy[:2], sample.bbox_xyxy[2:]
    occlusion = sample.occlusion and replace(
        sample.occlusion, labels=sample.occlusion.labels[:, ::-1].copy(), depth=sample.occlusion.depth[:, ::-1].copy()
    )
    return replace(
        sample,
        image=sample.image[:, ::-1].copy(),
        K=np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) @ sample.K @ np.diag((-1.0, 1.0, 1.0)),
        side="right" if sample.side == "left" else "left",
        joints_cam=sample.joints_cam * (-1, 1, 1),
        joints_img=sample.joints_img * (-1, 1) + (width - 1, 0),
        bbox_xyxy=np.array([width - 1 - high[0], low[1], width - 1 - low[0], high[1]]),
        vertices_cam=None if sample.vertices_cam is None else sample.vertices_cam * np.array([-1, 1, 1], sample.vertices_cam.dtype),
        pose=None if sample.pose is None else sample.pose * np.tile([1.0, -1.0, -1.0], 16),
        translation=None if sample.translation is None else sample.translation * (-1, 1, 1),
        occlusion=occlusion,
    )


def cut_crop(sample: HandSample, jitter: Jitter, size: int = 256, needs_pose: bool = True) -> TrainingCrop:
    """The released training crop of a sample: mirrored if left, cut, turned, its colours scaled.

    Raises:
        ValueError: A sample without 2D joints; without pose or betas, where they are needed.
    """
    has_pose = sample.pose is not None and sample.betas is not None and bool(np.isfinite([*sample.pose, *sample.betas]).all())
    if needs_pose and not has_pose:
        raise ValueError(f"Sample {sample.key} has no pose or no betas, so it cannot be trained on. Use a data set with hand parameters.")
    if not np.isfinite(sample.joints_img).all():
        raise ValueError(f"Sample {sample.key} does not say where all of its 2D joints are, so it cannot be trained on.")
    height, width = sample.image.shape[:2]
    # The release takes the box before it mirrors; a box that starts outside is moved in, so the order matters.
    box = square_bbox(joints_bbox(torch.from_numpy(sample.joints_img).double(), JOINTS_BOX_EXPANSION), height, width)
    if not bool(box.isfinite().all()):
        box = torch.tensor([0.0, 0.0, width - 1.0, height - 1.0], dtype=torch.float64)
    if is_left := sample.side == "left":
        sample = mirror_sample(sample)
        box = torch.stack([width - 1 - box[2], box[1], width - 1 - box[0], box[3]])
    crop_from_img = crop_matrix(box, size, jitter.scale, jitter.rotation)
    turn = axis_angle_to_matrix(torch.tensor([0.0, 0.0, -jitter.rotation], dtype=torch.float64))
    pose, betas = (
        torch.from_numpy(np.asarray(values if has_pose else np.full(length, np.nan))).double()
        for values, length in ((sample.pose, 48), (sample.betas, 10))
    )
    root = matrix_to_axis_angle(turn @ axis_angle_to_matrix(pose[:3]))
    hidden = np.zeros(21, bool) if sample.occlusion is None else sample.occlusion.joints_by_self | sample.occlusion.joints_by_other
    K = crop_from_img @ torch.from_numpy(sample.K).double() @ turn.mT  # turning back makes it upper triangular again
    return TrainingCrop(
        image=_cut_pixels(sample.image, crop_from_img, jitter.colour, size),
        joints_crop=(transform_points(crop_from_img, torch.from_numpy(sample.joints_img).double()) / size).float(),
        joints_cam=(torch.from_numpy(sample.joints_cam).double() @ turn.mT).float(),
        joints_visible=torch.from_numpy(~hidden),
        K=K.float(),
        pose=torch.cat([root, pose[3:]]).float() if has_pose else pose.float(),
        betas=betas.float(),
        is_mirrored=torch.tensor(is_left),
    )


def look_at_middle(crop: TrainingCrop, size: int) -> TrainingCrop:
    """The same crop in the axes of a camera that looks at its middle: hands that look alike then are alike.

    Args:
        crop: One or a batch.
        size: Its side in the pixels that `K` leads to.
    """
    view_from_camera = look_at(torch.full_like(crop.K[..., 0, :2], size / 2), crop.K).mT
    root = matrix_to_axis_angle(view_from_camera @ axis_angle_to_matrix(crop.pose[..., :3]))
    return crop._replace(
        joints_cam=crop.joints_cam @ view_from_camera.mT,
        K=crop.K @ view_from_camera.mT,
        pose=torch.cat([root, crop.pose[..., 3:]], dim=-1),
    )


def _cut_pixels(
    image: np.ndarray, crop_from_img: Float[Tensor, "3 3"], colour: tuple[float, float, float], size: int
) -> Float[Tensor, "3 size size"]:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    crop = crop_image(pixels, crop_from_img[None], size)[0] * torch.tensor(colour)[:, None, None]
    return crop.clamp(0, 255) / 255
