"""The occlusion stress report: accuracy as a curve over measured occlusion, visible and hidden joints apart."""

from occhand.data.predictions import Predictions, read_predictions
from occhand.stress.clips import stress_clips
from occhand.stress.families import FAMILIES
from occhand.stress.run import StressConfig, run_stress
from occhand.stress.trial import NoiseModel

__all__ = ["FAMILIES", "NoiseModel", "Predictions", "StressConfig", "read_predictions", "run_stress", "stress_clips"]
