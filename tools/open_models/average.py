"""The mean of two networks' weights: of two runs from one start it is often better than either (Wortsman et al., CVPR 2022)."""

from __future__ import annotations

from pathlib import Path

from occhand.models.checkpoint import load_checkpoint, read_info, save_checkpoint


def average(weights: Path, other: Path, part: str, share: float, out: Path) -> str:
    """Write weights with a share of another network's in all whose names begin with `part`; a line that says where.

    Args:
        weights: Network that gives the rest.
        other: Of the same structure.
        part: As `regressor.lifter`; empty for the whole network.
        share: Of the other network, 0..1.
        out: File for the weights.
    """
    model, info = load_checkpoint(weights), read_info(weights)
    mixed, theirs = model.state_dict(), load_checkpoint(other).state_dict()
    for name, value in mixed.items():
        if name.startswith(part) and value.is_floating_point():
            value.lerp_(theirs[name], share)
    save_checkpoint(model, out, info.data, info.licence)
    return f"{out}: {share:g} of {other} in {part or 'all'}"
