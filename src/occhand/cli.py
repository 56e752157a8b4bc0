"""The command line: verbs that parse, call one function of the library, and print."""

from __future__ import annotations

import json as json_module
import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, track
from rich.table import Column, Table
from tyro.conf import Positional, UseAppendAction, arg

import occhand
from occhand.ablate import Budget
from occhand.ablate import ablate as run_ablation
from occhand.batch import BatchJob, predict_many, settings_of
from occhand.bench import BenchPlan
from occhand.bench import bench as run_bench
from occhand.bench import summary as describe_bench
from occhand.data.annotations_writer import rebuild_annotations
from occhand.data.datasets import create_dataset, dataset_info, list_datasets
from occhand.data.pose_encoding import PoseMean
from occhand.data.predictions import Predictions, read_predictions
from occhand.data_check import check_dataset, describe
from occhand.demo.serve import serve
from occhand.demo.shelf import Shelf
from occhand.doctor import diagnose
from occhand.estimate import estimate
from occhand.estimators import Estimator, NetworkEstimator
from occhand.evaluate import EvaluationConfig, JointsOrder, JointSource, evaluate, open_benchmark, read_predictions_for
from occhand.export.int8 import calibration_crops
from occhand.export.write import check_export, export_network
from occhand.hand import assets
from occhand.hand.hand_layer import load_hand
from occhand.models import checkpoint, presets
from occhand.outputs import OutputOptions, complaints, plan_outputs, predict_file, read_given, summary
from occhand.predictor import Predictor, load_weights
from occhand.recipes import find_recipe
from occhand.runtimes.choice import Precision, RuntimeChoice
from occhand.stress.run import run_stress
from occhand.synth.clip_files import write_clips
from occhand.synth.dataset import SPLITS, SynthDataset, load_split
from occhand.synth.write import write_synth
from occhand.train import train as run_training
from occhand.training_data import RunOptions
from occhand.types import Side
from occhand.video.frames import open_source
from occhand.video.run import STAGES, VideoConfig, load_video_predictor, process_video
from occhand.video.run import summary as describe_video
from occhand.video.smooth import SmoothConfig

DESCRIPTION = "3D hand meshes from photographs, even where an object hides half of the hand."
EXIT_BAD_INPUT = 2
EXIT_NO_HAND = 3
EXIT_PARTIAL = 4
EXIT_INTERRUPTED = 130

app = tyro.extras.SubcommandApp()
convert = tyro.extras.SubcommandApp()
app.command(convert, name="convert", help="Bring files of your own, such as MANO, into a form that occhand reads.")
data_sets = tyro.extras.SubcommandApp()
app.command(data_sets, name="data", help="List the data sets that can be read, and check those you have.")


@app.command
def predict(
    images: Positional[tuple[Path, ...]],
    out: Path = Path("occhand-out"),
    boxes: UseAppendAction[tuple[str, ...]] = (),
    keypoints: Path | None = None,
    K: Annotated[str | None, arg(name="K")] = None,
    model: str = "fit",
    joints_from: Path | None = None,
    refine: bool = True,
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
        model: fit (the hand model fitted to 2D joints), or a file of weights: .safetensors, a snapshot of the authors (.pth.tar), or a
            network that 'occhand export' wrote (.onnx, .xml).
        joints_from: Weights of a HandOccNet whose 2D joints a HandGCAT takes, instead of the detector's.
        refine: Let the fit move a network's hand towards the 2D joints.
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
    make_predictor = partial(Predictor.from_pretrained, model, hand, refine, joints_from, runtime, precision)
    console, many = Console(stderr=True), len(plan) + len(outcomes) > 1
    if many:
        named = {"model": model, "joints_from": joints_from, "refine": refine, "hand": hand, "runtime": runtime, "precision": precision}
        job = BatchJob(make_predictor, given, options, settings_of(given, options, **named))
        outcomes += track(predict_many(plan, outcomes, out, job, workers), "Reconstructing", len(plan), console=console, transient=True)
    elif plan:
        outcomes.append(predict_file(BatchJob(make_predictor, given, options, {}).open(), *plan[0], given, options))
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
    use = "use it with --hand mano" if hand.side == "right" else "occhand predict does not need it, as it sees left hands in a mirror"
    print(f"{file} holds MANO's {hand.side} hand. Kept as {kept}; {use}. MANO's own licence applies to both files.")
    return 0


@convert.command(name="checkpoint")
def convert_checkpoint(snapshot: Positional[Path], out: Positional[Path]) -> int:
    """Turn a snapshot of the authors of HandOccNet or HandGCAT into a file of ours, without the MANO arrays inside.

    Args:
        snapshot: Their .pth.tar; nothing in it is run.
        out: The .safetensors file to write.
    """
    info = checkpoint.convert_checkpoint(snapshot, out)
    kind = type(info.config).__name__.removesuffix("Config")
    print(f"{snapshot} holds {kind}. Kept as {out}, without the hand inside it; use it with --model {out} --hand mano.")
    return 0


@convert.command(name="annotations")
def convert_annotations(
    name: Positional[str], root: Positional[Path], split: Positional[str], out: Path | None = None, mean: PoseMean = "included"
) -> int:
    """Make the annotation file that the authors' training code reads, from raw HO-3D or DexYCB, with what its poses mean written inside.

    Args:
        name: ho3d_v2, ho3d_v3 or dexycb.
        root: Folder of the raw data.
        split: Its part, such as train, evaluation, s0_train.
        out: The file; without it, where that code looks for it: annotations in the folder of the data.
        mean: Whether poses include the hand's mean pose: included for HandGCAT's MANO layer, excluded for HandOccNet's.
    """
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Converting", total=None)
        made = rebuild_annotations(name, root, split, out, mean, lambda done, total: bar.update(task, completed=done, total=total))
    print(f"Wrote {made.path}: {made.hands:,} hands, {made.poses:,} of them with pose (OpenCV axes, mean pose {mean}).")
    return 0


@app.command
def models(json: bool = False) -> int:
    """List every network by name, with its parameters, cost, input size and the table row it stands for.

    Args:
        json: Print as JSON.
    """
    infos = presets.list_models()
    if json:
        print(json_module.dumps([asdict(info) for info in infos], indent=2))
        return 0
    table = Table(
        Column("name", no_wrap=True), *(Column(title, justify="right") for title in ("parameters", "GMAC", "pixels")), "stands for"
    )
    for info in infos:
        table.add_row(info.name, f"{info.parameters / 1e6:.1f} M", f"{info.gmacs:.2f}", str(info.input_size), info.table)
    Console().print(table)
    return 0


@app.command
def synth(
    out: Path = Path("occhand-synth"),
    n: int = 1000,
    seed: int = 0,
    size: int = 256,
    split: str | None = None,
    workers: int = 1,
    jpeg: int | None = None,
    clips: int = 0,
    frames: int = 300,
) -> int:
    """Write synthetic occluded hands with exact ground truth as tar shards; run again, it goes on where it stopped.

    Args:
        out: Folder for the shards, their manifest and a contact sheet.
        n: Number of samples.
        seed: Of the generator; sample k of a seed is always the same.
        size: Side of the pictures, pixels.
        split: A fixed split instead of n and seed: open-train, open-val, open-test.
        workers: Processes.
        jpeg: Quality from 1 to 95; without it every pixel is kept.
        clips: Instead of samples, so many films of moving hands, as folders of frames with truth.npz.
        frames: Of each film, 30 a second.
    """
    if clips:
        folders = write_clips(out, clips, seed, frames, size)
        print(f"{len(folders)} clips in {out}. Look at one with 'occhand video {folders[0]}'.")
        return 0
    dataset = load_split(split, size) if split else SynthDataset(seed, range(n), size)
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Rendering", total=len(dataset))
        manifest = write_synth(out, dataset, workers, jpeg, progress=lambda done: bar.update(task, completed=done))
    print(f"{dataset}: {len(manifest.shards)} shards in {out}. Read them with create_dataset('folder', '{out}').")
    return 0


@app.command
def stress(
    data: str = "open-test",
    model: str = "fit",
    predictions: Path | None = None,
    limit: int | None = None,
    quick: bool = False,
    out: Path = Path("occhand-stress"),
    hand: str | None = None,
    refine: bool = True,
) -> int:
    """Measure accuracy against occlusion: stress.json, curves as PNG and one HTML page, beside the fit and the mean pose.

    Args:
        data: A synthetic split (open-test, open-val) or a folder of shards that 'occhand synth' wrote.
        model: fit, or a file of weights, as for predict.
        predictions: Instead of a model: a file of predictions, JSON or npz.
        limit: Take the first samples only.
        quick: The first 400 samples.
        out: Folder for the report.
        hand: Hand model, as for predict.
        refine: Let the fit move a network's hand towards the 2D joints.
    """
    dataset = load_split(data) if data in SPLITS else create_dataset("folder", data)
    count = min(len(dataset), 400 if quick else limit or len(dataset))
    subject = read_predictions(predictions) if predictions else Predictor.from_pretrained(model, hand, refine).estimator
    samples = track((dataset[k] for k in range(count)), "Measuring", count, console=Console(stderr=True), transient=True)
    name = predictions.name if predictions else Path(model).name
    run_stress(subject, samples, out, name, f"{dataset}, first {count}" if count < len(dataset) else str(dataset))
    print(f"Wrote {out / 'stress.html'}, {out / 'stress.json'} and curves as PNG, over {count} hands.")
    return 0


@app.command
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
        print(estimate(asked, data, options))
        return 0
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("Training", total=None)
        tell = lambda step, steps, line: bar.update(task, completed=step, total=steps, description=line)  # noqa: E731
        weights = run_training(asked, data, folder, options, resume, progress=tell)
    print(f"Wrote {weights}; use it with --model {weights}. Log, config and checkpoints are beside it.")
    return 0


@app.command
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


@app.command(name="eval")
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
        model: fit, or a file of weights, as for predict.
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
        subject = Predictor.from_pretrained(model, hand, refine, joints_from).estimator
        subject = subject.to(device) if isinstance(subject, NetworkEstimator) else subject
    name = (predictions or Path(model)).name
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Evaluating", total=len(dataset))
        report = evaluate(subject, dataset, benchmark, out, name, config, source, lambda n, of: bar.update(task, completed=n, total=of))
    print(json_module.dumps(report.record(), indent=2) if json else f"{report.summary()}\nWrote {out / 'report.md'} and report.json.")
    if report.is_partial:
        _complain(report.status)
    return EXIT_PARTIAL if report.is_partial else 0


@data_sets.command(name="list")
def list_data() -> int:
    """List the data sets that can be read: name, title, splits, and where to ask for them."""
    for name in list_datasets():
        info = dataset_info(name)
        print(f"{name:20} {info.title}: {', '.join(info.cover or info.splits) or 'no splits'}\n{'':20} {info.source}")
    return 0


@data_sets.command(name="check")
def check_data(
    name: Positional[str],
    root: Positional[Path],
    split: UseAppendAction[tuple[str, ...]] = (),
    out: Path = Path("occhand-check.png"),
    decode: int = 64,
    json: bool = False,
) -> int:
    """Check a data set on disk: counts, missing and broken files, a picture of hands with their joints drawn, and what to do.

    Exit code 0: every split looked at can be read, if not all of it. 2: one cannot.

    Args:
        name: As 'occhand data list' has it.
        root: Its folder.
        split: Look at this split only; may be given several times. Without it, at those that hold each sample once.
        out: The picture to write.
        decode: How many pictures of each split to open.
        json: Print as JSON.
    """
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Reading annotations", total=None)
        report = check_dataset(name, root, split, out, decode, lambda done, total: bar.update(task, completed=done, total=total))
    print(json_module.dumps(asdict(report), indent=2) if json else describe(report))
    return 0 if report.is_usable else EXIT_BAD_INPUT


@app.command
def video(
    source: Positional[str],
    out: Path = Path("occhand-video"),
    K: Annotated[str | None, arg(name="K")] = None,
    model: str = "fit",
    joints_from: Path | None = None,
    refine: bool = True,
    hand: str | None = None,
    smooth: bool = True,
    bridge: float = 0.5,
    fps: float | None = None,
    seconds: float | None = None,
    json: bool = False,
) -> int:
    """Follow the hands of a video: annotated video, tables, animated GLB; run again, it goes on where it stopped.

    Exit code 0: hands found. 2: something given could not be used. 3: no hand.

    Args:
        source: A video file, a folder of frames, or the number of a webcam, which is recorded until Ctrl-C first.
        out: Folder for the results.
        K: Intrinsics as for predict, of the upright frame.
        model: As for predict.
        joints_from: As for predict.
        refine: As for predict.
        hand: As for predict.
        smooth: Take the jitter out of pose and place, from 0.4 s before and after each frame.
        bridge: Seconds without detection that are bridged at most, and marked.
        fps: Frames per second of a folder of frames.
        seconds: Length of a webcam's recording.
        json: Print what was done as JSON.
    """
    config = VideoConfig(read_given((), None, K, 1).K, SmoothConfig(SmoothConfig.span if smooth else None, bridge))
    frames = open_source(source, out, fps, seconds)
    predictor = load_video_predictor(model, hand, refine, joints_from)
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True), transient=True) as bar:
        tasks = {stage: bar.add_task(stage, total=None) for stage in STAGES}
        report = lambda stage, done, total: bar.update(tasks[stage], completed=done, total=total)  # noqa: E731
        result = process_video(predictor, frames, out, model, config, report)
    print(json_module.dumps(result.record, indent=2) if json else describe_video(result))
    return 0 if result.record["tracks"] else EXIT_NO_HAND


@app.command
def export(
    model: Positional[Path],
    out: Path,
    precision: Precision = "fp32",
    calibration: str = "open-val",
    samples: int = 128,
    hand: str | None = None,
) -> int:
    """Write a network for other runtimes, checked against the original, with a card that says what it is.

    Args:
        model: Weights: .safetensors, or a snapshot of the authors (.pth.tar).
        out: The file to write: .onnx, or .xml for OpenVINO.
        precision: fp32; bf16 (OpenVINO); int8, with ranges chosen on the calibration data.
        calibration: For int8: a synthetic split, or a folder of shards that 'occhand synth' wrote.
        samples: Hands of it to look at; a quarter of them only judges the result.
        hand: Hand model inside, as for predict.
    """
    check_export(out, precision)
    network = load_weights(model, hand)
    crops = calibration_crops(calibration, samples, network.config) if precision == "int8" else []
    result = export_network(network, out, precision, crops, model)
    files = ", ".join(map(str, result.files))
    print(f"Wrote {files}: {result.parity.vertices_mean_mm:.3g} mm from the original on average. Use it with --model {out}.")
    return 0


@app.command
def bench(
    model: str = "handgcat-open-s",
    batches: tuple[int, ...] = BenchPlan.batches,
    threads: tuple[int, ...] = BenchPlan.threads,
    rounds: int = BenchPlan.rounds,
    compile: bool = False,
    out: Path = Path("occhand-bench"),
) -> int:
    """Measure how quick a network is here, in every runtime that is installed: bench.json and bench.png.

    Args:
        model: The name of a network ('occhand models'), with weights of no training, or a file of weights.
        batches: Crops at a time.
        threads: Threads.
        rounds: Runs of each, in turns.
        compile: Also wait for PyTorch's compiler.
        out: Folder for the report.
    """
    network = load_weights(Path(model)) if Path(model).suffix else presets.create_model(model).eval()
    report = run_bench(network, Path(model).name, BenchPlan(batches, threads, rounds, compile))
    files = report.write(out)
    print(describe_bench(report))
    print("Wrote " + ", ".join(map(str, files)))
    return 0


@app.command
def demo(model: str = "fit", port: int | None = None, browser: bool = True) -> int:
    """Open a page to play with: pictures, an occluder to drag, the estimate and how sure it is. It stays on this computer.

    Args:
        model: Weights of your own to offer beside the bundled ones, as for predict.
        port: Of the page; without it the first free one from 7860.
        browser: Open it in the browser.
    """
    with serve(Shelf(model), port, browser) as address:
        print(f"The page is at {address}, for this computer only. Ctrl-C ends it.", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
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
    if list(sys.argv[1:] if args is None else args) == ["--version"]:
        print(occhand.__version__)
        sys.exit(0)
    try:
        code = app.cli(args=args, prog="occhand", description=DESCRIPTION, config=(tyro.conf.DisallowNone,))
    except (ValueError, OSError, ImportError) as error:
        logging.getLogger(__name__).debug("stopped", exc_info=True)
        _complain(" ".join(str(error).split()))
        code = EXIT_BAD_INPUT
    except KeyboardInterrupt:
        _complain("stopped; what was finished is kept.")
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _complain(line: str) -> None:
    print(f"occhand: {line}", file=sys.stderr)
