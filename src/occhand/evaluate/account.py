"""What was done, in words: the notes and settings of a report, and what tells one run from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np

import occhand
from occhand.data.datasets import HandDataset
from occhand.data.folder import FolderDataset
from occhand.data.index import IndexedDataset
from occhand.data.predictions import Predictions
from occhand.estimators import DefaultEstimator, Estimator, FitEstimator, NetworkEstimator
from occhand.evaluate.benchmark import Benchmark
from occhand.evaluate.hands import EvaluatedHands
from occhand.evaluate.joint_source import JointSource
from occhand.metrics.figures import Wrist, other_hand_note

_Networks = NetworkEstimator | DefaultEstimator


def notes(hands: EvaluatedHands, subject: Estimator | Predictions, wrist: Wrist, data_hand: str | None = None) -> list[str]:
    """What a reader must know so as not to be misled.

    Args:
        hands: As they are scored.
        subject: What made them; of predictions from a file nobody says which hand model has their vertices.
        wrist: What was done to their place.
        data_hand: Hand model of the true vertices, where it is known.
    """
    found = []
    unknown = int((~hands.is_known).sum())
    if unknown:
        found.append(
            f"{unknown:,} of {len(hands):,} samples have no truth here and are not scored. HO-3D's is released apart from the images; "
            "without it, --submission writes the file for the server."
        )
    if not isinstance(subject, Predictions) and subject.hand.name == "open":
        found.append("The hand is the open one, which is not MANO: these figures are not comparable with any published row.")
    if hands.vertices is not None:
        found += _mesh_notes(hands, None if isinstance(subject, Predictions) else subject.hand.name, data_hand)
    if wrist == "given":
        found.append("Each hand was moved to the wrist that the data set gives, as both papers do: unaligned figures are root-relative.")
    if isinstance(subject, FitEstimator):
        found.append("The fit sees the 2D joints and no picture.")
    return found


def _mesh_notes(hands: EvaluatedHands, own: str | None, data_hand: str | None) -> list[str]:
    """Why there is no figure of vertices, or one that means little."""
    unusable = hands.is_known & ~hands.has_meshes
    if unusable.any():
        first = str(hands.keys[np.flatnonzero(unusable)[0]])
        return [
            f"No vertices are scored over all samples: {int(unusable.sum()):,} of {int(hands.is_known.sum()):,} have a mesh, predicted or "
            f"true, that is unknown or not finite, the first is {first!r}."
        ]
    if own is None or data_hand is None or own == data_hand or not hands.is_known.any():
        return []
    return [other_hand_note(own, data_hand)]


def settings(subject: Estimator | Predictions, benchmark: Benchmark, wrist: Wrist, joints: JointSource | None) -> dict[str, str]:
    """How the predictions came about."""
    found = {"wrist": {"given": "the data set's, hands moved there", "own": "as predicted"}[wrist]}
    if not isinstance(subject, Predictions):
        box = {"given": "the given box", "joints": "the true 2D joints (x1.5)"}[benchmark.info.test_box]
        found |= {
            "estimator": describe(subject),
            "crop": f"square around {box}, x{benchmark.info.test_expansion:g}, as released; left hands in a mirror",
            "2D joints given": _joints(subject, joints),
        }
    return found


def describe(subject: Estimator) -> str:
    """What makes the hands."""
    return subject.description if isinstance(subject, _Networks) else type(subject).__name__.removesuffix("Estimator").lower()


def identity(
    subject: Estimator, dataset: HandDataset, benchmark: Benchmark, joints: JointSource | None, batch_size: int
) -> dict[str, object]:
    """All that decides the predictions, so that those of another run are never taken for this one's.

    Of the truth only what an estimator is shown: figures are made anew in every run, from the truth that the data set then has.
    """
    return {
        "version": occhand.__version__,
        "subject": subject.identity() if isinstance(subject, _Networks) else f"{describe(subject)}, {_hand_of(subject)}",
        "data": f"{benchmark.label}: {dataset}",
        "samples": _samples(dataset, benchmark, joints),
        "test_box": f"{benchmark.info.test_box} x{benchmark.info.test_expansion:g}",
        "joints": None if joints is None else {**asdict(joints), "joints_crop": _digest_of_points(joints)},
        "batch_size": batch_size,
    }


def _joints(subject: Estimator, joints: JointSource | None) -> str:
    if isinstance(subject, NetworkEstimator) and subject.has_joints_model:
        return "HandOccNet's own head"
    return "none" if joints is None else joints.description


def _hand_of(subject: Estimator) -> str:
    """Its name and a digest of its shape, as two files of MANO may bear one name."""
    return f"{subject.hand.name} {_digest([subject.hand.v_template.cpu().numpy().tobytes()])}"


def _samples(dataset: HandDataset, benchmark: Benchmark, joints: JointSource | None) -> str | None:
    """A digest of what the data set says of its pictures; None of samples that its name decides, such as generated ones."""
    if isinstance(dataset, FolderDataset):
        return _digest([json.dumps(asdict(dataset.manifest)).encode()])
    if not isinstance(dataset, IndexedDataset):
        return None
    index = dataset.index
    texts = ["\n".join(column.tolist()).encode() for column in (index.keys, index.images, index.sides)]
    numbers = [index.size, index.K, index.bbox_xyxy]
    if benchmark.info.test_box == "joints" or (joints is not None and joints.joints_crop is None):
        numbers.append(index.joints_img)
    return _digest([*texts, *(np.ascontiguousarray(array).tobytes() for array in numbers)])


def _digest_of_points(joints: JointSource) -> str | None:
    return None if joints.joints_crop is None else _digest([np.ascontiguousarray(joints.joints_crop).tobytes()])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
