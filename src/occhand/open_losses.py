"""The loss that our own small models are trained with, on rendered hands."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from occhand.data.joint_errors import DetectorErrors
from occhand.data.paint import Paint
from occhand.data.transforms import TrainingCrop
from occhand.geometry.camera import project
from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle, sixd_to_matrix
from occhand.hand.hand_layer import HandLayer
from occhand.hand.skeleton import FINGERS
from occhand.models.joint_heads import TYPICAL_DEPTH, Sight
from occhand.models.lifter import Evidence2D, Lifter
from occhand.models.precision import full_precision
from occhand.types import ModelInput, ModelOutput

_HEATMAP_WIDTH = 0.8
"""Standard deviation of a target heat map, in its pixels."""
_MARGIN = 0.02
"""Joints nearer to the border of the crop, or beyond it, have no heat map."""
_SPREAD = 0.065
"""Of the sharpest heat maps that a network makes of 16 pixels, in sides of the crop."""
_EARLY = 0.3
"""Weight of the lifter's hand before its last step."""
_NO_PICTURE = 0.35
"""Share of joint sets whose own joints are the given ones, and of which it is not known what is seen."""
_ACUITY = (1.0, 3.5)
"""How many deviations lie between what is said of seen joints and of hidden ones."""
_DEPTH_LEVELS, _NO_DEPTH = (0.003, 0.03), 0.15
"""Metres: deviations that the depths of seen joints are drawn with, evenly in the logarithm, and that of pictures that are not there."""
_DEPTH_FACTOR = (1.0, 2.5)
"""Of the deviation, for hidden joints."""
_LEVER = 0.06
"""Metres: half a hand. Depths that are off are off by a whole hand's tilt, too."""
_MEAN_ABSOLUTE = (2 / math.pi) ** 0.5
"""Of a normal number, in standard deviations."""
_ANY_TURN, _TURN = 0.5, (0.3, 0.3, 0.6)
"""Share of joint sets that are turned any way; deviation of the others' turns about the camera's axes, radians."""
_NEAREST = 0.05
"""Metres; what comes nearer to the camera is projected from here."""


@dataclass(frozen=True)
class OpenWeights:
    """Of the terms; all but the last two are absolute errors."""

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
            evidence = drawn_evidence(sets, lifter.takes_joints, generator)
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


def depths(crop: TrainingCrop) -> Float[Tensor, "B 21"]:
    """Of the joints along z, from their mean, metres."""
    z = crop.joints_cam[..., 2]
    return z - z.mean(1, keepdim=True)


def _sigma_term(output: ModelOutput, crop: TrainingCrop) -> Float[Tensor, ""]:
    """An exponential law for the distance, so that single bad joints do not decide; its mean is what sigma follows."""
    if output.joint_sigma is None:
        return output.joints.new_zeros(())
    with torch.no_grad():
        error = output.joints - output.joints.mean(1, keepdim=True) - (crop.joints_cam - crop.joints_cam.mean(1, keepdim=True))
        distance = error.norm(dim=-1) / 3**0.5
    return (output.joint_sigma.log() + distance / output.joint_sigma).mean() + 5  # of millimetres, hence about zero


def turned_hands(crop: TrainingCrop, count: int, generator: torch.Generator) -> TrainingCrop:
    """Hands of the batch again, without pictures, each turned about its middle and cut anew; random joints count as hidden."""
    index = torch.randint(len(crop.betas), (count,), generator=generator)
    device = crop.betas.device
    turn = _drawn_turns(count, generator).to(device)
    joints, K, pose = (part[index.to(device)] for part in (crop.joints_cam, crop.K, crop.pose))
    middle = joints.mean(1, keepdim=True)
    joints = (joints - middle) @ turn.mT + middle
    root = matrix_to_axis_angle(turn @ axis_angle_to_matrix(pose[:, :3]))
    image_points = project(joints, K)
    low, high = image_points.amin(1), image_points.amax(1)
    side = 1.5 * (high - low).amax(-1, keepdim=True) * torch.exp(0.12 * torch.randn(count, 1, generator=generator).clamp(-2, 2)).to(device)
    corner = (low + high) / 2 - side / 2 + 0.05 * side * torch.randn(count, 2, generator=generator).clamp(-2, 2).to(device)
    size = K.new_ones(())
    place = torch.zeros_like(K)
    place[:, 0, 0] = place[:, 1, 1] = (size / side)[:, 0]
    place[:, :2, 2] = -corner / side
    place[:, 2, 2] = 1
    per_finger = torch.rand(count, 1, 1, generator=generator) * torch.rand(count, 6, 1, generator=generator)
    hidden = torch.rand(count, 6, 4, generator=generator) < per_finger * 1.2
    return TrainingCrop(
        image=crop.image.new_zeros(count, 3, 1, 1),
        joints_crop=(image_points - corner[:, None]) / side[:, None],
        joints_cam=joints,
        joints_visible=~hidden.flatten(1)[:, 3:].to(device),
        K=place @ K,
        pose=torch.cat([root, pose[:, 3:]], dim=1),
        betas=crop.betas[index.to(device)],
        is_mirrored=crop.is_mirrored[index.to(device)],
    )


def _drawn_turns(count: int, generator: torch.Generator) -> Float[Tensor, "count 3 3"]:
    some = axis_angle_to_matrix(torch.tensor(_TURN) * torch.randn(count, 3, generator=generator))
    is_any = torch.rand(count, 1, 1, generator=generator) < _ANY_TURN
    return torch.where(is_any, sixd_to_matrix(torch.randn(count, 6, generator=generator)), some)


def drawn_evidence(crop: TrainingCrop, takes_joints: bool, generator: torch.Generator) -> Evidence2D:
    """2D joints as heat maps and a detector could give them."""
    cpu = crop._replace(joints_crop=crop.joints_crop.cpu(), joints_visible=crop.joints_visible.cpu())
    own = DetectorErrors(visible=(0.01, 0.15), hidden_factor=(1.0, 3.0), missing=0.0, hidden_missing=0.0, none=0.0, gross=0.1)
    joints = own(cpu, generator).clamp(0, 1)
    error = _typical((joints - cpu.joints_crop).abs().mean(-1), cpu.joints_visible)[..., None]
    spread = (_SPREAD**2 + (error * torch.exp(0.4 * torch.randn(joints.shape, generator=generator))).square()).sqrt()
    acuity = _ACUITY[0] + (_ACUITY[1] - _ACUITY[0]) * torch.rand(len(joints), 1, generator=generator)
    seen = acuity * ((cpu.joints_visible.float() - 0.5) * acuity + torch.randn(joints.shape[:2], generator=generator))
    has_picture = torch.ones(len(joints), 1, dtype=torch.bool)
    given = None
    if takes_joints:
        given = DetectorErrors()(cpu, generator)
        has_picture = torch.rand(len(given), 1, generator=generator) > _NO_PICTURE
        is_own = has_picture[..., None] | ~given.isfinite()
        joints = torch.where(is_own, joints, given).clamp(0, 1)
        spread = torch.where(is_own, spread, _SPREAD * torch.exp(0.15 * torch.randn(joints.shape, generator=generator)))
        seen = torch.where(has_picture, seen, 0.1 * seen)
    sight = Sight(seen, *_drawn_depths(cpu._replace(joints_cam=crop.joints_cam.cpu()), has_picture, generator))
    like = crop.joints_crop
    evidence = Evidence2D(joints.to(like), spread.to(like), None if given is None else given.to(like))
    return evidence._replace(sight=Sight(*(part.to(like) for part in sight)))


def _drawn_depths(
    crop: TrainingCrop, has_picture: Bool[Tensor, "B 1"], generator: torch.Generator
) -> tuple[Float[Tensor, "B 21"], Float[Tensor, "B 21"]]:
    """Depths as a head could give them, and how far off it would say they are: the less it sees, the nearer to the mean it stays."""
    count, (low, high) = len(has_picture), map(math.log, _DEPTH_LEVELS)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    level = torch.exp(low + (high - low) * torch.rand(count, 1, generator=generator))
    factor = _DEPTH_FACTOR[0] + (_DEPTH_FACTOR[1] - _DEPTH_FACTOR[0]) * torch.rand(count, 1, generator=generator)
    sigma = torch.where(has_picture, level * torch.where(crop.joints_visible, 1.0, factor), _NO_DEPTH)
    place = crop.joints_cam[..., :2] - crop.joints_cam[..., :2].mean(1, keepdim=True)
    tilt = (place @ normal(2, 1)).squeeze(-1) / _LEVER
    along = normal(len(FINGERS), 1) * torch.arange(1, 5) / 4
    off = 0.6 * (normal(21) + tilt + torch.cat([torch.zeros(count, 1), along.flatten(1)], dim=1))
    trust = TYPICAL_DEPTH**2 / (TYPICAL_DEPTH**2 + sigma.square())
    said = sigma * trust.sqrt() * torch.exp(0.2 * normal(21))
    return trust * (depths(crop) + sigma * off), said.clamp(TYPICAL_DEPTH * math.exp(-4.0), TYPICAL_DEPTH * math.exp(2.0))


def _typical(error: Float[Tensor, "B 21"], seen: Bool[Tensor, "B 21"]) -> Float[Tensor, "B 21"]:
    """The mean error of the hand's seen joints for these, that of its hidden joints for those."""
    of_seen, of_hidden = ((error * some).sum(1, keepdim=True) / some.sum(1, keepdim=True).clamp_min(1) for some in (seen, ~seen))
    return torch.where(seen, of_seen, of_hidden)
