"""What verbs share: exit codes, a line of complaint, a bar."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

EXIT_BAD_INPUT = 2
EXIT_NO_HAND = 3
EXIT_PARTIAL = 4
EXIT_INTERRUPTED = 130


def complain(line: str) -> None:
    """One line on stderr."""
    print(f"occhand: {line}", file=sys.stderr)


def progress_bar(transient: bool = True) -> Progress:
    """A bar on stderr that counts; `transient` takes it away at the end."""
    return Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True), transient=transient)
