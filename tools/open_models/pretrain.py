"""Two cheap stages before `occhand train`: the lifter on joint sets without pictures, the trunk on heat maps without a hand.

Both write a start for `occhand train handgcat-open-s --start-from FILE`; the second takes the first's file and adds its part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from occhand.data.augment import Augmentation, JitterRange
from occhand.data.datasets import create_dataset
from occhand.data.loader import CropDataset, Places, load_batches, name_dead_worker
from occhand.data.paint import Paint
from occhand.data.transforms import CropForTraining, TrainingCrop
from occhand.models.backbone import Trunk
from occhand.models.checkpoint import load_checkpoint, save_checkpoint
from occhand.models.config import ModelConfig
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.hourglass import NUM_JOINTS
from occhand.models.presets import create_model
from occhand.open_losses import OpenLoss, target_heatmaps

_TURNED = Augmentation(JitterRange(scale=0.12, rotation_deg=22.0, rotation_probability=1.0, colour=0.2))
_BATCH = {"lifter": 64, "trunk": 32}
_JOINT_SETS = 512
_PEAK_RATE, _WARM_UP, _CLIP = 1e-3, 100, 1.0


class TrunkJoints(nn.Module):
    """The trunk with a heat map per joint straight on its features; the head is thrown away afterwards."""

    def __init__(self, trunk: Trunk, config: ModelConfig) -> None:
        super().__init__()
        self.trunk, self.score = trunk, nn.Conv2d(config.channels, NUM_JOINTS, 1)

    def forward(self, image: Float[Tensor, "B 3 size size"]) -> Float[Tensor, "B 21 pixels"]:
        """Logarithms of the heat maps."""
        return log_softmax(self.score(self.trunk(image)).flatten(2).float(), dim=-1)


def pretrain(stage: str, name: str, data: Path, out: Path, steps: int, start: Path | None, progress: Callable[[str], None] = print) -> None:
    """Train one part of a network and write the whole network.

    Args:
        stage: `lifter` or `trunk`.
        name: Preset, `handgcat-open-s` or `handoccnet-open-s`.
        data: Folder of shards.
        out: File for the weights.
        steps: Of the optimiser.
        start: The other stage's file; None begins with fresh weights.
        progress: Told of the loss every 100 steps.
    """
    torch.manual_seed(0)
    model = (create_model(name) if start is None else load_checkpoint(start)).train()
    part, loss = _lifter_stage(model) if stage == "lifter" else _trunk_stage(model)
    optimiser = torch.optim.AdamW(part.parameters(), _PEAK_RATE, weight_decay=0.01)
    crops = CropDataset(create_dataset("folder", data), CropForTraining(model.config.input_size, _TURNED))
    for step, crop in enumerate(_batches(crops, _BATCH[stage], steps)):
        rate = min(1, (step + 1) / _WARM_UP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimiser.param_groups:
            group["lr"] = _PEAK_RATE * rate
        value = loss(crop, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(part.parameters(), _CLIP)
        optimiser.step()
        if (step + 1) % 100 == 0:
            progress(f"{stage}: step {step + 1} of {steps}, loss {value.item():.3f}")
    save_checkpoint(model, out, data=f"{crops.samples}: {stage} alone, {steps} steps", licence="Apache-2.0")


def _batches(crops: CropDataset, batch: int, steps: int) -> Iterator[TrainingCrop]:
    with name_dead_worker(crops):
        for loaded in load_batches(crops, Places(batch, 1, 0, steps), workers=1):
            yield loaded.crop


def _lifter_stage(model: HandOccNet | HandGCAT) -> tuple[nn.Module, Callable[[TrainingCrop, torch.Generator], Tensor]]:
    lifter = model.regressor.lifter
    assert lifter is not None, "the small open models have one"
    loss = OpenLoss(joint_sets=_JOINT_SETS)
    return lifter, lambda crop, generator: loss.lifter_term(lifter, crop, model.hand, generator)


def _trunk_stage(model: HandOccNet | HandGCAT) -> tuple[nn.Module, Callable[[TrainingCrop, torch.Generator], Tensor]]:
    network, paint = TrunkJoints(model.trunk, model.config), Paint()

    def loss(crop: TrainingCrop, generator: torch.Generator) -> Tensor:
        crop = paint(crop, generator)
        with torch.autocast("cpu", torch.bfloat16):
            logarithms = network(crop.image.contiguous(memory_format=torch.channels_last))
        target, is_inside = target_heatmaps(crop.joints_crop, model.config.map_size)
        return (-(target * logarithms).sum(-1) * is_inside).sum() / is_inside.sum().clamp_min(1)

    return network, loss
