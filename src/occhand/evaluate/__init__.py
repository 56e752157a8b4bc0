"""Evaluation on the papers' benchmarks: a model or a file of predictions x a data set x a split. Open `run.py` first."""

from occhand.evaluate.benchmark import Benchmark, open_benchmark, read_predictions_for
from occhand.evaluate.joint_source import JointsOrder, JointSource
from occhand.evaluate.run import EvaluationConfig, evaluate

__all__ = ["Benchmark", "EvaluationConfig", "JointSource", "JointsOrder", "evaluate", "open_benchmark", "read_predictions_for"]
