"""`occhand eval` and `occhand stress`: how good a model is."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.progress import track
from tyro.conf import Positional, arg

from occhand.cli.console import EXIT_PARTIAL, complain, progress_bar
from occhand.data.datasets import create_dataset
from occhand.data.predictions import Predictions, read_predictions
from occhand.estimators import Estimator, NetworkEstimator
from occhand.evaluate import EvaluationConfig, JointsOrder, JointSource, evaluate, open_benchmark, read_predictions_for
from occhand.evaluate.benchmark import hand_of
from occhand.hand.hand_layer import load_hand
from occhand.pretrained import load_estimator
from occhand.stress.clips import stress_clips, verdict
from occhand.stress.run import run_stress
from occhand.synth.dataset import SPLITS, load_split


def eval_(
    data: Positional[str],
    config: Annotated[EvaluationConfig, arg(name="")],
    root: Path | None = None,
    split: str | None = None,
    model: str = "fit",
    predictions: Path | None = None,
    out: Path = Path("occhand-eval"),
    hand: str | None = None,
    refine: bool = False,
    joints: str | None = None,
    joints_order: JointsOrder = "house",
    joints_from: Path | None = None,
    device: str = "cpu",
    json: bool = False,
) -> int:
    """Score a model or a file of predictions by a benchmark's own rules: report.json, report.md, samples.csv, the worst samples drawn.

    Run again, it goes on where it stopped. Exit code 0: the whole split was scored. 2: something given could not be used. 4: only a part
    of the split was scored.

    Args:
        data: A data set (ho3d_v2, ho3d_v3, dexycb, fpha, freihand, folder) or a generated split (open-test, open-val).
        root: The data set's folder.
        split: Its part, such as evaluation, s0_test, action_test.
        model: fit, a bundled network, or a file of weights, as for predict.
        predictions: Instead of a model: a file of predictions (.json, .npz), or a result file for the benchmark's server (.zip, .txt).
        out: Folder for the report.
        hand: Hand model, as for predict.
        refine: Let the fit move a network's hand towards the 2D joints; the papers do not.
        joints: The 2D joints that HandGCAT and the fit take: annotation, noise (the annotation with the noise of HandGCAT's training), or
            a file such as kypt_eval.json.
        joints_order: Order of the joints in that file.
        joints_from: Weights of a HandOccNet whose 2D joints a HandGCAT takes.
        device: Where networks run: cpu, cuda.
        json: Print the report as JSON.
    """
    benchmark, dataset = open_benchmark(data, root, split, None if hand is None else load_hand(hand))
    source = None if joints is None else JointSource.named(joints, joints_order, len(dataset))
    subject: Estimator | Predictions
    if predictions:
        subject = read_predictions_for(predictions, benchmark, dataset)
    else:
        subject = load_estimator(model, hand, refine, joints_from)
        if isinstance(subject, NetworkEstimator):
            subject.to(device)
        elif device != "cpu":
            raise ValueError(f"Only a network named as the model runs on {device}, and {model} is none. Leave --device out.")
    name = (predictions or Path(model)).name
    with progress_bar() as bar:
        task = bar.add_task("Evaluating", total=len(dataset))
        report = evaluate(subject, dataset, benchmark, out, name, config, source, lambda n, of: bar.update(task, completed=n, total=of))
    print(json_module.dumps(report.record(), indent=2) if json else f"{report.summary()}\nWrote {out / 'report.md'} and report.json.")
    if report.is_partial:
        complain(report.status)
    return EXIT_PARTIAL if report.is_partial else 0


def stress(
    data: str = "open-test",
    model: str = "fit",
    predictions: Path | None = None,
    limit: int | None = None,
    clips: int = 4,
    frames: int = 300,
    quick: bool = False,
    out: Path = Path("occhand-stress"),
    hand: str | None = None,
    refine: bool = True,
) -> int:
    """Measure accuracy against occlusion: stress.json, curves as PNG and one HTML page, beside the fit and the mean pose.

    Args:
        data: A synthetic split (open-test, open-val) or a folder of shards that 'occhand synth' wrote.
        model: fit, a bundled network, or a file of weights, as for predict.
        predictions: Instead of a model: a file of predictions, JSON or npz.
        limit: Take the first samples only.
        clips: Films of a hand behind an object, and as many of two hands that cross, to follow and to smooth; none with predictions.
        frames: Of each film, 30 a second.
        quick: The first 400 samples at most, and one film of each kind of 60 frames.
        out: Folder for the report.
        hand: Hand model, as for predict.
        refine: Let the fit move a network's hand towards the 2D joints.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"A limit of {limit} hands: expected at least 1. Leave --limit out to take all.")
    dataset = load_split(data) if data in SPLITS else create_dataset("folder", data)
    count = min(n for n in (len(dataset), limit, 400 if quick else None) if n is not None)
    subject = read_predictions(predictions) if predictions else load_estimator(model, hand, refine)
    if isinstance(subject, Predictions):
        subject.check_number(count)
    films = [] if predictions else stress_clips(*(min(clips, 1), min(frames, 60)) if quick else (clips, frames))
    samples = track((dataset[k] for k in range(count)), "Measuring", count, console=Console(stderr=True), transient=True)
    name = predictions.name if predictions else Path(model).name
    data_name = f"{dataset}, first {count}" if count < len(dataset) else str(dataset)
    moving = track(films, "Following", console=Console(stderr=True), transient=True)
    result = run_stress(subject, samples, out, name, data_name, clips=moving, data_hand=hand_of(dataset))
    if films:
        print(verdict(result.clips, name))
    print(f"Wrote {out / 'stress.html'}, {out / 'stress.json'} and curves as PNG, over {count} hands and {len(films)} clips.")
    return 0
