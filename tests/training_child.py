"""A small training run for tests, in a process that can be killed: python -m tests.training_child DATA OUT [options]."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from occhand.data.record import encode_sample
from occhand.data.shards import Manifest, write_manifest, write_shard
from occhand.models.config import ModelConfig
from occhand.models.presets import PRESETS, Preset
from occhand.recipes import RECIPES, NoisyJoints, Recipe, ReleasedLoss
from occhand.train import train
from occhand.training_data import RunOptions
from tests.data.samples import make_sample
from tests.models.conftest import small

OPTIONS = RunOptions(workers=0, log_every=1, checkpoint_every=4, validate_every=3)


def trainable(config: ModelConfig) -> ModelConfig:
    """Small, with a trunk of 8 channels: of fewer oneDNN breaks the heap in the backward pass of 1x1 convolutions with stride 2, where the
    processor has no AVX-512 and memory is channels-last (PyTorch 2.13)."""
    return replace(small(config), trunk_width=8)


def tiny_recipe(**changes) -> Recipe:
    """Both networks' parts, the average of weights and noise on joints, in seconds: 12 steps over 16 samples."""
    PRESETS["tiny"] = Preset(trainable(PRESETS["handgcat"].config), "none: for tests")
    base = replace(RECIPES["handgcat-open-s"], model="tiny", loss=ReleasedLoss(), joints_in=NoisyJoints(), batch=4, epochs=3.0)
    return replace(base, **changes)


def write_data(folder: Path, samples: int = 16, first: int = 0) -> Path:
    """Made-up samples as shards of 8."""
    keep = [make_sample(3, index) for index in range(first, first + samples)]
    parts = [keep[start : start + 8] for start in range(0, samples, 8)]
    folder.mkdir(parents=True, exist_ok=True)
    shards = tuple(
        write_shard(folder / f"shard-{k}.tar", ((sample.key, encode_sample(sample)) for sample in part)) for k, part in enumerate(parts)
    )
    write_manifest(folder, Manifest("tests", "", 3, samples, 32, None, 8, shards))
    return folder


def main(data: str, out: str, die_at: int = 0, die_saving: bool = False, resume: bool = False, recipe: dict = {}, **options) -> None:  # noqa: B006
    """Train; end by SIGKILL after a step, or half-way through the next checkpoint after it."""
    torch.set_num_threads(1)
    save = torch.save

    def save_half(state, stream) -> None:
        save(state["model"], stream)
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    def progress(step: int, steps: int, line: str) -> None:
        if step == die_at and die_saving:
            torch.save = save_half
        elif step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    train(tiny_recipe(**recipe), data, Path(out), replace(OPTIONS, **options), resume, progress)


if __name__ == "__main__":
    main(*sys.argv[1:3], **json.loads(sys.argv[3]) if len(sys.argv) > 3 else {})
