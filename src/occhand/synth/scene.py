"""What stands before the camera: a hand in a pose, what it holds, what is in its way, and where the camera and the lights are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float

from occhand.hand.prior import rotations_from_angles
from occhand.hand.skeleton import HOUSE_FROM_HO3D, tip_vertices
from occhand.synth.forearm import ARM_LABEL, OTHER_HAND_LABEL, limb_surfaces, sample_forearm
from occhand.synth.grasp import GraspSampler
from occhand.synth.materials import Material, sample_cloth, sample_solid, skin_material
from occhand.synth.objects import SolidObject, sample_object
from occhand.synth.pose import PoseSampler
from occhand.synth.shading import Lighting, Surfaces
from occhand.synth.skin import skin_palette
from occhand.synth.surface import load_surface
from occhand.synth.visibility import HAND_LABEL, first_crossings
from occhand.types import Side

SceneKind = Literal["grasp", "free", "occluder", "second_hand", "sleeve", "arm", "truncated"]
"""`grasp`: holds an object. `free`: nothing in the way. `occluder`: an object floats in front. `second_hand`: another hand in front.
`sleeve`: the own sleeve reaches over the palm. `arm`: another forearm crosses in front. `truncated`: cut by the border."""
SCENE_SHARES: dict[SceneKind, float] = {
    "grasp": 0.52,
    "free": 0.07,
    "occluder": 0.14,
    "second_hand": 0.08,
    "sleeve": 0.05,
    "arm": 0.05,
    "truncated": 0.09,
}
assert set(SCENE_SHARES) == set(get_args(SceneKind))

OBJECT_LABEL = 2
_HIGHEST_TARGET = 0.85
"""Occluders aim at hiding a share of the hand between 0 and this, evenly drawn."""


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
    angles = _poses().sample(rng) if grasp is None else grasp.angles
    root_R = _sample_view(rng)
    hand, wrist = _pose_hand(angles, betas, root_R, side)
    offset = _sample_position(rng) - (hand.vertices_cam.min(0) + hand.vertices_cam.max(0)) / 2
    hand = PosedHand(hand.rotations, betas, offset, hand.vertices_cam + offset, hand.joints_cam + offset)

    sleeve_from = float(rng.uniform(-0.045, -0.02)) if kind == "sleeve" else None
    turn = root_R, wrist + offset - root_R @ wrist  # from the unturned hand's frame to the camera
    limb = _limb(rng, angles, betas, (HAND_LABEL, ARM_LABEL), 0, 1, sleeve_from)
    parts = [_moved(limb, *turn)]
    solid, solid_R, solid_t = None, np.eye(3), np.zeros(3)
    if grasp is not None:
        solid, solid_R, solid_t = grasp.solid, turn[0] @ grasp.solid_R, turn[0] @ grasp.solid_t + turn[1]
        parts.append(_object_surfaces(rng, solid, solid_R, solid_t, materials))
    if kind == "occluder" or (kind == "grasp" and rng.random() < 0.06):
        floating, R, t = _float_object(rng, hand)
        parts.append(_object_surfaces(rng, floating, R, t, materials))
        if solid is None:
            solid, solid_R, solid_t = floating, R, t
    elif kind in ("second_hand", "arm"):
        parts.append(_other_limb(rng, hand, materials, tone, is_crossing=kind == "arm"))
    return Scene(
        hand, _join(parts), materials, _sample_lighting(rng), _frame(rng, hand, size, kind == "truncated"), solid, solid_R, solid_t
    )


@lru_cache(maxsize=1)
def _grasps() -> GraspSampler:
    return GraspSampler.load()


@lru_cache(maxsize=1)
def _poses() -> PoseSampler:
    return PoseSampler.load()


def _local_rotations(angles: np.ndarray) -> np.ndarray:
    axes = _poses().axes.to(torch.float64)
    rotations: np.ndarray = rotations_from_angles(torch.as_tensor(angles, dtype=torch.float64), axes).numpy()
    return rotations


def _pose_hand(angles: np.ndarray, betas: np.ndarray, root_R: np.ndarray, side: Side) -> tuple[PosedHand, np.ndarray]:
    """The hand in the layer's frame (translation 0), and its wrist."""
    rotations = _local_rotations(angles)
    rotations[0] = root_R
    vertices, joints = load_surface().pose(rotations, betas)
    tips = vertices[list(tip_vertices("manopth", side))]
    house = np.concatenate([joints, tips])[list(HOUSE_FROM_HO3D)]
    return PosedHand(rotations, betas, np.zeros(3), vertices, house), joints[0]


def _limb(
    rng: np.random.Generator,
    angles: np.ndarray,
    betas: np.ndarray,
    labels: tuple[int, int],
    skin_id: int,
    cloth_id: int,
    sleeve_from: float | None,
) -> Surfaces:
    """A posed hand with its forearm, the root unturned."""
    rotations = _local_rotations(angles)
    surface = load_surface()
    vertices, joints = surface.pose(rotations, betas)
    return limb_surfaces(surface, vertices, joints[0], sample_forearm(rng, sleeve_from), labels, skin_id, cloth_id)


def _object_surfaces(rng: np.random.Generator, solid: SolidObject, R: np.ndarray, t: np.ndarray, materials: list[Material]) -> Surfaces:
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
    )


def _float_object(rng: np.random.Generator, hand: PosedHand) -> tuple[SolidObject, np.ndarray, np.ndarray]:
    """An object in front of the hand; of a few tries, the one that hides nearest to a share drawn evenly."""
    target = rng.uniform(0.0, _HIGHEST_TARGET)
    tries = []
    for _ in range(6):
        solid, R = sample_object(rng), _random_rotation(rng)
        points = solid.vertices @ R.T
        t = _in_front(rng, hand, points)
        share = _hidden_share(hand, points + t, solid.faces)
        tries.append((abs(share - target), solid, R, t))
    _, solid, R, t = min(tries, key=lambda attempt: attempt[0])
    return solid, R, t


def _in_front(rng: np.random.Generator, hand: PosedHand, points: np.ndarray) -> np.ndarray:
    """Where to put a thing so that it lies between the camera and some joint, clear of the hand."""
    aim = hand.joints_cam[rng.integers(21)] + rng.normal(0.0, 0.02, 3)
    gap = rng.uniform(0.005, 0.05)
    middle = (points.min(0) + points.max(0)) / 2
    depth = hand.vertices_cam[:, 2].min() - gap - (points[:, 2].max() - middle[2])
    depth = max(depth, 0.12 + middle[2] - points[:, 2].min())
    placed: np.ndarray = aim * depth / aim[2] - middle
    return placed


def _hidden_share(hand: PosedHand, points: np.ndarray, faces: np.ndarray) -> float:
    """Share of the hand's vertices that a thing hides."""
    sample = np.ascontiguousarray(hand.vertices_cam[::7])
    none = np.full(len(sample), -1)
    _, crossing = first_crossings(sample, none, points, faces, np.full(len(faces), OBJECT_LABEL, dtype=np.uint8), np.eye(3))
    return float((crossing < sample[:, 2]).mean())


def _other_limb(rng: np.random.Generator, hand: PosedHand, materials: list[Material], tone: float, is_crossing: bool) -> Surfaces:
    """Another hand with its arm, in front of the annotated one: of the same person, or of someone else."""
    if rng.random() < 0.3:
        tone = float(rng.random())
    materials += [skin_material(skin_palette(tone, rng), rng), sample_cloth(rng, np.array([1.0, 0.0, 0.0]))]
    betas = hand.betas if rng.random() < 0.7 else np.clip(rng.standard_normal(10), -2.5, 2.5)
    limb = _limb(rng, _poses().sample(rng), betas, (OTHER_HAND_LABEL, OTHER_HAND_LABEL), len(materials) - 2, len(materials) - 1, None)
    if rng.random() < 0.5:
        limb = _mirrored(limb)
    target = rng.uniform(0.05, _HIGHEST_TARGET)
    tries = []
    for _ in range(4):
        R = _sample_view(rng)
        points = limb.vertices_cam @ R.T
        # The hand, or the middle of the forearm, comes between the camera and a joint.
        middle = points[:778].mean(0) + R @ np.array([0.16 if is_crossing else 0.0, 0.0, 0.0])
        t = _clear_of(hand, points, _aim(rng, hand) - middle)
        share = _hidden_share(hand, points + t, limb.faces)
        tries.append((abs(share - target), points + t))
    _, points = min(tries, key=lambda attempt: attempt[0])
    return Surfaces(points, limb.local, limb.faces, limb.labels, limb.material_ids, limb.tile_ids)


def _aim(rng: np.random.Generator, hand: PosedHand) -> np.ndarray:
    aim: np.ndarray = hand.joints_cam[rng.integers(21)] + rng.normal(0.0, 0.015, 3)
    return aim


def _clear_of(hand: PosedHand, points: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Move a thing towards the camera until no vertex of it comes within a finger's breadth of the hand."""
    mine, other = hand.vertices_cam[::5], points[::9]
    step = np.array([0.0, 0.0, -0.012])
    for _ in range(40):
        gaps = np.square(mine[:, None] - (other + t)[None]).sum(-1)
        if gaps.min() > 0.014**2:
            break
        t = t + step
    return t


def _mirrored(surfaces: Surfaces) -> Surfaces:
    """The other side of a limb."""
    flip = np.array([1.0, 1.0, -1.0])
    return Surfaces(
        surfaces.vertices_cam * flip,
        surfaces.local,
        np.ascontiguousarray(surfaces.faces[:, [0, 2, 1]]),
        surfaces.labels,
        surfaces.material_ids,
        np.full(len(surfaces.faces), -1),
    )


def _moved(surfaces: Surfaces, R: np.ndarray, t: np.ndarray) -> Surfaces:
    points = surfaces.vertices_cam @ R.T + t
    return Surfaces(points, surfaces.local, surfaces.faces, surfaces.labels, surfaces.material_ids, surfaces.tile_ids)


def _join(parts: list[Surfaces]) -> Surfaces:
    starts = np.cumsum([0, *(len(part.vertices_cam) for part in parts)])
    return Surfaces(
        np.ascontiguousarray(np.concatenate([part.vertices_cam for part in parts])),
        np.concatenate([part.local for part in parts]),
        np.ascontiguousarray(np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)])),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.material_ids for part in parts]),
        np.concatenate([part.tile_ids for part in parts]),
    )


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Uniform over all rotations."""
    w, x, y, z = (q := rng.standard_normal(4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _sample_view(rng: np.random.Generator) -> np.ndarray:
    """Which way the hand is turned: any way, but seldom with the elbow towards the camera."""
    while True:
        R = _random_rotation(rng)
        towards_camera = -R[2, 0]
        if towards_camera < 0.6 or rng.random() < 0.12:
            return R


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


def _sample_lighting(rng: np.random.Generator) -> Lighting:
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
