"""Put an estimator, or a file of predictions, under stress: one pass over the samples, scores hand by hand, then the report."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from occhand.data.predictions import Predictions
from occhand.estimators import Estimator, FitEstimator
from occhand.hand.hand_layer import load_hand
from occhand.stress.clips import measure_clip
from occhand.stress.families import FAMILIES
from occhand.stress.notes import honest_notes
from occhand.stress.report import write_report
from occhand.stress.scores import Predicted, score
from occhand.stress.subjects import EstimatorSubject, MeanPose, PredictionsSubject, Subject
from occhand.stress.table import StressResult, WorstHand
from occhand.stress.trial import NoiseModel, Trial, main_occluder
from occhand.synth.clips import Clip
from occhand.types import HandSample

_PLAIN = 0.1
"""Occlusion of a hand that shows what a perturbation does."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StressConfig:
    """What to try, and how much of it."""

    seed: int = 0
    """Of the noise, the perturbations and the bootstrap."""
    families: tuple[str, ...] = tuple(FAMILIES)
    """Perturbations, names of `FAMILIES`."""
    hands_per_level: int = 200
    """Of the samples, the first so many are perturbed and mirrored; all are tried as they are."""
    noise: NoiseModel = field(default_factory=NoiseModel)
    bootstrap_draws: int = 500
    worst: int = 9
    """Hands shown at the end of the page."""
    batch_size: int = 50

    def __post_init__(self) -> None:
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown:
            raise ValueError(f"Unknown family {unknown[0]!r}; choose from {', '.join(FAMILIES)}.")
        if min(self.batch_size, self.bootstrap_draws) < 1 or self.hands_per_level < 0:
            raise ValueError("batch_size and bootstrap_draws must be at least 1, hands_per_level at least 0.")


def run_stress(
    subject: Estimator | Predictions,
    samples: Iterable[HandSample],
    out: str | os.PathLike[str],
    name: str,
    data_name: str,
    config: StressConfig | None = None,
    clips: Iterable[Clip] = (),
    data_hand: str | None = None,
) -> StressResult:
    """Measure a subject against occlusion and write `stress.json`, `curves-*.png` and `stress.html`.

    The fit and the mean pose are measured beside it in every report. Rendered samples know what is hidden; of others only what the
    perturbations hide is known, and the report says so.

    Args:
        subject: `Predictor.estimator`, or predictions read by `read_predictions`, which cannot be perturbed.
        samples: Any data set of hands; passed over once.
        out: The folder; made where it is missing.
        name: How the report calls the subject.
        data_name: How it calls the data, with split and version.
        config: The defaults take 400 hands in a minute or two.
        clips: Hands in motion, such as `stress_clips`, for a subject that is an estimator.
        data_hand: Hand model that the true vertices belong to, such as `open`; None where nobody knows.

    Raises:
        ValueError: No samples, a key that comes twice, predictions for other samples, clips for predictions, a baseline's name, hands
            that are not finite.
    """
    config = config or StressConfig()
    main: Subject = PredictionsSubject(subject, name) if isinstance(subject, Predictions) else EstimatorSubject(subject, name)
    fit = EstimatorSubject(FitEstimator(load_hand() if isinstance(subject, Predictions) else subject.hand), "fit")
    is_fit = isinstance(subject, FitEstimator)
    if name in {MeanPose.name, "" if is_fit else fit.name}:
        raise ValueError(f"{name!r} is the name of a baseline in every report. Choose another name for what is tested.")
    if isinstance(subject, Predictions):
        if next(iter(clips), None) is not None:
            raise ValueError(f"{name} holds predictions for samples, and cannot be asked about clips. Leave the clips out.")
        if isinstance(samples, Sized):
            subject.check_number(len(samples))
    subjects: list[Subject] = [main, *([] if is_fit else [fit]), MeanPose(fit.estimator.hand)]
    result = StressResult(name, data_name, [each.name for each in subjects], fit.estimator.hand.faces.numpy())
    for trials in _batches(samples, config):
        _run_batch(trials, subjects, config, result)
        _log.info("%d hands done", result.hands)
    if not result.hands:
        raise ValueError(f"{data_name} has no samples. Check the split and the folder.")
    if isinstance(subject, Predictions):
        subject.check_used(result.base[name].keys)
    estimators = [each for each in subjects if isinstance(each, EstimatorSubject)]
    for clip in clips:
        result.clips.append(measure_clip(estimators, clip, config.noise, config.seed))
    own_hand = None if isinstance(subject, Predictions) else subject.hand.name
    result.notes = honest_notes(result, config.noise, config.bootstrap_draws, main.sees_image, main.can_be_perturbed, own_hand, data_hand)
    write_report(result, config.seed, config.bootstrap_draws, Path(out))
    return result


def _batches(samples: Iterable[HandSample], config: StressConfig) -> Iterator[list[Trial]]:
    seen: set[str] = set()
    remaining = iter(samples)
    while batch := list(itertools.islice(remaining, config.batch_size)):
        for sample in batch:
            if sample.key in seen:
                raise ValueError(f"Sample {sample.key!r} comes twice. Keys tell samples apart: two splits given as one?")
            seen.add(sample.key)
        yield [Trial.of(sample, config.noise) for sample in batch]


def _run_batch(trials: Sequence[Trial], subjects: Sequence[Subject], config: StressConfig, result: StressResult) -> None:
    main = subjects[0]
    occluders = [main_occluder(trial.sample) for trial in trials]
    answers: dict[str, Predicted] = {}
    for subject in subjects:
        predicted = answers[subject.name] = subject(trials, config.seed)
        scores = score(predicted, trials)
        result.base[subject.name].add(trials, scores, occluders)
        if subject is main:
            result.is_rendered &= all(trial.sample.occlusion is not None for trial in trials)
            _keep_worst(result, trials, predicted, scores["pa_mpjpe"], config.worst)

    chosen = trials[: max(0, config.hands_per_level - result.perturbed)]
    if not chosen:
        return
    result.perturbed += len(chosen)
    example = min(range(len(chosen)), key=lambda k: (not chosen[k].ratio < _PLAIN, int(chosen[k].is_hidden.sum())))
    for name in config.families:
        family = FAMILIES[name]
        able = [each for each in subjects if each.can_be_perturbed and (each.sees_image or not family.needs_image)]
        for level in family.levels if able else ():
            harder = [family.perturb(trial, level, config.seed) for trial in chosen]
            if len(result.examples[name]) < len(family.levels):
                result.examples[name].append(harder[example])
            for subject in able:
                if not isinstance(subject, MeanPose):  # its PA error knows no perturbation
                    result.table(name, level, subject.name).add(harder, score(subject(harder, config.seed), harder))
    for subject in subjects:
        if isinstance(subject, EstimatorSubject):
            # In a batch of another size a network's numbers differ a little, so a part of the trials is asked about again.
            straight = answers[subject.name] if len(chosen) == len(trials) else subject(chosen, config.seed)
            mirrored = subject.look([trial.mirrored_view(config.seed) for trial in chosen])
            result.flips[subject.name] += _differences_mm(straight, mirrored)


def _differences_mm(a: Predicted, b: Predicted) -> list[float]:
    """Mean distance of the joints of two predictions of the same hands, wrist on wrist."""
    a_joints, b_joints = (joints - joints[:, :1] for joints in (a.joints, b.joints))
    return [1e3 * value for value in (a_joints - b_joints).norm(dim=-1).mean(-1).tolist()]


def _keep_worst(result: StressResult, trials: Sequence[Trial], predicted: Predicted, errors_mm: Float[np.ndarray, "B"], count: int) -> None:
    found = [WorstHand(float(error), trial, predicted.select(k)) for k, (trial, error) in enumerate(zip(trials, errors_mm, strict=True))]
    result.worst = sorted(result.worst + found, key=lambda hand: -hand.pa_mpjpe_mm)[:count]
