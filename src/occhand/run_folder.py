"""The folder of a training run: what it was asked for, how it goes, and its last state.

`config.json` and `data.json` say what was trained on what, `log.jsonl` and `tensorboard/` how it went, `last.ckpt` is where it goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch

from occhand.broken_files import BROKEN_JSON
from occhand.data.datasets import HandDataset
from occhand.data.folder import FolderDataset
from occhand.data.index import IndexedDataset
from occhand.data.loader import FirstSamples
from occhand.files import atomic_path, remove_leftovers

CHECKPOINT, BEST, FINAL = "last.ckpt", "best.safetensors", "final.safetensors"
CONFIG, DATA, LOG, TENSORBOARD = "config.json", "data.json", "log.jsonl", "tensorboard"


def data_manifest(dataset: HandDataset) -> dict[str, Any]:
    """What a data set holds, as plain values: enough to tell another one from it."""
    manifest: dict[str, Any] = {"dataset": str(dataset), "samples": len(dataset)}
    whole = dataset.dataset if isinstance(dataset, FirstSamples) else dataset
    if isinstance(whole, FolderDataset):
        manifest["shards"] = {shard.name: shard.sha256 for shard in whole.manifest.shards}
    elif isinstance(whole, IndexedDataset):
        manifest["keys_sha256"] = hashlib.sha256("\n".join(whole.index.keys).encode()).hexdigest()
    return manifest


def begin_run(out: Path, config: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Write what is asked for.

    Raises:
        ValueError: The folder holds a run already, or files of something else under our names.
    """
    if (out / CHECKPOINT).exists() or (out / FINAL).exists():
        raise ValueError(f"{out} holds a run already. Go on with it (--resume), or give another folder (--out).")
    in_the_way = [name for name in (CONFIG, DATA, LOG, BEST) if (out / name).exists()]
    if in_the_way and not _is_config(out / CONFIG):
        raise ValueError(f"{out} holds a {in_the_way[0]} that is of no training run. Give another folder (--out).")
    for name in (LOG, BEST):  # of a run that was stopped before its first checkpoint
        (out / name).unlink(missing_ok=True)
    for name, values in ((CONFIG, config), (DATA, manifest)):
        with atomic_path(out / name) as temporary:
            temporary.write_text(json.dumps(values, indent=1) + "\n")


def _is_config(path: Path) -> bool:
    """Whether `begin_run` wrote it."""
    try:
        found = json.loads(path.read_text())
    except BROKEN_JSON:
        return False
    return isinstance(found, dict) and {"version", "recipe", "network", "run"} <= found.keys()


def check_same_run(out: Path, config: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Whether the run in a folder is the one that is asked for.

    Raises:
        ValueError: Another recipe, other options or other data; what differs.
    """
    different = []
    for name, asked in ((CONFIG, config), (DATA, manifest)):
        try:
            found = json.loads((out / name).read_text())
        except BROKEN_JSON as error:
            raise ValueError(
                f"{out / name} cannot be read ({error}), so the run cannot be resumed. Start again in another folder."
            ) from None
        asked = json.loads(json.dumps(asked))
        different += [f"{where} was {_short(old)}, now {_short(new)}" for where, old, new in _differences(found, asked, "")]
    if different:
        more = f"; and {len(different) - 8} more" if len(different) > 8 else ""
        raise ValueError(
            f"The run in {out} was started otherwise: {'; '.join(different[:8])}{more}. Ask for the same, or start in another folder."
        )


def save_state(path: Path, state: dict[str, Any], step: int) -> None:
    """Write a training state; it appears whole or the one before stays.

    Raises:
        OSError: It cannot be written.
    """
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
    except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
        reason = " ".join(str(error).split())[:200]
        kept = "the one before it is whole" if path.exists() else "there was none before"
        raise OSError(
            f"The checkpoint of step {step} could not be written to {path} ({reason}); {kept}. Free space, then --resume."
        ) from error


def load_state(path: Path) -> dict[str, Any]:
    """A training state; nothing in the file is run.

    Raises:
        ValueError: Cut, foreign or hostile.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise TypeError(f"it holds a {type(state).__name__}")
    except Exception as error:  # torch raises many kinds for a file that is cut, foreign or hostile
        reason = " ".join(str(error).split()).partition(". ")[0][:200]  # the next sentence may advise to load it unsafely
        raise ValueError(
            f"{path} is no checkpoint that can be read without running code ({reason}). Start again in another folder."
        ) from error
    return state


class RunLog:
    """Figures of a run, as lines of JSON and for TensorBoard; what was written after `step`, or was cut short by a kill, is taken back."""

    def __init__(self, out: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for name in (CHECKPOINT, BEST, FINAL, LOG):  # of a run that was killed while it wrote
            remove_leftovers(out, name)
        self._path = out / LOG
        lines = self._path.read_text(errors="replace").splitlines() if self._path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept))
        self._board = SummaryWriter(out / TENSORBOARD, purge_step=step + 1)

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Add a line."""
        with self._path.open("a") as stream:
            stream.write(json.dumps({"step": step} | {name: float(f"{value:.6g}") for name, value in figures.items()}) + "\n")
        for name, value in figures.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what TensorBoard still holds."""
        self._board.close()


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except BROKEN_JSON:  # a line cut short when the run was killed
        return float("inf")


def _differences(old: Any, new: Any, where: str) -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in old | new:
            found += _differences(old.get(key, "absent"), new.get(key, "absent"), f"{where}.{key}" if where else key)
        return found
    return [] if old == new else [(where, old, new)]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
