"""What the page is told of an estimate: meshes, joints, how sure each is, and what the network looked at."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from occhand.demo.scene import Occluder, Scene
from occhand.estimators import DefaultEstimator, NetworkEstimator
from occhand.hand.skeleton import JOINT_NAMES
from occhand.image_io import data_url
from occhand.predictor import Predictor
from occhand.render.heat import draw_maps
from occhand.result import HandMesh

_SURE_MM, _UNSURE_MM = 3.0, 20.0
"""Standard deviations where the colours begin and end."""


@dataclass(frozen=True)
class Answer:
    """Hands of a scene, as one predictor sees them."""

    hands: tuple[HandMesh, ...]
    maps: UInt8[np.ndarray, "height width 3"] | None
    """What a network looked at in the first hand; None for the fit, and for an exported network."""
    lost: int
    """Hands of which the disc leaves too little."""
    seconds: float


def reconstruct(predictor: Predictor, scene: Scene, occluder: Occluder | None) -> Answer:
    """Reconstruct the hands of a scene behind the disc."""
    start = time.perf_counter()
    seen = scene.behind(occluder)
    hands = predictor.reconstruct([seen.picture] * len(seen.hands), seen.hands, seen.camera)
    seconds = time.perf_counter() - start
    maps, estimator = None, predictor.estimator
    if hands and isinstance(estimator, NetworkEstimator | DefaultEstimator) and estimator.can_look_inside:
        maps = draw_maps(*predictor.look_inside(seen.picture, hands[0]))
    return Answer(tuple(hands), maps, len(scene.hands) - len(hands), seconds)


def answer_record(answer: Answer, scene: Scene) -> dict[str, Any]:
    """For the page; arrays as base64 of little-endian float32 and uint16."""
    height, width = scene.picture.shape[:2]
    return {
        "K": scene.camera.K.tolist(),
        "size": [width, height],
        "hands": [_hand_record(hand) for hand in answer.hands],
        "facts": _facts(answer, scene),
        "range_mm": [_SURE_MM, _UNSURE_MM],
        "maps": None if answer.maps is None else data_url(answer.maps),
    }


def _hand_record(hand: HandMesh) -> dict[str, Any]:
    sigma = hand.joint_sigma
    doubt = 1 - hand.keypoint_weights if sigma is None else (1e3 * sigma - _SURE_MM) / (_UNSURE_MM - _SURE_MM)
    return {
        "side": hand.side,
        "vertices": _base64(hand.vertices, "<f4"),
        "faces": _base64(hand.faces, "<u2"),
        "joints": np.round(hand.joints, 5).tolist(),
        "joints_img": np.round(hand.joints_img, 1).tolist(),
        "sigma_mm": None if sigma is None else np.round(1e3 * sigma, 1).tolist(),
        "doubt": np.round(np.clip(doubt, 0, 1), 3).tolist(),
        "hidden": (hand.keypoint_weights <= 0).tolist(),
    }


def _facts(answer: Answer, scene: Scene) -> list[str]:
    """Lines to read beside the picture."""
    facts = [scene.caption]
    if not scene.hands:
        return [*facts, "Try a picture where the hand is larger and upright, or one of the examples."]
    for hand in answer.hands:
        sigma, under = hand.joint_sigma, int((hand.keypoint_weights <= 0).sum())
        said = "the network does not say how sure it is"
        if sigma is not None:
            said = f"joints ±{1e3 * sigma.mean():.1f} mm on average, {JOINT_NAMES[sigma.argmax()]} ±{1e3 * sigma.max():.0f} mm"
        if hand.joint_visibility is not None:
            said += f"; by its own look, {int((hand.joint_visibility < 0.5).sum())} are hidden, whatever by"
        facts.append(f"{hand.side.capitalize()} hand, {under} of 21 joints under the disc: {said}. {hand.estimator}.")
    if answer.lost:
        facts.append(f"The disc leaves too little of {answer.lost} hand{'s' * (answer.lost > 1)}: move it away or make it smaller.")
    return [*facts, f"{1e3 * answer.seconds:.0f} ms."]


def _base64(array: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode()
