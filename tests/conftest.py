"""What tests share: a cache of their own, the rendered example, a stand-in for the detector."""

from pathlib import Path

import numpy as np
import pytest
import torch

from occhand import cli
from occhand.detect import DetectedHand, Keypoints2D, read_keypoints
from occhand.estimators import FitEstimator
from occhand.hand.hand_layer import load_hand
from occhand.image_io import load_image
from occhand.predictor import Predictor

EXAMPLES = Path(__file__).parents[1] / "examples"
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test sees or touches the user's cache."""
    monkeypatch.setenv("OCCHAND_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(capsys):
    """The command line as a user meets it: exit code, what it printed, what it complained of."""

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return ended.value.code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def example_image() -> np.ndarray:
    return load_image(EXAMPLES / "rendered-hand.png")


@pytest.fixture(scope="session")
def example_hand() -> DetectedHand:
    return read_keypoints(EXAMPLES / "rendered-hand.json")[0]


class StandInDetector:
    """Finds the example's hand in every image but black ones, as a right hand or, in a mirrored image, as a left one."""

    def __init__(self, hand: DetectedHand) -> None:
        self.hand = hand

    def detect(self, image: np.ndarray) -> list[DetectedHand]:
        return [] if not image.any() else [DetectedHand(self.hand.bbox_xyxy, "right", 0.9, self._keypoints())]

    def find_joints(self, image, bbox_xyxy, side):
        middle = (bbox_xyxy[:2] + bbox_xyxy[2:]) / 2
        low, high = self.hand.bbox_xyxy[:2], self.hand.bbox_xyxy[2:]
        is_inside = ((low <= middle) & (middle <= high)).all()
        return (side or "right", self._keypoints()) if is_inside else None

    def _keypoints(self) -> Keypoints2D:
        return Keypoints2D(self.hand.keypoints.joints_img, self.hand.keypoints.weights, "mediapipe", 0.9)


@pytest.fixture
def stand_in(example_hand) -> StandInDetector:
    return StandInDetector(example_hand)


@pytest.fixture
def predictor(stand_in) -> Predictor:
    return Predictor(FitEstimator(load_hand("open")), stand_in, stand_in)
