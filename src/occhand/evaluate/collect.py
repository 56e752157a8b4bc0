"""From a data set to predicted hands beside true ones: by an estimator, in batches that are kept as they come, or from a file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from occhand.broken_files import BROKEN_ARCHIVE
from occhand.data.datasets import HandDataset
from occhand.data.index import AnnotationIndex, IndexedDataset
from occhand.data.predictions import Predictions
from occhand.estimators import Estimator, HandView
from occhand.evaluate.benchmark import Benchmark
from occhand.evaluate.hands import EvaluatedHands
from occhand.evaluate.joint_source import JointSource
from occhand.result import write_json
from occhand.types import HandSample

Progress = Callable[[int, int], None]
"""Told how many of how many samples are done."""
LeftOut = tuple[str, str]
"""Key and reason."""

_CHUNK = 128
"""Samples in a file of finished predictions: what a stopped run loses at most. Batches end with it, so that they are always the same."""
_IDENTITY = "run.json"
_log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """A sample without its picture's surroundings: the truth, and what the estimator is shown, which is nothing for a file."""

    place: int
    key: str
    side: str
    K: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray | None
    occlusion: float
    view: HandView | None


class Views(Dataset[Seen | LeftOut]):
    """Samples as a benchmark shows them; made in worker processes."""

    def __init__(self, dataset: HandDataset, benchmark: Benchmark, joints: JointSource | None, with_view: bool = True) -> None:
        self._dataset, self._benchmark, self._joints, self._with_view = dataset, benchmark, joints, with_view

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, place: int) -> Seen | LeftOut:
        try:
            sample = self._dataset[place]
        except (ValueError, OSError) as error:  # a picture that is missing or broken: named, and the others go on
            key = str(self._dataset.index.keys[place]) if isinstance(self._dataset, IndexedDataset) else f"sample {place}"
            return key, " ".join(str(error).split())
        vertices = sample.vertices_cam if self._benchmark.has_mesh else None
        occlusion = np.nan if sample.occlusion is None else float(sample.occlusion.ratio)
        view = self._view(sample, place) if self._with_view else None
        return Seen(place, sample.key, sample.side, sample.K, sample.joints_cam, vertices, occlusion, view)

    def _view(self, sample: HandSample, place: int) -> HandView:
        view = self._benchmark.view(sample)
        if self._joints is None:
            return view
        return HandView(view.picture, view.K, view.bbox_xyxy, self._joints(sample, place, view), view.square_xyxy)


class Kept:
    """Finished predictions of a run in a folder, chunk by chunk.

    Raises:
        ValueError: The folder holds those of another run.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self._folder = folder
        path = folder / _IDENTITY
        if path.exists():
            found = path.read_text(encoding="utf-8")
            wanted = write_json(folder / f"wanted-{_IDENTITY}", identity)
            expected = wanted.read_text(encoding="utf-8")
            wanted.unlink()
            if found != expected:
                lines = sorted(set(expected.splitlines()) ^ set(found.splitlines()))
                raise ValueError(
                    f"{folder} holds predictions of another run ({'; '.join(line.strip(' ,') for line in lines)}). Choose another --out, "
                    "or delete that folder."
                )
        write_json(path, identity)

    def read(self, chunk: range) -> EvaluatedHands | None:
        """The hands of a chunk that is finished and whole."""
        try:
            hands = EvaluatedHands.load(self._path(chunk))
        except FileNotFoundError:
            return None
        except BROKEN_ARCHIVE as error:
            _log.warning("%s is broken (%s); predicting it again", self._path(chunk), " ".join(str(error).split()))
            return None
        return hands if np.array_equal(hands.places, chunk) else None

    def write(self, chunk: range, hands: EvaluatedHands) -> None:
        hands.save(self._path(chunk))

    def _path(self, chunk: range) -> Path:
        return self._folder / f"chunk-{chunk.start // _CHUNK:05d}.npz"


def predict_all(
    estimator: Estimator,
    dataset: HandDataset,
    benchmark: Benchmark,
    joints: JointSource | None,
    count: int,
    kept: Kept,
    batch_size: int,
    workers: int,
    progress: Progress | None = None,
) -> tuple[list[EvaluatedHands], list[LeftOut]]:
    """The estimator's hands of the first `count` samples; finished chunks are taken from `kept`, their truth from the data set.

    A chunk with samples that could not be read is not kept: they may be there next time.
    """
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    finished = {chunk: _with_truth_of(dataset, benchmark, hands, chunk) for chunk in chunks if (hands := kept.read(chunk)) is not None}
    todo = [chunk for chunk in chunks if chunk not in finished]
    batches = [[*chunk[start : start + batch_size]] for chunk in todo for start in range(0, len(chunk), batch_size)]
    views = Views(dataset, benchmark, joints)
    loaded = _load(views, batches, workers)
    done, left_out = count - sum(map(len, todo)), []
    for chunk in todo:
        parts: list[EvaluatedHands] = []
        remaining = len(chunk)
        while remaining:
            batch = next(loaded)
            seen = [one for one in batch if isinstance(one, Seen)]
            left_out += [one for one in batch if not isinstance(one, Seen)]
            if seen:
                parts.append(_answer(estimator, seen, benchmark.has_mesh))
            remaining -= len(batch)
            done += len(batch)
            if progress is not None:
                progress(done, count)
        if parts:
            finished[chunk] = EvaluatedHands.concatenate(parts)
            if len(finished[chunk]) == len(chunk):
                kept.write(chunk, finished[chunk])
    return [finished[chunk] for chunk in chunks if chunk in finished], left_out


def look_up_all(
    predictions: Predictions,
    dataset: HandDataset,
    benchmark: Benchmark,
    count: int,
    workers: int,
    progress: Progress | None = None,
) -> tuple[list[EvaluatedHands], list[LeftOut]]:
    """The predicted hands of the first `count` samples beside the truth; pictures are read only where the truth comes with them."""
    predicted = {key: row for row, key in enumerate(predictions.keys)}
    seen: list[Seen] = []
    left_out: list[LeftOut] = []
    for one in _truths(dataset, benchmark, range(count), workers):
        if isinstance(one, Seen) and one.key in predicted:
            seen.append(one)
        else:
            left_out.append((one.key, "There is no prediction for it.") if isinstance(one, Seen) else one)
        if progress is not None:
            progress(len(seen) + len(left_out), count)
    if not seen:
        return [], left_out
    rows = [predicted[one.key] for one in seen]
    vertices = None if predictions.vertices_cam is None or not benchmark.has_mesh else predictions.vertices_cam[rows]
    return [_beside_truth(seen, predictions.joints_cam[rows], vertices)], left_out


def _truths(dataset: HandDataset, benchmark: Benchmark, places: range, workers: int) -> Iterator[Seen | LeftOut]:
    if isinstance(dataset, IndexedDataset):
        yield from _listed_truths(dataset.index, benchmark, places)
        return
    batches = [[*places[start : start + 16]] for start in range(0, len(places), 16)]
    for batch in _load(Views(dataset, benchmark, None, with_view=False), batches, workers):
        yield from batch


def _listed_truths(index: AnnotationIndex, benchmark: Benchmark, places: range) -> Iterator[Seen]:
    for row in places:
        vertices = index.vertices_of(row) if benchmark.has_mesh else None
        yield Seen(row, str(index.keys[row]), str(index.sides[row]), index.K[row], index.joints_cam[row], vertices, np.nan, None)


def _with_truth_of(dataset: HandDataset, benchmark: Benchmark, hands: EvaluatedHands, chunk: range) -> EvaluatedHands:
    """Kept hands beside what is known today: HO-3D's truth is released apart from its pictures, and may have come since.

    Only an index can change so; of other data sets the truth is part of the samples, which `identity` tells apart.
    """
    if not isinstance(dataset, IndexedDataset):
        return hands
    return _beside_truth([*_listed_truths(dataset.index, benchmark, chunk)], hands.joints, hands.vertices)


def _load(views: Views, batches: Sequence[list[int]], workers: int) -> Iterator[list[Seen | LeftOut]]:
    """Batches in order, whichever process made them."""
    # Started afresh rather than forked: a fork inherits the locks of OpenMP and numba threads that it does not have.
    context = "spawn" if workers else None
    return iter(DataLoader(views, batch_sampler=batches, collate_fn=list, num_workers=workers, multiprocessing_context=context))


@torch.no_grad()
def _answer(estimator: Estimator, seen: Sequence[Seen], with_vertices: bool) -> EvaluatedHands:
    """What the estimator says, mirrored back for left hands."""
    estimate = estimator([one.view for one in seen if one.view is not None])
    mirror = np.array([[-1.0 if one.side == "left" else 1.0, 1.0, 1.0] for one in seen])[:, None]
    vertices = estimate.vertices.numpy() * mirror if with_vertices else None
    return _beside_truth(seen, estimate.joints.double().numpy() * mirror, vertices)


def _beside_truth(seen: Sequence[Seen], joints: np.ndarray, vertices: np.ndarray | None) -> EvaluatedHands:
    """As arrays; true vertices only where there are predicted ones to hold against them."""
    true_vertices = None
    if vertices is not None:
        unknown = np.full((778, 3), np.nan)
        true_vertices = np.stack([unknown if one.vertices is None else one.vertices for one in seen]).astype(np.float32)
    return EvaluatedHands(
        places=np.array([one.place for one in seen]),
        keys=np.array([one.key for one in seen], dtype=np.str_),
        sides=np.array([one.side for one in seen], dtype=np.str_),
        K=np.stack([one.K for one in seen]).astype(np.float64),
        joints=joints.astype(np.float64),
        true_joints=np.stack([one.joints for one in seen]).astype(np.float64),
        occlusion=np.array([one.occlusion for one in seen]),
        vertices=None if vertices is None else vertices.astype(np.float32),
        true_vertices=true_vertices,
    )
