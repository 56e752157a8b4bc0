"""Where the 2D joints come from that HandGCAT and the fit take. Results mean little without it, so it is named in every report."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from occhand.broken_files import BROKEN_JSON
from occhand.data.datasets import HandDataset
from occhand.detect import Keypoints2D
from occhand.estimators import HandView
from occhand.evaluate.benchmark import Benchmark
from occhand.geometry.crop import crop_matrix, transform_points
from occhand.hand.skeleton import HOUSE_FROM_HO3D, JOINT_NAMES
from occhand.types import HandSample

JointsOrder = Literal["house", "ho3d"]
_ORDERS: dict[JointsOrder, tuple[int, ...]] = {"house": tuple(range(len(JOINT_NAMES))), "ho3d": HOUSE_FROM_HO3D}
RELEASED_SIGMA = 0.01
"""Of the crop: the noise that HandGCAT was trained with."""
_CHECKED = 40
_FAR = 0.1
"""Of the crop. Detected joints are about 0.02 off, those in another order about 0.2."""


@dataclass(frozen=True)
class JointSource:
    """The 2D joints of each sample, by annotation or from a file."""

    description: str
    sigma: float = 0.0
    """Of the normal noise on annotated joints, in sides of the crop."""
    seed: int = 0
    joints_crop: Float[np.ndarray, "n 21 2"] | None = None
    """From a file: 0..1 over the test crop of each sample (mirrored for left hands), house order, in the data set's order."""

    @classmethod
    def annotation(cls, sigma: float = 0.0, seed: int = 0) -> JointSource:
        """The true joints, exact or with noise.

        Raises:
            ValueError: A negative `sigma`.
        """
        if not 0 <= sigma < np.inf:
            raise ValueError(f"Joint noise of {sigma} of the crop; expected 0 or more, such as {RELEASED_SIGMA}.")
        noise = f" plus normal noise of {sigma:g} of the crop (seed {seed})" if sigma else ""
        return cls(f"annotation{noise}: the truth is part of the input", sigma, seed)

    @classmethod
    def file(cls, path: str | os.PathLike[str], order: JointsOrder, count: int) -> JointSource:
        """A keypoints file such as the released `kypt_eval.json`.

        Args:
            path: JSON: a list over the samples in the data set's order, of 21 (x, y) each, 0..1 over the sample's test crop.
            order: Of its joints. The release reads its file as it is on HO-3D v2 and DexYCB (`house`) and reorders it on HO-3D v3 (`ho3d`).
            count: Samples of the data set.

        Raises:
            FileNotFoundError: No such file.
            ValueError: Not in this form, of another length, pixels instead of 0..1.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"No 2D joints at {path}. Check the path.")
        try:
            joints = np.asarray(json.loads(path.read_text(encoding="utf-8")), dtype=np.float64)
        except BROKEN_JSON as error:
            raise ValueError(f"{path} is no list of 21 (x, y) per sample ({' '.join(str(error).split())[:100]}).") from None
        if joints.shape != (count, 21, 2):
            raise ValueError(f"{path} holds {joints.shape}, expected ({count}, 21, 2): the joints of each sample in the data set's order.")
        if not np.isfinite(joints).all():
            broken = int(np.flatnonzero(~np.isfinite(joints).all(axis=(1, 2)))[0])
            raise ValueError(f"{path}: entry {broken} has joints that are not finite.")
        if np.abs(np.median(joints, axis=(0, 1)) - 0.5).max() > 0.5:
            raise ValueError(
                f"{path}: the median joint lies at {np.median(joints, axis=(0, 1)).round(2).tolist()}, expected 0..1 of the crop."
            )
        return cls(f"{path.name}, {order} order", joints_crop=joints[:, list(_ORDERS[order])])

    @classmethod
    def named(cls, name: str, order: JointsOrder, count: int) -> JointSource:
        """By what the user typed: `annotation`, `noise` (the annotation with the noise of HandGCAT's training), or a file."""
        if name in ("annotation", "noise"):
            return cls.annotation(RELEASED_SIGMA if name == "noise" else 0.0)
        return cls.file(name, order, count)

    def check(self, dataset: HandDataset, benchmark: Benchmark) -> None:
        """Hold the joints against the annotation where there is one.

        Raises:
            ValueError: No annotation to take them from; a file in the other order, or of other samples.
        """
        places = np.unique(np.linspace(0, len(dataset) - 1, min(_CHECKED, len(dataset))).astype(int)).tolist()
        if self.joints_crop is None:
            first = dataset[0]
            if not np.isfinite(first.joints_img).all():
                raise ValueError(f"{dataset} does not say where the joints of {first.key} are. Name another source of 2D joints.")
            return
        samples = [(place, sample) for place in places if np.isfinite((sample := dataset[place]).joints_img).all()]
        if not samples:
            return
        truth = np.stack([self._true_joints_crop(sample, benchmark.view(sample)) for _, sample in samples])
        given = self.joints_crop[[place for place, _ in samples]]

        def error(joints: np.ndarray) -> float:
            return float(np.median(np.linalg.norm(joints - truth, axis=-1).mean(axis=1)))

        as_given = error(given)
        others = {"as ho3d": error(given[:, list(HOUSE_FROM_HO3D)]), "as house": error(given[:, np.argsort(HOUSE_FROM_HO3D)])}
        best = min(others, key=lambda name: others[name])
        if as_given > _FAR / 2 and others[best] < 0.5 * as_given:
            raise ValueError(
                f"The 2D joints ({self.description}) are {as_given:.3f} of the crop off the annotation, read {best} they are "
                f"{others[best]:.3f} off. Name their order: --joints-order {best.split()[1]}."
            )
        if as_given > _FAR:
            raise ValueError(
                f"The 2D joints ({self.description}) are {as_given:.2f} of the crop off the annotation: those of other samples, of another "
                "crop, or of left hands that were not mirrored? Expected the order of the data set and its test crops."
            )

    def __call__(self, sample: HandSample, place: int, view: HandView) -> Keypoints2D:
        """The joints of a sample in its view, pixels."""
        assert view.square_xyxy is not None, "a benchmark's views have one"
        if self.joints_crop is not None:
            img_from_crop = torch.linalg.inv(crop_matrix(torch.from_numpy(view.square_xyxy), 1))
            joints = transform_points(img_from_crop, torch.from_numpy(self.joints_crop[place])).numpy()
            return Keypoints2D(joints, np.ones(len(JOINT_NAMES)), "file")
        points = Keypoints2D(np.asarray(sample.joints_img, dtype=np.float64), np.ones(len(JOINT_NAMES)), "given")
        if sample.side == "left":
            points = points.mirrored(sample.image.shape[1])
        # Depends on nothing but the sample's key, so that any part of a run gives what the whole gives.
        rng = np.random.default_rng([self.seed, zlib.crc32(sample.key.encode())])
        noise = self.sigma * (view.square_xyxy[2] - view.square_xyxy[0]) * rng.standard_normal((len(JOINT_NAMES), 2))
        return Keypoints2D(points.joints_img + noise, points.weights, "given")

    def _true_joints_crop(self, sample: HandSample, view: HandView) -> Float[np.ndarray, "21 2"]:
        joints = JointSource.annotation()(sample, 0, view).joints_img
        assert view.square_xyxy is not None
        return transform_points(crop_matrix(torch.from_numpy(view.square_xyxy), 1), torch.from_numpy(joints)).numpy()
