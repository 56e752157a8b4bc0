"""Made-up data sets taken for whole ones, networks with random weights, and an estimator that knows the truth."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from occhand import create_model
from occhand.data.datasets import DATASETS
from occhand.data.predictions import Predictions
from occhand.estimators import Estimate
from occhand.evaluate import open_benchmark
from occhand.hand.hand_layer import load_hand
from tests.data.conftest import fake_copy, fake_root  # noqa: F401 (fixtures)

SPLITS = {"ho3d_v2": "evaluation", "ho3d_v3": "evaluation", "dexycb": "s0_test", "fpha": "action_test", "freihand": "evaluation"}


@pytest.fixture
def made_up(monkeypatch):
    """The trees have a few samples of each split; their own number counts as all."""
    for name in SPLITS:
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], counts={}))


@pytest.fixture
def opened(made_up, fake_root):  # noqa: F811
    """`opened(name)`: benchmark and samples of a made-up test split."""
    return lambda name: open_benchmark(name, fake_root(name), SPLITS[name])


@pytest.fixture(scope="session")
def network():
    """`network(name)`: a small network whose output depends on what it is given."""

    @cache
    def make(name, seed=0):
        torch.manual_seed(seed)
        model = create_model(name)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    torch.nn.init.xavier_normal_(parameter.flatten(1))
        return model.eval()

    return make


def perfect(dataset) -> Predictions:
    """The truth as predictions."""
    index = dataset.index
    meshes = None if index.vertices_cam is None else np.stack([index.vertices_of(row) for row in range(len(index))])
    return Predictions(tuple(index.keys.tolist()), index.joints_cam.copy(), meshes)


class Oracle:
    """Knows every hand by its picture, places it somewhere else, and is off by `noise` metres."""

    keypoint_need = "none"

    def __init__(self, dataset, noise=0.0) -> None:
        self.hand = load_hand()
        self.views = []
        self._truth = {}
        for row, sample in enumerate(dataset):
            sign = np.array([-1.0 if sample.side == "left" else 1.0, 1.0, 1.0])
            picture = sample.image[:, ::-1] if sample.side == "left" else sample.image
            vertices = np.zeros((778, 3)) if sample.vertices_cam is None else sample.vertices_cam
            shift = noise * np.random.default_rng(row).normal(size=(21, 3)) + (0.05, 0.0, 0.1)
            self._truth[picture.tobytes()] = (sample.joints_cam * sign + shift, vertices * sign + shift[0])

    def __call__(self, views) -> Estimate:
        self.views += views
        rows = [self._truth[np.ascontiguousarray(view.picture).tobytes()] for view in views]
        joints, vertices = (torch.from_numpy(np.stack(parts)).float() for parts in zip(*rows, strict=True))
        B = len(rows)
        points = [view.keypoints for view in views]
        return Estimate(torch.eye(3).expand(B, 16, 3, 3), torch.zeros(B, 10), torch.zeros(B, 3), vertices, joints, points, ["oracle"] * B)
