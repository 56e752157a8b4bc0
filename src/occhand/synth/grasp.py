"""Hands that hold things: a thing is laid against the palm or between the pads, and the digits close on it until they touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from occhand.hand.assets import OPEN_HAND
from occhand.hand.prior import first_joint
from occhand.hand.skeleton import MANO_JOINT_NAMES
from occhand.synth.closing import PlacedHand, ProbedHand, advance, close_digit, deepest_overlap, gaps, open_digit, place
from occhand.synth.distance import signed_distance
from occhand.synth.objects import Grip, Hold, SolidObject, sample_object
from occhand.synth.shaped import HandShapes

OVERLAP_TOLERANCE = 0.001
"""Metres by which two capsules of the hand may overlap: soft flesh in touch."""
DEEPEST_PENETRATION = 0.0055
"""Metres by which a vertex may lie in the object."""
TOUCH = 0.002
"""A segment touches where a vertex of it is no farther from the surface, metres."""
_PRESS = 0.0008
"""How far the skin gives way where a digit stops."""
_TRIES_PER_OBJECT, _OBJECTS_TRIED = 6, 50
_LARGEST_RESULTANT = 0.75
"""Of the contacts' unit normals, as a share of their number: contacts from one side only push the thing away."""

_FINGERS = tuple(first_joint(finger) for finger in ("index", "middle", "ring", "pinky"))
_THUMB = first_joint("thumb")
_PALM_SIDE = np.array([0.0, -1.0, 0.0])
"""Where the palm looks to, in the hand's rest frame: fingers -x, thumb +z."""


@dataclass(frozen=True)
class Grasp:
    """A right hand around a thing."""

    angles: Float[np.ndarray, "16 3"]
    """Anatomical, radians (`occhand.hand.prior.rotations_from_angles`); the wrist's row is zero."""
    betas: Float[np.ndarray, "10"]
    solid: SolidObject
    solid_R: Float[np.ndarray, "3 3"]  # noqa: N815
    solid_t: Float[np.ndarray, "3"]
    """Place the thing in the hand layer's rest frame (MANO's right-hand axes, the wrist where the layer puts it): x_hand = R x + t."""
    touching: tuple[str, ...]
    """Segments that touch, by the joint that carries them: `wrist` is the palm, `thumb1` the ball of the thumb."""
    penetration_mm: float
    """How deep the deepest vertex of the hand lies in the thing."""
    hold: Hold
    """`power` or `precision`."""


@dataclass(frozen=True)
class GraspSampler:
    """Draws grasps of the open hand, any shape of it."""

    shapes: HandShapes
    segments: Int[np.ndarray, "778"]
    """The joint that moves each vertex most."""
    lower: Float[np.ndarray, "16 3"]
    upper: Float[np.ndarray, "16 3"]
    precision_poses: Mapping[str, Float[np.ndarray, "16 3"]]

    @classmethod
    def load(cls) -> GraspSampler:
        """The sampler of the bundled open hand."""
        with np.load(OPEN_HAND) as arrays:
            limits = arrays["joint_limits"].astype(np.float64)
            poses = dict(zip(arrays["key_pose_names"].tolist(), arrays["key_poses"].astype(np.float64), strict=True))
            shapes = HandShapes.from_arrays(arrays)
        return cls(
            shapes,
            shapes.weights.argmax(1),
            limits[..., 0].copy(),
            limits[..., 1].copy(),
            {name: poses[name] for name in ("pinch", "ok", "tripod")},
        )

    def sample(self, rng: np.random.Generator, betas: Float[np.ndarray, "10"], solid: SolidObject | None = None) -> Grasp:
        """One grasp that holds: at least three segments touch, the thumb among them, and not all from one side.

        Args:
            rng: The grasp depends on nothing but its state and the other arguments.
            betas: Of the hand.
            solid: What to grasp; anything if None.

        Raises:
            ValueError: No grasp was found: the thing is beyond the hand's reach, or the hand no hand.
        """
        vertices = self.shapes.shaped_vertices(betas)
        hand = self.shapes.probed(vertices, betas)
        for _ in range(_OBJECTS_TRIED):
            candidate = solid or sample_object(rng)
            for _ in range(_TRIES_PER_OBJECT):
                grasp = self._try(rng, betas, vertices, hand, candidate)
                if grasp is not None:
                    return grasp
        what = f"{solid.name!r}" if solid else "anything"
        raise ValueError(f"Found no grasp of {what} in {_OBJECTS_TRIED * _TRIES_PER_OBJECT} tries. Is the thing within the hand's reach?")

    def _try(self, rng: np.random.Generator, betas: np.ndarray, vertices: np.ndarray, hand: ProbedHand, solid: SolidObject) -> Grasp | None:
        grip = solid.grips[rng.integers(len(solid.grips))]
        take = self._take_in_palm if grip.hold == "power" else self._take_in_pads
        found = take(rng, hand, solid, grip)
        if found is None:
            return None
        angles, placed = found
        if deepest_overlap(hand, placed) > OVERLAP_TOLERANCE or gaps(hand, placed, solid.parts).min() < -DEEPEST_PENETRATION:
            return None
        points = self.shapes.skin(vertices, placed)
        distance = signed_distance(points, solid.parts)
        touching = self._touching(points, distance, solid)
        if touching is None or distance.min() < -DEEPEST_PENETRATION:
            return None
        R = np.ascontiguousarray(placed.R[0].T)
        penetration_mm = 1e3 * max(0.0, -float(distance.min()))
        return Grasp(angles, betas, solid, R, -R @ placed.t[0], touching, penetration_mm, grip.hold)

    def _touching(self, points: np.ndarray, distance: np.ndarray, solid: SolidObject) -> tuple[str, ...] | None:
        """Names of the segments in touch, or None if they do not hold the thing."""
        near = np.flatnonzero(distance < TOUCH)
        segment = self.segments[near]
        nearest = {int(s): near[segment == s][distance[near[segment == s]].argmin()] for s in np.unique(segment)}
        thumb_touches = any(s in nearest for s in (_THUMB + 1, _THUMB + 2))
        if len(nearest) < 3 or not thumb_touches:
            return None
        contacts = points[list(nearest.values())]
        step = 1e-4 * np.eye(3)
        around = signed_distance((contacts[:, None] + np.concatenate([step, -step])).reshape(-1, 3), solid.parts).reshape(-1, 2, 3)
        normals = around[:, 0] - around[:, 1]
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
        if np.linalg.norm(normals.mean(0)) > _LARGEST_RESULTANT:
            return None
        return tuple(MANO_JOINT_NAMES[s] for s in sorted(nearest))

    def _take_in_pads(
        self, rng: np.random.Generator, hand: ProbedHand, solid: SolidObject, grip: Grip
    ) -> tuple[np.ndarray, PlacedHand] | None:
        """Put the thing between the pads of a pinching hand, open the digits until they are clear of it, and close them again."""
        style = str(rng.choice(["pinch", "ok", "tripod", "all"], p=[0.2, 0.15, 0.35, 0.3]))
        angles = self.precision_poses["tripod" if style == "all" else style].copy()
        used = {"pinch": 1, "ok": 1, "tripod": 2, "all": 4}[style]
        if style == "all":
            for first in _FINGERS[1:]:
                angles[first : first + 3] = angles[_FINGERS[0] : _FINGERS[0] + 3]
                angles[first, 1] = 0
        angles[1:13] += np.deg2rad(rng.normal(0, 2.5, (12, 3))) * (1, 0.3, 0)
        angles = np.clip(angles, self.lower, self.upper)

        at_rest = place(hand, angles, np.eye(3), np.zeros(3))
        bones = {first: _middle_of_pad(hand, at_rest, first) for first in (*_FINGERS[:used], _THUMB)}
        fingers = np.mean([bones[first] for first in _FINGERS[:used]], 0)
        across = _unit(fingers - bones[_THUMB])
        centre = (fingers + bones[_THUMB]) / 2
        web = (at_rest.R[_FINGERS[0]] @ hand.joints[_FINGERS[0]] + at_rest.t[_FINGERS[0]] + hand.joints[_THUMB + 1]) / 2
        if solid.kind == "tool":
            along = _square(web - centre, across)
            along = _turn(across, rng.normal(0, 0.25)) @ along
        else:
            along = _square(np.array([0.0, 0.0, 1.0]), across)
            along = _turn(across, rng.normal(0, 0.35) if used > 1 else rng.uniform(-1.6, 1.6)) @ along
            along = along * rng.choice([-1.0, 1.0])
        R, t = _lay(rng, grip, along, across, centre)

        placed = place(hand, angles, R.T, -R.T @ t)
        opening = np.zeros((3, 3))
        opening[:, 0] = np.deg2rad((-2.5, -1.0, -0.3))
        thumb_opening = np.zeros((3, 3))
        thumb_opening[:, 0], thumb_opening[0, 1] = np.deg2rad((-2.0, -1.5, -0.5)), np.deg2rad(0.8)
        for first in (*_FINGERS, _THUMB):
            rates = thumb_opening if first == _THUMB else opening
            if not open_digit(hand, placed, solid.parts, angles, first, rates, self.lower, self.upper, 0.001):
                return None
        if gaps(hand, placed, solid.parts).min() < -_PRESS:
            return None
        for first in _FINGERS[:used]:
            rates = np.array([1.0, 0.8, 0.35]) * rng.uniform(0.85, 1.15, 3)
            close_digit(hand, placed, solid.parts, angles, first, rates, self.upper, _PRESS, 0.0)
        close_digit(hand, placed, solid.parts, angles, _THUMB, np.array([1.0, 0.7, 0.5]), self.upper, _PRESS, 0.0005)
        return angles, placed

    def _take_in_palm(
        self, rng: np.random.Generator, hand: ProbedHand, solid: SolidObject, grip: Grip
    ) -> tuple[np.ndarray, PlacedHand] | None:
        """Lay the thing across the palm and close the fingers, then the thumb from the side where it holds best."""
        angles = np.zeros((16, 3))
        spread = rng.normal(0, 2.5) + 5 * (grip.half_thickness > 0.03)
        for first, share in zip(_FINGERS, (0.8, 0.0, -0.7, -1.4), strict=True):
            angles[first : first + 3, 0] = np.deg2rad(rng.uniform((-10, 2, 0), (0, 8, 4)))
            angles[first, 1] = np.deg2rad(share * spread)
        angles[_THUMB, :2] = np.deg2rad((-18, 8))

        across = -_PALM_SIDE
        along = _square(np.array([rng.normal(0.2, 0.3), 0.0, 1.0]), across) * rng.choice([-1.0, 1.0])
        palm = (hand.joints[_FINGERS[1]] + hand.joints[_FINGERS[2]]) / 2
        centre = palm + np.array([rng.uniform(-0.004, 0.028), -0.12, rng.normal(0, 0.006)])
        R, t = _lay(rng, grip, along, across, centre)
        placed = place(hand, angles, R.T, -R.T @ t)
        segments = np.ones(16, dtype=bool)
        if advance(hand, placed, solid.parts, R.T @ _PALM_SIDE, segments, _PRESS) > 0.3:
            return None
        root_R, root_t = placed.R[0].copy(), placed.t[0].copy()
        for first in _FINGERS:
            rates = np.array([2.0, 2.4, 1.5]) * rng.uniform(0.85, 1.15, 3)
            close_digit(hand, placed, solid.parts, angles, first, rates, self.upper, _PRESS, 0.0005)

        best, best_gap = None, 0.004
        for abduction, twist in rng.permutation(np.array([[45, -38], [32, -25], [50, -15], [15, -12], [0, 0]])):
            trial = angles.copy()
            trial[_THUMB] = np.deg2rad((-18, abduction, twist))
            trial[_THUMB + 1 :, 0] = np.deg2rad((-6, -12))
            placed = place(hand, trial, root_R, root_t)
            if gaps(hand, placed, solid.parts)[_THUMB : _THUMB + 3].min() < -0.002:
                continue
            rates = np.array([1.5, 1.1, 1.3]) * rng.uniform(0.85, 1.15, 3)
            gap = close_digit(hand, placed, solid.parts, trial, _THUMB, rates, self.upper, _PRESS, 0.0005)
            if max(gap[1], gap[2]) < best_gap or (best is None and gap[1:].min() < TOUCH):
                best, best_gap = trial, max(gap[1], gap[2])
        if best is None:
            return None
        return best, place(hand, best, root_R, root_t)


def _lay(rng: np.random.Generator, grip: Grip, along: np.ndarray, across: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation that put the grip's centre, its long direction and its facing there, hand from object."""
    own_along, own_facing = np.array(grip.along), np.array(grip.facing)
    if grip.is_round:
        own_facing = _turn(own_along, rng.uniform(-np.pi, np.pi)) @ own_facing
    R = np.stack([along, across, np.cross(along, across)], 1) @ np.stack([own_along, own_facing, np.cross(own_along, own_facing)])
    slid = np.array(grip.centre) + rng.uniform(-1, 1) * grip.slide * own_along
    return np.ascontiguousarray(R), centre - R @ slid


def _middle_of_pad(hand: ProbedHand, placed: PlacedHand, first: int) -> np.ndarray:
    """Middle of the last bone's flesh."""
    ball = hand.balls[first + 2, :3]
    return placed.R[first + 2] @ ball + placed.t[first + 2]


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)


def _square(v: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The unit vector nearest to v at right angles to a unit vector."""
    return _unit(v - (v @ to) * to)


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation about a unit axis (Rodrigues)."""
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
