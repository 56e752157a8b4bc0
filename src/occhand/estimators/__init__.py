"""From hands with boxes and 2D joints to posed hands in the camera frame: the fit, a network, or what the package does by default."""

from occhand.estimators.default import DefaultEstimator
from occhand.estimators.estimate import Estimate, Estimator, HandView, KeypointNeed
from occhand.estimators.fit import FitEstimator
from occhand.estimators.network import NetworkEstimator

__all__ = ["DefaultEstimator", "Estimate", "Estimator", "FitEstimator", "HandView", "KeypointNeed", "NetworkEstimator"]
