"""Generated samples as data sets, and the fixed splits.

Nothing is stored: a sample is a function of seed, index, size and the generator's version, whichever process makes it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from torch.utils.data import Dataset

from occhand.synth.generate import GENERATOR_VERSION, generate_sample
from occhand.types import HandSample

OCCLUSION_STRATA = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Edges of the occlusion ratios that `open-test` holds equally many samples of, each edge with the stratum above it."""
SPLITS = {"open-train": (1001, 200_000), "open-val": (1002, 1_000), "open-test": (1003, 2_000)}
"""Seed and number of samples."""
CHOSEN_FILE = "open-test.json"
"""Which indices `open-test` has, beside this file; `python -m tools.open_data choose` writes it."""


class SynthDataset(Dataset[HandSample]):
    """Samples made when they are asked for, in any number of loader workers.

    Args:
        seed: Of the generator.
        indices: Of the samples, in order: `range(n)` for the first n.
        size: Side of the pictures, pixels.
        name: Of the split; empty for one of your own.
    """

    def __init__(self, seed: int, indices: Sequence[int], size: int = 256, name: str = "") -> None:
        self.seed, self.indices, self.size, self.name = seed, indices, size, name
        self.version = GENERATOR_VERSION

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> HandSample:
        return generate_sample(self.seed, self.indices[place], self.size)

    def __iter__(self) -> Iterator[HandSample]:
        return (self[place] for place in range(len(self)))

    def __str__(self) -> str:
        return f"{self.name or 'synthetic'} (seed {self.seed}, {len(self)} samples, generator {self.version})"


def load_split(name: str, size: int = 256) -> SynthDataset:
    """A fixed split by name.

    `open-train` and `open-val` are the first samples of their seeds. `open-test` has as many samples of each of `OCCLUSION_STRATA`; they
    take turns, so its beginning is stratified too. The ratios were measured at 256 pixels; at other sizes single ones differ by a little.

    Args:
        name: One of `SPLITS`.
        size: Side of the pictures, pixels.

    Raises:
        ValueError: Unknown name, or `open-test` was chosen with another version of the generator.
    """
    if name not in SPLITS:
        near = difflib.get_close_matches(name, SPLITS, n=3, cutoff=0.4) or list(SPLITS)
        raise ValueError(f"Unknown split {name!r}; near: {', '.join(near)}.")
    seed, count = SPLITS[name]
    indices = _chosen_indices(seed) if name == "open-test" else range(count)
    return SynthDataset(seed, indices, size, name)


def _chosen_indices(seed: int) -> list[int]:
    chosen: dict[str, Any] = json.loads(resources.files("occhand.synth").joinpath(CHOSEN_FILE).read_text())
    if (chosen["generator"], chosen["seed"]) != (GENERATOR_VERSION, seed):
        raise ValueError(
            f"open-test was chosen with generator {chosen['generator']}, seed {chosen['seed']}; this is generator {GENERATOR_VERSION}, "
            f"seed {seed}. Install a released version, or run 'python -m tools.open_data choose' in the sources."
        )
    return chosen["indices"]
