"""Rendered hands to start with; nothing on the page is a photograph unless a visitor brings one."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from occhand.demo.scene import Scene
from occhand.detect import DetectedHand, Keypoints2D
from occhand.synth.dataset import load_split
from occhand.types import Camera, HandSample

_PLACES = {"Bottle": 36, "Brush": 4, "Cup": 25, "Mug": 18, "Packet": 38, "Sleeve": 22}
"""Samples of open-test that look well, from hardly hidden to half."""
_SIZE = 384
_SEEN_NOISE, _HIDDEN_NOISE = 0.02, 0.06
"""Of the 2D joints, in sides of the hand's box, as in the stress report."""


@lru_cache(maxsize=1)
def load_examples() -> dict[str, Scene]:
    """The example scenes by name. Their 2D joints are the renderer's with noise, since a detector may not see a hand in a rendering."""
    split = load_split("open-test", _SIZE)
    return {name: _scene(name, split[place], place) for name, place in _PLACES.items()}


def _scene(name: str, sample: HandSample, seed: int) -> Scene:
    assert sample.occlusion is not None
    is_hidden = sample.occlusion.joints_by_self | sample.occlusion.joints_by_other
    box = float(np.ptp(sample.joints_img, axis=0).max())
    noise = np.random.default_rng(seed).standard_normal((21, 2)) * np.where(is_hidden, _HIDDEN_NOISE, _SEEN_NOISE)[:, None] * box
    keypoints = Keypoints2D(sample.joints_img + noise, np.ones(21), "given")
    hand = DetectedHand(sample.bbox_xyxy, sample.side, 1.0, keypoints, "given")
    caption = (
        f"{name}, rendered: {sample.occlusion.ratio:.0%} of the hand is hidden. "
        f"2D joints: the renderer's, with noise of {_SEEN_NOISE:.0%} of the hand's box, {_HIDDEN_NOISE:.0%} where hidden."
    )
    return Scene(sample.image, Camera(sample.K, _SIZE, _SIZE), (hand,), caption)
