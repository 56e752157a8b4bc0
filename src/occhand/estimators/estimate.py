"""What an estimator is shown, and what it says: right hands alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from occhand.detect import DetectedHand, Keypoints2D
from occhand.geometry.camera import mirror_intrinsics
from occhand.hand.hand_layer import HandLayer
from occhand.types import Camera

KeypointNeed = Literal["required", "preferred", "none"]
"""Of 2D joints with a hand: it cannot be posed without; they are sought, but a hand without them is posed too; they are not sought."""


@dataclass(frozen=True)
class HandView:
    """One hand as a right hand: what shows a left one is mirrored left to right, pixels, camera and joints alike."""

    picture: UInt8[np.ndarray, "height width 3"]
    K: Float[np.ndarray, "3 3"]
    bbox_xyxy: Float[np.ndarray, "4"]
    keypoints: Keypoints2D | None
    square_xyxy: Float[np.ndarray, "4"] | None = None
    """What a network is shown of the picture, where a benchmark says; None: the square around the box, enlarged."""

    @classmethod
    def of(cls, picture: UInt8[np.ndarray, "height width 3"], hand: DetectedHand, camera: Camera) -> HandView:
        box = np.asarray(hand.bbox_xyxy, dtype=np.float64)  # detectors like float32
        if hand.side == "right":
            return cls(picture, camera.K, box, hand.keypoints)
        x1, y1, x2, y2 = box
        last = picture.shape[1] - 1.0
        K = mirror_intrinsics(torch.from_numpy(camera.K), picture.shape[1]).numpy()
        return cls(
            picture[:, ::-1], K, np.array([last - x2, y1, last - x1, y2]), hand.keypoints and hand.keypoints.mirrored(picture.shape[1])
        )


class Estimate(NamedTuple):
    """Right hands in the camera frame, metres, and the 2D joints that they rest on, pixels."""

    rotations: Float[Tensor, "B 16 3 3"]
    betas: Float[Tensor, "B 10"]
    translation: Float[Tensor, "B 3"]
    """What added to the hand layer's output gives the camera frame."""
    vertices: Float[Tensor, "B 778 3"]
    joints: Float[Tensor, "B 21 3"]
    keypoints: list[Keypoints2D]
    descriptions: list[str]
    """What made each hand, and which cues it used beside the 2D joints."""
    joint_sigma: Float[Tensor, "B 21"] | None = None
    """How far off each joint may be: standard deviation along each axis, metres, where truth and hand have the same mean joint; as the
    fit's posterior or the network says. A network speaks of its own hand, before any refinement. None: nothing says so."""
    joint_visibility: Float[Tensor, "B 21"] | None = None
    """The network's probability that nothing hides the joint, 0..1. None: nothing says so."""


@runtime_checkable
class Estimator(Protocol):
    """Poses right hands."""

    hand: HandLayer
    keypoint_need: KeypointNeed

    def __call__(self, views: Sequence[HandView]) -> Estimate: ...


def answer_apart(views: Sequence[HandView], belongs: Sequence[bool], answer: Callable[[Sequence[HandView], bool], Estimate]) -> Estimate:
    """Hands that belong together and the others each in a batch of their own, then all in the order in which they came."""
    groups = {kind: [k for k, one in enumerate(belongs) if one is kind] for kind in (True, False)}
    parts = [answer([views[k] for k in rows], kind) for kind, rows in groups.items() if rows]
    order = np.argsort(groups[True] + groups[False])
    joined: list[Any] = []
    for values in zip(*parts, strict=True):
        if isinstance(values[0], Tensor):
            joined.append(torch.cat(values)[torch.from_numpy(order)])
        elif any(value is None for value in values):
            joined.append(None)
        else:
            every = [entry for value in values for entry in value]
            joined.append([every[k] for k in order])
    return Estimate._make(joined)


class Evidence(NamedTuple):
    """2D joints as the fit takes them."""

    joints_img: Float[Tensor, "B 21 2"]
    K: Float[Tensor, "B 3 3"]
    weights: Float[Tensor, "B 21"]

    @classmethod
    def of(cls, views: Sequence[HandView], keypoints: Sequence[Keypoints2D]) -> Evidence:
        """The joints of each view, with their own weights."""
        return cls(
            stack_floats(points.joints_img for points in keypoints),
            stack_floats(view.K for view in views),
            stack_floats(points.weights for points in keypoints),
        )


def stack_floats(arrays: Iterable[np.ndarray]) -> Tensor:
    """One float32 batch."""
    return torch.from_numpy(np.stack(list(arrays))).float()
