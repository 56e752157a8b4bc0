"""Digits that close on a solid until they touch it, another digit or the palm; compiled.

The hand is posed in the solid's frame, so that a solid moves by moving the wrist. What may not enter the solid are probes: every vertex of
the skin, and balls along the bones, without which something thin could pass between the vertices. A digit advances by what its distances
allow for sure (conservative advancement), so that nothing tunnels and few steps are needed.
"""

from __future__ import annotations

from math import cos, inf, sin, sqrt
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from occhand.synth.distance import Parts, distance_at

_BLEND_MARGIN = 0.006
"""Metres by which blended skin may leave the ball that its segment carries along."""
_FINEST_STEP = 0.0004
"""Metres that the fastest probe moves at least in a step: how precisely a contact is met."""
_COARSEST_STEP = 0.2
"""Radians."""


class ProbedHand(NamedTuple):
    """One shape of the hand, as arrays that compiled code can take; rest frame, metres, MANO's joint order."""

    joints: Float[np.ndarray, "16 3"]
    axes: Float[np.ndarray, "16 3 3"]
    probes: Float[np.ndarray, "probes 3"]
    """Sorted by the segment (joint) that moves them most."""
    radii: Float[np.ndarray, "probes"]
    bones: Int[np.ndarray, "probes 4"]
    weights: Float[np.ndarray, "probes 4"]
    starts: Int[np.ndarray, "17"]
    """First probe of each segment, and the end."""
    balls: Float[np.ndarray, "16 4"]
    """Centre and radius that hold a segment's probes."""
    capsule_joints: Int[np.ndarray, "capsules"]
    capsule_ends: Float[np.ndarray, "capsules 2 3"]
    capsule_radii: Float[np.ndarray, "capsules 2"]
    pairs: Int[np.ndarray, "pairs 2"]
    """Capsules that may not overlap."""


class PlacedHand(NamedTuple):
    """Where each joint carries the rest hand: x in the solid's frame = R x + t."""

    R: Float[np.ndarray, "16 3 3"]
    t: Float[np.ndarray, "16 3"]


def place(hand: ProbedHand, angles: Float[np.ndarray, "16 3"], R: Float[np.ndarray, "3 3"], t: Float[np.ndarray, "3"]) -> PlacedHand:
    """Pose the hand and put its rest frame into the solid's by `R x + t`."""
    placed = PlacedHand(np.empty((16, 3, 3)), np.empty((16, 3)))
    _place(hand, angles, np.ascontiguousarray(R), t, placed)
    return placed


def gaps(hand: ProbedHand, placed: PlacedHand, parts: Parts) -> Float[np.ndarray, "16"]:
    """Distance of each segment's nearest probe to the solid, metres, negative inside; a lower bound where the segment is far."""
    return _gaps(hand, placed, parts)


def advance(
    hand: ProbedHand, placed: PlacedHand, parts: Parts, direction: Float[np.ndarray, "3"], segments: Bool[np.ndarray, "16"], depth: float
) -> float:
    """Move the whole hand along a unit direction of the solid's frame until one of the segments is `depth` inside; the way in metres."""
    return _advance(hand, placed, parts, direction, segments, depth)


def open_digit(
    hand: ProbedHand,
    placed: PlacedHand,
    parts: Parts,
    angles: Float[np.ndarray, "16 3"],
    first: int,
    rates: Float[np.ndarray, "3 3"],
    lower: Float[np.ndarray, "16 3"],
    upper: Float[np.ndarray, "16 3"],
    clearance: float,
) -> bool:
    """Turn a digit's angles by steps of `rates` (radians), in place, until it is clear of the solid; whether it came to be."""
    return _open_digit(hand, placed, parts, angles, first, rates, lower, upper, clearance)


def close_digit(
    hand: ProbedHand,
    placed: PlacedHand,
    parts: Parts,
    angles: Float[np.ndarray, "16 3"],
    first: int,
    rates: Float[np.ndarray, "3"],
    upper: Float[np.ndarray, "16 3"],
    depth: float,
    overlap: float,
) -> Float[np.ndarray, "3"]:
    """Flex a digit, in place, at the given relative rates; a segment that meets something stops its own joint and those before it.

    Args:
        first: The digit's first joint.
        depth: How far a probe may press into the solid, metres.
        overlap: How far a capsule may press into one of another digit or of the palm, metres.

    Returns:
        The gap of each segment to the solid.
    """
    return _close_digit(hand, placed, parts, angles, first, rates, upper, depth, overlap)


def deepest_overlap(hand: ProbedHand, placed: PlacedHand) -> float:
    """The deepest overlap of two capsules of different digits, or of a digit and the palm, metres; negative if all are apart."""
    return -_self_gap(hand, placed, -1)


@njit(cache=True)
@no_type_check
def _place_joint(hand, angles, joint, parent, placed):
    """Rotation R_flexion R_abduction R_twist about the joint's axes, behind its parent's."""
    sf, cf = sin(angles[joint, 0]), cos(angles[joint, 0])
    sa, ca = sin(angles[joint, 1]), cos(angles[joint, 1])
    st, ct = sin(angles[joint, 2]), cos(angles[joint, 2])
    local = (
        (ca * ct, -ca * st, sa),
        (cf * st + sf * sa * ct, cf * ct - sf * sa * st, -sf * ca),
        (sf * st - cf * sa * ct, sf * ct + cf * sa * st, cf * ca),
    )
    axes, at = hand.axes[joint], hand.joints[joint]
    for i in range(3):
        # Rows of R_parent axes^T, then times local, then times axes.
        p0, p1, p2 = placed.R[parent, i, 0], placed.R[parent, i, 1], placed.R[parent, i, 2]
        a0 = p0 * axes[0, 0] + p1 * axes[0, 1] + p2 * axes[0, 2]
        a1 = p0 * axes[1, 0] + p1 * axes[1, 1] + p2 * axes[1, 2]
        a2 = p0 * axes[2, 0] + p1 * axes[2, 1] + p2 * axes[2, 2]
        b0 = a0 * local[0][0] + a1 * local[1][0] + a2 * local[2][0]
        b1 = a0 * local[0][1] + a1 * local[1][1] + a2 * local[2][1]
        b2 = a0 * local[0][2] + a1 * local[1][2] + a2 * local[2][2]
        fixed = p0 * at[0] + p1 * at[1] + p2 * at[2] + placed.t[parent, i]
        for k in range(3):
            placed.R[joint, i, k] = b0 * axes[0, k] + b1 * axes[1, k] + b2 * axes[2, k]
        placed.t[joint, i] = fixed - (placed.R[joint, i, 0] * at[0] + placed.R[joint, i, 1] * at[1] + placed.R[joint, i, 2] * at[2])


@njit(cache=True)
@no_type_check
def _place_digit(hand, angles, first, placed):
    for k in range(3):
        _place_joint(hand, angles, first + k, 0 if k == 0 else first + k - 1, placed)


@njit(cache=True)
@no_type_check
def _place(hand, angles, R, t, placed):
    placed.R[0], placed.t[0] = R, t
    for first in range(1, 16, 3):
        _place_digit(hand, angles, first, placed)


@njit(cache=True)
@no_type_check
def _segment_gap(hand, placed, parts, segment):
    """The ball answers for its probes while it is far."""
    R, t, ball = placed.R[segment], placed.t[segment], hand.balls[segment]
    x = R[0, 0] * ball[0] + R[0, 1] * ball[1] + R[0, 2] * ball[2] + t[0]
    y = R[1, 0] * ball[0] + R[1, 1] * ball[1] + R[1, 2] * ball[2] + t[1]
    z = R[2, 0] * ball[0] + R[2, 1] * ball[1] + R[2, 2] * ball[2] + t[2]
    far = distance_at(x, y, z, parts) - ball[3] - _BLEND_MARGIN
    if far > 0.004:
        return far
    nearest = inf
    for i in range(hand.starts[segment], hand.starts[segment + 1]):
        px, py, pz = hand.probes[i, 0], hand.probes[i, 1], hand.probes[i, 2]
        x, y, z = 0.0, 0.0, 0.0
        for k in range(4):
            w = hand.weights[i, k]
            if w == 0.0:
                break
            R, t = placed.R[hand.bones[i, k]], placed.t[hand.bones[i, k]]
            x += w * (R[0, 0] * px + R[0, 1] * py + R[0, 2] * pz + t[0])
            y += w * (R[1, 0] * px + R[1, 1] * py + R[1, 2] * pz + t[1])
            z += w * (R[2, 0] * px + R[2, 1] * py + R[2, 2] * pz + t[2])
        nearest = min(nearest, distance_at(x, y, z, parts) - hand.radii[i])
    return nearest


@njit(cache=True)
@no_type_check
def _gaps(hand, placed, parts):
    gap = np.empty(16)
    for segment in range(16):
        gap[segment] = _segment_gap(hand, placed, parts, segment)
    return gap


@njit(cache=True)
@no_type_check
def _advance(hand, placed, parts, direction, segments, depth):
    way = 0.0
    for _ in range(40):
        gap = inf
        for segment in range(16):
            if segments[segment]:
                gap = min(gap, _segment_gap(hand, placed, parts, segment))
        step = gap + depth
        if step < _FINEST_STEP / 2 or way > 0.3:
            break
        way += step
        for joint in range(16):
            for k in range(3):
                placed.t[joint, k] += step * direction[k]
    return way


@njit(cache=True)
@no_type_check
def _open_digit(hand, placed, parts, angles, first, rates, lower, upper, clearance):
    for _ in range(40):
        _place_digit(hand, angles, first, placed)
        nearest = inf
        for segment in range(first, first + 3):
            nearest = min(nearest, _segment_gap(hand, placed, parts, segment))
        if nearest >= clearance:
            return True
        for k in range(3):
            for axis in range(3):
                turned = angles[first + k, axis] + rates[k, axis]
                angles[first + k, axis] = min(upper[first + k, axis], max(lower[first + k, axis], turned))
    return False


@njit(cache=True)
@no_type_check
def _close_digit(hand, placed, parts, angles, first, rates, upper, depth, overlap):
    gap, room = np.empty(3), np.empty(3)
    moves = np.array([rates[0] > 0, rates[1] > 0, rates[2] > 0])
    reach = np.zeros((3, 3))  # how far segment s extends from joint k
    for s in range(3):
        for k in range(s + 1):
            dx = hand.balls[first + s, 0] - hand.joints[first + k, 0]
            dy = hand.balls[first + s, 1] - hand.joints[first + k, 1]
            dz = hand.balls[first + s, 2] - hand.joints[first + k, 2]
            reach[k, s] = sqrt(dx * dx + dy * dy + dz * dz) + hand.balls[first + s, 3]
    for _ in range(150):
        _place_digit(hand, angles, first, placed)
        for s in range(3):
            gap[s] = _segment_gap(hand, placed, parts, first + s)
            room[s] = min(gap[s] + depth, _self_gap(hand, placed, first + s) + overlap)
        for s in range(3):
            if room[s] <= 0.0:
                moves[: s + 1] = False
        step = _COARSEST_STEP
        for s in range(3):
            speed = 0.0
            for k in range(s + 1):
                if moves[k]:
                    speed += rates[k] * reach[k, s]
            if speed > 0.0:
                step = min(step, max(room[s], _FINEST_STEP) / speed)
        is_moving = False
        for k in range(3):
            if moves[k]:
                angles[first + k, 0] = min(upper[first + k, 0], angles[first + k, 0] + step * rates[k])
                moves[k] = angles[first + k, 0] < upper[first + k, 0]
                is_moving = True
        if not is_moving:
            break
    return gap


@njit(cache=True)
@no_type_check
def _self_gap(hand, placed, segment):
    """The narrowest gap of a segment's capsules to other digits and the palm; of all capsules if the segment is -1."""
    narrowest = inf
    for pair in range(len(hand.pairs)):
        i, j = hand.pairs[pair, 0], hand.pairs[pair, 1]
        if segment >= 0 and hand.capsule_joints[i] != segment and hand.capsule_joints[j] != segment:
            continue
        narrowest = min(narrowest, _capsule_gap(hand, placed, i, j))
    return narrowest


@njit(cache=True)
@no_type_check
def _capsule_gap(hand, placed, i, j):
    """As `occhand.hand.capsules.HandCapsules.overlap`, for one pair."""
    p, d = _axis(hand, placed, i)
    q, e = _axis(hand, placed, j)
    r = (p[0] - q[0], p[1] - q[1], p[2] - q[2])
    dd, ee, de = _dot(d, d), _dot(e, e), _dot(d, e)
    dr, er = _dot(d, r), _dot(e, r)
    s = min(1.0, max(0.0, (de * er - dr * ee) / max(dd * ee - de * de, 1e-12)))
    u = min(1.0, max(0.0, (de * s + er) / ee))
    s = min(1.0, max(0.0, (de * u - dr) / dd))
    gap = (r[0] + s * d[0] - u * e[0], r[1] + s * d[1] - u * e[1], r[2] + s * d[2] - u * e[2])
    one, other = hand.capsule_radii[i], hand.capsule_radii[j]
    return sqrt(_dot(gap, gap)) - (one[0] + s * (one[1] - one[0])) - (other[0] + u * (other[1] - other[0]))


@njit(cache=True)
@no_type_check
def _axis(hand, placed, capsule):
    """Start and extent of a posed capsule's axis."""
    R, t = placed.R[hand.capsule_joints[capsule]], placed.t[hand.capsule_joints[capsule]]
    a, b = hand.capsule_ends[capsule, 0], hand.capsule_ends[capsule, 1]
    x = R[0, 0] * a[0] + R[0, 1] * a[1] + R[0, 2] * a[2] + t[0]
    y = R[1, 0] * a[0] + R[1, 1] * a[1] + R[1, 2] * a[2] + t[1]
    z = R[2, 0] * a[0] + R[2, 1] * a[1] + R[2, 2] * a[2] + t[2]
    u, v, w = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    along = (
        R[0, 0] * u + R[0, 1] * v + R[0, 2] * w,
        R[1, 0] * u + R[1, 1] * v + R[1, 2] * w,
        R[2, 0] * u + R[2, 1] * v + R[2, 2] * w,
    )
    return (x, y, z), along


@njit(cache=True)
@no_type_check
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
