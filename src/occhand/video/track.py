"""Which hand is which from frame to frame: followed from its last joints, found again where it was lost, side and number kept.

A frame goes three steps. Every hand seen lately is followed: one look where it should be by now. Where that finds nothing, or two tracks
hold on to the same hand, or some time has passed, the detector searches the whole frame. What it finds is given to the tracks so that
places and sides agree best over all of them together, which also sets right two hands that swapped while they crossed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from occhand.detect import DetectedHand, Detector, Follower, Keypoints2D
from occhand.detect.modes import SAME_HAND, joint_distance
from occhand.types import Side

REDETECT_S = 1.0
"""Seconds between searches of the whole frame while all is well: how late a hand that enters may be noticed."""
SEARCH_S = 0.3
"""The same while a hand is missing; searching is the dear part."""
LONG_LOOK_S = 1.0
"""Between searches that take their time, while no hand is known at all; all others are glances."""
MEMORY_S = 2.0
"""How long a hand that is not seen keeps its number."""
MIN_SCORE = 0.5
"""Below, a followed hand is lost."""
MIN_NEW_SCORE = 0.6
"""To begin a track."""
MIN_INSIDE = 0.3
"""Share of the joints inside the picture below which a hand has left it."""
_MAX_STEP = 0.8
"""Hand sizes between a followed hand and where it should be; farther away it is another one."""
_REACH, _REACH_PER_S = 1.0, 3.0
"""Hand sizes within which the detector's hand may be a known one, and how they grow with the time it was not seen."""
_OTHER_SIDE = 1.2
"""What a wrong side costs, in hand sizes."""
_MOST_VOTES, _LOST_ELECTION = 3.0, -1.5
_LOOK_AHEAD_S = 0.2
"""Beyond, a hand that is not seen is expected to stay where it is."""
_EXACT = 10
"""Hands up to which the best assignment is sought among all."""


@dataclass(frozen=True)
class Track:
    """One hand through time, as far as it is known at some frame."""

    number: int
    side: Side
    joints_img: Float[np.ndarray, "21 2"]
    """Pixels, where it was last seen."""
    velocity: Float[np.ndarray, "2"]
    """Of its middle, pixels per second."""
    time: float
    """Seconds, when it was last seen."""
    votes: float
    """Of searches for its side less those for the other, by their scores."""

    def expected(self, time: float) -> Float[np.ndarray, "21 2"]:
        """Where it should be."""
        return self.joints_img + self.velocity * min(time - self.time, _LOOK_AHEAD_S)

    def seen(self, joints_img: Float[np.ndarray, "21 2"], time: float) -> Track:
        """The track, gone on to where it is now."""
        velocity = self.velocity
        if time > self.time:
            velocity = 0.5 * velocity + 0.5 * (joints_img - self.joints_img).mean(0) / (time - self.time)
        return replace(self, joints_img=joints_img, velocity=velocity, time=time)


class TrackedHand(NamedTuple):
    """A hand of a frame and the track that it belongs to."""

    track: int
    hand: DetectedHand


class HandTracker:
    """Follows all hands of a video, frame by frame.

    Args:
        detector: Searches whole frames; its hands must come with 2D joints.
        follower: Finds a hand again in the next frame, and glances at whole ones; None searches every frame instead.
    """

    def __init__(self, detector: Detector, follower: Follower | None) -> None:
        self._detector, self._follower = detector, follower
        self._tracks: list[Track] = []
        self._next_number, self._searched, self._looked_long = 0, -math.inf, -math.inf

    def step(self, picture: UInt8[np.ndarray, "height width 3"], time: float) -> list[TrackedHand]:
        """The hands of the next frame, in the order of their numbers.

        Args:
            picture: The frame.
            time: Seconds; later than the last frame's.
        """
        self._tracks = [track for track in self._tracks if time - track.time <= MEMORY_S]
        seen = self._follow(picture, time)
        is_missing = len(seen) < len(self._tracks) or not self._tracks
        if self._follower is None or time - self._searched >= (SEARCH_S if is_missing else REDETECT_S):
            self._searched = time
            seen = self._search(picture, time, seen)
        height, width = picture.shape[:2]
        seen = {number: points for number, points in seen.items() if _share_inside(points.joints_img, height, width) >= MIN_INSIDE}
        self._tracks = [track.seen(seen[track.number].joints_img, time) if track.number in seen else track for track in self._tracks]
        return [TrackedHand(track.number, _as_hand(track, seen[track.number])) for track in self._tracks if track.number in seen]

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, for JSON."""
        tracks = [asdict(track) | {"joints_img": track.joints_img.tolist(), "velocity": track.velocity.tolist()} for track in self._tracks]
        searched, looked_long = (None if math.isinf(time) else time for time in (self._searched, self._looked_long))
        return {"tracks": tracks, "next_number": self._next_number, "searched": searched, "looked_long": looked_long}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._tracks = [
            Track(**{**track, "joints_img": np.array(track["joints_img"]), "velocity": np.array(track["velocity"])})
            for track in state["tracks"]
        ]
        self._next_number = state["next_number"]
        self._searched, self._looked_long = (-math.inf if state[name] is None else state[name] for name in ("searched", "looked_long"))

    def _follow(self, picture: np.ndarray, time: float) -> dict[int, Keypoints2D]:
        """Joints of the hands that are where they should be, by the number of their track."""
        if self._follower is None:
            return {}
        seen: dict[int, Keypoints2D] = {}
        steps: dict[int, float] = {}
        for track in self._tracks:
            expected = track.expected(time)
            points = self._follower.follow(picture, expected)
            if points is None or points.score < MIN_SCORE:
                continue
            step = joint_distance(points.joints_img, expected)
            if step > _MAX_STEP:
                continue
            rivals = [number for number, other in seen.items() if joint_distance(points.joints_img, other.joints_img) < SAME_HAND]
            if any(steps[number] <= step for number in rivals):
                continue  # the other track expected the hand more nearly here
            for number in rivals:
                del seen[number]
            seen[track.number], steps[track.number] = points, step
        return seen

    def _search(self, picture: np.ndarray, time: float, followed: dict[int, Keypoints2D]) -> dict[int, Keypoints2D]:
        """Joints by track after a look at the whole frame: swaps set right, lost hands found, new ones begun."""
        found = [hand for hand in self._find(picture, time) if hand.keypoints is not None]
        pairs = assign([[_cost(track, hand, followed.get(track.number), time) for hand in found] for track in self._tracks])
        seen: dict[int, Keypoints2D] = {}
        for row, column in pairs.items():
            hand, track = found[column], self._tracks[row]
            vote = hand.score if hand.side == track.side else -hand.score
            track = replace(track, votes=min(track.votes + vote, _MOST_VOTES))
            if track.votes < _LOST_ELECTION:  # it was the other side all along: a hand of its own
                track = self._begin(hand, time)
            self._tracks[row] = track
            assert hand.keypoints is not None
            seen[track.number] = hand.keypoints
        for track in self._tracks:  # what the search missed, if nobody else holds it now
            points = followed.get(track.number)
            if track.number not in seen and points is not None and not _is_held(points, seen):
                seen[track.number] = points
        for column, hand in enumerate(found):
            assert hand.keypoints is not None
            if column not in pairs.values() and hand.score >= MIN_NEW_SCORE and not _is_held(hand.keypoints, seen):
                track = self._begin(hand, time)
                self._tracks.append(track)
                seen[track.number] = hand.keypoints
        return seen

    def _find(self, picture: np.ndarray, time: float) -> list[DetectedHand]:
        if self._follower is not None and (self._tracks or time - self._looked_long < LONG_LOOK_S):
            return self._follower.glance(picture)
        self._looked_long = time
        return self._detector.detect(picture)

    def _begin(self, hand: DetectedHand, time: float) -> Track:
        assert hand.keypoints is not None
        self._next_number += 1
        return Track(self._next_number - 1, hand.side, hand.keypoints.joints_img, np.zeros(2), time, votes=hand.score)


def assign(cost: Sequence[Sequence[float]]) -> dict[int, int]:
    """Column of each row so that as many as may be are paired, at the least cost in sum; infinite costs are never paired.

    All assignments are looked through; of more than ten columns each row takes the cheapest that is left.
    """
    columns = len(cost[0]) if cost else 0
    if columns > _EXACT:
        return _assign_greedily(cost)

    @cache
    def best(row: int, free: int) -> tuple[int, float, tuple[tuple[int, int], ...]]:
        """Minus the pairs made, their cost, the pairs, of the rows from `row` on."""
        if row == len(cost):
            return 0, 0.0, ()
        options = [best(row + 1, free)]
        for column in range(columns):
            if free >> column & 1 and cost[row][column] < math.inf:
                unpaired, rest, pairs = best(row + 1, free & ~(1 << column))
                options.append((unpaired - 1, rest + cost[row][column], ((row, column), *pairs)))
        return min(options)

    return dict(best(0, (1 << columns) - 1)[2])


def _assign_greedily(cost: Sequence[Sequence[float]]) -> dict[int, int]:
    pairs: dict[int, int] = {}
    for value, row, column in sorted((value, row, column) for row, values in enumerate(cost) for column, value in enumerate(values)):
        if value < math.inf and row not in pairs and column not in pairs.values():
            pairs[row] = column
    return pairs


def _cost(track: Track, hand: DetectedHand, followed: Keypoints2D | None, time: float) -> float:
    """Of taking a found hand for a known one: their distance, and more where the sides differ."""
    assert hand.keypoints is not None
    joints = track.expected(time) if followed is None else followed.joints_img
    distance = joint_distance(hand.keypoints.joints_img, joints)
    if distance > _REACH + _REACH_PER_S * (time - track.time):
        return math.inf
    return distance + (0.0 if hand.side == track.side else _OTHER_SIDE * hand.score)


def _is_held(points: Keypoints2D, seen: dict[int, Keypoints2D]) -> bool:
    return any(joint_distance(points.joints_img, other.joints_img) < SAME_HAND for other in seen.values())


def _share_inside(joints_img: Float[np.ndarray, "21 2"], height: int, width: int) -> float:
    return float(((joints_img >= -0.5) & (joints_img < np.array([width, height]) - 0.5)).all(1).mean())


def _as_hand(track: Track, points: Keypoints2D) -> DetectedHand:
    known = points.joints_img[points.weights > 0]
    box = np.concatenate([known.min(0), known.max(0)])
    return DetectedHand(box, track.side, points.score, points, bbox_source=points.source)
