"""The papers' ablation tables again, at equal budget on generated hands: each row a narrow twin of its preset, trained like the others.

What comes out compares rows with each other. It is not the paper's experiment: other pictures, another hand, a narrow network, a short run.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from occhand import __version__
from occhand.files import atomic_path
from occhand.metrics.papers import paper_rows
from occhand.recipes import RECIPES, Recipe, ReleasedLoss
from occhand.run_folder import LOG
from occhand.train import train
from occhand.training_data import RunOptions, open_training, open_validation

REPORT = "ablation"
_T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Student's t for 95 % with 1, 2, ... degrees of freedom."""


@dataclass(frozen=True)
class Table:
    """Which presets stand in a table of a paper, by the name of their row."""

    title: str
    rows: dict[str, str]


TABLES = {
    "handoccnet-1": Table(
        "HandOccNet, Table 1: what FIT and SET are worth",
        {
            "identity": "handoccnet-identity",
            "residual blocks": "handoccnet-residual-blocks",
            "FIT only": "handoccnet-fit-only",
            "SET only": "handoccnet-set-only",
            "FIT + SET": "handoccnet",
        },
    ),
    "handoccnet-2": Table(
        "HandOccNet, Table 2: attention in FIT",
        {"softmax": "handoccnet-softmax", "softmax + softmax": "handoccnet-softmax-softmax", "softmax + sigmoid": "handoccnet"},
    ),
    "handoccnet-3": Table(
        "HandOccNet, Table 3: residual in FIT",
        {"q_soft": "handoccnet-residual-q-soft", "q_sig": "handoccnet-residual-q-sig", "none": "handoccnet"},
    ),
    "handoccnet-4": Table(
        "HandOccNet, Table 4: what follows FIT",
        {
            "identity": "handoccnet-fit-only",
            "residual blocks": "handoccnet-set-residual-blocks",
            "two SETs": "handoccnet-two-sets",
            "SET": "handoccnet",
        },
    ),
    "handgcat-4": Table(
        "HandGCAT, Table IV: KGC",
        {"MLP": "handgcat-kgc-mlp"} | {f"{k} layers": f"handgcat-kgc-{k}" for k in (1, 2, 3, 5)} | {"4 layers": "handgcat"},
    ),
    "handgcat-5": Table(
        "HandGCAT, Table V: CAT",
        {
            "plain transformers": "handgcat-plain-transformers",
            "1 block": "handgcat-cat-1",
            "2 blocks": "handgcat",
            "3 blocks": "handgcat-cat-3",
        },
    ),
}


@dataclass(frozen=True)
class Budget:
    """What every row gets; the defaults are for an hour or two on a CPU. On a GPU: 200000 samples, 10 epochs, 5 seeds."""

    samples: int = 5_000
    """Hands to train on, the same for all rows."""
    epochs: float = 2.0
    seeds: int = 2
    batch: int = 32
    val_samples: int = 500
    workers: int = 1
    """Processes that prepare crops."""


@dataclass(frozen=True)
class RowResult:
    """A row's held-out errors, one per seed, and its network's size."""

    row: str
    preset: str
    pa_mpjpe_mm: tuple[float, ...]

    @property
    def paper_mm(self) -> float | None:
        """What the paper prints for the row, where this package knows it: for the whole network, on HO-3D v2."""
        printed = {row.method.lower(): row.values["pa_mpjpe"] for row in paper_rows("ho3d_v2/evaluation")}
        return printed.get(self.preset)

    @property
    def interval(self) -> float | None:
        """Half of the 95 % interval of the mean over seeds, mm; None for a single seed."""
        n = len(self.pa_mpjpe_mm)
        return _T_95[min(n - 2, len(_T_95) - 1)] * stdev(self.pa_mpjpe_mm) / math.sqrt(n) if n > 1 else None

    @property
    def cells(self) -> tuple[str, ...]:
        """For a table."""
        spread = "" if self.interval is None else f" ± {self.interval:.2f}"
        return (
            self.row,
            f"`{self.preset}`",
            f"{mean(self.pa_mpjpe_mm):.2f}{spread}",
            ", ".join(f"{error:.2f}" for error in self.pa_mpjpe_mm),
            "not here" if self.paper_mm is None else f"{self.paper_mm:.1f}",
        )


def ablate(
    table: str, data: str, out: Path, budget: Budget = Budget(), progress: Callable[[str], None] = lambda line: None
) -> tuple[RowResult, ...]:
    """Train a table's rows and write `ablation.md` and `ablation.json`; rows that were trained before, with the same budget, are kept.

    Args:
        table: A key of `TABLES`.
        data: Folder of shards that `occhand synth` wrote, or open-train.
        out: Folder; one below it per row and seed.
        budget: Of each row.
        progress: Told of each run before it starts.

    Raises:
        ValueError: Unknown table, a budget of nothing, or of more than the data hold; else as `train`.
    """
    if table not in TABLES:
        near = difflib.get_close_matches(table, TABLES, n=3, cutoff=0.4) or list(TABLES)
        raise ValueError(f"Unknown table {table!r}; near: {', '.join(near)}.")
    if min(budget.samples, budget.seeds, budget.batch, budget.val_samples) < 1 or budget.epochs <= 0:
        raise ValueError("A budget needs at least one sample, one seed, a batch of one, one sample to validate on, and a part of an epoch.")
    _check_data(next(iter(TABLES[table].rows.values())), data, budget)
    results = []
    for row, preset in TABLES[table].rows.items():
        errors = []
        for seed in range(budget.seeds):
            progress(f"{row}, seed {seed + 1} of {budget.seeds}")
            errors.append(_train_row(preset, data, out / f"{preset}-{seed}", budget, seed))
        results.append(RowResult(row, preset, tuple(errors)))
    _write(table, data, out, budget, results)
    return tuple(results)


def row_recipe(preset: str, budget: Budget) -> Recipe:
    """How a row is trained: the released loss, at the rate and schedule of the small open models, on the preset's narrow twin."""
    return replace(
        RECIPES["handoccnet-open-s"], model=f"{preset}-s", loss=ReleasedLoss(), epochs=budget.epochs, batch=budget.batch, ema=None
    )


def _train_row(preset: str, data: str, out: Path, budget: Budget, seed: int) -> float:
    """The last validation error of a run, mm; a finished one is not run again, one of another budget or other data is refused."""
    train(row_recipe(preset, budget), data, out, _options(budget, seed), resume=True)
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    return float([line["val/pa_mpjpe_mm"] for line in lines if "val/pa_mpjpe_mm" in line][-1])


def _options(budget: Budget, seed: int = 0) -> RunOptions:
    return RunOptions(seed=seed, samples=budget.samples, val_samples=budget.val_samples, workers=budget.workers, validate_every=1_000_000)


def _check_data(preset: str, data: str, budget: Budget) -> None:
    """A run takes what there is; a table says what its rows took."""
    recipe, options = row_recipe(preset, budget), _options(budget)
    held_out = open_validation(recipe, data, options)
    found = len(open_training(recipe, data, options)), 0 if held_out is None else len(held_out)
    if found != (budget.samples, budget.val_samples):
        raise ValueError(
            f"The data hold {found[0]} hands to train on and {found[1]} to validate on, the budget asks for {budget.samples} and "
            f"{budget.val_samples}. Write more with 'occhand synth', or ask for as many (--samples, --val-samples)."
        )


def _write(table: str, data: str, out: Path, budget: Budget, results: list[RowResult]) -> None:
    """Both files; each appears whole."""
    record: dict[str, Any] = {
        "table": table,
        "data": data,
        "version": __version__,
        "budget": asdict(budget),
        "rows": [asdict(result) | {"interval_mm": result.interval, "paper_mm": result.paper_mm} for result in results],
    }
    head = ("row", "preset (its narrow twin)", "PA-MPJPE, mm, mean ± 95 %", "each seed", "paper, HO-3D v2, mm")
    lines = [
        f"# {TABLES[table].title}",
        "",
        f"{budget.samples} generated hands, {budget.epochs:g} epochs, {budget.seeds} seeds, batch {budget.batch}; "
        f"{budget.val_samples} held out.",
        "Narrow networks, generated hands, a short run: rows compare with each other, not with the paper's figures.",
        "Of these only the whole network's, from the paper's main table, is in this package; the other rows stand in the paper.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(result.cells) + " |" for result in results),
    ]
    for name, text in ((f"{REPORT}.json", json.dumps(record, indent=1)), (f"{REPORT}.md", "\n".join(lines))):
        with atomic_path(out / name) as temporary:
            temporary.write_text(text + "\n")
