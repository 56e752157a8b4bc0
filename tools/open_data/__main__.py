"""`python -m tools.open_data choose` picks the samples of open-test; `... stats` measures a split for docs/open-data.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from occhand.synth.dataset import SPLITS
from tools.open_data.choose import write_choice
from tools.open_data.document import write_statistics


def main() -> None:
    """Parse the command line, do one of the two."""
    parser = argparse.ArgumentParser(prog="python -m tools.open_data", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    choose = verbs.add_parser("choose", help="pick the samples of open-test and write their indices into the package")
    stats = verbs.add_parser("stats", help="measure a split: a table on the screen, pictures in a folder")
    stats.add_argument("--split", choices=SPLITS, default="open-test")
    stats.add_argument("--n", type=int, default=2000, help="at most so many of its first samples")
    stats.add_argument("--out", type=Path, default=Path("docs"), help="folder for the pictures")
    for verb in (choose, stats):
        verb.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.verb == "choose":
        write_choice(arguments.workers)
    else:
        write_statistics(arguments.split, arguments.n, arguments.workers, arguments.out)


main()
