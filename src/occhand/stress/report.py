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
    """Write `stress.json`, `curves-*.png` and `stress.html` into a folder; other curves of an earlier run are removed at the end."""
    report = make_report(result, seed, draws)
    charts = draw_figures(report)
    pictures = {out / f"curves-{name.replace('_', '-')}.png": figure for name, figure in charts.items()}
    for path, figure in pictures.items():
        with atomic_path(path) as temporary:
            figure.png().save(temporary)
    write_json(out / "stress.json", report.record())
    with atomic_path(out / "stress.html") as temporary:
        temporary.write_text(page(report, charts), encoding="utf-8")
    for earlier in set(out.glob("curves-*.png")) - pictures.keys():
        earlier.unlink()
