"""From scores hand by hand to every number of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import occhand
from occhand.stress.clips import clips_record
from occhand.stress.curves import Curve, Summary, bin_members, rounded, running_median, summarize
from occhand.stress.families import FAMILIES
from occhand.stress.scores import MEASURES
from occhand.stress.table import StressResult, Table

SCHEMA_VERSION = 1
_MIN_GROUP = 15
"""Hands of one occluder that make a curve."""


@dataclass(frozen=True)
class Stratum:
    """Hands of like occlusion."""

    name: str
    hidden_share: float
    """Of the joints."""
    measures: dict[str, Summary]


@dataclass(frozen=True)
class Report:
    """Every number of a run, the hands one by one left in `result`."""

    result: StressResult
    seed: int
    strata: dict[str, list[Stratum]]
    """By subject; the last one holds all hands."""
    curves: dict[str, dict[str, Curve]]
    """By subject and measure, over the measured occlusion."""
    occluders: dict[str, Curve]
    """By what hides most, PA-MPJPE of the subject under test."""
    families: dict[str, dict[str, list[tuple[float, float | None, dict[str, Summary]]]]]
    """By family and subject: level, median measured occlusion, measures; the unperturbed level among them."""
    flips: dict[str, Summary]

    def record(self) -> dict[str, Any]:
        """The content of `stress.json`."""
        result = self.result
        base = result.base[result.name]
        return {
            "schema": "occhand.stress",
            "schema_version": SCHEMA_VERSION,
            "occhand_version": occhand.__version__,
            "subject": result.name,
            "data": {"name": result.data_name, "hands": result.hands, "synthetic": result.is_rendered},
            "seed": self.seed,
            "notes": result.notes,
            "measures": {name: vars(measure) | {"tail_percentile": measure.tail_percentile} for name, measure in MEASURES.items()},
            "strata": {subject: {stratum.name: _stratum_record(stratum) for stratum in strata} for subject, strata in self.strata.items()},
            "curves": {
                subject: {name: _curve_record(name, curve) for name, curve in curves.items() if len(curve.median)}
                for subject, curves in self.curves.items()
            },
            "occluders": {name: curve.record() for name, curve in self.occluders.items()},
            "families": {
                name: {
                    subject: [
                        {"level": level, "occlusion": ratio, "measures": {key: one.record() for key, one in measures.items()}}
                        for level, ratio, measures in rows
                    ]
                    for subject, rows in by_subject.items()
                }
                for name, by_subject in self.families.items()
            },
            "clips": clips_record(result.clips) if result.clips else None,
            "flip_difference_mm": {subject: summary.record() for subject, summary in self.flips.items()},
            "hands": [
                {"key": key, "occlusion": rounded(ratio), "occluder": occluder or None}
                | {subject: {name: rounded(table.scores[name][row]) for name in MEASURES} for subject, table in result.base.items()}
                for row, (key, ratio, occluder) in enumerate(zip(base.keys, base.ratios, base.occluders, strict=True))
            ],
        }


def make_report(result: StressResult, seed: int, draws: int) -> Report:
    """Sum the scores up."""
    rng = np.random.default_rng(seed)

    def measures(table: Table, members: np.ndarray | slice = slice(None)) -> dict[str, Summary]:
        return {name: summarize(table.column(name)[members], rng, draws, measure.tail_percentile) for name, measure in MEASURES.items()}

    strata = {}
    for subject, table in result.base.items():
        hidden = np.array(table.hidden_shares)
        bins = [
            Stratum(name, hidden[members].mean(), measures(table, members)) for name, members in bin_members(table.ratio) if members.any()
        ]
        strata[subject] = [*bins, Stratum("all", hidden.mean(), measures(table))]
    curves = {
        subject: {
            name: running_median(table.ratio, table.column(name), rng, draws, measure.tail_percentile) for name, measure in MEASURES.items()
        }
        for subject, table in result.base.items()
    }
    base = result.base[result.name]
    occluders = {}
    for name in sorted(set(base.occluders) - {""}):
        members = np.array(base.occluders) == name
        if members.sum() >= _MIN_GROUP:
            occluders[name] = running_median(base.ratio[members], base.column("pa_mpjpe")[members], rng, draws)
    families: dict[str, dict[str, list[tuple[float, float | None, dict[str, Summary]]]]] = {}
    for family, levels in result.families.items():
        for subject in next(iter(levels.values())):
            tables = {level: by_subject[subject] for level, by_subject in levels.items()}
            tables[FAMILIES[family].rest] = result.at_rest(subject)
            families.setdefault(family, {})[subject] = [
                (level, _median(tables[level].ratio), measures(tables[level])) for level in sorted(tables)
            ]
    flips = {subject: summarize(np.array(values), rng, draws) for subject, values in result.flips.items()}
    return Report(result, seed, strata, curves, occluders, families, flips)


def _curve_record(measure: str, curve: Curve) -> dict[str, Any]:
    # A share that doubles is good news, and no measure of robustness.
    return curve.record() if MEASURES[measure].unit == "mm" else {k: v for k, v in curve.record().items() if k != "doubled_at"}


def _stratum_record(stratum: Stratum) -> dict[str, Any]:
    measures = {name: summary.record() for name, summary in stratum.measures.items()}
    return {"hidden_share": stratum.hidden_share, "measures": measures}


def _median(ratios: np.ndarray) -> float | None:
    known = ratios[~np.isnan(ratios)]
    return float(np.median(known)) if len(known) else None
