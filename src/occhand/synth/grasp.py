"""Hands that hold things: a thing is laid against the palm or between the pads, and the digits close on it until they touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from occhand.hand.assets import OPEN_HAND
from occhand.hand.skeleton import MANO_JOINT_NAMES
from occhand.synth.closing import ProbedHand, bone_gap, deepest_overlap
from occhand.synth.distance import signed_distance
from occhand.synth.hand_shapes import HandShapes
from occhand.synth.holds import THUMB, TOUCH, Limits, take_in_pads, take_in_palm
from occhand.synth.objects import Hold, SolidObject, sample_object
from occhand.synth.pose import OVERLAP_TOLERANCE

DEEPEST_PENETRATION = 0.0055
"""Metres by which a vertex may lie in the object."""
_FEWEST_TOUCHING: dict[Hold, int] = {"power": 3, "precision": 2}
_TRIES_PER_OBJECT, _OBJECTS_TRIED = 6, 50
_LARGEST_RESULTANT = 0.75
"""Of the contacts' unit normals, as a share of their number: contacts from one side only push the thing away."""


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
    limits: Limits
    key_poses: Mapping[str, Float[np.ndarray, "16 3"]]

    @classmethod
    def load(cls) -> GraspSampler:
        """The sampler of the bundled open hand."""
        with np.load(OPEN_HAND) as arrays:
            limits = arrays["joint_limits"].astype(np.float64)
            poses = dict(zip(arrays["key_pose_names"].tolist(), arrays["key_poses"].astype(np.float64), strict=True))
            shapes = HandShapes.from_arrays(arrays)
        return cls(shapes, shapes.weights.argmax(1), Limits(limits[..., 0].copy(), limits[..., 1].copy()), poses)

    def sample(self, rng: np.random.Generator, betas: Float[np.ndarray, "10"], solid: SolidObject | None = None) -> Grasp:
        """One grasp that holds: the thumb and others touch (at least three segments, two in a pinch), and not all from one side.

        Args:
            rng: The grasp depends on nothing but its state and the other arguments.
            betas: Of the hand.
            solid: What to grasp; anything if None.

        Raises:
            ValueError: No grasp was found: the thing is beyond the hand's reach, or the hand no hand.
        """
        vertices, hand = self.shapes.shaped(betas)
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
        if grip.hold == "power":
            found = take_in_palm(rng, hand, self.limits, solid, grip)
        else:
            found = take_in_pads(rng, hand, self.limits, solid, grip, self.key_poses)
        if found is None:
            return None
        angles, placed = found
        if deepest_overlap(hand, placed) > OVERLAP_TOLERANCE or bone_gap(hand, placed, solid.parts) < -DEEPEST_PENETRATION:
            return None
        points = self.shapes.skin(vertices, placed)
        distance = signed_distance(points, solid.parts)
        touching = self._touching(points, distance, solid, grip.hold)
        if touching is None or distance.min() < -DEEPEST_PENETRATION:
            return None
        R = np.ascontiguousarray(placed.R[0].T)
        penetration_mm = 1e3 * max(0.0, -float(distance.min()))
        return Grasp(angles, betas, solid, R, -R @ placed.t[0], touching, penetration_mm, grip.hold)

    def _touching(self, points: np.ndarray, distance: np.ndarray, solid: SolidObject, hold: Hold) -> tuple[str, ...] | None:
        """Names of the segments in touch, or None if they do not hold the thing."""
        near = np.flatnonzero(distance < TOUCH)
        segment = self.segments[near]
        nearest = {int(s): near[segment == s][distance[near[segment == s]].argmin()] for s in np.unique(segment)}
        thumb_touches = any(s in nearest for s in (THUMB + 1, THUMB + 2))
        if len(nearest) < _FEWEST_TOUCHING[hold] or not thumb_touches:
            return None
        contacts = points[list(nearest.values())]
        step = 1e-4 * np.eye(3)
        around = signed_distance((contacts[:, None] + np.concatenate([step, -step])).reshape(-1, 3), solid.parts).reshape(-1, 2, 3)
        normals = around[:, 0] - around[:, 1]
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
        if np.linalg.norm(normals.mean(0)) > _LARGEST_RESULTANT:
            return None
        return tuple(MANO_JOINT_NAMES[s] for s in sorted(nearest))
