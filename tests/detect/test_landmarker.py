"""The library behind the landmarker, with a stand-in for it: what is read off its answers, and what is said where it is broken."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from occhand.detect.landmarker import open_landmarker

HANDS = np.random.default_rng(0).random((2, 21, 3))
WORLD = np.random.default_rng(1).normal(size=(2, 21, 3))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options that the library is given; `error` is what it raises at the start."""
    asked: dict[str, Any] = {"error": None, "closed": 0}

    class Network:
        def detect(self, picture: Any) -> Any:
            hands, world = ([[SimpleNamespace(x=x, y=y, z=z) for x, y, z in hand] for hand in array] for array in (HANDS, WORLD))
            sides = [[SimpleNamespace(index=0, score=0.9)], [SimpleNamespace(index=1, score=0.7)]]
            return SimpleNamespace(hand_landmarks=hands, hand_world_landmarks=world, handedness=sides)

        def close(self) -> None:
            asked["closed"] += 1

    def create(options: Any) -> Network:
        if asked["error"] is not None:
            raise asked["error"]
        asked.update(vars(options))
        return Network()

    class BaseOptions(SimpleNamespace):
        Delegate = SimpleNamespace(CPU="cpu")

    vision = SimpleNamespace(HandLandmarkerOptions=SimpleNamespace, HandLandmarker=SimpleNamespace(create_from_options=create))
    library = SimpleNamespace(Image=SimpleNamespace, ImageFormat=SimpleNamespace(SRGB="rgb"))
    monkeypatch.setitem(sys.modules, "mediapipe", library)
    monkeypatch.setitem(sys.modules, "mediapipe.tasks", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", SimpleNamespace(BaseOptions=BaseOptions, vision=vision))
    return asked


def test_hands_are_read_with_their_sides_and_depths(asked: dict[str, Any]) -> None:
    landmarker = open_landmarker(b"task", max_hands=2, min_score=0.3)
    found = landmarker(np.zeros((8, 8, 3), np.uint8))
    assert [hand.right_score for hand in found] == pytest.approx([0.9, 0.3])
    np.testing.assert_array_equal([hand.joints for hand in found], HANDS[..., :2])
    np.testing.assert_array_equal([hand.joints_world for hand in found], WORLD)
    assert (asked["num_hands"], asked["min_hand_presence_confidence"], asked["min_hand_detection_confidence"]) == (2, 0.3, 0.3)
    del landmarker
    assert asked["closed"] == 1


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError("libEGL.so.1: no such file"), ImportError, r"libEGL.*apt-get install libegl1 libgles2.*--keypoints"),
        (RuntimeError("No model in it\nmore"), ValueError, r"refuses the hand landmarker file: No model in it\. Delete it"),
    ],
)
def test_what_is_broken_is_said_with_the_next_step(asked: dict[str, Any], error: Exception, kind: type[Exception], message: str) -> None:
    asked["error"] = error
    with pytest.raises(kind, match=message):
        open_landmarker(b"task", max_hands=1, min_score=0.0)
