"""Clips on disk: a folder of frames and its ground truth each, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from occhand.data.record import DataError
from occhand.synth.clips import CLIP_KINDS, FPS, Clip
from occhand.synth.generate import GENERATOR_VERSION


def write_clips(
    out: Path, count: int, seed: int, frames: int, size: int, progress: Callable[[int], None] = lambda done: None
) -> list[Path]:
    """Write clips of every kind in turn: `NAME/00000.png ...` and `NAME/truth.npz`; those that are there already are kept.

    `truth.npz` holds `time_s` (frames,), `K` (3, 3), `side` (hands,), and for every frame and hand `joints` (frames, hands, 21, 3),
    `joints_img`, `vertices` and `hidden` (frames, hands, 21): behind the object, an arm or the other hand. Metres, camera frame, pixels.
    `generator` is the version that made it.

    Args:
        out: Made where it is missing.
        count: Of clips.
        seed: Of all.
        frames: Of each, at 30 a second.
        size: Height and width, pixels.
        progress: Called with the number of frames done, of all clips.

    Returns:
        Their folders.

    Raises:
        DataError: A folder holds the clip of another version of the generator.
    """
    out.mkdir(parents=True, exist_ok=True)
    folders = []
    for number in range(count):
        clip = Clip(seed, number, CLIP_KINDS[number % len(CLIP_KINDS)], frames, size)
        folder = out / f"{clip.name}-{frames}-{size}"
        folders.append(folder)
        if folder.exists():
            _check_generator(folder)
        else:
            _write_clip(clip, folder, progress, number * frames)
        progress((number + 1) * frames)
    return folders


def _check_generator(folder: Path) -> None:
    with np.load(folder / "truth.npz") as truth:
        found = str(truth["generator"]) if "generator" in truth else "of an earlier release"
    if found != GENERATOR_VERSION:
        raise DataError(
            f"{folder} holds a clip of generator {found}; this is generator {GENERATOR_VERSION}. Choose another folder, delete that "
            "one, or use the version of occhand that it was made with."
        )


def _write_clip(clip: Clip, folder: Path, progress: Callable[[int], None], done: int) -> None:
    beside = folder.with_name(f".{folder.name}")
    shutil.rmtree(beside, ignore_errors=True)  # of a run that was killed
    beside.mkdir()
    try:
        times, hands = [], []
        for k, frame in enumerate(clip):
            Image.fromarray(frame.image).save(beside / f"{k:05d}.png", compress_level=1)
            times.append(frame.time)
            hands.append(frame.hands)
            progress(done + k + 1)
        np.savez_compressed(
            beside / "truth.npz",
            generator=np.array(GENERATOR_VERSION),
            time_s=np.array(times),
            fps=np.array(FPS),
            K=clip.K,
            side=np.array([hand.side for hand in hands[0]]),
            joints=np.array([[hand.joints_cam for hand in both] for both in hands]),
            joints_img=np.array([[hand.joints_img for hand in both] for both in hands]),
            vertices=np.array([[hand.vertices_cam for hand in both] for both in hands], np.float32),
            hidden=np.array([[hand.joints_by_other for hand in both] for both in hands]),
        )
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
