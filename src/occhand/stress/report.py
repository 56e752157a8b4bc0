"""A run's files: `stress.json`, PNG curves and the page; each appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

from occhand.files import atomic_path
from occhand.result import write_json
from occhand.stress.figures import draw_figures
from occhand.stress.page import page
from occhand.stress.summary import make_report
from occhand.stress.table import StressResult


def write_report(result: StressResult, seed: int, draws: int, out: Path) -> None:
    """Write `stress.json`, `curves-*.png` and `stress.html` into a folder; curves of an earlier run are removed."""
    report = make_report(result, seed, draws)
    charts = draw_figures(report)
    for old in out.glob("curves-*.png"):
        old.unlink()
    for name, figure in charts.items():
        with atomic_path(out / f"curves-{name.replace('_', '-')}.png") as temporary:
            figure.png().save(temporary)
    write_json(out / "stress.json", report.record())
    with atomic_path(out / "stress.html") as temporary:
        temporary.write_text(page(report, charts), encoding="utf-8")
