"""How the bundled weights were trained, in three stages of a given length: lifter, trunk, whole network.

`occhand train handgcat-open-s` trains the whole network too, by the same loss; here crops are cut a batch at a time and the rate falls
with the clock, so that a run on a busy processor ends when it should. A stage that was stopped goes on from its last state.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from occhand.data.joint_errors import DetectorErrors
from occhand.data.paint import Paint
from occhand.data.transforms import TrainingCrop
from occhand.files import atomic_path
from occhand.joint_sets import depths
from occhand.models.backbone import Trunk
from occhand.models.checkpoint import load_checkpoint, save_checkpoint
from occhand.models.config import ModelConfig
from occhand.models.fuse import quicken_training
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.hourglass import NUM_JOINTS
from occhand.models.joint_heads import TYPICAL_DEPTH, SightHead
from occhand.models.presets import create_model
from occhand.open_losses import OpenLoss, OpenWeights, target_heatmaps
from occhand.runtimes.choice import processor_precisions
from tools.open_models.packed import PackedHands

_HAS_BF16 = "bf16" in processor_precisions()
"""Without instructions for it fp32 is quicker."""
STAGES = ("lifter", "trunk", "network")
_WARM_UP, _CLIP, _LAST_RATE, _DECAY = 100, 1.0, 0.03, 0.999
_TELL_EVERY, _SAVE_EVERY_S = 100, 90
"""Steps and seconds."""
_LIFTER_SETS, _NETWORK_SETS = 512, 128
_PART = 16
"""Crops that are cut and painted at once; more do not fit a processor's cache."""
_DRAWN_WEIGHT = 0.2
"""Of drawn joint sets in the network's stage: they keep the lifter from forgetting, while it learns what the network itself sees."""
_LIFTER_SHARE = 0.2
"""Of the whole network's learning rate."""
_MILD, _MILD_UNTIL = 0.5, 0.7
"""Share of the trunk's batches that show mildly hidden hands without paint, and the part of the run after which it falls."""


class Task(NamedTuple):
    """What a stage does."""

    part: nn.Module
    """That learns."""
    rate: float
    """Highest learning rate."""
    batch: int
    loss: Callable[[PackedHands, torch.Generator, float], Tensor]
    """Of the data, random numbers and the part of the run that has passed, 0..1."""


@dataclass
class Run:
    """Where a stage stands."""

    step: int = 0
    crops: int = 0
    seconds: float = 0.0


def pretrain(
    stage: str,
    name: str,
    data: Path,
    out: Path,
    minutes: float,
    start: Sequence[Path] = (),
    keeps_stem: bool = False,
    rate: float | None = None,
    progress: Callable[[str], None] = print,
) -> None:
    """Train one part of a network, or all of it, and write the whole network. Under torchrun, processes share each step.

    Args:
        stage: One of `STAGES`.
        name: Preset, `handgcat-open-s` or `handoccnet-open-s`.
        data: Folder that `pack` wrote.
        out: File for the weights; the state of the run lies beside it.
        minutes: Of wall time, over all starts.
        start: Weights to begin with, the later files before the earlier; what fits is taken, the rest drawn.
        keeps_stem: Leave the ResNet's first convolution and its norm as they are, which saves their backward pass.
        rate: Highest learning rate; None takes the stage's. Parts that have learned before want less, or forget some of it.
        progress: Told of the loss every 100 steps.
    """
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1:
        distributed.init_process_group("gloo")
    torch.manual_seed(0)
    model = quicken_training(create_model(name).train())
    for path in start:
        take_what_fits(model, load_checkpoint(path))
    if keeps_stem:
        for part in (model.trunk.resnet.conv1, model.trunk.resnet.bn1.eval()):
            part.requires_grad_(False)
    task = {"lifter": _lifter_stage, "trunk": _trunk_stage, "network": _network_stage}[stage](model)
    highest = task.rate if rate is None else rate
    optimiser = torch.optim.AdamW(_groups(task.part), highest, weight_decay=0.01, fused=True)
    learner = Learner(task.part, deepcopy(task.part), optimiser)
    state = out.with_suffix(".state.pt")
    run = learner.load(state) if state.is_file() else Run()
    seed = run.step * processes + rank
    hands, generator = PackedHands(data, seed), torch.Generator().manual_seed(seed)
    began, saved, losses = time.monotonic() - run.seconds, time.monotonic(), list[float]()
    while (passed := _of_the_first(time.monotonic() - began, processes) / (60 * minutes)) < 1:
        share = min(1, (run.step + 1) / _WARM_UP) * (_LAST_RATE + (1 - _LAST_RATE) * math.cos(math.pi * passed / 2) ** 2)
        losses.append(learner.step(task.loss(hands, generator, passed), highest * share, run.step, processes))
        run = Run(run.step + 1, run.crops + task.batch * processes, time.monotonic() - began)
        if rank == 0 and run.step % _TELL_EVERY == 0:
            progress(f"{stage}: {run.crops} crops in {run.seconds:.0f} s, loss {mean(losses):.3f}")
            losses.clear()
        if rank == 0 and time.monotonic() - saved > _SAVE_EVERY_S:
            saved = time.monotonic()
            learner.save(state, run)
    if rank == 0:
        learner.save(state, run)
        task.part.load_state_dict(learner.averaged.state_dict())
        save_checkpoint(model, out, data=f"open-train, {stage}: {run.crops} crops", licence="Apache-2.0")


@dataclass
class Learner:
    """What learns, with the moving average of its weights."""

    part: nn.Module
    averaged: nn.Module
    optimiser: torch.optim.Optimizer

    def step(self, value: Tensor, rate: float, number: int, processes: int) -> float:
        """One step down; returns the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.optimiser.zero_grad()
        value.backward()
        _share_gradients(self.part, processes)
        nn.utils.clip_grad_norm_(self.part.parameters(), _CLIP, error_if_nonfinite=True)
        self.optimiser.step()
        _average(self.averaged, self.part, min(_DECAY, (1 + number) / (10 + number)))
        return value.item()

    def save(self, path: Path, run: Run) -> None:
        """Write all that the next start needs."""
        states = {name: getattr(self, name).state_dict() for name in ("part", "averaged", "optimiser")}
        with atomic_path(path) as temporary:
            torch.save(states | {"run": vars(run)}, temporary)

    def load(self, path: Path) -> Run:
        """Go on from a state."""
        states = torch.load(path, weights_only=True)
        for name in ("part", "averaged", "optimiser"):
            getattr(self, name).load_state_dict(states[name])
        return Run(**states["run"])


def take_what_fits(model: HandOccNet | HandGCAT, other: HandOccNet | HandGCAT) -> None:
    """Copy every weight of another network that has the same name and shape."""
    weights = model.state_dict()
    model.load_state_dict(
        weights | {key: value for key, value in other.state_dict().items() if key in weights and weights[key].shape == value.shape}
    )


def _groups(part: nn.Module) -> list[dict[str, Any]]:
    """A lifter inside of a network learns slowly: it has met far more hands in its own stage than it meets here."""
    is_slow = {name: name.startswith("regressor.lifter.") for name, _ in part.named_parameters()}
    return [
        {"params": [p for name, p in part.named_parameters() if is_slow[name] == slow and p.requires_grad], "share": share}
        for slow, share in ((False, 1.0), (True, _LIFTER_SHARE))
    ]


def _lifter_stage(model: HandOccNet | HandGCAT) -> Task:
    lifter, loss = model.regressor.lifter, OpenLoss(joint_sets=_LIFTER_SETS)
    assert lifter is not None, "the small open models have one"

    def value(hands: PackedHands, generator: torch.Generator, passed: float) -> Tensor:
        crop = hands.draw_unseen(_LIFTER_SETS, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=_HAS_BF16):
            return loss.lifter_term(lifter, crop, model.hand, generator)

    return Task(lifter, 1e-3, _LIFTER_SETS, value)


class TrunkJoints(nn.Module):
    """The trunk, the network's maps of visibility and depth on it, and heat maps straight on its features, thrown away afterwards."""

    def __init__(self, trunk: Trunk, sight: SightHead, config: ModelConfig) -> None:
        super().__init__()
        self.trunk, self.sight = trunk, sight
        self.score = nn.Conv2d(config.channels, NUM_JOINTS, 1)
        nn.init.zeros_(self.score.weight)  # so that a head which knows nothing yet leaves a trained trunk alone

    def forward(
        self, image: Float[Tensor, "B 3 size size"]
    ) -> tuple[Float[Tensor, "B 21 pixels"], Float[Tensor, "B 21"], Float[Tensor, "B 21"]]:
        """Logarithms of the heat maps; logits of visibility and depths under them, the latter in `TYPICAL_DEPTH`."""
        features = self.trunk(image)
        logarithms = self.score(features).flatten(2).float().log_softmax(-1)
        return logarithms, *self.sight.read_maps(features, logarithms.exp().unflatten(2, features.shape[-2:]))


def _trunk_stage(model: HandOccNet | HandGCAT) -> Task:
    sight, paint, size, batch = model.regressor.sight, Paint(), model.config.map_size, 64
    assert sight is not None, "the small open models have one"
    network = TrunkJoints(model.trunk, sight, model.config)
    centres = (torch.arange(size) + 0.5) / size
    places = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).view(-1, 2)

    def loss(hands: PackedHands, generator: torch.Generator, passed: float) -> Tensor:
        mild = _MILD if passed < _MILD_UNTIL else _MILD - (passed - _MILD_UNTIL) * (_MILD - 0.1) / (1 - _MILD_UNTIL)
        is_mild = float(torch.rand((), generator=generator)) < mild
        parts = [hands.draw(_PART, model.config.input_size, generator, is_mild) for _ in range(batch // _PART)]
        crop = TrainingCrop(*map(torch.cat, zip(*(part if is_mild else paint(part, generator) for part in parts), strict=True)))
        with torch.autocast("cpu", torch.bfloat16, enabled=_HAS_BF16):
            logarithms, seen, depth = network(crop.image.contiguous(memory_format=torch.channels_last))
        target, is_inside = target_heatmaps(crop.joints_crop, size)
        distance = (logarithms.exp() @ places - crop.joints_crop).norm(dim=-1)
        per_joint = 5 * distance - (target * logarithms).sum(-1) + (depth - depths(crop) / TYPICAL_DEPTH).abs()
        return (per_joint * is_inside).sum() / is_inside.sum() + binary_cross_entropy_with_logits(seen, crop.joints_visible.float())

    return Task(network, 1e-3, batch, loss)


def _network_stage(model: HandOccNet | HandGCAT) -> Task:
    weights = replace(OpenWeights(), lifter=_DRAWN_WEIGHT)
    loss, errors, batch = OpenLoss(weights, joint_sets=_NETWORK_SETS), DetectorErrors(), 64

    def value(hands: PackedHands, generator: torch.Generator, passed: float) -> Tensor:
        crop = hands.draw(batch, model.config.input_size, generator)
        crop = crop._replace(image=crop.image.contiguous(memory_format=torch.channels_last))
        joints_in = errors(crop, generator) if isinstance(model, HandGCAT) else None
        with torch.autocast("cpu", torch.bfloat16, enabled=_HAS_BF16):
            return loss(model, crop, joints_in, generator).total

    return Task(model, 6e-4, batch, value)


def _share_gradients(part: nn.Module, processes: int) -> None:
    if processes == 1:
        return
    gradients = [p.grad for p in part.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    for gradient, shared in zip(gradients, flat.div_(processes).split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(shared.view_as(gradient))


def _of_the_first(seconds: float, processes: int) -> float:
    """The first process's clock, so that all stop at once."""
    clock = torch.tensor(seconds, dtype=torch.float64)
    if processes > 1:
        distributed.broadcast(clock, 0)
    return clock.item()


@torch.no_grad()
def _average(averaged: nn.Module, part: nn.Module, decay: float) -> None:
    for kept, new in zip(averaged.state_dict().values(), part.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
