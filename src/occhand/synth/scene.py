"""What stands before the camera: a hand in a pose, what it holds, what is in its way, and where the camera and the lights are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args, no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from occhand.geometry.motion import matrices
from occhand.hand.skeleton import HOUSE_FROM_HO3D, tip_vertices
from occhand.synth.closing import ProbedHand, deepest_overlap, place
from occhand.synth.forearm import ARM_LABEL, OTHER_HAND_LABEL, limb_surfaces, sample_forearm
from occhand.synth.grasp import Grasp, GraspSampler
from occhand.synth.hand_surface import load_surface
from occhand.synth.materials import Material, sample_cloth, sample_solid, skin_material
from occhand.synth.objects import SolidObject, sample_object
from occhand.synth.pose import OVERLAP_TOLERANCE, PoseSampler
from occhand.synth.rotations import joint_rotations
from occhand.synth.shading import Lighting
from occhand.synth.skin import skin_palette
from occhand.synth.surfaces import Surfaces, join
from occhand.synth.visibility import HAND_LABEL, first_crossings
from occhand.types import Side

SceneKind = Literal["grasp", "free", "occluder", "second_hand", "sleeve", "arm", "truncated"]
"""`grasp`: holds an object. `free`: nothing in the way. `occluder`: an object floats in front. `second_hand`: another hand in front.
`sleeve`: the own sleeve reaches over the palm. `arm`: another forearm crosses in front. `truncated`: cut by the border."""
SCENE_SHARES: dict[SceneKind, float] = {
    "grasp": 0.50,
    "free": 0.06,
    "occluder": 0.16,
    "second_hand": 0.08,
    "sleeve": 0.05,
    "arm": 0.05,
    "truncated": 0.10,
}
assert set(SCENE_SHARES) == set(get_args(SceneKind))

OBJECT_LABEL = 2
_HIGHEST_TARGET = 0.85
"""Occluders aim at hiding a share of the hand between 0 and this, evenly drawn."""

_NEAREST = 0.09
"""Metres from the camera that occluders keep, where they can."""


@dataclass(frozen=True)
class PosedHand:
    """The annotated hand, always a right one; the finished sample is mirrored for a left one."""

    rotations: Float[np.ndarray, "16 3 3"]
    """Relative to the parent; the root's in the camera frame."""
    betas: Float[np.ndarray, "10"]
    translation: Float[np.ndarray, "3"]
    vertices_cam: Float[np.ndarray, "778 3"]
    joints_cam: Float[np.ndarray, "21 3"]
    """House order."""


@dataclass(frozen=True)
class Scene:
    """Everything that the camera sees but the background, and the camera."""

    hand: PosedHand
    surfaces: Surfaces
    """The annotated hand comes first: its vertices are the first 778, its fine faces the first rows."""
    materials: list[Material]
    lighting: Lighting
    K: Float[np.ndarray, "3 3"]
    solid: SolidObject | None
    """What the hand holds, or what floats in front of it."""
    solid_R: Float[np.ndarray, "3 3"]  # noqa: N815
    """Places the object in the camera frame: x_cam = R x + t."""
    solid_t: Float[np.ndarray, "3"]


def sample_scene(rng: np.random.Generator, kind: SceneKind, side: Side, tone: float, size: int) -> Scene:
    """Arrange one scene.

    Args:
        rng: Source of randomness.
        kind: Which of the families of scenes.
        side: Of the finished sample; it decides which published tip vertices the joints use, nothing else.
        tone: Of the skin (see `occhand.synth.skin.SKIN_SCALE`).
        size: Height and width of the image, pixels.
    """
    materials: list[Material] = [skin_material(skin_palette(tone, rng), rng), sample_cloth(rng, np.array([1.0, 0.0, 0.0]))]
    betas = np.clip(rng.standard_normal(10), -2.5, 2.5)
    grasp = None
    if kind == "grasp" or (kind == "truncated" and rng.random() < 0.5) or (kind == "sleeve" and rng.random() < 0.5):
        grasp = _grasps().sample(rng, betas)
    angles = sample_pose(rng) if grasp is None else grasp.angles
    rotations = joint_rotations(angles, joint_axes())
    vertices, joints = load_surface().pose(rotations, betas)
    position = _sample_position(rng)
    rotations[0] = R = _sample_view(rng) if grasp is None else _view_of_grasp(rng, grasp, vertices, position)
    t = position - R @ middle_of(vertices)  # x_cam = R x + t takes the unturned hand to the camera
    hand = place_hand(rotations, betas, vertices, joints, t, side)

    sleeve_from = float(rng.uniform(-0.045, -0.02)) if kind == "sleeve" else None
    limb = limb_surfaces(vertices, joints[0], sample_forearm(rng, sleeve_from), (HAND_LABEL, ARM_LABEL), 0, 1)
    parts = [limb.moved(R, t)]
    solid, solid_R, solid_t = None, np.eye(3), np.zeros(3)
    if grasp is not None:
        solid, solid_R, solid_t = grasp.solid, R @ grasp.solid_R, R @ grasp.solid_t + t
        parts.append(object_surfaces(rng, solid, solid_R, solid_t, materials))
    if kind == "occluder" or (kind == "grasp" and rng.random() < 0.12):
        floating, R, t = _float_object(rng, hand)
        parts.append(object_surfaces(rng, floating, R, t, materials))
        if solid is None:
            solid, solid_R, solid_t = floating, R, t
    elif kind in ("second_hand", "arm"):
        parts.append(_other_limb(rng, hand, materials, tone, is_crossing=kind == "arm"))
    return Scene(hand, join(parts), materials, sample_lighting(rng), _frame(rng, hand, size, kind == "truncated"), solid, solid_R, solid_t)


@lru_cache(maxsize=1)
def _grasps() -> GraspSampler:
    return GraspSampler.load()


@lru_cache(maxsize=1)
def _poses() -> PoseSampler:
    return PoseSampler.load()


@lru_cache(maxsize=1)
def joint_axes() -> np.ndarray:
    return _poses().axes.numpy().astype(np.float64)


@lru_cache(maxsize=1)
def mean_hand() -> ProbedHand:
    return _grasps().shapes.shaped(np.zeros(10))[1]


def sample_pose(rng: np.random.Generator) -> np.ndarray:
    """A free pose as `PoseSampler` proposes it; where digits collide it is opened by as little as sets them free, which needs no torch."""
    hand, angles = mean_hand(), _poses().propose(rng, 1)[0].astype(np.float64)
    while deepest_overlap(hand, place(hand, angles, np.eye(3), np.zeros(3))) > OVERLAP_TOLERANCE:
        angles = 0.94 * angles
    return angles


def place_hand(rotations: np.ndarray, betas: np.ndarray, vertices: np.ndarray, joints: np.ndarray, t: np.ndarray, side: Side) -> PosedHand:
    """The hand in the camera frame. The layer turns the root about the wrist, so its own translation differs from `t`."""
    R, wrist = rotations[0], joints[0]
    tips = vertices[list(tip_vertices("manopth", side))]
    house = np.concatenate([joints, tips])[list(HOUSE_FROM_HO3D)]
    return PosedHand(rotations, betas, R @ wrist + t - wrist, vertices @ R.T + t, house @ R.T + t)


def object_surfaces(rng: np.random.Generator, solid: SolidObject, R: np.ndarray, t: np.ndarray, materials: list[Material]) -> Surfaces:
    """An object of some material, which is added to the list."""
    extent = np.ptp(solid.vertices, axis=0)
    materials.append(sample_solid(rng, np.eye(3)[int(extent.argmax())]))
    count = len(solid.faces)
    return Surfaces(
        vertices_cam=solid.vertices @ R.T + t,
        local=np.ascontiguousarray(solid.vertices),
        faces=solid.faces,
        labels=np.full(count, OBJECT_LABEL, dtype=np.uint8),
        material_ids=np.full(count, len(materials) - 1),
        tile_ids=np.full(count, -1),
        is_closed=np.full(count, True),
    )


def _float_object(rng: np.random.Generator, hand: PosedHand) -> tuple[SolidObject, np.ndarray, np.ndarray]:
    """An object in front of the hand; of a few tries, the one that hides nearest to a share drawn evenly."""
    target = rng.uniform(0.0, _HIGHEST_TARGET)
    tries, sample = [], np.ascontiguousarray(hand.vertices_cam[::7])
    for solid in (sample_object(rng), sample_object(rng)):
        for _ in range(2):
            R = _random_rotation(rng)
            points = solid.vertices @ R.T
            t = _in_front(rng, hand, points, middle_of(points))
            share = _hidden_share(sample, points + t, solid.faces)
            tries.append((abs(share - target) + _is_too_near(points + t), solid, R, t))
    _, solid, R, t = min(tries, key=lambda attempt: attempt[0])
    return solid, R, t


def _is_too_near(points: np.ndarray) -> bool:
    """Whether a thing stands in the camera's face, or around it."""
    return bool(np.square(points).sum(1).min() < _NEAREST**2)


def _hidden_share(vertices: np.ndarray, points: np.ndarray, faces: np.ndarray) -> float:
    """Share of vertices of the hand that a thing hides."""
    none = np.full(len(vertices), -1)
    _, crossing = first_crossings(vertices, none, points, faces, np.full(len(faces), OBJECT_LABEL, dtype=np.uint8), np.eye(3))
    return float((crossing < vertices[:, 2]).mean())


def _other_limb(rng: np.random.Generator, hand: PosedHand, materials: list[Material], tone: float, is_crossing: bool) -> Surfaces:
    """Another hand with its arm, in front of the annotated one: of the same person, or of someone else."""
    if rng.random() < 0.3:
        tone = float(rng.random())
    materials += [skin_material(skin_palette(tone, rng), rng), sample_cloth(rng, np.array([1.0, 0.0, 0.0]))]
    betas = hand.betas if rng.random() < 0.7 else np.clip(rng.standard_normal(10), -2.5, 2.5)
    vertices, joints = load_surface().pose(joint_rotations(sample_pose(rng), joint_axes()), betas)
    labels, ids = (OTHER_HAND_LABEL, OTHER_HAND_LABEL), (len(materials) - 2, len(materials) - 1)
    limb = limb_surfaces(vertices, joints[0], sample_forearm(rng), labels, *ids)
    if rng.random() < 0.5:
        limb = mirrored(limb)
    # The coarse hand is enough to see how much is hidden.
    surface = load_surface()
    faces = np.concatenate([surface.parameters.faces, limb.faces[len(surface.subdivision.faces) :]])
    target = rng.uniform(0.05, _HIGHEST_TARGET)
    tries, sample = [], np.ascontiguousarray(hand.vertices_cam[::7])
    for _ in range(3):
        R = _sample_view(rng)
        points = limb.vertices_cam @ R.T
        # The hand, or the middle of the forearm, comes between the camera and a joint.
        middle = points[:778].mean(0) + R @ np.array([0.16 if is_crossing else 0.0, 0.0, 0.0])
        t = _in_front(rng, hand, points, middle)
        share = _hidden_share(sample, points + t, faces)
        tries.append((abs(share - target) + _is_too_near(points + t), points + t))
    _, points = min(tries, key=lambda attempt: attempt[0])
    return replace(limb, vertices_cam=points)


def _in_front(rng: np.random.Generator, hand: PosedHand, points: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Where to put a thing so that its middle lies between the camera and some joint, its points a finger's breadth before the hand's.

    A flat face has no points in its middle, so one thing in eight still passes through a finger: kept, as a mend would be other samples.
    """
    aim = hand.joints_cam[rng.integers(21)] + rng.normal(0.0, 0.015, 3)
    gap = 0.014 + rng.exponential(0.02)
    t: np.ndarray = aim - middle
    for _ in range(2):  # nearer along the ray to the joint, then straight if that is not yet enough
        t[2] -= _way_in_front(np.ascontiguousarray(hand.vertices_cam[::3]), np.ascontiguousarray((points + t)[::4]), gap)
        t[:2] = aim[:2] * max(0.08, middle[2] + t[2]) / aim[2] - middle[:2]
    return t


@njit(cache=True, error_model="numpy")
@no_type_check
def _way_in_front(mine, other, gap):
    """By how much the other points must come nearer to the camera to lie in front of mine by `gap` wherever both meet in x and y."""
    way = 0.0
    for i in range(mine.shape[0]):
        for j in range(other.shape[0]):
            if other[j, 2] - mine[i, 2] + gap <= way:
                continue
            squared = gap * gap - (mine[i, 0] - other[j, 0]) ** 2 - (mine[i, 1] - other[j, 1]) ** 2
            if squared > 0.0:
                way = max(way, other[j, 2] - mine[i, 2] + np.sqrt(squared))
    return way


def mirrored(surfaces: Surfaces) -> Surfaces:
    """The other side of a limb."""
    flipped = surfaces.vertices_cam * np.array([1.0, 1.0, -1.0])
    tile_ids = np.where(surfaces.tile_ids >= 0, surfaces.tile_ids + len(load_surface().subdivision.faces), -1)
    return replace(surfaces, vertices_cam=flipped, faces=surfaces.faces[:, ::-1], tile_ids=tile_ids)


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Uniform over all rotations."""
    turn = rng.standard_normal(4)
    return matrices(turn / np.linalg.norm(turn))


def _sample_view(rng: np.random.Generator) -> np.ndarray:
    """Which way the hand is turned: any way, but seldom with the elbow towards the camera."""
    while True:
        R = _random_rotation(rng)
        towards_camera = -R[2, 0]
        if towards_camera < 0.6 or rng.random() < 0.12:
            return R


def _view_of_grasp(rng: np.random.Generator, grasp: Grasp, vertices: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Of a few views the one from which the held object hides nearest to a share drawn evenly: most views show the back of the hand."""
    target = rng.uniform(0.0, _HIGHEST_TARGET)
    solid_points = grasp.solid.vertices @ grasp.solid_R.T + grasp.solid_t
    tries = []
    for _ in range(2):
        R = _sample_view(rng)
        t = position - R @ middle_of(vertices)
        share = _hidden_share(np.ascontiguousarray(vertices[::7]) @ R.T + t, solid_points @ R.T + t, grasp.solid.faces)
        tries.append((abs(share - target), R))
    return min(tries, key=lambda attempt: attempt[0])[1]


def middle_of(points: np.ndarray) -> np.ndarray:
    middle: np.ndarray = (points.min(0) + points.max(0)) / 2
    return middle


def _sample_position(rng: np.random.Generator) -> np.ndarray:
    """Middle of the hand in the camera frame: 0.28 to 1.1 m away, anywhere in a usual field of view."""
    depth = float(np.exp(rng.uniform(np.log(0.28), np.log(1.1))))
    across = rng.uniform(0.0, 0.45) * depth
    angle = rng.uniform(0.0, 2 * np.pi)
    return np.array([across * np.cos(angle), 0.75 * across * np.sin(angle), depth])


def _frame(rng: np.random.Generator, hand: PosedHand, size: int, is_truncated: bool) -> np.ndarray:
    """The camera of a square picture around the hand: a crop of a larger photograph, so the principal point may lie outside."""
    rays = hand.joints_cam[:, :2] / hand.joints_cam[:, 2:]
    low, high = rays.min(0), rays.max(0)
    reach = float((high - low).max()) / 2
    half = reach * rng.uniform(1.3, 1.9)
    centre = (low + high) / 2 + rng.uniform(-0.12, 0.12, 2) * half
    if is_truncated:
        half = reach * rng.uniform(1.0, 1.4)
        angle = rng.uniform(0.0, 2 * np.pi)
        centre = (low + high) / 2 + rng.uniform(0.35, 1.1) * half * np.array([np.cos(angle), np.sin(angle)])
    focal_px = size / (2 * half)
    middle = (size - 1) / 2
    return np.array([[focal_px, 0.0, middle - focal_px * centre[0]], [0.0, focal_px, middle - focal_px * centre[1]], [0.0, 0.0, 1.0]])


def sample_lighting(rng: np.random.Generator) -> Lighting:
    """One to four lamps of different colours, the first of them the strongest, mostly from above."""
    count = int(rng.integers(1, 5))
    directions = rng.standard_normal((count, 3)) + np.array([0.0, -0.7, -0.6])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strengths = rng.uniform(0.15, 0.6, (count, 1))
    strengths[0] = rng.uniform(0.7, 1.5)
    warmth = rng.normal(0.0, 0.16, (count, 1)) * (1.0, 0.15, -1.0)
    tint = rng.normal(0.0, 0.05, (count, 3))
    around = rng.uniform(0.25, 0.75)
    sky = around * np.exp(rng.normal(0.0, 0.08) * np.array([-1.0, 0.0, 1.0]))
    return Lighting(directions, strengths * np.exp(warmth + tint), sky, sky * rng.uniform(0.35, 0.9))
