"""What is put under stress: an estimator, the mean pose, or a file of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from occhand.data.predictions import Predictions
from occhand.detect import Keypoints2D
from occhand.estimators import Estimator, FitEstimator, HandView
from occhand.fit import fit_hand
from occhand.hand.hand_layer import HandLayer
from occhand.hand.prior import load_prior
from occhand.stress.scores import Predicted, mirror_left
from occhand.stress.trial import Trial

_STIFFNESS = 1e-6
"""Of the pose prior's variance for the mean pose: its joints bend by less than a tenth of a degree."""


@runtime_checkable
class Subject(Protocol):
    """Answers trials with hands."""

    name: str
    sees_image: bool
    can_be_perturbed: bool

    def __call__(self, trials: Sequence[Trial], seed: int) -> Predicted: ...


class EstimatorSubject:
    """Any estimator, given the box and 2D joints of each trial."""

    can_be_perturbed = True

    def __init__(self, estimator: Estimator, name: str) -> None:
        self.estimator, self.name = estimator, name
        self.sees_image = not isinstance(estimator, FitEstimator)

    def __call__(self, trials: Sequence[Trial], seed: int) -> Predicted:
        return self.look([trial.view(seed) for trial in trials])

    def look(self, views: Sequence[HandView]) -> Predicted:
        """Hands of views that are ready."""
        with torch.no_grad():
            estimate = self.estimator(views)
        return Predicted(estimate.joints, estimate.vertices)


class MeanPose:
    """The pose prior's mean, of which only shape, direction and place follow the 2D joints: what a hand is like that nobody looks at."""

    name = "mean pose"
    sees_image = False
    can_be_perturbed = True

    def __init__(self, hand: HandLayer) -> None:
        prior = load_prior()
        self._hand, self._prior = hand, replace(prior, covariance=_STIFFNESS * prior.covariance)

    def __call__(self, trials: Sequence[Trial], seed: int) -> Predicted:
        views = [trial.view(seed) for trial in trials]
        points = [view.keypoints for view in views]
        joints_img = np.stack([point.joints_img for point in points if isinstance(point, Keypoints2D)])
        K = np.stack([view.K for view in views])
        fit = fit_hand(self._hand, torch.from_numpy(joints_img).float(), torch.from_numpy(K).float(), prior=self._prior)
        return Predicted(fit.joints, fit.vertices)


class PredictionsSubject:
    """Hands that were predicted elsewhere, for the samples as they are."""

    sees_image = True
    can_be_perturbed = False

    def __init__(self, predictions: Predictions, name: str) -> None:
        self._predictions, self.name = predictions, name

    def __call__(self, trials: Sequence[Trial], seed: int) -> Predicted:
        rows = [self._predictions.row(trial.sample.key) for trial in trials]
        sides = [trial.sample.side for trial in trials]

        def gather(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.stack([mirror_left(array[row], side) for row, side in zip(rows, sides, strict=True)]))

        vertices = self._predictions.vertices_cam
        return Predicted(gather(self._predictions.joints_cam), None if vertices is None else gather(vertices))
