"""From 2D joints to a hand: what 21 points in a picture, and as much of their depth as can be seen, say of pose and shape (ours, for
the open models).

The hand begins at rest and is turned a few times. Before each turn it is laid over the 2D joints, and the perceptron is told how far each
joint is off, across and along the line of sight, and by how much each rotation alone would mend that, as regressors with feedback are
(Carreira et al., "Human Pose Estimation with Iterative Error Feedback", CVPR 2016; learned descent: Song et al., ECCV 2020). What the prior
makes of it is learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from occhand.geometry.rotation import sixd_to_matrix
from occhand.hand.hand_layer import HandLayer, PosedSkeleton
from occhand.hand.skeleton import MANO_JOINT_NAMES, MOVED_JOINTS, NUM_BETAS
from occhand.models.config import ModelConfig
from occhand.models.hourglass import NUM_JOINTS, Heatmaps
from occhand.models.joint_heads import TYPICAL_DEPTH, Sight
from occhand.models.precision import full_precision

NUM_ROTATIONS = len(MANO_JOINT_NAMES)
_STRETCH = 4.0
"""Brings 2D joints, which fill the middle of the crop, to about -1..1."""
_SHARPEST = 0.02
"""Of a heat map, in sides of the crop; finer differences say nothing."""
_FAR = 0.3
"""Sides of the crop; a joint that is off by more tells no more."""
_TOO_DEEP = 0.1
"""Metres; likewise along the line of sight."""
_CLEAREST = 0.01
"""Metres; depths that are known better than this count fully."""
_SLACK = 2e-4
"""Square metres per joint: a rotation whose joints all lie on its axis, seen along it, is asked for nothing."""
_HIDDEN_WEIGHT = 0.13
"""Of a given joint that is surely hidden: detectors err there two to three times as far."""
_SCALES = (1.0, 20.0)
"""Sides of the crop per metre; a hand that fills the crop has about 5."""
_QUARTER_TURNS = (((1, 0), (0, 1)), ((0, -1), (1, 0)), ((-1, 0), (0, -1)), ((0, 1), (-1, 0)))
"""About the camera's z, x towards y."""
_AGREED = 0.5
"""Length of the mean of the wrist's axes over the turns, 0..1, from which on they say the same."""


class Evidence2D(NamedTuple):
    """2D joints that the network saw itself, and those it was given; 0..1 over the crop."""

    joints_crop: Float[Tensor, "B 21 2"]
    """The network's own."""
    spread: Float[Tensor, "B 21 2"]
    """Standard deviation of its heat maps along x and y."""
    given: Float[Tensor, "B 21 2"] | None
    """NaN where a joint is not known; None for networks that take none."""
    sight: Sight | None = None
    """Whether each joint is seen, as given joints that are hidden deserve less trust, and how deep it lies. None: nothing is said."""

    def own_numbers(self) -> Float[Tensor, "B 84"]:
        """What the network saw itself, each number about -1..1."""
        return torch.cat([_STRETCH * (self.joints_crop - 0.5), torch.log(self.spread + _SHARPEST) + 3.0], dim=-1).flatten(1)

    def turned(self, turn: Float[Tensor, "2 2"]) -> Evidence2D:
        """Of the crop turned about its middle, by quarters of a turn."""
        given = None if self.given is None else _turned(self.given, turn)
        return self._replace(joints_crop=_turned(self.joints_crop, turn), spread=self.spread @ turn.mT.abs(), given=given)


class LiftedHand(NamedTuple):
    """What the 2D joints say, before the picture corrects it."""

    rotations: Float[Tensor, "B 16 3 3"]
    """Of each MANO joint relative to its parent."""
    betas: Float[Tensor, "B 10"]
    hidden: Float[Tensor, "B width"]
    """What led to them."""


class Lifter(nn.Module):
    """A residual perceptron with feedback."""

    moved: Tensor
    quarter_turns: Tensor

    def __init__(self, config: ModelConfig, takes_joints: bool) -> None:
        super().__init__()
        width, self.takes_joints, self.turns = config.lifter_width, takes_joints, config.lifter_turns
        sources = 2 if takes_joints else 1
        self.enter = nn.Linear(NUM_JOINTS * (10 if takes_joints else 7), width)
        self.steps = nn.ModuleList(LifterStep(width, _feedback_numbers(sources)) for _ in range(config.lifter_steps))
        self.register_buffer("moved", torch.tensor(MOVED_JOINTS, dtype=torch.float32), persistent=False)
        self.register_buffer("quarter_turns", torch.tensor(_QUARTER_TURNS, dtype=torch.float32), persistent=False)

    def forward(self, evidence: Evidence2D, hand: HandLayer) -> LiftedHand:
        """The hand behind the 2D joints."""
        if self.training or self.turns == 1:
            *_, lifted = self.every_step(evidence, hand)
            return lifted
        return self._mean_of_turns(evidence, hand)

    def _mean_of_turns(self, evidence: Evidence2D, hand: HandLayer) -> LiftedHand:
        """A hand turned in the picture is the same hand, which a perceptron knows only nearly; the mean of its answers errs less.

        Where the wrist does not turn with the crop, as when nothing at all is known of a hand, the crop as it is decides.
        """
        views = [evidence.turned(turn) for turn in self.quarter_turns]
        *_, lifted = self.every_step(_stacked(views), hand)
        rotations, betas, hidden = (part.unflatten(0, (len(views), -1)) for part in lifted)
        with full_precision(rotations):
            wrist = rotations[:, :, :1]
            wrist = torch.cat([self.quarter_turns.mT[:, None, None] @ wrist[..., :2, :], wrist[..., 2:, :]], dim=-2)
            mean = torch.cat([wrist, rotations[:, :, 1:]], dim=2).mean(0)[..., :2]
            is_agreed = mean[:, 0].norm(dim=-2).amin(-1) > _AGREED
            rotation = torch.where(is_agreed[:, None, None, None], sixd_to_matrix(mean.mT.flatten(-2)), rotations[0])
            return LiftedHand(rotation, torch.where(is_agreed[:, None], betas.mean(0), betas[0]), hidden[0])

    def every_step(self, evidence: Evidence2D, hand: HandLayer) -> Iterator[LiftedHand]:
        """The hand after each turn, for a loss on all of them."""
        x, targets = self.enter(self._numbers(evidence)), Targets.of(evidence)
        rotations = torch.eye(3).to(evidence.joints_crop).expand(x.shape[0], NUM_ROTATIONS, 3, 3)
        betas = rotations.new_zeros(x.shape[0], NUM_BETAS)
        for step in self.steps:
            with full_precision(x):
                feedback = self._feedback(targets, hand.skeleton(rotations.detach(), betas.detach()), betas.detach())
            x, turn, change, hidden = step(x, feedback)
            with full_precision(x):
                rotations, betas = rotations @ sixd_to_matrix(turn.to(rotations).unflatten(1, (-1, 6))), betas + change.to(betas)
            yield LiftedHand(rotations, betas, hidden)

    def _numbers(self, evidence: Evidence2D) -> Float[Tensor, "B numbers"]:
        sight = _sight(evidence)
        numbers = [evidence.own_numbers(), _seen(sight) / 4]
        if evidence.given is not None:
            known = _is_known(evidence.given)
            numbers += [(_STRETCH * (torch.where(known, evidence.given, 0.5) - 0.5)).flatten(1), known.flatten(1).to(numbers[0])]
        numbers += [sight.depth / TYPICAL_DEPTH, torch.log(sight.depth_spread / TYPICAL_DEPTH)]
        return torch.cat(numbers, dim=1)

    def _feedback(self, targets: Targets, skeleton: PosedSkeleton, betas: Float[Tensor, "B 10"]) -> Float[Tensor, "B numbers"]:
        """Where the hand so far is, how far 2D joints and depths are from it, and how far each of its joints would turn to meet them."""
        centred = skeleton.centred()
        laid = _lay_over(centred.joints, targets.laid_over, targets.trust)
        off = ((targets.points - laid.points) * (targets.weights[:-1] > 0)).clamp(-_FAR, _FAR)
        deeper = (targets.depth - centred.joints[..., 2:]).clamp(-_TOO_DEEP, _TOO_DEEP)
        moves = torch.cat([pad(off / laid.scale[..., None], (0, 1)), pad(deeper, (2, 0))[None]])
        asked = 2 * self._asked_turns(centred, moves, targets.weights).flatten(2)
        numbers = [10 * centred.joints.flatten(1), skeleton.rotations[:, 0].flatten(1), betas, laid.scale / 5, laid.shift - 0.5]
        for missed, turns in zip((*(8 * off).flatten(2), 20 * deeper.flatten(1)), asked, strict=True):
            numbers += [missed, turns]
        return torch.cat(numbers, dim=1)

    def _asked_turns(
        self, skeleton: PosedSkeleton, off: Float[Tensor, "*sources B 21 3"], weight: Float[Tensor, "*sources B 21 1"]
    ) -> Float[Tensor, "*sources B 16 3"]:
        """Rotation vector of each joint in its own frame, radians, that alone would bring the joints beyond it nearest to where they
        should be: as torque over moment of inertia. Both are taken about the origin and then moved to the centres, so that nothing is
        computed for every pair of centre and joint.

        Args:
            skeleton: The hand so far, metres.
            off: How far each joint should move, metres.
            weight: How much each joint counts.
        """
        joints, centres = skeleton.joints.expand_as(off), skeleton.centres.expand(*off.shape[:-2], -1, -1)
        counts, across = self.moved * weight.mT, joints[..., :2]
        moments = torch.cat([off, torch.linalg.cross(joints, off), across, across.square()], dim=-1)
        force, torque, first, second = (counts @ moments).split([3, 3, 2, 2], dim=-1)
        torque = torque - torch.linalg.cross(centres, force)
        x, y = (second - 2 * centres[..., :2] * first + centres[..., :2].square() * counts.sum(-1, keepdim=True)).unbind(-1)
        inertia = x + y + _SLACK * self.moved.sum(-1)  # not as one sum: OpenVINO 2026.4 adds a constant after one wrongly
        return (skeleton.rotations.mT @ (torque / inertia[..., None])[..., None]).squeeze(-1)


class Targets(NamedTuple):
    """What the hand is held against at every step: the network's own 2D joints, then given ones where it takes any, and depths."""

    points: Float[Tensor, "sources B 21 2"]
    """0..1 over the crop."""
    weights: Float[Tensor, "sources+1 B 21 1"]
    """How much each counts; the last are of the depths."""
    depth: Float[Tensor, "B 21 1"]
    """Metres, from the mean of the joints."""
    laid_over: Float[Tensor, "B 21 2"]
    """What the hand is laid over: given joints before the network's own."""
    trust: Float[Tensor, "B 21 1"]

    @classmethod
    def of(cls, evidence: Evidence2D) -> Targets:
        """From what was seen and given."""
        own, sight = evidence.joints_crop.detach(), _sight(evidence)
        sharpness = _SHARPEST / (evidence.spread.detach().mean(-1, keepdim=True) + _SHARPEST)
        clearness = _CLEAREST / (sight.depth_spread.detach()[..., None] + _CLEAREST)
        points, weights, laid_over, trust = [own], [torch.ones_like(sharpness)], own, sharpness
        if evidence.given is not None:
            known = _is_known(evidence.given)
            given = torch.where(known, evidence.given, own)
            weight = known * (_HIDDEN_WEIGHT + (1 - _HIDDEN_WEIGHT) * torch.sigmoid(_seen(sight)[..., None]))
            points.append(given)
            weights.append(weight)
            laid_over, trust = given, torch.where(known, weight, sharpness)
        return cls(torch.stack(points), torch.stack([*weights, clearness]), sight.depth.detach()[..., None], laid_over, trust)


class LifterStep(nn.Module):
    """Listens to the feedback, thinks, and says how to turn the hand."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.listen = nn.Linear(numbers, width)
        self.block = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.leave = nn.LayerNorm(width)
        self.pose = nn.Linear(width, 6 * NUM_ROTATIONS)
        self.shape = nn.Linear(width, NUM_BETAS)

    def forward(
        self, x: Float[Tensor, "B width"], feedback: Float[Tensor, "B numbers"]
    ) -> tuple[Float[Tensor, "B width"], Float[Tensor, "B 96"], Float[Tensor, "B 10"], Float[Tensor, "B width"]]:
        """The next state, six numbers per rotation, a change of shape, and what they were read from."""
        x = x + self.listen(feedback)
        x = x + self.block(x)
        hidden = self.leave(x)
        return x, self.pose(hidden), self.shape(hidden), hidden


class _Laid(NamedTuple):
    points: Float[Tensor, "B 21 2"]
    scale: Float[Tensor, "B 1"]
    """Sides of the crop per metre."""
    shift: Float[Tensor, "B 2"]


def _lay_over(joints: Float[Tensor, "B 21 3"], points: Float[Tensor, "B 21 2"], weights: Float[Tensor, "B 21 1"]) -> _Laid:
    """Joints over points by weak perspective: the weighted least squares of scale and shift."""
    total = weights.sum(1, keepdim=True)
    middle, target = ((weights * part).sum(1, keepdim=True) / total for part in (joints[..., :2], points))
    flat, aim = joints[..., :2] - middle, points - target
    scale = (weights * flat * aim).sum((1, 2)) / (weights * flat.square()).sum((1, 2)).clamp_min(1e-8)
    scale = scale.clamp(*_SCALES)[:, None]
    return _Laid(scale[..., None] * flat + target, scale, target[:, 0])


def _turned(points: Float[Tensor, "B 21 2"], turn: Float[Tensor, "2 2"]) -> Float[Tensor, "B 21 2"]:
    return (points - 0.5) @ turn.mT + 0.5


def _stacked(views: list[Evidence2D]) -> Evidence2D:
    """One batch of several."""
    first, count = views[0], len(views)
    joints, spread = (torch.cat([getattr(view, name) for view in views]) for name in ("joints_crop", "spread"))
    given = None if first.given is None else torch.cat([view.given for view in views if view.given is not None])
    sight = None if first.sight is None else Sight(*(part.repeat(count, 1) for part in first.sight))
    return Evidence2D(joints, spread, given, sight)


def _sight(evidence: Evidence2D) -> Sight:
    return Sight.of_nothing(evidence.joints_crop) if evidence.sight is None else evidence.sight


def _seen(sight: Sight) -> Float[Tensor, "B 21"]:
    return sight.seen.detach().clamp(-6.0, 6.0)  # floats: with whole numbers OpenVINO does not load the graph


def _is_known(given: Float[Tensor, "B 21 2"]) -> Bool[Tensor, "B 21 1"]:
    return given.isfinite().all(-1, keepdim=True)


def _feedback_numbers(sources: int) -> int:
    """Joints, the wrist's rotation, shape, scale and shift; per source of 2D joints, and of depths, what is off and the turns asked for."""
    turns = 3 * NUM_ROTATIONS
    return 3 * NUM_JOINTS + 9 + NUM_BETAS + 3 + sources * (2 * NUM_JOINTS + turns) + NUM_JOINTS + turns


def heatmap_evidence(heatmaps: Heatmaps, given: Float[Tensor, "B 21 2"] | None) -> Evidence2D:
    """The 2D joints of heat maps with their spread, beside given ones."""
    height, width = heatmaps.probabilities.shape[-2:]
    spreads = []
    for axis, size, mean in ((2, width, heatmaps.joints_crop[..., 0]), (3, height, heatmaps.joints_crop[..., 1])):
        centres = (torch.arange(size, device=mean.device, dtype=mean.dtype) + 0.5) / size
        squared = (centres - mean[..., None]).square()
        spreads.append((heatmaps.probabilities.sum(axis) * squared).sum(-1).clamp_min(0).add(1e-8).sqrt())
    return Evidence2D(heatmaps.joints_crop, torch.stack(spreads, dim=-1), given)
