"""From scores hand by hand to every figure and chart of a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import occhand
from occhand.stress.charts import COLOURS, HIDDEN, OCCLUDER_COLOURS, VISIBLE, family_chart, occlusion_chart
from occhand.stress.curves import Curve, Summary, bin_members, running_median, summarize
from occhand.stress.families import FAMILIES
from occhand.stress.plot import Figure
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
    """Every figure of a run."""

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
    charts: dict[str, Figure] = field(default_factory=dict)

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
            "measures": {name: vars(measure) for name, measure in MEASURES.items()},
            "strata": {subject: {stratum.name: _stratum_record(stratum) for stratum in strata} for subject, strata in self.strata.items()},
            "curves": {
                subject: {name: curve.record() for name, curve in curves.items() if len(curve.median)}
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
            "flip_difference_mm": {subject: summary.record() for subject, summary in self.flips.items()},
            "hands": [
                {"key": key, "occlusion": _number(ratio), "occluder": occluder or None}
                | {subject: {name: _number(table.scores[name][row]) for name in MEASURES} for subject, table in result.base.items()}
                for row, (key, ratio, occluder) in enumerate(zip(base.keys, base.ratios, base.occluders, strict=True))
            ],
        }


def make_report(result: StressResult, seed: int, draws: int) -> Report:
    """Sum the scores up and draw the charts."""
    rng = np.random.default_rng(seed)

    def measures(table: Table, members: np.ndarray | slice = slice(None)) -> dict[str, Summary]:
        return {name: summarize(table.column(name)[members], rng, draws) for name in MEASURES}

    strata = {}
    for subject, table in result.base.items():
        hidden = np.array(table.hidden_shares)
        bins = [
            Stratum(name, hidden[members].mean(), measures(table, members)) for name, members in bin_members(table.ratio) if members.any()
        ]
        strata[subject] = [*bins, Stratum("all", hidden.mean(), measures(table))]
    curves = {
        subject: {name: running_median(table.ratio, table.column(name), rng, draws) for name in MEASURES}
        for subject, table in result.base.items()
    }
    base = result.base[result.name]
    occluders = {}
    for name in OCCLUDER_COLOURS:
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
    report = Report(result, seed, strata, curves, occluders, families, flips)
    report.charts.update(_draw_charts(report))
    return report


def _draw_charts(report: Report) -> dict[str, Figure]:
    result, charts = report.result, {}
    kind = "synthetic" if result.is_rendered else "real"
    facts = f"median over n = {result.hands} {kind} hands, 95 % interval"
    by_subject = {subject: (report.curves[subject]["pa_mpjpe"], colour) for subject, colour in zip(result.subjects, COLOURS, strict=False)}
    base = result.base[result.name]
    if len(by_subject[result.name][0].median) > 1:
        dots = (base.ratio, base.column("pa_mpjpe"))
        charts["occlusion"] = occlusion_chart(
            "Error against occlusion", f"PA-MPJPE, mm · {facts} · dots: {result.name}", by_subject, (1124.0, 400.0), dots
        )
        parts = {"hidden joints": ("pa_mpjpe_hidden", HIDDEN), "visible joints": ("pa_mpjpe_visible", VISIBLE)}
        split = {name: (report.curves[result.name][key], colour) for name, (key, colour) in parts.items()}
        if all(len(curve.median) > 1 for curve, _ in split.values()):
            charts["visible_hidden"] = occlusion_chart(
                f"What is seen and what is not: {result.name}", f"PA-MPJPE, mm · aligned on all joints · {facts}", split
            )
        root = {
            subject: (report.curves[subject]["root_relative_mpjpe"], colour)
            for subject, colour in zip(result.subjects, COLOURS, strict=False)
        }
        charts["root_relative"] = occlusion_chart("Direction and size count too", f"MPJPE root-relative, mm · {facts}", root)
    groups = {name: (curve, OCCLUDER_COLOURS[name]) for name, curve in report.occluders.items() if len(curve.median) > 1}
    if len(groups) > 1:
        charts["occluders"] = occlusion_chart(
            f"What hides the hand: {result.name}", "PA-MPJPE, mm · hands grouped by what hides most joints", groups
        )
    mean_pose = next(stratum for stratum in report.strata["mean pose"] if stratum.name == "all").measures["pa_mpjpe"].median
    for name, by_subject_rows in report.families.items():
        levels = [level for level, _, _ in next(iter(by_subject_rows.values()))]
        colours = dict(zip(result.subjects, COLOURS, strict=False))
        rows = {subject: ([measures["pa_mpjpe"] for _, _, measures in row], colours[subject]) for subject, row in by_subject_rows.items()}
        charts[f"family_{name}"] = family_chart(FAMILIES[name], levels, rows, mean_pose)
    return charts


def _stratum_record(stratum: Stratum) -> dict[str, Any]:
    measures = {name: summary.record() for name, summary in stratum.measures.items()}
    return {"hidden_share": stratum.hidden_share, "measures": measures}


def _median(ratios: np.ndarray) -> float | None:
    known = ratios[~np.isnan(ratios)]
    return float(np.median(known)) if len(known) else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
