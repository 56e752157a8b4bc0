"""`occhand train` and `occhand ablate`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from occhand.ablate import Budget
from occhand.ablate import ablate as run_ablation
from occhand.cli.console import progress_bar
from occhand.dry_run import forecast
from occhand.recipes import find_recipe
from occhand.train import train as run_training
from occhand.training_data import RunOptions


def train(
    recipe: Positional[str],
    data: str,
    options: Annotated[RunOptions, arg(name="")],
    out: Path | None = None,
    resume: bool = False,
    dry_run: bool = False,
    epochs: float | None = None,
    batch: int | None = None,
    lr: float | None = None,
) -> int:
    """Train a network by a recipe; killed at any moment, it goes on with --resume. On several devices: torchrun or srun occhand train ...

    Args:
        recipe: What is trained how: handoccnet-ho3d-v2, handgcat-dexycb, handgcat-open-s, ...; an unknown name lists the near ones.
        data: Root of the data set; for the open recipes a folder of shards that 'occhand synth' wrote.
        options: Of the run.
        out: Folder of the run; without it runs/RECIPE.
        resume: Go on from the last checkpoint, if there is one.
        dry_run: Say how many steps, how much memory and, from ten measured steps, how long; write nothing.
        epochs: Instead of the recipe's; parts of one too.
        batch: Crops per process and pass, instead of the recipe's.
        lr: Learning rate, instead of the recipe's.
    """
    given: dict[str, Any] = {name: value for name, value in (("epochs", epochs), ("batch", batch), ("lr", lr)) if value is not None}
    asked, folder = replace(find_recipe(recipe), **given), out or Path("runs") / recipe
    if dry_run:
        print(forecast(asked, data, options))
        return 0
    with progress_bar(transient=False) as bar:
        task = bar.add_task("Training", total=None)
        tell = lambda step, steps, line: bar.update(task, completed=step, total=steps, description=line)  # noqa: E731
        weights = run_training(asked, data, folder, options, resume, progress=tell)
    print(f"Wrote {weights}; use it with --model {weights}. Log, config and checkpoints are beside it.")
    return 0


def ablate(table: Positional[str], data: str, budget: Annotated[Budget, arg(name="")], out: Path | None = None) -> int:
    """Train the rows of a paper's ablation table at equal budget on generated hands; rows that were finished before are kept.

    Args:
        table: handoccnet-1, handoccnet-2, handoccnet-3, handoccnet-4, handgcat-4, handgcat-5.
        data: A folder of shards that 'occhand synth' wrote.
        budget: Of every row.
        out: Folder of the runs and the table; without it runs/TABLE.
    """
    folder = out or Path("runs") / table
    run_ablation(table, data, folder, budget, progress=lambda line: print(line, file=sys.stderr))
    print((folder / "ablation.md").read_text())
    return 0
