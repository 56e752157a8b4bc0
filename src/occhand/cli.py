"""The command line: verbs that parse, call one function of the library, and print."""

from __future__ import annotations

import json as json_module
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import track
from tyro.conf import Positional, UseAppendAction, arg

from occhand.doctor import diagnose
from occhand.hand import assets
from occhand.outputs import OutputOptions, complaints, plan_outputs, predict_file, read_given, summary
from occhand.predictor import Predictor
from occhand.types import Side

DESCRIPTION = "3D hand meshes from photographs, even where an object hides half of the hand."
EXIT_BAD_INPUT = 2
EXIT_NO_HAND = 3

app = tyro.extras.SubcommandApp()
convert = tyro.extras.SubcommandApp()
app.command(convert, name="convert", help="Bring files of your own, such as MANO, into a form that occhand reads.")


@app.command
def predict(
    images: Positional[tuple[Path, ...]],
    out: Path = Path("occhand-out"),
    boxes: UseAppendAction[tuple[str, ...]] = (),
    keypoints: Path | None = None,
    K: Annotated[str | None, arg(name="K")] = None,
    hand: str = "open",
    mesh: str = "glb,obj",
    turntable: bool = False,
    json: bool = False,
) -> int:
    """Reconstruct the hands in photographs: meshes, an overlay and result.json for each.

    Exit code 0: hands found. 2: something given could not be used. 3: no hand in any image.

    Args:
        images: Image files, or folders of them.
        out: Folder for the results; each image gets a folder in it, named after the file.
        boxes: For one image: where a hand is, as x1,y1,x2,y2 or x1,y1,x2,y2,right in pixels (the person's own side), once per hand; or a
            JSON file of boxes.
        keypoints: For one image: a JSON file of 2D joints, a list of {"side": "right", "joints_img": 21 pairs of pixels}; wrist first,
            then thumb, index, middle, ring, pinky from base to tip; "weights" (0 to 1) may be added.
        K: Intrinsics of the camera as fx,fy,cx,cy in pixels. Without them a camera is assumed, and distance is a guess.
        hand: Hand model: open (ours), mano (yours, after 'occhand convert mano'), or a MANO_RIGHT.pkl.
        mesh: Mesh formats to write, separated by commas: glb, obj, ply.
        turntable: Also write an animation of each hand turning.
        json: Print what was done as JSON.
    """
    if not images:
        raise ValueError("No image was named. Give image files or folders: occhand predict photo.jpg")
    options = OutputOptions(tuple(mesh.split(",")), turntable)
    plan, outcomes = plan_outputs(images, out)
    given = read_given(boxes, keypoints, K, image_count=len(plan))
    predictor = Predictor.from_pretrained("fit", hand=hand)
    if plan and given.keypoints is None:
        predictor.load_detector()
    console = Console(stderr=True)
    for image, folder in track(plan, "Reconstructing", console=console, disable=len(plan) < 2, transient=True):
        outcomes.append(predict_file(predictor, image, folder, given, options))
    print(json_module.dumps([outcome.record() for outcome in outcomes], indent=2) if json else summary(outcomes))
    for line in complaints(outcomes):
        _complain(line)
    if any(outcome.error for outcome in outcomes):
        return EXIT_BAD_INPUT
    return 0 if any(outcome.hands for outcome in outcomes) else EXIT_NO_HAND


@convert.command(name="mano")
def convert_mano(file: Positional[Path], side: Side | None = None) -> int:
    """Read your MANO_RIGHT.pkl or MANO_LEFT.pkl, without running anything in it, and keep it for --hand mano.

    Args:
        file: The pickle as downloaded from mano.is.tue.mpg.de.
        side: The side it is expected to hold.
    """
    hand, kept = assets.convert_mano(file, side)
    print(f"{file} holds MANO's {hand.side} hand. Kept as {kept}; use it with --hand mano. MANO's own licence applies to both files.")
    return 0


@app.command
def doctor(json: bool = False) -> int:
    """Say what is installed, found and missing, and the next step for each.

    Args:
        json: Print as JSON.
    """
    findings = diagnose()
    if json:
        print(json_module.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.state:8} {finding.what:16} {finding.detail}")
            if finding.next_step:
                print(f"{'':25} -> {finding.next_step}")
    return EXIT_BAD_INPUT if any(finding.state == "broken" for finding in findings) else 0


def main(args: Sequence[str] | None = None) -> None:
    """Run a verb; what the user can mend is one line on stderr and exit code 2."""
    logging.basicConfig(format="occhand: %(message)s", level=logging.WARNING)
    try:
        code = app.cli(args=args, prog="occhand", description=DESCRIPTION, config=(tyro.conf.DisallowNone,))
    except (ValueError, OSError, ImportError) as error:
        logging.getLogger(__name__).debug("stopped", exc_info=True)
        _complain(" ".join(str(error).split()))
        code = EXIT_BAD_INPUT
    sys.exit(code)


def _complain(line: str) -> None:
    print(f"occhand: {line}", file=sys.stderr)
