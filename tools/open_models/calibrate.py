"""The last step before weights are bundled: one factor on the predicted deviations, found on open-val, and half precision."""

from __future__ import annotations

from pathlib import Path

import torch

from occhand.models.checkpoint import load_checkpoint, read_info, save_checkpoint
from occhand.models.config import HandGCATConfig
from tools.open_models.calibration import best_scale, mean_aligned_distance
from tools.open_models.held_out import load_held_out
from tools.open_models.score import PLAIN, run

_HANDS = 600


def calibrate(weights: Path, out: Path, kept: Path | None) -> str:
    """Write the calibrated weights in half precision; a line that says the factor."""
    model, info = load_checkpoint(weights), read_info(weights)
    held_out = load_held_out("open-val", _HANDS, model.config.input_size, kept)
    joints_in = PLAIN(held_out.crop, torch.Generator().manual_seed(0)) if isinstance(model.config, HandGCATConfig) else None
    output, sigma = run(model, held_out, joints_in), model.regressor.mano_head.sigma
    assert output.joint_sigma is not None, "the small open models have joint heads"
    assert sigma is not None, "the small open models have joint heads"
    factor = best_scale(output.joint_sigma, mean_aligned_distance(output.joints, held_out.crop.joints_cam))
    sigma.calibration.mul_(factor)
    save_checkpoint(model, out, info.data, info.licence, half=True)
    return f"{out}: {out.stat().st_size / 1e6:.1f} MB, deviations times {factor:.2f}"
