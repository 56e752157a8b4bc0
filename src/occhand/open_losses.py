"""The loss that our own small models are trained with, on rendered hands."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from occhand.data.paint import Paint
from occhand.data.transforms import TrainingCrop
from occhand.geometry.camera import project
from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.hand.hand_layer import HandLayer
from occhand.joint_sets import depths, drawn_evidence, turned_hands, with_drawn_depths
from occhand.models.joint_heads import TYPICAL_DEPTH
from occhand.models.lifter import Lifter
from occhand.models.precision import full_precision
from occhand.types import ModelInput, ModelOutput

_HEATMAP_WIDTH = 0.8
"""Standard deviation of a target heat map, in its pixels."""
_MARGIN = 0.02
"""Joints nearer to the border of the crop, or beyond it, have no heat map."""
_EARLY = 0.3
"""Weight of the lifter's hand before its last step."""
_MEAN_ABSOLUTE = (2 / math.pi) ** 0.5
"""Of a normal number, in standard deviations."""
_NEAREST = 0.05
"""Metres; what comes nearer to the camera is projected from here."""


@dataclass(frozen=True)
class OpenWeights:
    """Of the terms: of absolute errors, where nothing else is said."""

    joints: float = 12.0
    """Metres, relative to the wrist."""
    articulation: float = 20.0
    """Metres, relative to the wrist, after the true root rotation has replaced the network's: what Procrustes leaves, but for scale."""
    vertices: float = 15.0
    """Metres, relative to the wrist."""
    rotations: float = 1.2
    """Entries of the joints' rotation matrices."""
    betas: float = 0.02
    joints_crop: float = 5.0
    """Parts of the crop."""
    reprojection: float = 3.0
    """Hand boxes; of the joints in 3D, with the wrist where it is."""
    heatmaps: float = 0.1
    """Cross entropy: the expected place alone teaches the image branch too slowly."""
    visibility: float = 0.3
    """Cross entropy."""
    depth: float = 0.1
    """Negative log likelihood of the joints' depths as the picture shows them."""
    sigma: float = 0.02
    """Negative log likelihood of the joints' errors, which it leaves as they are."""
    lifter: float = 1.0
    """Of the same terms on joint sets that have no picture."""


class OpenLosses(NamedTuple):
    """The terms, already weighted."""

    joints: Float[Tensor, ""]
    articulation: Float[Tensor, ""]
    vertices: Float[Tensor, ""]
    rotations: Float[Tensor, ""]
    betas: Float[Tensor, ""]
    reprojection: Float[Tensor, ""]
    joints_crop: Float[Tensor, ""]
    heatmaps: Float[Tensor, ""]
    visibility: Float[Tensor, ""]
    depth: Float[Tensor, ""]
    sigma: Float[Tensor, ""]
    lifter: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Their sum."""
        return torch.stack(list(self)).sum()


@dataclass(frozen=True)
class OpenLoss:
    """Runs the network on a painted batch and says how wrong it is. Networks must have a lifter and joint heads."""

    weights: OpenWeights = field(default_factory=OpenWeights)
    paint: Paint = field(default_factory=Paint)
    black: float = 0.1
    """Share of crops without a picture, so that HandGCAT knows what joints say alone."""
    joint_sets: int = 256
    """Per batch, without pictures, for the lifter: hands of the batch, turned any way."""

    def __call__(self, model: Any, crop: TrainingCrop, joints_in: Float[Tensor, "B 21 2"] | None, generator: torch.Generator) -> OpenLosses:
        """The loss of a batch.

        Args:
            model: A HandOccNet or HandGCAT in training mode, or what Lightning Fabric makes of one.
            crop: With plain pictures; they are painted over here, in one go.
            joints_in: For HandGCAT.
            generator: Of all that is random here.
        """
        crop = self.paint(crop, generator)
        image = crop.image
        if joints_in is not None:
            is_black = torch.rand(len(image), generator=generator) < self.black
            is_black &= joints_in.isfinite().flatten(1).any(1).to(is_black.device)  # nothing at all tells nothing
            image = image * ~is_black.to(image.device)[:, None, None, None]
        lifter = model.regressor.lifter
        if lifter is None:
            raise ValueError("This loss trains networks with a lifter, as the small open models are; for others use ReleasedLoss.")
        output = model(ModelInput(image, joints_in))
        has_picture = image.flatten(1).amax(1) > 0
        w = self.weights
        with full_precision(image):
            posed = hand_terms(output, crop, model.hand)
            heatmaps, visibility = _picture_terms(output, crop, has_picture)
            depth, sigma = _depth_term(output, crop), _sigma_term(output, crop)
            joints_crop = (output.joints_crop - crop.joints_crop).abs().clamp(max=0.3).mean()
        return OpenLosses(
            **{name: getattr(w, name) * term for name, term in posed.items()},
            joints_crop=w.joints_crop * joints_crop,
            heatmaps=w.heatmaps * heatmaps,
            visibility=w.visibility * visibility,
            depth=w.depth * depth,
            sigma=w.sigma * sigma,
            lifter=w.lifter * self.lifter_term(lifter, crop, model.hand, generator),
        )

    def lifter_term(self, lifter: Lifter, crop: TrainingCrop, hand: HandLayer, generator: torch.Generator) -> Float[Tensor, ""]:
        """The hand's terms on the lifter alone, for joint sets drawn from the batch."""
        with full_precision(crop.joints_cam):
            sets = turned_hands(crop, self.joint_sets, generator)
            evidence, has_picture = drawn_evidence(sets, lifter.takes_joints, generator)
        with torch.no_grad():
            without_depths = lifter(evidence, hand)
        with full_precision(crop.joints_cam):
            guess = hand.skeleton(without_depths.rotations, without_depths.betas).joints[..., 2]
            evidence = with_drawn_depths(evidence, sets, guess, has_picture, generator)
            truth = axis_angle_to_matrix(sets.pose.unflatten(1, (16, 3)))
            true_joints = hand.skeleton(truth, sets.betas).joints
        losses = []
        for lifted in lifter.every_step(evidence, hand):
            with full_precision(true_joints):
                joints = hand.skeleton(lifted.rotations, lifted.betas).joints
                terms = skeleton_terms(joints, lifted.rotations, lifted.betas, true_joints, truth, sets)
            losses.append(torch.stack([getattr(self.weights, name) * term for name, term in terms.items()]).sum())
        return torch.stack([*(_EARLY * loss for loss in losses[:-1]), losses[-1]]).sum()


def hand_terms(output: ModelOutput, crop: TrainingCrop, hand: HandLayer) -> dict[str, Float[Tensor, ""]]:
    """Absolute errors of a posed hand, not weighted yet; the target is the same hand layer's."""
    with torch.no_grad():
        rotations = hand.rotations_from_axis_angle(crop.pose)
        truth = hand(rotations, crop.betas)
    terms = skeleton_terms(output.joints, output.rotations, output.betas, truth.joints, rotations, crop)
    vertices, true_vertices = (posed.vertices - posed.joints[:, :1] for posed in (output, truth))
    return terms | {"vertices": (vertices - true_vertices).abs().mean()}


def skeleton_terms(
    joints: Float[Tensor, "B 21 3"],
    rotations: Float[Tensor, "B 16 3 3"],
    betas: Float[Tensor, "B 10"],
    true_joints: Float[Tensor, "B 21 3"],
    true_rotations: Float[Tensor, "B 16 3 3"],
    crop: TrainingCrop,
) -> dict[str, Float[Tensor, ""]]:
    """Those of them that need no vertices."""
    joints, true_joints = (points - points[:, :1] for points in (joints, true_joints))
    turn = true_rotations[:, 0] @ rotations[:, 0].mT
    return {
        "joints": (joints - true_joints).abs().mean(),
        "articulation": (joints @ turn.mT - true_joints).abs().mean(),
        "rotations": (rotations - true_rotations).abs().mean(),
        "betas": (betas - crop.betas).abs().mean(),
        "reprojection": _reprojection_term(joints, crop),
    }


def _reprojection_term(joints_root: Float[Tensor, "B 21 3"], crop: TrainingCrop) -> Float[Tensor, ""]:
    """In hand boxes, with the wrist at its true place; a joint that is a whole box off counts no more than that."""
    joints = joints_root + crop.joints_cam[:, :1]
    joints = torch.cat([joints[..., :2], joints[..., 2:].clamp_min(_NEAREST)], dim=-1)
    true = project(crop.joints_cam, crop.K)
    box = (true.amax(1) - true.amin(1)).amax(-1)[:, None, None]
    return ((project(joints, crop.K) - true) / box).abs().clamp(max=1).mean()


def _picture_terms(output: ModelOutput, crop: TrainingCrop, has_picture: Bool[Tensor, "B"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross entropies of the heat maps and of visibility, where there is a picture and, for the first, the joint is inside of it."""
    target, is_inside = target_heatmaps(crop.joints_crop, output.heatmaps.shape[-1])
    is_inside = is_inside & has_picture[:, None]
    entropy = -(target * output.heatmaps.flatten(2).clamp_min(1e-9).log()).sum(-1)
    heatmaps = (entropy * is_inside).sum() / is_inside.sum().clamp_min(1)
    if output.joint_visibility is None:
        return heatmaps, torch.zeros_like(heatmaps)
    target = torch.where(has_picture[:, None], crop.joints_visible.float(), 0.5)  # without a picture nothing is said
    return heatmaps, binary_cross_entropy(output.joint_visibility.clamp(1e-6, 1 - 1e-6), target)


def target_heatmaps(joints_crop: Float[Tensor, "B 21 2"], size: int) -> tuple[Float[Tensor, "B 21 pixels"], Bool[Tensor, "B 21"]]:
    """A Gaussian about each joint that sums to one, row by row, and which joints lie inside of the crop."""
    centres = (torch.arange(size, device=joints_crop.device) + 0.5) / size
    x, y = (torch.exp(-0.5 * ((joints_crop[..., k, None] - centres) * size / _HEATMAP_WIDTH).square()) for k in (0, 1))
    target = (y[..., :, None] * x[..., None, :]).flatten(2)
    is_inside = ((joints_crop > _MARGIN) & (joints_crop < 1 - _MARGIN)).all(-1)
    return target / target.sum(-1, keepdim=True).clamp_min(1e-9), is_inside


def _depth_term(output: ModelOutput, crop: TrainingCrop) -> Float[Tensor, ""]:
    """An exponential law, as for sigma; it moves the depths as well."""
    if output.joint_depth is None or output.joint_depth_sigma is None:
        return output.joints.new_zeros(())
    error = (output.joint_depth - depths(crop)).abs() / _MEAN_ABSOLUTE
    return (torch.log(output.joint_depth_sigma / TYPICAL_DEPTH) + error / output.joint_depth_sigma).mean()


def _sigma_term(output: ModelOutput, crop: TrainingCrop) -> Float[Tensor, ""]:
    """An exponential law for the distance, so that single bad joints do not decide; its mean is what sigma follows."""
    if output.joint_sigma is None:
        return output.joints.new_zeros(())
    with torch.no_grad():
        error = output.joints - output.joints.mean(1, keepdim=True) - (crop.joints_cam - crop.joints_cam.mean(1, keepdim=True))
        distance = error.norm(dim=-1) / 3**0.5
    return (output.joint_sigma.log() + distance / output.joint_sigma).mean() + 5  # of millimetres, hence about zero
