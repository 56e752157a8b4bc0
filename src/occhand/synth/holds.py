"""The two ways to take a thing: against the palm with all digits (power), or between the pads (precision) (Napier, 1956)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from occhand.hand.prior import first_joint
from occhand.synth.closing import PlacedHand, ProbedHand, advance, close_digit, gap_to, open_digit, place
from occhand.synth.objects import Grip, SolidObject

TOUCH = 0.002
"""A segment touches where it is no farther from the surface, metres."""
_PRESS = 0.0008
"""How far the skin gives way where a digit stops."""
_PARTING_DEG = 12.0
"""By which digits that meet in a key pose part first."""
_CLEARANCE = 0.001
_FARTHEST = 0.3
"""Metres within which a thing laid before the palm must meet the hand."""

_THUMB_STARTS_DEG = np.array([[45.0, -38.0], [32.0, -25.0], [50.0, -15.0], [15.0, -12.0], [0.0, 0.0]])
"""Abduction and twist with which the thumb sets out to oppose the fingers, from across the palm to along it."""
_THUMBS_TRIED = 3
_NEARLY = 0.004
"""A thumb whose last two segments are both this near, metres, beats one that touches with one only."""
_TURNS_TRIED = 5
"""Directions of a thing between the pads, until one is clear of the palm."""

INDEX, MIDDLE, RING, PINKY, THUMB = (first_joint(finger) for finger in ("index", "middle", "ring", "pinky", "thumb"))
_FINGERS = (INDEX, MIDDLE, RING, PINKY)
_SPREAD = np.array([0.8, 0.0, -0.7, -1.4])
"""Abduction of index to little finger as the hand spreads, relative."""
_PALM_SIDE = np.array([0.0, -1.0, 0.0])
"""Where the palm looks to, in the hand's rest frame: fingers -x, thumb +z."""

# Relative rates of the three joints of a digit, base to tip.
_CURL, _CURL_OF_THUMB = np.array([2.0, 2.4, 1.5]), np.array([1.5, 1.1, 1.3])
_PINCH, _PINCH_OF_THUMB = np.array([1.0, 0.8, 0.35]), np.array([1.0, 0.7, 0.5])
# Radians per step of flexion, abduction and twist (columns).
_OPENING = np.deg2rad([[-2.5, 0.0, 0.0], [-1.0, 0.0, 0.0], [-0.3, 0.0, 0.0]])
_OPENING_OF_THUMB = np.deg2rad([[-2.0, 0.8, 0.0], [-1.5, 0.0, 0.0], [-0.5, 0.0, 0.0]])

_PRECISION_STYLES = {"pinch": (0.07, "pinch", 1), "ok": (0.07, "ok", 1), "tripod": (0.4, "tripod", 2), "row": (0.46, "tripod", 4)}
"""Share, key pose and number of fingers that oppose the thumb; in a row all fingers are bent as the index is."""


class Limits(NamedTuple):
    """Of the joints' angles, radians."""

    lower: Float[np.ndarray, "16 3"]
    upper: Float[np.ndarray, "16 3"]


def take_in_palm(
    rng: np.random.Generator, hand: ProbedHand, limits: Limits, solid: SolidObject, grip: Grip
) -> tuple[Float[np.ndarray, "16 3"], PlacedHand] | None:
    """Lay the thing across the palm and close the fingers on it, then the thumb from the side where it holds best.

    Returns:
        The hand's angles, and the hand in the thing's frame; None where this came to nothing.
    """
    angles = np.zeros((16, 3))
    spread = rng.normal(0, 2.5) + 5 * (grip.half_thickness > 0.03)
    for first, share in zip(_FINGERS, _SPREAD, strict=True):
        angles[first : first + 3, 0] = np.deg2rad(rng.uniform((-10, 2, 0), (0, 8, 4)))
        angles[first, 1] = np.deg2rad(share * spread)
    angles[THUMB, :2] = np.deg2rad((-18, 8))

    along = _square(np.array([rng.normal(0.2, 0.3), 0.0, 1.0]), _PALM_SIDE) * rng.choice([-1.0, 1.0])
    palm = (hand.joints[MIDDLE] + hand.joints[RING]) / 2
    centre = palm + np.array([rng.uniform(-0.004, 0.028), -0.12, rng.normal(0, 0.006)])
    R, t = _lay(rng, grip, along, -_PALM_SIDE, centre)
    placed = place(hand, angles, R.T, -R.T @ t)
    if advance(hand, placed, solid.parts, R.T @ _PALM_SIDE, _PRESS) > _FARTHEST:
        return None
    root_R, root_t = placed.R[0].copy(), placed.t[0].copy()
    for first in _FINGERS:
        close_digit(hand, placed, solid.parts, angles, first, _CURL * rng.uniform(0.85, 1.15, 3), limits.upper, _PRESS)

    best, best_gap = None, _NEARLY
    for start in rng.permutation(_THUMB_STARTS_DEG)[:_THUMBS_TRIED]:
        trial = angles.copy()
        trial[THUMB] = np.deg2rad((-18, *start))
        trial[THUMB + 1 :, 0] = np.deg2rad((-6, -12))
        placed = place(hand, trial, root_R, root_t)
        if gap_to(hand, placed, solid.parts, THUMB, 3) < -TOUCH:
            continue  # this start lies inside the thing
        gap = close_digit(hand, placed, solid.parts, trial, THUMB, _CURL_OF_THUMB * rng.uniform(0.85, 1.15, 3), limits.upper, _PRESS)
        if gap[1:].max() < best_gap or (best is None and gap[1:].min() < TOUCH):
            best, best_gap = trial, gap[1:].max()
        if best_gap < TOUCH:
            break
    return None if best is None else (best, place(hand, best, root_R, root_t))


def take_in_pads(
    rng: np.random.Generator,
    hand: ProbedHand,
    limits: Limits,
    solid: SolidObject,
    grip: Grip,
    key_poses: Mapping[str, Float[np.ndarray, "16 3"]],
) -> tuple[Float[np.ndarray, "16 3"], PlacedHand] | None:
    """Put the thing between the pads of a pinching hand, open the digits until they are clear of it, and close them again.

    Returns:
        The hand's angles, and the hand in the thing's frame; None where this came to nothing.
    """
    angles, fingers = _pinching(rng, limits, key_poses)
    placed = _lay_between_pads(rng, hand, angles, fingers, solid, grip)
    if placed is None:
        return None
    # Pads that meet in the key pose part first.
    angles[[*fingers, THUMB], 0] -= np.deg2rad(_PARTING_DEG)
    angles = np.clip(angles, *limits)
    for first in (*_FINGERS, THUMB):
        rates = _OPENING_OF_THUMB if first == THUMB else _OPENING
        if not open_digit(hand, placed, solid.parts, angles, first, rates, *limits, _CLEARANCE):
            return None
    for first in fingers:
        close_digit(hand, placed, solid.parts, angles, first, _PINCH * rng.uniform(0.85, 1.15, 3), limits.upper, _PRESS)
    close_digit(hand, placed, solid.parts, angles, THUMB, _PINCH_OF_THUMB, limits.upper, _PRESS)
    return angles, placed


def _pinching(
    rng: np.random.Generator, limits: Limits, key_poses: Mapping[str, Float[np.ndarray, "16 3"]]
) -> tuple[Float[np.ndarray, "16 3"], tuple[int, ...]]:
    """A pinching pose, and the first joints of the fingers that oppose the thumb in it."""
    styles = list(_PRECISION_STYLES.values())
    _, name, count = styles[rng.choice(len(styles), p=[share for share, _, _ in styles])]
    angles = key_poses[name].copy()
    if count == len(_FINGERS):
        for first in _FINGERS[1:]:
            angles[first : first + 3] = angles[INDEX : INDEX + 3]
    angles[1:THUMB] += np.deg2rad(rng.normal(0, 2.5, (12, 3))) * (1, 0.3, 0)
    angles[list(_FINGERS), 1] = np.deg2rad(_SPREAD) * rng.uniform(2, 7)
    return np.clip(angles, *limits), _FINGERS[:count]


def _lay_between_pads(
    rng: np.random.Generator, hand: ProbedHand, angles: np.ndarray, fingers: tuple[int, ...], solid: SolidObject, grip: Grip
) -> PlacedHand | None:
    """The pinching hand with the thing's grip midway between the thumb's pad and the fingers', clear of the palm."""
    at_rest = place(hand, angles, np.eye(3), np.zeros(3))
    thumb, *others = (at_rest.R[last] @ hand.balls[last, :3] + at_rest.t[last] for last in (THUMB + 2, *(first + 2 for first in fingers)))
    opposite = np.mean(others, 0)
    across, centre = _unit(opposite - thumb), (opposite + thumb) / 2
    if solid.kind == "tool":  # leans on the index finger's base
        base = at_rest.R[INDEX] @ hand.joints[INDEX] + at_rest.t[INDEX]
        along, freedom = _square(base + np.array([0.0, 0.010, 0.012]) - centre, across), 0.3
    else:  # lies across the pads; a single finger's pad gives no direction
        along, freedom = _square(np.array([0.0, 0.0, rng.choice([-1.0, 1.0])]), across), 0.3 if len(fingers) > 1 else 1.2
    for attempt in range(_TURNS_TRIED):
        turn = _turn(across, rng.normal(0, freedom * (1 + attempt / 3)))
        R, t = _lay(rng, grip, turn @ along, across, centre)
        placed = place(hand, angles, R.T, -R.T @ t)
        if gap_to(hand, placed, solid.parts, 0, 1) > -_PRESS:
            return placed
    return None


def _lay(rng: np.random.Generator, grip: Grip, along: np.ndarray, across: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation that put the grip's centre, its long direction and its facing there, hand from object."""
    own_along, own_facing = np.array(grip.along), np.array(grip.facing)
    if grip.is_round:
        own_facing = _turn(own_along, rng.uniform(-np.pi, np.pi)) @ own_facing
    R = _frame(along, across).T @ _frame(own_along, own_facing)
    slid = np.array(grip.centre) + rng.uniform(-1, 1) * grip.slide * own_along
    return np.ascontiguousarray(R), centre - R @ slid


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rows: two unit vectors at right angles and their cross product (`np.cross` takes ten times as long for one pair)."""
    (a, b, c), (d, e, f) = first, second
    return np.array([first, second, (b * f - c * e, c * d - a * f, a * e - b * d)])


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.sqrt(v @ v)


def _square(v: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The unit vector nearest to v at right angles to a unit vector."""
    return _unit(v - (v @ to) * to)


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation about a unit axis (Rodrigues)."""
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
