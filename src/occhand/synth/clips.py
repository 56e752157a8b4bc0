"""Short films of hands with exact ground truth: smooth poses and camera, an object that passes in front, or two hands that cross.

A clip is a function of seed, number, kind, size and length, as a sample is of seed and index. Everything that moves follows cubic B-splines
over time, so positions, speeds and accelerations are continuous.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, UInt8

from occhand.geometry.camera import project
from occhand.geometry.motion import from_rotation_vectors, matrices
from occhand.synth.background import draw_background
from occhand.synth.closing import deepest_overlap, place
from occhand.synth.forearm import ARM_LABEL, OTHER_HAND_LABEL, Forearm, limb_surfaces, sample_forearm
from occhand.synth.generate import draw_scene
from occhand.synth.hand_surface import load_surface
from occhand.synth.materials import Material, sample_cloth, skin_material
from occhand.synth.objects import SolidObject, sample_object
from occhand.synth.pose import OVERLAP_TOLERANCE
from occhand.synth.rotations import joint_rotations
from occhand.synth.scene import (
    PosedHand,
    Scene,
    joint_axes,
    mean_hand,
    middle_of,
    mirrored,
    object_surfaces,
    place_hand,
    sample_lighting,
    sample_pose,
)
from occhand.synth.shading import Lighting
from occhand.synth.skin import skin_palette
from occhand.synth.surfaces import Surfaces, join
from occhand.synth.visibility import HAND_LABEL, first_crossings
from occhand.types import Side

ClipKind = Literal["occluder", "crossing"]
"""`occluder`: one hand, an object passes in front of it. `crossing`: a right and a left hand pass each other, one before the other."""
CLIP_KINDS: tuple[ClipKind, ...] = get_args(ClipKind)
FPS = 30.0

_KEY_S = 0.5
"""Seconds between the control points of a pose."""
_TURN_S = 0.6
_TURN = 0.45
"""Radians by which the control points of the view differ from its middle, about each axis."""
_DEPTH = 0.55
"""Metres to the hands."""
_FIELD = 0.36
"""Half the picture's width over the focal length: at 0.55 m it shows 0.4 m."""
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class ClipHand:
    """What is true of one hand in one frame; camera frame, metres."""

    side: Side
    joints_cam: Float[np.ndarray, "21 3"]
    joints_img: Float[np.ndarray, "21 2"]
    """Pixels."""
    vertices_cam: Float[np.ndarray, "778 3"]
    joints_by_other: Bool[np.ndarray, "21"]
    """Hidden behind the object, an arm or the other hand."""


@dataclass(frozen=True)
class ClipFrame:
    """One picture of a clip and its hands, the right one first."""

    image: UInt8[np.ndarray, "size size 3"]
    time: float
    hands: tuple[ClipHand, ...]


@dataclass(frozen=True)
class Clip:
    """A film that is drawn frame by frame when it is asked for.

    Raises:
        ValueError: Negative numbers, no frames, a picture below 32 pixels.
    """

    seed: int
    number: int
    """Of the clip in its set."""
    kind: ClipKind
    frames: int = 300
    size: int = 256
    """Height and width, pixels."""

    def __post_init__(self) -> None:
        if min(self.seed, self.number) < 0 or self.frames < 1 or self.size < 32 or self.kind not in CLIP_KINDS:
            raise ValueError(f"{self}: expected no negative number, at least a frame and 32 pixels, one of {', '.join(CLIP_KINDS)}.")

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.seed}-{self.number:03d}"

    @property
    def _seeds(self) -> tuple[int, int, int]:
        return self.seed, self.number, CLIP_KINDS.index(self.kind)

    @property
    def K(self) -> Float[np.ndarray, "3 3"]:  # noqa: N802
        focal_px, middle = self.size / (2 * _FIELD), (self.size - 1) / 2
        return np.array([[focal_px, 0.0, middle], [0.0, focal_px, middle], [0.0, 0.0, 1.0]])

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[ClipFrame]:
        background = draw_background(np.random.default_rng((*self._seeds, 1)), self.size)
        for index in range(self.frames):
            scene, hands = self._scene(index)
            # The same random numbers in every frame: one camera, whose exposure and colours stay.
            image, _, _ = draw_scene(scene, scene.surfaces.front(), background.copy(), np.random.default_rng((*self._seeds, 2)))
            yield ClipFrame(image, index / FPS, hands)

    def truth(self) -> Iterator[tuple[float, tuple[ClipHand, ...]]]:
        """Times and hands without the pictures, a hundred times faster."""
        for index in range(self.frames):
            yield index / FPS, self._scene(index)[1]

    @cached_property
    def _cast(self) -> _Cast:
        return _Cast.sample(np.random.default_rng((*self._seeds, 0)), self.kind, self.frames / FPS)

    def _scene(self, index: int) -> tuple[Scene, tuple[ClipHand, ...]]:
        cast, time = self._cast, index / FPS
        hands: list[PosedHand] = []
        parts: list[Surfaces] = []
        for actor in cast.actors:
            hand, limb = actor.pose(time, HAND_LABEL if not hands else OTHER_HAND_LABEL)
            hands.append(hand)
            parts.append(limb)
        solid_R, solid_t = np.eye(3), np.zeros(3)
        if cast.prop is not None:
            solid_R, solid_t = cast.prop.pose(time)
            surfaces = cast.prop.surfaces
            parts.append(surfaces.moved(solid_R, solid_t))
        joined = join(parts)
        scene = Scene(
            hands[0], joined, cast.materials, cast.lighting, self.K, None if cast.prop is None else cast.prop.solid, solid_R, solid_t
        )
        told = [self._annotate(actor.side, hand, parts, k) for k, (actor, hand) in enumerate(zip(cast.actors, hands, strict=True))]
        return scene, tuple(told)

    def _annotate(self, side: Side, hand: PosedHand, parts: list[Surfaces], own: int) -> ClipHand:
        others = [part for k, part in enumerate(parts) if k != own]
        hidden = np.zeros(21, dtype=bool)
        if others:
            other = join(others)
            none, labels = np.full(21, -1), np.full(len(other.faces), OTHER_HAND_LABEL, dtype=np.uint8)
            _, crossing = first_crossings(hand.joints_cam, none, other.vertices_cam, other.faces, labels, self.K)
            hidden = crossing < hand.joints_cam[:, 2]
        return ClipHand(side, hand.joints_cam, project(hand.joints_cam, self.K), hand.vertices_cam, hidden)


@dataclass(frozen=True)
class _Spline:
    """A uniform cubic B-spline: twice continuously differentiable, within the hull of its control points."""

    points: np.ndarray
    step: float
    """Seconds between control points."""

    @classmethod
    def sample(cls, points: np.ndarray, seconds: float) -> _Spline:
        return cls(points, seconds / (len(points) - 3))

    def at(self, time: float) -> np.ndarray:
        place = min(max(time / self.step, 0.0), len(self.points) - 3 - 1e-9)
        k, u = int(place), place - int(place)
        weights = np.array([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]) / 6
        return np.tensordot(weights, self.points[k : k + 4], axes=1)


@dataclass(frozen=True)
class _Actor:
    """A hand that moves."""

    side: Side
    betas: Float[np.ndarray, "10"]
    forearm: Forearm
    skin_id: int
    angles: _Spline
    view: Float[np.ndarray, "3 3"]
    turn: _Spline
    """Rotation vectors on top of the view."""
    path: _Spline
    """Middle of the hand."""

    def pose(self, time: float, label: int) -> tuple[PosedHand, Surfaces]:
        """The hand and its limb in the camera frame; a left hand is made as a right one seen in a mirror."""
        rotations = joint_rotations(self.angles.at(time), joint_axes())
        vertices, joints = load_surface().pose(rotations, self.betas)
        rotations[0] = R = matrices(from_rotation_vectors(self.turn.at(time))) @ self.view
        mirror = _MIRROR if self.side == "left" else np.ones(3)
        t = self.path.at(time) * mirror - R @ middle_of(vertices)
        hand = place_hand(rotations, self.betas, vertices, joints, t, self.side)
        limb = limb_surfaces(vertices, joints[0], self.forearm, (label, ARM_LABEL), self.skin_id, self.skin_id + 1).moved(R, t)
        if self.side == "right":
            return hand, limb
        seen = mirrored(limb).moved(np.diag([-1.0, 1.0, -1.0]), np.zeros(3))  # its mirror flips z; half a turn about y makes that x
        return PosedHand(rotations, self.betas, hand.translation, hand.vertices_cam * mirror, hand.joints_cam * mirror), seen


@dataclass(frozen=True)
class _Prop:
    """An object that passes in front of the hand."""

    solid: SolidObject
    surfaces: Surfaces
    """At rest."""
    turn: _Spline
    path: _Spline

    def pose(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        R = matrices(from_rotation_vectors(self.turn.at(time)))
        return R, self.path.at(time) - R @ middle_of(self.solid.vertices)


@dataclass(frozen=True)
class _Cast:
    """Who and what is in a clip, and its light."""

    actors: list[_Actor]
    prop: _Prop | None
    materials: list[Material]
    lighting: Lighting

    @classmethod
    def sample(cls, rng: np.random.Generator, kind: ClipKind, seconds: float) -> _Cast:
        palette = skin_palette(float(rng.random()), rng)
        materials: list[Material] = [skin_material(palette, rng), sample_cloth(rng, np.array([1.0, 0.0, 0.0]))]
        betas = np.clip(rng.standard_normal(10), -2.0, 2.0)
        prop = None
        if kind == "occluder":
            side: Side = "left" if rng.random() < 0.5 else "right"
            actors = [_sample_actor(rng, side, betas, sample_forearm(rng), _wander(rng, seconds), seconds)]
            prop = _sample_prop(rng, actors[0].path, materials, seconds)
        else:
            paths, forearm = _crossing_paths(rng, seconds), sample_forearm(rng)
            sides: tuple[Side, Side] = ("right", "left")
            actors = [_sample_actor(rng, side, betas, forearm, path, seconds) for side, path in zip(sides, paths, strict=True)]
        return cls(actors, prop, materials, sample_lighting(rng))


def _sample_actor(rng: np.random.Generator, side: Side, betas: np.ndarray, forearm: Forearm, path: _Spline, seconds: float) -> _Actor:
    count = 3 + max(2, round(seconds / _KEY_S))
    keys = np.stack([sample_pose(rng) for _ in range(count)]).astype(np.float64)
    angles = _without_collisions(_Spline.sample(keys, seconds), seconds)
    # Fingers up, the palm or the back towards the camera: then the arms of two hands do not cross.
    upright = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    view = matrices(from_rotation_vectors(np.array([0.0, rng.uniform(-0.6, 0.6) + (np.pi if rng.random() < 0.5 else 0.0), 0.0]))) @ upright
    turn = _Spline.sample(rng.normal(0.0, _TURN, (3 + max(2, round(seconds / _TURN_S)), 3)), seconds)
    return _Actor(side, betas, forearm, 0, angles, view, turn, path)


def _without_collisions(angles: _Spline, seconds: float) -> _Spline:
    """The same poses, opened by as little as keeps the digits apart all along."""
    hand = mean_hand()

    def overlap(time: float) -> float:
        return float(deepest_overlap(hand, place(hand, angles.at(time), np.eye(3), np.zeros(3))))

    while any(overlap(time) > OVERLAP_TOLERANCE for time in np.linspace(0.0, seconds, max(2, round(6 * seconds)))):
        angles = _Spline(0.94 * angles.points, angles.step)
    return angles


def _wander(rng: np.random.Generator, seconds: float) -> _Spline:
    """Around the middle of the picture; the camera's own movement is in it."""
    count = 3 + max(2, round(seconds / _TURN_S))
    return _Spline.sample(np.array([0.0, 0.0, _DEPTH]) + rng.normal(0.0, 1.0, (count, 3)) * (0.05, 0.04, 0.05), seconds)


def _sample_prop(rng: np.random.Generator, hand: _Spline, materials: list[Material], seconds: float) -> _Prop:
    """From one side to the other and back, between camera and hand."""
    solid = sample_object(rng)
    share = rng.uniform(0.5, 0.62)
    sweep = np.array([-1.0, -0.8, 0.0, 0.8, 1.0, 0.8, 0.0, -0.8, -1.0]) * (1.0 if rng.random() < 0.5 else -1.0)
    times = np.linspace(0.0, seconds, len(sweep))
    middles = np.stack([hand.at(time) for time in times])
    across = np.stack([0.2 * sweep, 0.04 * rng.standard_normal(len(sweep)), np.zeros(len(sweep))], axis=1)
    surfaces = object_surfaces(rng, solid, np.eye(3), np.zeros(3), materials)
    turn = _Spline.sample(rng.normal(0.0, 0.8, (len(sweep), 3)), seconds)
    return _Prop(solid, surfaces, turn, _Spline.sample(share * (middles + across), seconds))


def _crossing_paths(rng: np.random.Generator, seconds: float) -> tuple[_Spline, _Spline]:
    """Of the right hand and the left: from side to side and back, one 16 cm nearer to the camera than the other."""
    sweep = np.array([-1.0, -1.0, -0.9, 0.0, 0.9, 1.0, 0.9, 0.0, -0.9, -1.0, -1.0]) * (1.0 if rng.random() < 0.5 else -1.0)
    nearer = 0.08 if rng.random() < 0.5 else -0.08
    paths = []
    for sign in (1.0, -1.0):
        wobble = rng.normal(0.0, 1.0, (len(sweep), 3)) * (0.01, 0.015, 0.008)
        points = np.stack([sign * 0.11 * sweep, np.full(len(sweep), 0.02), np.full(len(sweep), _DEPTH + sign * nearer)], axis=1)
        paths.append(_Spline.sample(points + wobble, seconds))
    return paths[0], paths[1]
