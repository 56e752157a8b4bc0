"""A data set, its split, and the released rules of testing on it: whose metrics, which box, how much around it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from occhand.data.datasets import DatasetInfo, HandDataset, create_dataset, dataset_info
from occhand.data.folder import FolderDataset
from occhand.data.index import IndexedDataset, Progress
from occhand.data.predictions import Predictions, read_predictions
from occhand.data.submission import read_any_predictions
from occhand.data.transforms import JOINTS_BOX_EXPANSION
from occhand.detect import DetectedHand
from occhand.estimators import HandView
from occhand.geometry.crop import joints_bbox, square_bbox
from occhand.hand.hand_layer import HandLayer
from occhand.metrics.figures import WITH_MESH, Wrist
from occhand.synth.dataset import SPLITS, SynthDataset, load_split
from occhand.types import Camera, EvaluationProtocol, HandSample


@dataclass(frozen=True)
class Benchmark:
    """What is evaluated on, and how."""

    name: str
    split: str
    info: DatasetInfo

    @property
    def label(self) -> str:
        """`name/split`."""
        return f"{self.name}/{self.split}" if self.split else self.name

    @property
    def title(self) -> str:
        """For people."""
        return self.name if self.name in SPLITS else f"{self.info.title} {self.split}".strip()

    @property
    def protocol(self) -> EvaluationProtocol:
        """Whose rules of scoring."""
        return self.info.protocol

    @property
    def has_mesh(self) -> bool:
        """Whether vertices are scored."""
        return self.protocol in WITH_MESH

    @property
    def wrist(self) -> Wrist:
        """What is done to the place of a model's hand: HO-3D gives the wrist, and both papers move their hand there."""
        return "given" if self.protocol == "ho3d" else "own"

    def expected_samples(self, dataset: HandDataset) -> int:
        """Samples of the whole split: by the benchmark's authors, else all that the data set lists, also those it could not read."""
        if self.split in self.info.counts:
            return self.info.counts[self.split].hands
        if isinstance(dataset, FolderDataset):
            return dataset.manifest.n
        if isinstance(dataset, IndexedDataset) and self.protocol in ("ho3d", "freihand"):
            return dataset.index.official_length  # of these every entry shows a hand; a file of annotations may lack some
        return len(dataset) + len(left_out_by(dataset))

    def view(self, sample: HandSample) -> HandView:
        """A sample as the network is shown it: a right hand, its test crop as released, no 2D joints yet."""
        height, width = sample.image.shape[:2]
        hand = DetectedHand(np.asarray(sample.bbox_xyxy, dtype=np.float64), sample.side, 1.0, None, "given")
        view = HandView.of(sample.image, hand, Camera(sample.K, height, width))
        x1, y1, x2, y2 = square = self.square(sample)
        # The release squares the box before it mirrors; one that leaves the picture is moved in, so order matters.
        if sample.side == "left":
            square = np.array([width - 1 - x2, y1, width - 1 - x1, y2])
        return HandView(view.picture, view.K, view.bbox_xyxy, None, square)

    def square(self, sample: HandSample) -> Float[np.ndarray, "4"]:
        """What is cut out of the picture at test time: around the given box, or around the true joints; all of it where that is nothing."""
        height, width = sample.image.shape[:2]
        box = torch.from_numpy(np.asarray(sample.bbox_xyxy, dtype=np.float64))
        if self.info.test_box == "joints":
            box = joints_bbox(torch.from_numpy(np.asarray(sample.joints_img, dtype=np.float64)), JOINTS_BOX_EXPANSION)
        square = square_bbox(box, height, width, self.info.test_expansion).numpy()
        return square if np.isfinite(square).all() else np.array([0.0, 0.0, width - 1.0, height - 1.0])


def open_benchmark(
    name: str,
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    hand: HandLayer | None = None,
    progress: Progress | None = None,
) -> tuple[Benchmark, HandDataset]:
    """A benchmark and its samples.

    Args:
        name: A data set of `list_datasets()`, or a generated split such as `open-test`.
        root: Where the data set lies; generated splits have none.
        split: Its part.
        hand: The user's MANO, which some annotations need; other hands are passed over.
        progress: Called while annotations are read for the first time.

    Raises:
        ValueError: Unknown name or split, no root, files that cannot be used.
    """
    if name in SPLITS:
        return Benchmark(name, "", dataset_info("folder")), load_split(name)
    info = dataset_info(name)
    if root is None:
        raise ValueError(f"{name} needs the folder it lies in: --root FOLDER. Without any data: open-test.")
    dataset = create_dataset(name, root, split, hand if hand is not None and hand.name == "mano" else (), progress)
    return Benchmark(name, split or "", info), dataset


def read_predictions_for(path: str | os.PathLike[str], benchmark: Benchmark, dataset: HandDataset) -> Predictions:
    """Predictions by key, or a result file of this benchmark's server.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Another form, another number of samples; the message names the file.
    """
    if not isinstance(dataset, IndexedDataset):
        return read_predictions(path)
    index = dataset.index
    return read_any_predictions(path, benchmark.protocol, index.keys.tolist(), index.official_index, index.official_length)


def hand_of(dataset: HandDataset) -> str | None:
    """The hand model whose vertices the samples have: generated ones the open hand's, benchmarks MANO's; None where nobody says."""
    if isinstance(dataset, SynthDataset):
        return "open"
    if isinstance(dataset, FolderDataset):
        return "open" if dataset.manifest.generator.startswith("synth ") else None
    return "mano" if isinstance(dataset, IndexedDataset) else None


def left_out_by(dataset: HandDataset) -> tuple[tuple[str, str], ...]:
    """(key, reason) of what a reader could not use."""
    return dataset.left_out if isinstance(dataset, IndexedDataset) else ()
