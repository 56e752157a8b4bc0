"""How a benchmark number comes about: predict every sample, hold the predictions against the truth, say what was done.

`evaluate` is that, top to bottom: the hands (`collect.py`, in the released test crops of `benchmark.py`), the guard against wrong
conventions (`metrics/guard.py`), the wrist, the figures (`metrics/figures.py`), the report (`metrics/report.py`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from occhand.data.datasets import HandDataset
from occhand.data.index import IndexedDataset
from occhand.data.predictions import Predictions
from occhand.data.submission import write_submission
from occhand.estimators import Estimator
from occhand.evaluate.account import describe, identity, notes, settings
from occhand.evaluate.benchmark import Benchmark, hand_of, left_out_by
from occhand.evaluate.collect import Kept, LeftOut, Progress, look_up_all, predict_all
from occhand.evaluate.hands import EvaluatedHands
from occhand.evaluate.joint_source import JointSource
from occhand.evaluate.listing import hand_errors, remove_pictures, sequence_errors, worst_samples, write_samples
from occhand.files import atomic_path
from occhand.metrics.figures import LISTED_OFFICIAL, WITH_PLACE, Figure, Wrist, benchmark_figures
from occhand.metrics.guard import Mistake, find_mistakes
from occhand.metrics.papers import paper_rows
from occhand.metrics.report import EvaluationReport
from occhand.result import write_json
from occhand.synth.dataset import OCCLUSION_STRATA

REPORT, PAGE, SAMPLES, KEPT = "report.json", "report.md", "samples.csv", "predicted"
SUBMISSIONS = {"ho3d": "pred.zip", "freihand": "pred.zip", "dexycb": "results.txt"}
"""Result files by protocol; the other benchmarks have no server."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationConfig:
    """How to evaluate; the defaults are the benchmark's own rules."""

    wrist: Wrist | None = None
    """None: a model's hands are moved to the given wrist on HO-3D; elsewhere they stay, as predictions from a file always do."""
    limit: int | None = None
    """Take the first samples only; the result is marked as partial."""
    allow_missing: bool = False
    """Go on where a file lacks predictions for some samples; the result is marked as partial."""
    score_anyway: bool = False
    """Score predictions that look wrong, with a warning in the report, instead of refusing them."""
    submission: bool = False
    """Also write the benchmark's own result file."""
    worst: int = 12
    """Samples drawn."""
    batch_size: int = 32
    workers: int = 0
    """Processes that read and prepare samples; 0 works in this one. A script of yours that asks for more needs
    `if __name__ == "__main__":`."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0 or self.worst < 0 or (self.limit is not None and self.limit < 1):
            raise ValueError("Expected batch_size and limit of at least 1, and workers and worst of at least 0.")


def evaluate(
    subject: Estimator | Predictions,
    dataset: HandDataset,
    benchmark: Benchmark,
    out: str | os.PathLike[str],
    name: str,
    config: EvaluationConfig | None = None,
    joints: JointSource | None = None,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Score a model or a file of predictions by a benchmark's rules; write `report.json`, `report.md`, `samples.csv` and pictures.

    A model's predictions are kept in `out` as they come. A run that was stopped goes on from there and gives the same. All else that an
    earlier run wrote there is removed, a result file only by a run of a model: a file of predictions may be that very one.

    Args:
        subject: `pretrained.load_estimator(..., refine=False)`, or predictions from a file.
        dataset: The samples, as `open_benchmark` gives them.
        benchmark: The rules, from the same.
        out: The folder; made where it is missing.
        name: How the report calls the subject.
        config: None: the benchmark's rules, all samples.
        joints: 2D joints for an estimator that takes them.
        progress: Told how many of how many samples are done.

    Raises:
        ValueError: No source of 2D joints where one is needed; predictions that look wrong, or are of other samples; a folder that holds
            another run; a result file asked for of a split that has none.
    """
    config, out = config or EvaluationConfig(), Path(out)
    _check_submission(benchmark, config.submission)
    hands, left_out = _predict(subject, dataset, benchmark, out, config, joints, progress)
    wrist = config.wrist or (benchmark.wrist if not isinstance(subject, Predictions) else "own")
    mistakes = _guard(hands, wrist == "own" and benchmark.protocol in WITH_PLACE, config.score_anyway)
    if wrist == "given":
        hands = hands.with_given_wrist()
    known = hands.select(np.flatnonzero(hands.is_known))
    figures = tuple(_figures(known, benchmark, wrist))
    _remove_earlier(out, is_file_scored=isinstance(subject, Predictions))
    report = EvaluationReport(
        subject=name,
        data=benchmark.label,
        data_title=benchmark.title,
        protocol=benchmark.protocol,
        hand="" if isinstance(subject, Predictions) else subject.hand.name,
        figures=figures,
        samples=len(known),
        expected=benchmark.expected_samples(dataset),
        left_out=(*left_out_by(dataset), *left_out),
        warnings=tuple(map(str, mistakes)),
        notes=tuple(notes(hands, subject, wrist, hand_of(dataset))),
        settings=settings(subject, benchmark, wrist, joints),
        papers=paper_rows(benchmark.label),
        **_listings(known, dataset, benchmark, out, config.worst, subject),
    )
    write_json(out / REPORT, report.record())
    with atomic_path(out / PAGE) as temporary:
        temporary.write_text(report.markdown(), encoding="utf-8")
    if config.submission:
        _submit(hands, dataset, benchmark, out)
    return report


def _check_submission(benchmark: Benchmark, is_wanted: bool) -> None:
    taken = benchmark.info.result_splits
    if is_wanted and benchmark.split not in taken:
        others = f"; the authors score {', '.join(taken)}. Evaluate one of these, or leave" if taken else ". Leave"
        raise ValueError(f"{benchmark.title} has no result file{others} --submission out.")


def _predict(
    subject: Estimator | Predictions,
    dataset: HandDataset,
    benchmark: Benchmark,
    out: Path,
    config: EvaluationConfig,
    joints: JointSource | None,
    progress: Progress | None,
) -> tuple[EvaluatedHands, list[LeftOut]]:
    """Every sample's hand in the camera frame, and what could not be had."""
    count = min(len(dataset), config.limit or len(dataset))
    if isinstance(subject, Predictions):
        parts, left_out = look_up_all(subject, dataset, benchmark, count, config.workers, progress)
        _check_keys(subject, parts, left_out, count == len(dataset), config.allow_missing)
    else:
        if joints is not None:
            joints.check(dataset, benchmark)
        elif subject.keypoint_need == "required":
            raise ValueError(
                f"{describe(subject)} takes 2D joints. Name their source: --joints annotation, noise or a file, or --joints-from."
            )
        kept = Kept(out / KEPT, identity(subject, dataset, benchmark, joints, config.batch_size))
        parts, left_out = predict_all(subject, dataset, benchmark, joints, count, kept, config.batch_size, config.workers, progress)
    if not parts:
        raise ValueError(f"No sample of {dataset} could be used. {'; '.join(f'{key}: {reason}' for key, reason in left_out[:2])}")
    for key, reason in left_out:
        _log.info("%s is left out: %s", key, reason)
    return EvaluatedHands.concatenate(parts), left_out


def _check_keys(
    predictions: Predictions, parts: Sequence[EvaluatedHands], left_out: Sequence[LeftOut], is_whole: bool, allow_missing: bool
) -> None:
    found = [str(key) for part in parts for key in part.keys]
    if is_whole and len(found) < len(predictions.keys):
        predictions.check_used(found)
    if left_out and not allow_missing:
        raise ValueError(
            f"{len(left_out)} samples have no prediction, the first is {left_out[0][0]!r}; the {len(predictions.keys)} given are for "
            f"{', '.join(map(repr, predictions.keys[:3]))} ... Predict every sample. To score the others as a partial evaluation: "
            "--allow-missing."
        )


def _guard(hands: EvaluatedHands, is_absolute: bool, score_anyway: bool) -> list[Mistake]:
    joints, truth = torch.from_numpy(hands.joints), torch.from_numpy(hands.true_joints)
    broken = [str(key) for key in hands.keys[~np.isfinite(hands.joints).all(axis=(1, 2))]]
    if broken:
        raise ValueError(f"{len(broken)} predictions are not finite, the first is of {broken[0]!r}. Weights that diverged?")
    mistakes = find_mistakes(joints, truth, hands.keys.tolist(), hands.sides.tolist(), is_absolute)
    if mistakes and not score_anyway:
        raise ValueError(f"{' '.join(map(str, mistakes))} To score them as they are, with a warning in the report: --score-anyway.")
    return mistakes


def _remove_earlier(out: Path, is_file_scored: bool) -> None:
    """The report of an earlier run and what lies beside it, which would pass for this one's."""
    results = () if is_file_scored else SUBMISSIONS.values()
    for name in (REPORT, PAGE, SAMPLES, *results):
        (out / name).unlink(missing_ok=True)
    remove_pictures(out)


def _figures(known: EvaluatedHands, benchmark: Benchmark, wrist: Wrist) -> list[Figure]:
    """Of all samples whose truth is known, and of each stratum of occlusion where that was measured."""
    if not len(known):
        return []
    figures = benchmark_figures(benchmark.protocol, known.scored(), wrist)
    if benchmark.protocol == "open":
        for low, high in zip(OCCLUSION_STRATA, (*OCCLUSION_STRATA[1:], np.inf), strict=True):
            rows = np.flatnonzero((known.occlusion >= low) & (known.occlusion < high))
            if len(rows):
                name = f"{low:.0%} to {min(high, 1):.0%} hidden"
                figures += benchmark_figures("open", known.select(rows).scored(), wrist, name)
    return figures


def _listings(
    known: EvaluatedHands, dataset: HandDataset, benchmark: Benchmark, out: Path, worst: int, subject: Estimator | Predictions
) -> dict[str, tuple]:
    """`samples.csv`, and the sequences and samples that are worst."""
    if not len(known):
        return {}
    is_official = benchmark.protocol in LISTED_OFFICIAL
    errors = hand_errors(known, allow_reflection=is_official)
    write_samples(out / SAMPLES, known, errors, "pa_mpjpe" if is_official else "pa_mpjpe_proper")
    faces = None if isinstance(subject, Predictions) else subject.hand.faces.cpu().numpy()
    return {
        "sequences": sequence_errors(known, errors),
        "worst": worst_samples(known, errors, dataset, worst, out, faces),
    }


def _submit(hands: EvaluatedHands, dataset: HandDataset, benchmark: Benchmark, out: Path) -> None:
    """The benchmark's own result file, of a whole split alone."""
    kind = benchmark.protocol
    assert kind == "ho3d" or kind == "freihand" or kind == "dexycb"
    assert isinstance(dataset, IndexedDataset)
    index = dataset.index.official_index[hands.places]
    write_submission(out / SUBMISSIONS[kind], kind, hands.joints, hands.vertices, index, benchmark.expected_samples(dataset))
