"""The command line: verbs that parse, call one function of the library, and print.

A verb lives in one of the files beside this one, which is imported only when the verb is asked for.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

import tyro
from tyro.extras import SubcommandApp

import occhand
from occhand.cli.console import EXIT_BAD_INPUT, EXIT_INTERRUPTED, complain

DESCRIPTION = "3D hand meshes from photographs, even where an object hides half of the hand."
VERBS = {
    "predict": "predict.predict",
    "convert": "convert.convert",
    "data": "data.data",
    "models": "networks.models",
    "synth": "data.synth",
    "stress": "score.stress",
    "train": "train.train",
    "ablate": "train.ablate",
    "eval": "score.eval_",
    "video": "video.video",
    "export": "networks.export",
    "bench": "networks.bench",
    "demo": "demo.demo",
    "doctor": "doctor.doctor",
}
"""Which function of which file; in the order of the help."""


def main(args: Sequence[str] | None = None) -> None:
    """Run a verb; what the user can mend is one line on stderr and exit code 2."""
    logging.basicConfig(format="occhand: %(message)s", level=logging.WARNING)
    given = list(sys.argv[1:] if args is None else args)
    if given == ["--version"]:
        print(occhand.__version__)
        sys.exit(0)
    named = [verb for verb in given[:1] if verb in VERBS]
    try:
        app = _app_of(named or VERBS)
        code = app.cli(args=given, prog="occhand", description=DESCRIPTION, config=(tyro.conf.DisallowNone,))
    except (ValueError, OSError, ImportError) as error:
        logging.getLogger(__name__).debug("stopped", exc_info=True)
        complain(" ".join(_text_of(error).split()))
        code = EXIT_BAD_INPUT
    except KeyboardInterrupt:
        complain("stopped; what was finished is kept.")
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _text_of(error: Exception) -> str:
    """What went wrong and the next step, which the operating system does not say."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{error.strerror}: {error.filename}. Check the path, and the rights and the space there."
    return str(error)


def _app_of(verbs: Iterable[str]) -> SubcommandApp:
    app = SubcommandApp()
    for verb in verbs:
        file, name = VERBS[verb].split(".")
        app.command(getattr(import_module(f"occhand.cli.{file}"), name), name=verb)
    return app
