"""Which samples open-test has: the first of its seed that fill each stratum of occlusion."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

import occhand.synth.dataset
from occhand.files import atomic_path
from occhand.synth.dataset import CHOSEN_FILE, OCCLUSION_STRATA, SPLITS
from occhand.synth.generate import GENERATOR_VERSION
from occhand.types import HandSample
from tools.open_data.scan import scan

SIZE = 256
"""Pixels at which the occlusion ratio is measured."""
MOST_SEEN = 200_000
"""Samples after which a stratum that is not full is a fault of the generator."""


def choose(ratios: Iterable[tuple[int, float]], per_stratum: int) -> list[int]:
    """Indices that fill each stratum, in the order of the strata: the first of each, then the second of each, ...

    Args:
        ratios: Index and occlusion ratio of samples, in order; read only as far as needed.
        per_stratum: Samples in each.

    Raises:
        ValueError: The samples ended before.
    """
    strata: list[list[int]] = [[] for _ in OCCLUSION_STRATA[1:]]
    for index, ratio in ratios:
        stratum = int(np.searchsorted(OCCLUSION_STRATA, ratio, side="right")) - 1
        if stratum < len(strata) and len(strata[stratum]) < per_stratum:
            strata[stratum].append(index)
        if all(len(stratum) == per_stratum for stratum in strata):
            return list(chain.from_iterable(zip(*strata, strict=True)))
    raise ValueError(f"Strata {OCCLUSION_STRATA} hold {[len(stratum) for stratum in strata]} samples, expected {per_stratum} each.")


def write_choice(workers: int) -> None:
    """Scan the generator and write the choice into the package."""
    seed, count = SPLITS["open-test"]
    ratios = scan(seed, range(MOST_SEEN), SIZE, workers, occlusion_ratio)
    indices = choose(ratios, count // (len(OCCLUSION_STRATA) - 1))
    path = Path(occhand.synth.dataset.__file__).with_name(CHOSEN_FILE)
    content = {"generator": GENERATOR_VERSION, "seed": seed, "size": SIZE, "strata": OCCLUSION_STRATA, "indices": indices}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(f"{len(indices)} of the first {max(indices) + 1} samples of seed {seed} -> {path}")


def occlusion_ratio(sample: HandSample) -> float:
    """Of a generated sample."""
    assert sample.occlusion is not None
    return sample.occlusion.ratio
