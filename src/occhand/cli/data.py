"""`occhand data` and `occhand synth`: data sets found and made."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path

from tyro.conf import Positional, UseAppendAction
from tyro.extras import SubcommandApp

from occhand.cli.console import EXIT_BAD_INPUT, progress_bar
from occhand.data.datasets import dataset_info, list_datasets
from occhand.data_check import check_dataset, describe
from occhand.synth.clip_files import write_clips
from occhand.synth.dataset import SynthDataset, load_split
from occhand.synth.write import write_synth

data = SubcommandApp()
data.__doc__ = "List the data sets that can be read, and check those you have."


@data.command(name="list")
def list_data() -> int:
    """List the data sets that can be read: name, title, splits, and where to ask for them."""
    for name in list_datasets():
        info = dataset_info(name)
        print(f"{name:20} {info.title}: {', '.join(info.cover or info.splits) or 'no splits'}\n{'':20} {info.source}")
    return 0


@data.command(name="check")
def check_data(
    name: Positional[str],
    root: Positional[Path],
    split: UseAppendAction[tuple[str, ...]] = (),
    out: Path = Path("occhand-check.png"),
    decode: int = 64,
    json: bool = False,
) -> int:
    """Check a data set on disk: counts, missing and broken files, a picture of hands with their joints drawn, and what to do.

    Exit code 0: every split looked at can be read, if not all of it. 2: one cannot.

    Args:
        name: As 'occhand data list' has it.
        root: Its folder.
        split: Look at this split only; may be given several times. Without it, at those that hold each sample once.
        out: The picture to write.
        decode: How many pictures of each split to open.
        json: Print as JSON.
    """
    with progress_bar() as bar:
        task = bar.add_task("Reading annotations", total=None)
        report = check_dataset(name, root, split, out, decode, lambda done, total: bar.update(task, completed=done, total=total))
    print(json_module.dumps(asdict(report), indent=2) if json else describe(report))
    return 0 if report.is_usable else EXIT_BAD_INPUT


def synth(
    out: Path = Path("occhand-synth"),
    n: int = 1000,
    seed: int = 0,
    size: int = 256,
    split: str | None = None,
    workers: int = 1,
    jpeg: int | None = None,
    clips: int = 0,
    frames: int = 300,
) -> int:
    """Write synthetic occluded hands with exact ground truth as tar shards; run again, it goes on where it stopped.

    Args:
        out: Folder for the shards, their manifest and a contact sheet.
        n: Number of samples.
        seed: Of the generator; sample k of a seed is always the same.
        size: Side of the pictures, pixels.
        split: A fixed split instead of n and seed: open-train, open-val, open-test.
        workers: Processes.
        jpeg: Quality from 1 to 95; without it every pixel is kept.
        clips: Instead of samples, so many films of moving hands, as folders of frames with truth.npz.
        frames: Of each film, 30 a second.
    """
    if clips < 0:
        raise ValueError(f"{clips} clips: expected 0 or more, such as --clips 8. Leave --clips out to write samples.")
    if clips:
        with progress_bar() as bar:
            task = bar.add_task("Rendering frames", total=clips * frames)
            folders = write_clips(out, clips, seed, frames, size, lambda done: bar.update(task, completed=done))
        print(f"{len(folders)} clips in {out}. Look at one with 'occhand video {folders[0]}'.")
        return 0
    dataset = load_split(split, size) if split else SynthDataset(seed, range(n), size)
    with progress_bar() as bar:
        task = bar.add_task("Rendering", total=len(dataset))
        manifest = write_synth(out, dataset, workers, jpeg, progress=lambda done: bar.update(task, completed=done))
    print(f"{dataset}: {len(manifest.shards)} shards in {out}. Read them with create_dataset('folder', '{out}').")
    return 0
