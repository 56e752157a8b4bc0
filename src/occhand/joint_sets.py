"""Hands of a batch as 2D joints without a picture, with what a network and a detector would say of them: what a lifter learns from."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occhand.data.joint_errors import DetectorErrors
from occhand.data.transforms import TrainingCrop, look_at_middle
from occhand.geometry.camera import project
from occhand.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle, sixd_to_matrix
from occhand.hand.skeleton import FINGERS
from occhand.models.joint_heads import TYPICAL_DEPTH, Sight
from occhand.models.lifter import Evidence2D

_SPREAD = 0.065
"""Of the sharpest heat maps that a network makes of 16 pixels, in sides of the crop."""
_NO_PICTURE = 0.35
"""Share of joint sets of which nothing is known but the given joints."""
_ACUITY = (1.0, 3.5)
"""How many deviations lie between what is said of seen joints and of hidden ones."""
_DEPTH_LEVELS, _NO_DEPTH = (0.003, 0.03), 0.03
"""Metres: deviations that the depths of seen joints are drawn with, evenly in the logarithm, and that of pictures that are not there."""
_ALIKE, _NO_ALIKE = (0.3, 1.0), 0.8
"""How much depths err as the 2D joints alone would make them, evenly drawn, and without a picture. Measured on `open-val`, 2 % / 6 %: 0.65
with pictures, 0.61 without."""
_DEPTH_FACTOR = (1.0, 2.5)
"""Of the deviation, for hidden joints."""
_LEVER = 0.06
"""Metres: half a hand. Depths that are off are off by a whole hand's tilt, too."""
_LEAN, _FOLLOWED = 0.6, 0.15
"""Share of a given joint's error that the network's own has too, without a picture and at most with one (measured on `open-val` at
2 % / 6 %: 0.6 and 0.4); the largest error that is followed, in sides of the crop."""
_COARSE = 0.03
"""Standard deviation of what heat maps of 16 pixels add without a picture, in sides of the crop; measured likewise."""
_ANY_TURN, _TURN = 0.5, (0.3, 0.3, 0.6)
"""Share of joint sets that are turned any way; deviation of the others' turns about the camera's axes, radians."""


def turned_hands(crop: TrainingCrop, count: int, generator: torch.Generator) -> TrainingCrop:
    """Hands of the batch again, without pictures, each turned about its middle and cut anew; random joints count as hidden.

    They stand in the axes of a camera that looks at the middle of the crop, as networks with a lifter put them.
    """
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
    turned = TrainingCrop(
        image=crop.image.new_zeros(count, 3, 1, 1),
        joints_crop=(image_points - corner[:, None]) / side[:, None],
        joints_cam=joints,
        joints_visible=~hidden.flatten(1)[:, 3:].to(device),
        K=place @ K,
        pose=torch.cat([root, pose[:, 3:]], dim=1),
        betas=crop.betas[index.to(device)],
        is_mirrored=crop.is_mirrored[index.to(device)],
    )
    return look_at_middle(turned, 1)


def _drawn_turns(count: int, generator: torch.Generator) -> Float[Tensor, "count 3 3"]:
    some = axis_angle_to_matrix(torch.tensor(_TURN) * torch.randn(count, 3, generator=generator))
    is_any = torch.rand(count, 1, 1, generator=generator) < _ANY_TURN
    return torch.where(is_any, sixd_to_matrix(torch.randn(count, 6, generator=generator)), some)


def drawn_evidence(crop: TrainingCrop, takes_joints: bool, generator: torch.Generator) -> tuple[Evidence2D, Bool[Tensor, "B 1"]]:
    """2D joints as heat maps and a detector could give them, nothing said of depths yet; and which hands have a picture.

    The network's own joints lean on the given ones, and its heat maps err by themselves even without a picture. Independent errors, or own
    joints that repeat the given ones, teach the lifter to believe what tells it nothing new.
    """
    cpu = crop._replace(joints_crop=crop.joints_crop.cpu(), joints_visible=crop.joints_visible.cpu())
    truth, count = cpu.joints_crop, len(cpu.joints_crop)
    own = DetectorErrors(visible=(0.01, 0.15), hidden_factor=(1.0, 3.0), missing=0.0, hidden_missing=0.0, none=0.0, gross=0.1)
    error = own(cpu, generator).clamp(0, 1) - truth
    typical = _typical(error.abs().mean(-1), cpu.joints_visible)[..., None]
    spread = (_SPREAD**2 + (typical * torch.exp(0.4 * torch.randn(truth.shape, generator=generator))).square()).sqrt()
    acuity = _ACUITY[0] + (_ACUITY[1] - _ACUITY[0]) * torch.rand(count, 1, generator=generator)
    seen = acuity * ((cpu.joints_visible.float() - 0.5) * acuity + torch.randn(truth.shape[:2], generator=generator))
    has_picture = torch.ones(count, 1, dtype=torch.bool)
    given = None
    if takes_joints:
        given = DetectorErrors()(cpu, generator)
        has_picture = torch.rand(count, 1, generator=generator) > _NO_PICTURE
        is_own = has_picture[..., None] | ~given.isfinite()
        error = torch.where(is_own, error, _COARSE * torch.randn(truth.shape, generator=generator))
        spread = torch.where(is_own, spread, _SPREAD * torch.exp(0.15 * torch.randn(truth.shape, generator=generator)))
        lean = torch.where(has_picture, _LEAN * torch.rand(count, 1, generator=generator), _LEAN)[..., None]
        error = error + lean * (given - truth).nan_to_num(0.0).clamp(-_FOLLOWED, _FOLLOWED)
        seen = torch.where(has_picture, seen, 0.1 * seen)
    like = crop.joints_crop
    evidence = Evidence2D((truth + error).clamp(0, 1).to(like), spread.to(like), None if given is None else given.to(like))
    return evidence._replace(sight=Sight.of_nothing(evidence.joints_crop)._replace(seen=seen.to(like))), has_picture


def with_drawn_depths(
    evidence: Evidence2D,
    crop: TrainingCrop,
    guess: Float[Tensor, "B 21"],
    has_picture: Bool[Tensor, "B 1"],
    generator: torch.Generator,
) -> Evidence2D:
    """The same with depths as a head could give them, and how far off it would say they are: the less it sees, the nearer to the mean.

    It sees the same picture as whoever found the 2D joints, so it errs where they leave the hand open.

    Args:
        evidence: As `drawn_evidence` gives it.
        crop: The hands.
        guess: The joints' z that this evidence alone leads to, metres.
        has_picture: Without one the head has the joints alone.
        generator: Of all that is random here.
    """
    assert evidence.sight is not None, "drawn evidence says what is seen"
    count, (low, high) = len(has_picture), map(math.log, _DEPTH_LEVELS)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    visible, joints, truth = crop.joints_visible.cpu(), crop.joints_cam.cpu(), depths(crop).cpu()
    level = torch.exp(low + (high - low) * torch.rand(count, 1, generator=generator))
    factor = _DEPTH_FACTOR[0] + (_DEPTH_FACTOR[1] - _DEPTH_FACTOR[0]) * torch.rand(count, 1, generator=generator)
    sigma = torch.where(has_picture, level * torch.where(visible, 1.0, factor), _NO_DEPTH)
    place = joints[..., :2] - joints[..., :2].mean(1, keepdim=True)
    tilt = (place @ normal(2, 1)).squeeze(-1) / _LEVER
    along = normal(len(FINGERS), 1) * torch.arange(1, 5) / 4
    own = 0.6 * sigma * (normal(21) + tilt + torch.cat([torch.zeros(count, 1), along.flatten(1)], dim=1))
    shared = (guess - guess.mean(1, keepdim=True)).cpu() - truth
    shared = shared * (sigma.square().mean(1, keepdim=True) / shared.square().mean(1, keepdim=True)).sqrt().clamp(max=1)
    alike = torch.where(has_picture, _ALIKE[0] + (_ALIKE[1] - _ALIKE[0]) * torch.rand(count, 1, generator=generator), _NO_ALIKE)
    trust = TYPICAL_DEPTH**2 / (TYPICAL_DEPTH**2 + sigma.square())
    depth = trust * (truth + alike * shared + (1 - alike.square()).sqrt() * own)
    said = sigma * trust.sqrt() * torch.exp(0.2 * normal(21))
    said = said.clamp(TYPICAL_DEPTH * math.exp(-4.0), TYPICAL_DEPTH * math.exp(2.0))
    return evidence._replace(sight=evidence.sight._replace(depth=depth.to(guess), depth_spread=said.to(guess)))


def depths(crop: TrainingCrop) -> Float[Tensor, "B 21"]:
    """Of the joints along z, from their mean, metres."""
    z = crop.joints_cam[..., 2]
    return z - z.mean(1, keepdim=True)


def _typical(error: Float[Tensor, "B 21"], seen: Bool[Tensor, "B 21"]) -> Float[Tensor, "B 21"]:
    """The mean error of the hand's seen joints for these, that of its hidden joints for those."""
    of_seen, of_hidden = ((error * some).sum(1, keepdim=True) / some.sum(1, keepdim=True).clamp_min(1) for some in (seen, ~seen))
    return torch.where(seen, of_seen, of_hidden)
