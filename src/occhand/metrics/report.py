"""The report of an evaluation: its figures with all that names them, what was left out, the papers' rows beside, as JSON and Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import occhand
from occhand.metrics.figures import ALL, LISTED_OFFICIAL, OFFICIAL, PROPER, Figure
from occhand.metrics.papers import PaperRow
from occhand.types import EvaluationProtocol

SCHEMA_VERSION = 1
_SHOWN = 20
"""Rows of a long list in the Markdown; the JSON has all."""


@dataclass(frozen=True)
class SequenceErrors:
    """The mean errors of one recording."""

    name: str
    samples: int
    root_mpjpe_mm: float
    pa_mpjpe_mm: float

    @property
    def cells(self) -> tuple[str, ...]:
        """For a table."""
        return (self.name, f"{self.samples:,}", f"{self.pa_mpjpe_mm:.2f} mm", f"{self.root_mpjpe_mm:.2f} mm")


@dataclass(frozen=True)
class WorstSample:
    """A sample of large error."""

    key: str
    pa_mpjpe_mm: float
    root_mpjpe_mm: float
    picture: str = ""
    """File of its overlay, beside the report."""

    @property
    def cells(self) -> tuple[str, ...]:
        """For a table."""
        link = f"[picture]({self.picture})" if self.picture else ""
        return (self.key, f"{self.pa_mpjpe_mm:.2f} mm", f"{self.root_mpjpe_mm:.2f} mm", link)


@dataclass(frozen=True)
class EvaluationReport:
    """What came out. A partial evaluation says so in every form that it takes, and keeps its figures under another name."""

    subject: str
    data: str
    """Data set and split, `name/split`."""
    data_title: str
    protocol: EvaluationProtocol
    hand: str
    """`mano` or `open`; empty where predictions came from a file."""
    figures: tuple[Figure, ...]
    samples: int
    """Scored."""
    expected: int
    """Samples that the whole split has."""
    left_out: tuple[tuple[str, str], ...] = ()
    """(key, reason)."""
    warnings: tuple[str, ...] = ()
    """What the guard found in predictions that were scored all the same."""
    notes: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    """How the predictions came about."""
    papers: tuple[PaperRow, ...] = ()
    sequences: tuple[SequenceErrors, ...] = ()
    """The worst first."""
    worst: tuple[WorstSample, ...] = ()

    @property
    def is_partial(self) -> bool:
        """Whether samples of the split were not scored."""
        return self.samples < self.expected

    @property
    def status(self) -> str:
        """One line on how much of the split was scored."""
        count = f"{self.samples:,} of {self.expected:,} samples"
        return f"PARTIAL EVALUATION: {count}. No benchmark result." if self.is_partial else f"Whole split: {count}."

    @property
    def listed_alignment(self) -> str:
        """Of the PA-MPJPE of single samples and sequences; the figures of some benchmarks have both variants."""
        return OFFICIAL if self.protocol in LISTED_OFFICIAL else PROPER

    @property
    def is_comparable(self) -> bool:
        """Whether the papers' rows mean the same thing: the whole split, a MANO hand, nothing suspicious."""
        return not self.is_partial and self.hand != "open" and not self.warnings

    def figure(self, key: str, subset: str = ALL) -> Figure:
        """One figure.

        Raises:
            KeyError: There is none of this name.
        """
        for figure in self.figures:
            if (figure.key, figure.subset) == (key, subset):
                return figure
        raise KeyError(f"No figure {key!r} of {subset!r} here; there are {', '.join(sorted({one.key for one in self.figures}))}.")

    def record(self) -> dict[str, Any]:
        """The content of `report.json`. Figures of a partial evaluation stand under `partial_figures`, and `figures` is not there."""
        return {
            "schema": "occhand.evaluation",
            "schema_version": SCHEMA_VERSION,
            "occhand_version": occhand.__version__,
            "status": self.status,
            "partial": self.is_partial,
            "comparable_with_papers": self.is_comparable,
            "subject": self.subject,
            "hand": self.hand,
            "data": self.data,
            "protocol": self.protocol,
            "samples": {"scored": self.samples, "expected": self.expected, "left_out": len(self.left_out)},
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "settings": self.settings,
            "partial_figures" if self.is_partial else "figures": [figure.record() for figure in self.figures],
            "papers": [row.record() for row in self.papers],
            "listed_alignment": self.listed_alignment,
            "sequences": [asdict(sequence) for sequence in self.sequences],
            "worst": [asdict(sample) for sample in self.worst],
            "left_out": [{"key": key, "reason": reason} for key, reason in self.left_out],
        }

    def summary(self) -> str:
        """A few lines for the terminal."""
        lines = [f"{self.subject} on {self.data_title}", self.status, *(f"Suspicious: {warning}" for warning in self.warnings)]
        figures = self._of(ALL)
        width = max((len(figure.title) for figure in figures), default=0)
        partial = "  PARTIAL" if self.is_partial else ""
        lines += [f"  {one.title:{width}}  {one!s:>10}  {one.points}, {one.alignment}{partial}" for one in figures]
        if not figures:
            lines.append("  No sample has a truth here: nothing to score.")
        if figures and self.is_comparable:
            lines += [f"  {row.source}: {_row_text(row, figures)}" for row in self.papers]
        if self.left_out:
            key, reason = self.left_out[0]
            lines.append(f"{len(self.left_out)} samples were left out, the first is {key}: {reason}")
        return "\n".join(lines)

    def markdown(self) -> str:
        """The content of `report.md`."""
        partial = "PARTIAL: " if self.is_partial else ""
        listed = (f"PA-MPJPE ({'official' if self.protocol in LISTED_OFFICIAL else 'proper'})", "MPJPE root-relative")
        blocks = [
            f"# {partial}{self.subject} on {self.data_title}",
            f"**{self.status}**" if self.is_partial else self.status,
            *(f"**Suspicious predictions, scored all the same:** {warning}" for warning in self.warnings),
            *self._figure_tables(partial),
            *self._papers(),
            _section("Notes", [f"- {note}" for note in self.notes]),
            _section("How", [f"- {name}: {value}" for name, value in self.settings.items()]),
            _table("Sequences, the worst first", ("sequence", "samples", *listed), [one.cells for one in self.sequences]),
            _table("Worst samples", ("sample", *listed, "picture"), [one.cells for one in self.worst]),
            _table("Left out", ("sample", "reason"), list(self.left_out)),
            f"*{partial}occhand {occhand.__version__}, {self.protocol} protocol.*",
        ]
        return "\n\n".join(block for block in blocks if block) + "\n"

    def _figure_tables(self, partial: str) -> list[str]:
        """All samples in full; strata a row each."""
        header = (f"{partial}figure", "value", "points", "alignment", "samples", "name in the official script")
        whole = self._of(ALL)
        rows = [(one.title, str(one), one.points, one.alignment, f"{one.samples:,}", one.official) for one in whole]
        tables = [_table(f"{partial}Figures", header, rows, most=len(rows))]
        columns = [one for one in whole if not one.key.endswith("_median")]
        strata = [
            (subset, f"{self._of(subset)[0].samples:,}", *(str(self.figure(one.key, subset)) for one in columns))
            for subset in dict.fromkeys(figure.subset for figure in self.figures if figure.subset != ALL)
        ]
        titles = [f"{one.title} ({one.alignment})" for one in columns]
        return [*tables, _table(f"{partial}Figures by stratum", (f"{partial}stratum", "samples", *titles), strata)]

    def _of(self, subset: str) -> list[Figure]:
        return [figure for figure in self.figures if figure.subset == subset]

    def _papers(self) -> list[str]:
        """The printed rows beside this run, where they mean the same; else why they do not."""
        if not self.papers or not self.figures:
            return []
        if not self.is_comparable:
            reasons = {
                "only a part of the split was scored": self.is_partial,
                "the hand is the open one, not MANO": self.hand == "open",
                "the predictions are suspicious": bool(self.warnings),
            }
            because = " and ".join(reason for reason, is_so in reasons.items() if is_so)
            return [f"## Beside the papers\n\nNot comparable: {because}. The papers' rows are in the JSON."]
        keys = [figure.key for figure in self._of(ALL) if any(figure.key in row.values for row in self.papers)]
        here = {figure.key: figure for figure in self._of(ALL)}
        rows = [(f"**{self.subject}**", *(f"**{here[key]}**" for key in keys), "this run")]
        for row in self.papers:
            cells = [_printed(row.values.get(key, math.nan), here[key]) for key in keys]
            rows.append((row.method, *cells, f"{row.source}. {row.remark}".strip()))
        titles = [f"{here[key].title} ({here[key].alignment})" for key in keys]
        return [_table("Beside the papers", ("method", *titles, "source"), rows)]


def _printed(value: float, like: Figure) -> str:
    """A printed number in the form of ours."""
    if math.isnan(value):
        return ""
    return f"{value:g} mm" if like.unit == "mm" else f"{value:.3f}"


def _row_text(row: PaperRow, figures: Sequence[Figure]) -> str:
    """A printed row in one line."""
    cells = [f"{one.title} {_printed(row.values[one.key], one)}" for one in figures if one.key in row.values]
    return f"{row.method} {', '.join(cells)}"


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *lines]) if lines else ""


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], most: int = _SHOWN) -> str:
    """A Markdown table under a heading; nothing without rows."""
    if not rows:
        return ""
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (header, *rows[:most])]
    lines.insert(1, "|" + "---|" * len(header))
    rest = [f"\n... and {len(rows) - most:,} more, in the JSON."] if len(rows) > most else []
    return "\n".join([f"## {title}", "", *lines, *rest])
