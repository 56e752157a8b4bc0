"""What a run gathers: scores hand by hand, and a few hands to look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from occhand.stress.clips import ClipScores
from occhand.stress.scores import MEASURES, Predicted
from occhand.stress.trial import Trial


@dataclass
class Table:
    """One subject under one condition, a row per hand."""

    keys: list[str] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """Measured occlusion; NaN where it is not known."""
    occluders: list[str] = field(default_factory=list)
    """See `main_occluder`; empty for perturbed hands."""
    hidden_shares: list[float] = field(default_factory=list)
    """Of the joints."""
    scores: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MEASURES})

    def add(self, trials: Sequence[Trial], scores: dict[str, Float[np.ndarray, "B"]], occluders: Sequence[str] = ()) -> None:
        self.keys += [trial.sample.key for trial in trials]
        self.ratios += [trial.ratio for trial in trials]
        self.occluders += occluders
        self.hidden_shares += [float(trial.is_hidden.mean()) for trial in trials]
        for name, values in scores.items():
            self.scores[name] += values.tolist()

    def __len__(self) -> int:
        return len(self.keys)

    def column(self, measure: str) -> Float[np.ndarray, "n"]:
        return np.array(self.scores[measure], dtype=np.float64)

    @property
    def ratio(self) -> Float[np.ndarray, "n"]:
        return np.array(self.ratios, dtype=np.float64)


@dataclass(frozen=True)
class WorstHand:
    """A hand to look at."""

    pa_mpjpe_mm: float
    trial: Trial
    predicted: Predicted
    """One row."""


@dataclass
class StressResult:
    """Everything that a report is made from. The first subject is the one under test, the others are baselines."""

    name: str
    data_name: str
    subjects: list[str]
    faces: Int[np.ndarray, "1538 3"]
    """Of a right hand."""
    base: dict[str, Table] = field(default_factory=lambda: defaultdict(Table))
    """By subject, the samples as they are."""
    families: dict[str, dict[float, dict[str, Table]]] = field(default_factory=dict)
    """By family, level, subject."""
    flips: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By subject, mm between a hand and the mirrored-back prediction of its mirrored picture."""
    worst: list[WorstHand] = field(default_factory=list)
    examples: dict[str, list[Trial]] = field(default_factory=lambda: defaultdict(list))
    is_rendered: bool = True
    perturbed: int = 0
    """Hands that went through the families."""
    clips: list[ClipScores] = field(default_factory=list)
    """Hands in motion."""
    notes: list[str] = field(default_factory=list)

    @property
    def hands(self) -> int:
        return len(self.base[self.name])

    def table(self, family: str, level: float, subject: str) -> Table:
        return self.families.setdefault(family, {}).setdefault(level, {}).setdefault(subject, Table())

    def at_rest(self, subject: str) -> Table:
        """The unperturbed scores of the hands that went through the families."""
        base, n = self.base[subject], self.perturbed
        scores = {name: values[:n] for name, values in base.scores.items()}
        return Table(base.keys[:n], base.ratios[:n], base.occluders[:n], base.hidden_shares[:n], scores)
