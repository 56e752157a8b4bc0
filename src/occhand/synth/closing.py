"""Digits that close on a solid until they touch it, another digit or the palm; compiled.

The hand is posed in the solid's frame, so that a solid moves by moving the wrist. What may not enter the solid are probes: every vertex of
the skin, and balls along the bones, without which something thin could pass between the vertices. A digit advances by what its distances
allow for sure (conservative advancement), so that nothing tunnels and few steps are needed.
"""

from __future__ import annotations

from math import cos, inf, sin, sqrt
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from occhand.synth.distance import Parts, distance_at

_BLEND_MARGIN = 0.006
"""Metres by which blended skin may leave the ball that its segment carries along."""
_FAR = 0.004
"""A ball farther away than this answers for its segment, metres."""
_FINEST_STEP = 0.0008
"""Metres that the fastest probe moves at least in a step: how precisely a contact is met."""
_OPENING_STEP = 0.004
"""Metres that an opening digit is taken to move per step of its rates; too much does no harm, since it closes again."""
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
    partners: Int[np.ndarray, "capsules most"]
    """The same by capsule: the others it may not overlap, then -1."""


class PlacedHand(NamedTuple):
    """Where each joint carries the rest hand: x in the solid's frame = R x + t."""

    R: Float[np.ndarray, "16 3 3"]
    t: Float[np.ndarray, "16 3"]


def place(hand: ProbedHand, angles: Float[np.ndarray, "16 3"], R: Float[np.ndarray, "3 3"], t: Float[np.ndarray, "3"]) -> PlacedHand:
    """Pose the hand and put its rest frame into the solid's by `R x + t`."""
    placed = PlacedHand(np.empty((16, 3, 3)), np.empty((16, 3)))
    _place(hand, angles, np.ascontiguousarray(R), t, placed)
    return placed


def gap_to(hand: ProbedHand, placed: PlacedHand, parts: Parts, first: int = 0, count: int = 16) -> float:
    """Distance of the nearest probe of some segments to the solid, metres, negative inside; a lower bound where they are far."""
    return _gap_to(hand, placed, parts, first, count)


def bone_gap(hand: ProbedHand, placed: PlacedHand, parts: Parts) -> float:
    """Distance of the nearest ball along the bones to the solid, metres, negative inside."""
    return _bone_gap(hand, placed, parts)


def advance(hand: ProbedHand, placed: PlacedHand, parts: Parts, direction: Float[np.ndarray, "3"], depth: float) -> float:
    """Move the whole hand along a unit direction of the solid's frame until it is `depth` inside somewhere; the way in metres."""
    return _advance(hand, placed, parts, direction, depth)


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
    """Turn a digit's angles by multiples of `rates` (radians), in place, until it is clear of the solid; whether it came to be."""
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
) -> Float[np.ndarray, "3"]:
    """Flex a digit, in place, at the given relative rates; a segment that meets something stops its own joint and those before it.

    Args:
        first: The digit's first joint.
        depth: How far a probe may press into the solid, metres.

    Returns:
        The gap of each segment to the solid.
    """
    return _close_digit(hand, placed, parts, angles, first, rates, upper, depth)


def deepest_overlap(hand: ProbedHand, placed: PlacedHand) -> float:
    """The deepest overlap of two capsules of different digits, or of a digit and the palm, metres; negative if all are apart."""
    return _deepest_overlap(hand, placed)


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
@no_type_check
def _place_digit(hand, angles, first, placed):
    for k in range(3):
        _place_joint(hand, angles, first + k, 0 if k == 0 else first + k - 1, placed)


@njit(cache=True, error_model="numpy")
@no_type_check
def _place(hand, angles, R, t, placed):
    for i in range(3):  # by single numbers: what numba makes of arrays set into arrays takes it long to compile
        placed.t[0, i] = t[i]
        for k in range(3):
            placed.R[0, i, k] = R[i, k]
    for first in range(1, 16, 3):
        _place_digit(hand, angles, first, placed)


@njit(cache=True, error_model="numpy")
@no_type_check
def _carry(placed, joint, x, y, z):
    """Scalars are read one by one: views of rows would be counted references, which cost more than the arithmetic."""
    R, t = placed.R, placed.t
    return (
        R[joint, 0, 0] * x + R[joint, 0, 1] * y + R[joint, 0, 2] * z + t[joint, 0],
        R[joint, 1, 0] * x + R[joint, 1, 1] * y + R[joint, 1, 2] * z + t[joint, 1],
        R[joint, 2, 0] * x + R[joint, 2, 1] * y + R[joint, 2, 2] * z + t[joint, 2],
    )


@njit(cache=True, error_model="numpy")
@no_type_check
def _ball_gap(hand, placed, parts, segment):
    balls = hand.balls
    x, y, z = _carry(placed, segment, balls[segment, 0], balls[segment, 1], balls[segment, 2])
    return distance_at(x, y, z, parts) - balls[segment, 3] - _BLEND_MARGIN


@njit(cache=True, error_model="numpy")
@no_type_check
def _probe_gap(hand, placed, parts, i):
    px, py, pz = hand.probes[i, 0], hand.probes[i, 1], hand.probes[i, 2]
    x, y, z = 0.0, 0.0, 0.0
    for k in range(4):
        w = hand.weights[i, k]
        if w == 0.0:
            break
        ax, ay, az = _carry(placed, hand.bones[i, k], px, py, pz)
        x, y, z = x + w * ax, y + w * ay, z + w * az
    return distance_at(x, y, z, parts) - hand.radii[i]


@njit(cache=True, error_model="numpy")
@no_type_check
def _segment_gap(hand, placed, parts, segment):
    """The ball answers for its probes while it is far."""
    far = _ball_gap(hand, placed, parts, segment)
    if far > _FAR:
        return far
    nearest = inf
    for i in range(hand.starts[segment], hand.starts[segment + 1]):
        nearest = min(nearest, _probe_gap(hand, placed, parts, i))
    return nearest


@njit(cache=True, error_model="numpy")
@no_type_check
def _coherent_gap(hand, placed, parts, segment, bounds, travel):
    """As `_segment_gap`, where probes seen before moved at most by the travel since: those that cannot be the nearest are left alone.

    `bounds` holds each probe's gap plus the travel at which it was seen.
    """
    far = _ball_gap(hand, placed, parts, segment)
    if far > _FAR:
        return far
    nearest = inf
    for i in range(hand.starts[segment], hand.starts[segment + 1]):
        if bounds[i] - travel < nearest:
            gap = _probe_gap(hand, placed, parts, i)
            bounds[i] = gap + travel
            nearest = min(nearest, gap)
    return nearest


@njit(cache=True, error_model="numpy")
@no_type_check
def _gap_to(hand, placed, parts, first, count):
    nearest = inf
    for segment in range(first, first + count):
        nearest = min(nearest, _segment_gap(hand, placed, parts, segment))
    return nearest


@njit(cache=True, error_model="numpy")
@no_type_check
def _bone_gap(hand, placed, parts):
    nearest = inf
    for i in range(len(hand.probes)):
        if hand.radii[i] > 0.0:
            nearest = min(nearest, _probe_gap(hand, placed, parts, i))
    return nearest


@njit(cache=True, error_model="numpy")
@no_type_check
def _advance(hand, placed, parts, direction, depth):
    way = 0.0
    bounds = np.full(len(hand.probes), -inf)
    for _ in range(40):
        gap = inf
        for segment in range(16):
            gap = min(gap, _coherent_gap(hand, placed, parts, segment, bounds, way))
        step = gap + depth
        if step < _FINEST_STEP / 2 or way > 0.3:
            break
        way += step
        for joint in range(16):
            for k in range(3):
                placed.t[joint, k] += step * direction[k]
    return way


@njit(cache=True, error_model="numpy")
@no_type_check
def _open_digit(hand, placed, parts, angles, first, rates, lower, upper, clearance):
    for _ in range(25):
        _place_digit(hand, angles, first, placed)
        nearest = _gap_to(hand, placed, parts, first, 3)
        if nearest >= clearance:
            return True
        stride = max(1.0, (clearance - nearest) / _OPENING_STEP)
        turned = 0.0
        for k in range(3):
            for axis in range(3):
                before = angles[first + k, axis]
                after = min(upper[first + k, axis], max(lower[first + k, axis], before + stride * rates[k, axis]))
                angles[first + k, axis] = after
                turned += abs(after - before)
        if turned == 0.0:
            break
    return False


@njit(cache=True, error_model="numpy")
@no_type_check
def _close_digit(hand, placed, parts, angles, first, rates, upper, depth):
    gap, room, self_room, travel, speed = np.empty(3), np.empty(3), np.full(3, -inf), np.zeros(3), np.zeros(3)
    bounds = np.full(len(hand.probes), -inf)
    moves = np.array([rates[0] > 0, rates[1] > 0, rates[2] > 0])
    reach = _reach(hand, first)
    spines = np.empty((len(hand.capsule_joints), 6))
    for capsule in range(len(spines)):
        _pose_spine(hand, placed, capsule, spines)
    for _ in range(150):
        _place_digit(hand, angles, first, placed)
        for capsule in range(len(spines)):
            if first <= hand.capsule_joints[capsule] < first + 3:
                _pose_spine(hand, placed, capsule, spines)
        for s in range(3):
            gap[s] = _coherent_gap(hand, placed, parts, first + s, bounds, travel[s])
            if self_room[s] < gap[s] + depth:  # else the bound is good enough
                self_room[s] = _self_gap(hand, spines, first + s)
            room[s] = min(gap[s] + depth, self_room[s])
        for s in range(3):
            if room[s] <= 0.0:
                for k in range(s + 1):
                    moves[k] = False
        if not (moves[0] or moves[1] or moves[2]):
            break
        step = _COARSEST_STEP
        for s in range(3):
            speed[s] = 0.0
            for k in range(3):
                if moves[k]:
                    speed[s] += reach[s, k] * rates[k]
            if speed[s] > 0.0:
                step = min(step, max(room[s], _FINEST_STEP) / speed[s])
        for s in range(3):
            travel[s] += step * speed[s]
            self_room[s] -= step * speed[s]
            if moves[s]:
                angles[first + s, 0] = min(upper[first + s, 0], angles[first + s, 0] + step * rates[s])
                moves[s] = angles[first + s, 0] < upper[first + s, 0]
    return gap


@njit(cache=True, error_model="numpy")
@no_type_check
def _reach(hand, first):
    """How far segment s (rows) extends from joint k of its digit; a segment's end also follows the next joint a little."""
    reach = np.zeros((3, 3))
    for s in range(3):
        for k in range(s + 1):
            squared = 0.0
            for axis in range(3):
                squared += (hand.balls[first + s, axis] - hand.joints[first + k, axis]) ** 2
            reach[s, k] = sqrt(squared) + hand.balls[first + s, 3]
        if s < 2:
            reach[s, s + 1] = _BLEND_MARGIN
    return reach


@njit(cache=True, error_model="numpy")
@no_type_check
def _deepest_overlap(hand, placed):
    spines = np.empty((len(hand.capsule_joints), 6))
    for capsule in range(len(spines)):
        _pose_spine(hand, placed, capsule, spines)
    deepest = -inf
    for pair in range(len(hand.pairs)):
        deepest = max(deepest, -_capsule_gap(hand.capsule_radii, spines, hand.pairs[pair, 0], hand.pairs[pair, 1]))
    return deepest


@njit(cache=True, error_model="numpy")
@no_type_check
def _self_gap(hand, spines, segment):
    """The narrowest gap of a segment's capsule to those of other digits and of the palm."""
    narrowest = inf
    for capsule in range(len(spines)):
        if hand.capsule_joints[capsule] == segment:
            for k in range(hand.partners.shape[1]):
                other = hand.partners[capsule, k]
                if other < 0:
                    break
                narrowest = min(narrowest, _capsule_gap(hand.capsule_radii, spines, capsule, other))
    return narrowest


@njit(cache=True, error_model="numpy")
@no_type_check
def _pose_spine(hand, placed, capsule, spines):
    """Start and extent of a posed capsule's axis."""
    ends, joint = hand.capsule_ends, hand.capsule_joints[capsule]
    x, y, z = _carry(placed, joint, ends[capsule, 0, 0], ends[capsule, 0, 1], ends[capsule, 0, 2])
    u, v, w = _carry(placed, joint, ends[capsule, 1, 0], ends[capsule, 1, 1], ends[capsule, 1, 2])
    spines[capsule, 0], spines[capsule, 1], spines[capsule, 2] = x, y, z
    spines[capsule, 3], spines[capsule, 4], spines[capsule, 5] = u - x, v - y, w - z


@njit(cache=True, error_model="numpy")
@no_type_check
def _capsule_gap(radii, spines, i, j):
    """As `occhand.hand.capsules.HandCapsules.overlap`, for one pair."""
    dx, dy, dz = spines[i, 3], spines[i, 4], spines[i, 5]
    ex, ey, ez = spines[j, 3], spines[j, 4], spines[j, 5]
    rx, ry, rz = spines[i, 0] - spines[j, 0], spines[i, 1] - spines[j, 1], spines[i, 2] - spines[j, 2]
    dd, ee, de = dx * dx + dy * dy + dz * dz, ex * ex + ey * ey + ez * ez, dx * ex + dy * ey + dz * ez
    dr, er = dx * rx + dy * ry + dz * rz, ex * rx + ey * ry + ez * rz
    s = min(1.0, max(0.0, (de * er - dr * ee) / max(dd * ee - de * de, 1e-12)))
    u = min(1.0, max(0.0, (de * s + er) / ee))
    s = min(1.0, max(0.0, (de * u - dr) / dd))
    x, y, z = rx + s * dx - u * ex, ry + s * dy - u * ey, rz + s * dz - u * ez
    one, other = radii[i, 0] + s * (radii[i, 1] - radii[i, 0]), radii[j, 0] + u * (radii[j, 1] - radii[j, 0])
    return sqrt(x * x + y * y + z * z) - one - other
