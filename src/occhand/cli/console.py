"""What verbs share: exit codes, a line of complaint, a bar."""

from __future__ import annotations

import sys
from typing import Annotated

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from tyro.conf import FlagCreatePairsOff, create_mutex_group

EXIT_BAD_INPUT = 2
EXIT_NO_HAND = 3
EXIT_PARTIAL = 4
EXIT_INTERRUPTED = 130
RefineFlag = Annotated[bool, FlagCreatePairsOff, create_mutex_group(required=False, title="refinement")]
"""`--refine` or `--no-refine`, of which one, the other or neither is given."""


def chosen(refine: bool, no_refine: bool) -> bool | None:
    """What a user said of refinement; None: nothing."""
    return True if refine else False if no_refine else None


def complain(line: str) -> None:
    """One line on stderr."""
    print(f"occhand: {line}", file=sys.stderr)


def progress_bar(transient: bool = True) -> Progress:
    """A bar on stderr that counts; `transient` takes it away at the end."""
    return Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True), transient=transient)
