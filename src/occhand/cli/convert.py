"""`occhand convert`: files that others made."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from occhand.cli.console import progress_bar
from occhand.data.annotations_writer import rebuild_annotations
from occhand.data.pose_encoding import PoseMean
from occhand.hand import assets
from occhand.models import checkpoint
from occhand.types import Side

convert = SubcommandApp()
convert.__doc__ = "Bring files of your own, such as MANO, into a form that occhand reads."


@convert.command(name="mano")
def convert_mano(file: Positional[Path], side: Side | None = None) -> int:
    """Read your MANO_RIGHT.pkl or MANO_LEFT.pkl, without running anything in it, and keep it for --hand mano.

    Args:
        file: The pickle as downloaded from mano.is.tue.mpg.de.
        side: The side it is expected to hold.
    """
    hand, kept = assets.convert_mano(file, side)
    use = "use it with --hand mano" if hand.side == "right" else "occhand predict does not need it, as it sees left hands in a mirror"
    print(f"{file} holds MANO's {hand.side} hand. Kept as {kept}; {use}. MANO's own licence applies to both files.")
    return 0


@convert.command(name="checkpoint")
def convert_checkpoint(snapshot: Positional[Path], out: Positional[Path]) -> int:
    """Turn a snapshot of the authors of HandOccNet or HandGCAT into a file of ours, without the MANO arrays inside.

    Args:
        snapshot: Their .pth.tar; nothing in it is run.
        out: The .safetensors file to write.
    """
    info = checkpoint.convert_checkpoint(snapshot, out)
    kind = type(info.config).__name__.removesuffix("Config")
    print(f"{snapshot} holds {kind}. Kept as {out}, without the hand inside it; use it with --model {out} --hand mano.")
    return 0


@convert.command(name="annotations")
def convert_annotations(
    name: Positional[str], root: Positional[Path], split: Positional[str], out: Path | None = None, mean: PoseMean = "included"
) -> int:
    """Make the annotation file that the authors' training code reads, from raw HO-3D or DexYCB, with what its poses mean written inside.

    Args:
        name: ho3d_v2, ho3d_v3 or dexycb.
        root: Folder of the raw data.
        split: Its part, such as train, evaluation, s0_train.
        out: The file; without it, where that code looks for it: annotations in the folder of the data.
        mean: Whether poses include the hand's mean pose: included for HandGCAT's MANO layer, excluded for HandOccNet's.
    """
    with progress_bar() as bar:
        task = bar.add_task("Converting", total=None)
        made = rebuild_annotations(name, root, split, out, mean, lambda done, total: bar.update(task, completed=done, total=total))
    print(f"Wrote {made.path}: {made.hands:,} hands, {made.poses:,} of them with pose (OpenCV axes, mean pose {mean}).")
    return 0
