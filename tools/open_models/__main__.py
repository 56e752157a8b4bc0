"""`python -m tools.open_models` trains the small open models in stages, scales their deviations, measures them, looks at photographs.

What was run to make the bundled weights is in docs/open-models.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.open_models.average import average
from tools.open_models.calibrate import calibrate
from tools.open_models.document import evaluate
from tools.open_models.packed import pack
from tools.open_models.photos import look_at_photos
from tools.open_models.pretrain import STAGES, pretrain


def main() -> None:
    """Parse the command line, do one of its verbs."""
    parser = argparse.ArgumentParser(prog="python -m tools.open_models", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("pack", help="write generated hands as two arrays, for the stages")
    verb.add_argument("shards", type=Path, help="folder that 'occhand synth' wrote")
    verb.add_argument("out", type=Path, help="folder for the arrays")
    for stage in STAGES:
        verb = verbs.add_parser(stage, help=f"train the {stage}; under torchrun on several processes")
        verb.add_argument("model", help="handgcat-open-s or handoccnet-open-s")
        verb.add_argument("--data", type=Path, required=True, help="folder that 'pack' wrote")
        verb.add_argument("--out", type=Path, required=True, help="file for the weights")
        verb.add_argument("--minutes", type=float, required=True, help="length of the run, over all its starts")
        verb.add_argument("--begin-with", type=Path, nargs="*", default=[], help="weights to begin with, the later before the earlier")
        verb.add_argument("--keep-stem", action="store_true", help="leave the first convolution as it is; saves its backward pass")
        verb.add_argument("--rate", type=float, help="highest learning rate; less than the stage's own to go on from trained weights")
    verb = verbs.add_parser("average", help="mix the weights of two networks that began alike")
    verb.add_argument("weights", type=Path)
    verb.add_argument("other", type=Path)
    verb.add_argument("--part", default="", help="only weights whose names begin so, as 'regressor.lifter'")
    verb.add_argument("--share", type=float, default=0.5, help="of the other network")
    verb.add_argument("--out", type=Path, required=True)
    verb = verbs.add_parser("calibrate", help="scale the deviations on open-val, write the weights in half precision")
    verb.add_argument("weights", type=Path)
    verb.add_argument("--out", type=Path, required=True)
    verb.add_argument("--kept", type=Path, help="folder that keeps the crops between calls")
    verb = verbs.add_parser("evaluate", help="tables on open-test and the calibration plot")
    verb.add_argument("weights", type=Path)
    verb.add_argument("--n", type=int, default=2000, help="hands")
    verb.add_argument("--kept", type=Path, help="folder that keeps the crops between calls")
    verb.add_argument("--out", type=Path, required=True, help="folder for table and plot")
    verb = verbs.add_parser("photos", help="2D error to the detector's joints on photographs, and overlays to look at")
    verb.add_argument("weights", type=Path)
    verb.add_argument("photos", type=Path, nargs="+")
    verb.add_argument("--out", type=Path, required=True, help="folder for the overlays; they show other people's pictures")
    given = parser.parse_args()
    if given.verb == "pack":
        print(f"{pack(given.shards, given.out)} hands in {given.out}")
    elif given.verb in STAGES:
        pretrain(given.verb, given.model, given.data, given.out, given.minutes, given.begin_with, given.keep_stem, given.rate)
    elif given.verb == "average":
        print(average(given.weights, given.other, given.part, given.share, given.out))
    elif given.verb == "calibrate":
        print(calibrate(given.weights, given.out, given.kept))
    elif given.verb == "evaluate":
        print(evaluate(given.weights, given.n, given.kept, given.out))
    else:
        print(look_at_photos(given.weights, given.photos, given.out))


main()
