"""Hands of a video as a table: a row for each hand in each frame, a column for each quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int

from occhand.result import HandMesh
from occhand.types import Side


@dataclass(frozen=True)
class HandRows:
    """What is measured of hands in frames, sorted by frame, then track. Metres, camera frame, pixels, seconds."""

    frame: Int[np.ndarray, "n"]
    time: Float[np.ndarray, "n"]
    track: Int[np.ndarray, "n"]
    is_left: Bool[np.ndarray, "n"]
    rotations: Float[np.ndarray, "n 16 3 3"]
    """Of each MANO joint relative to its parent, of a hand of its side; the first turns the hand model's frame into the camera's."""
    betas: Float[np.ndarray, "n 10"]
    translation: Float[np.ndarray, "n 3"]
    """What added to the hand layer's output gives the camera frame."""
    confidence: Float[np.ndarray, "n"]
    """Of the hand, 0 to 1; 0 where it is bridged."""
    joint_confidence: Float[np.ndarray, "n 21"]
    """Weight of each 2D joint, 0 to 1."""
    joint_sigma: Float[np.ndarray, "n 21"]
    """How far off each joint may be along each axis, metres, as the estimator says of its measurement; NaN where it says nothing."""
    joint_visibility: Float[np.ndarray, "n 21"]
    """A network's probability that nothing hides the joint, 0 to 1; NaN where nothing says so."""
    is_bridged: Bool[np.ndarray, "n"]
    """Nothing was seen in this frame: what stands here comes from frames before and after."""

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, chosen: np.ndarray) -> HandRows:
        """Some rows, by a mask or by numbers."""
        return HandRows(**{column.name: getattr(self, column.name)[chosen] for column in fields(self)})

    def sorted(self) -> HandRows:
        return self.select(np.lexsort((self.track, self.frame)))

    def columns(self) -> dict[str, np.ndarray]:
        return {column.name: getattr(self, column.name) for column in fields(self)}


def join_rows(parts: Sequence[HandRows]) -> HandRows:
    """Tables one below the other; none of them is an empty table."""
    parts = [*parts, flat_hands(0)]
    return HandRows(**{column.name: np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(HandRows)})


def flat_hands(count: int) -> HandRows:
    """Flat right hands at the camera, all of frame 0 and track 0, of which nothing is sure."""
    return HandRows(
        frame=np.zeros(count, np.int64),
        time=np.zeros(count),
        track=np.zeros(count, np.int64),
        is_left=np.zeros(count, bool),
        rotations=np.tile(np.eye(3), (count, 16, 1, 1)),
        betas=np.zeros((count, 10)),
        translation=np.zeros((count, 3)),
        confidence=np.zeros(count),
        joint_confidence=np.zeros((count, 21)),
        joint_sigma=np.full((count, 21), np.nan),
        joint_visibility=np.full((count, 21), np.nan),
        is_bridged=np.zeros(count, bool),
    )


def rows_of(hands: Sequence[HandMesh], frames: Sequence[int], times: Sequence[float], tracks: Sequence[int]) -> HandRows:
    """Estimated hands with their frame, its time and their track; one each."""
    if not hands:
        return flat_hands(0)
    return HandRows(
        frame=np.array(frames, np.int64),
        time=np.array(times, np.float64),
        track=np.array(tracks, np.int64),
        is_left=np.array([hand.side == "left" for hand in hands]),
        rotations=np.stack([hand.rotations for hand in hands]).astype(np.float64),
        betas=np.stack([hand.betas for hand in hands]).astype(np.float64),
        translation=np.stack([hand.translation for hand in hands]).astype(np.float64),
        confidence=np.array([hand.score for hand in hands], np.float64),
        joint_confidence=np.stack([hand.keypoint_weights for hand in hands]).astype(np.float64),
        joint_sigma=np.stack([_or_nan(hand.joint_sigma) for hand in hands]),
        joint_visibility=np.stack([_or_nan(hand.joint_visibility) for hand in hands]),
        is_bridged=np.zeros(len(hands), bool),
    )


def _or_nan(values: Float[np.ndarray, "21"] | None) -> Float[np.ndarray, "21"]:
    return np.full(21, np.nan) if values is None else values.astype(np.float64)


def side_of(is_left: bool) -> Side:
    return "left" if is_left else "right"
