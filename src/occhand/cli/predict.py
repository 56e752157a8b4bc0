"""`occhand predict`."""

from __future__ import annotations

import json as json_module
from functools import partial
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.progress import track
from tyro.conf import Positional, UseAppendAction, arg

from occhand.batch import BatchJob, predict_many, settings_of
from occhand.cli.console import EXIT_BAD_INPUT, EXIT_NO_HAND, RefineFlag, chosen, complain
from occhand.outputs import OutputOptions, complaints, plan_outputs, predict_file, read_given, summary
from occhand.predictor import Predictor
from occhand.pretrained import DEFAULT_MODEL
from occhand.runtimes.choice import Precision, RuntimeChoice


def predict(
    images: Positional[tuple[Path, ...]],
    out: Path = Path("occhand-out"),
    boxes: UseAppendAction[tuple[str, ...]] = (),
    keypoints: Path | None = None,
    K: Annotated[str | None, arg(name="K")] = None,
    model: str = DEFAULT_MODEL,
    joints_from: Path | None = None,
    refine: RefineFlag = False,
    no_refine: RefineFlag = False,
    hand: str | None = None,
    mesh: str = "glb,obj",
    turntable: bool = False,
    maps: bool = False,
    runtime: RuntimeChoice | None = None,
    precision: Precision | None = None,
    workers: int = 1,
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
        model: auto: handgcat-open-s, refined, where 2D joints are found or given; in a box with its side where there are none, or no
            detector is installed, handoccnet-open-s, not refined. Or one of the two; fit (the hand model fitted to 2D joints); or a file
            of weights: .safetensors, a snapshot of the authors (.pth.tar), a network that 'occhand export' wrote (.onnx, .xml).
        joints_from: Weights of a HandOccNet whose 2D joints a HandGCAT takes, instead of the detector's.
        refine: Let the fit move a network's hand towards the 2D joints, also where these are the network's own.
        no_refine: Leave a network's hand as it is. With neither flag, hands are refined unless the joints are the network's own.
        hand: Hand model: open (ours), mano (yours, after 'occhand convert mano'), or a MANO_RIGHT.pkl; else the one that the weights name.
        mesh: Mesh formats to write, separated by commas: glb, obj, ply.
        turntable: Also write an animation of each hand turning.
        maps: Also draw what the network looked at, over the crop of each hand.
        runtime: What runs a network; auto is the quickest that is installed. Else PyTorch for weights, auto for an exported network.
        precision: What it computes in; else fp32, or the exported network's own.
        workers: Processes, for several images. Run again after a stop, the images that are done are not done again.
        json: Print what was done as JSON.
    """
    if not images:
        raise ValueError("No image was named. Give image files or folders: occhand predict photo.jpg")
    options = OutputOptions(tuple(kind.strip().lower() for kind in mesh.split(",")), turntable, maps)
    plan, outcomes = plan_outputs(images, out)
    given = read_given(boxes, keypoints, K, image_count=len(plan) + len(outcomes))
    is_refined = chosen(refine, no_refine)
    make_predictor = partial(Predictor.from_pretrained, model, hand, is_refined, joints_from, runtime, precision)
    console, many = Console(stderr=True), len(plan) + len(outcomes) > 1
    if many:
        named = {"model": model, "joints_from": joints_from, "refine": is_refined, "hand": hand, "runtime": runtime, "precision": precision}
        job = BatchJob(make_predictor, given, options, settings_of(given, options, **named))
        outcomes += track(predict_many(plan, outcomes, out, job, workers), "Reconstructing", len(plan), console=console, transient=True)
    elif plan:
        outcomes.append(predict_file(BatchJob(make_predictor, given, options, {}).open(), *plan[0], given, options))
    print(json_module.dumps([outcome.record() for outcome in outcomes], indent=2) if json else summary(outcomes))
    for line in complaints(outcomes):
        complain(line)
    if any(outcome.error for outcome in outcomes):
        return EXIT_BAD_INPUT
    return 0 if any(outcome.hands for outcome in outcomes) else EXIT_NO_HAND
