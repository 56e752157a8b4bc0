"""Joint limits, key poses and the pose prior of the open hand.

Limits: clinical reference ranges (American Society for Surgery of the Hand, as tabulated on eatonhand.com), sideways range of the fingers
after Chatzioglou et al. 2024, functional means after Hume et al. 1990 (J Hand Surg Am 15:240). Key poses are our own: finger angles typed
in, thumbs and pinching fingers solved so that skin meets skin. The prior is a Gaussian over random mixtures of them: free poses, no grasps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import least_squares
from torch import Tensor

from occhand.geometry.rotation import matrix_to_axis_angle
from occhand.hand.capsules import HandCapsules, chain_transforms, fit_capsules, surface_distance
from occhand.hand.prior import first_joint, joint_axes, rotations_from_angles
from occhand.hand.skeleton import FINGERS, MANO_FINGERS, tip_vertices
from occhand.synth.pose import PoseSampler

_SAMPLES = 4000
_SEED = 20

# Degrees: (lowest, highest) of flexion, abduction, twist. The thumb's pronation is a negative twist, its palmar abduction positive. Joints that muscles cannot turn keep a degree or a few of passive play.
_FINGER_LIMITS = (((-15, 90), (-18, 18), (-4, 4)), ((0, 106), (-1, 1), (-1, 1)), ((-3, 75), (-1, 1), (-1, 1)))
_THUMB_LIMITS = (((-20, 45), (-12, 55), (-45, 10)), ((-8, 58), (-6, 6), (-4, 4)), ((-15, 80), (-1, 1), (-1, 1)))

_SOFT, _STIFF = 0.03, 0.3
"""Millimetres of gap or overlap that the contact solver weighs as much as leaving a typed angle by a degree."""

Toward = Literal["palmar", "dorsal", "radial", "ulnar"]


@dataclass(frozen=True)
class SkinPoint:
    """A point of the skin over a phalanx, and the outward direction there."""

    finger: str
    bone: int
    """0 to 2: the bone from the digit's first, second or third joint."""
    along: float
    """Share of the bone's length from its joint."""
    toward: Toward = "palmar"


@dataclass(frozen=True)
class KeyPose:
    """Typed angles in degrees, and the skin that must meet.

    Fingers are (MCP flexion, MCP abduction, PIP, DIP); the thumb is (CMC flexion, abduction, twist, MCP, IP).
    """

    index: tuple[float, float, float, float] = (0, 0, 0, 0)
    middle: tuple[float, float, float, float] = (0, 0, 0, 0)
    ring: tuple[float, float, float, float] = (0, 0, 0, 0)
    pinky: tuple[float, float, float, float] = (0, 0, 0, 0)
    thumb: tuple[float, float, float, float, float] = (0, 0, 0, 0, 0)
    contacts: tuple[tuple[SkinPoint, SkinPoint], ...] = ()
    moving: tuple[str, ...] = field(default=("thumb",))
    """Digits that reach for the contacts; the others only give way a little."""

    def angles(self) -> Float[np.ndarray, "16 3"]:
        """Radians, MANO's joint order."""
        degrees = np.zeros((16, 3))
        for finger in MANO_FINGERS[:4]:
            first = first_joint(finger)
            degrees[first, 0], degrees[first, 1], degrees[first + 1, 0], degrees[first + 2, 0] = getattr(self, finger)
        first = first_joint("thumb")
        degrees[first], degrees[first + 1, 0], degrees[first + 2, 0] = self.thumb[:3], self.thumb[3], self.thumb[4]
        return np.deg2rad(degrees)


_THUMB_PAD = SkinPoint("thumb", 2, 0.55)
_OVER_FIST = ((_THUMB_PAD, SkinPoint("middle", 1, 0.35, "dorsal")),)
_MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN = (80, -1, 100, 58), (82, 0, 100, 58), (82, 2, 94, 54)
_THUMB_ACROSS = (22, 25, -20, 35, 45)

KEY_POSES: dict[str, KeyPose] = {
    "flat": KeyPose(),
    "open": KeyPose((-8, 7, 0, 0), (-8, 0, 0, 0), (-8, -6, 0, 0), (-8, -12, 0, 0), (-12, -8, 0, -5, -12)),
    "spread": KeyPose((0, 13, 4, 2), (0, 0, 4, 2), (2, -9, 4, 2), (4, -16, 4, 2), (-10, 14, 0, -4, -6)),
    "loose": KeyPose((12, 4, 18, 8), (10, 0, 20, 10), (12, -2, 22, 12), (14, -6, 22, 12), (5, 10, -5, 8, 10)),
    "relaxed": KeyPose((18, 0, 25, 12), (24, 0, 30, 14), (28, 0, 32, 15), (30, 0, 30, 14), (8, 12, -8, 10, 12)),
    "claw": KeyPose((5, 4, 60, 40), (5, 0, 62, 40), (5, -3, 62, 40), (5, -8, 58, 38), (0, 20, -10, 10, 40)),
    "hook": KeyPose((8, 0, 95, 55), (8, 0, 98, 55), (10, 0, 96, 55), (12, 0, 92, 52), (0, 0, 0, 5, 10)),
    "fist": KeyPose((78, 0, 100, 58), _MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN, _THUMB_ACROSS, _OVER_FIST),
    "point": KeyPose((4, 0, 6, 4), _MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN, _THUMB_ACROSS, _OVER_FIST),
    "thumbs_up": KeyPose((80, 0, 100, 58), _MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN, (-15, -8, 0, -5, -10)),
    "gun": KeyPose((2, 0, 4, 3), _MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN, (-14, -4, 0, -4, -8)),
    "victory": KeyPose(
        (0, 12, 2, 2), (0, -8, 2, 2), _RING_DOWN, _PINKY_DOWN, _THUMB_ACROSS, ((_THUMB_PAD, SkinPoint("ring", 1, 0.4, "dorsal")),)
    ),
    "three": KeyPose(
        (2, 10, 4, 3), (0, 0, 3, 2), (4, -9, 5, 3), (76, 4, 82, 45), (25, 35, -25, 40, 45), ((_THUMB_PAD, SkinPoint("pinky", 1, 0.6, "dorsal")),),
        ("thumb", "pinky"),
    ),
    "four": KeyPose((0, 7, 3, 2), (0, 1, 3, 2), (2, -6, 3, 2), (4, -12, 4, 3), (35, 20, -15, 45, 45)),
    "call_me": KeyPose((76, 0, 98, 56), _MIDDLE_DOWN, (80, 0, 98, 56), (0, -16, 4, 2), (-15, -4, 0, -5, -10)),
    "horns": KeyPose(
        (2, 6, 4, 3), _MIDDLE_DOWN, _RING_DOWN, (4, -8, 5, 3), _THUMB_ACROSS, _OVER_FIST
    ),
    "love": KeyPose((2, 6, 4, 3), _MIDDLE_DOWN, _RING_DOWN, (4, -10, 5, 3), (-14, -4, 0, -4, -8)),
    "table_top": KeyPose((75, 0, 5, 5), (78, 0, 5, 5), (78, 0, 5, 5), (76, 0, 8, 5), (10, 25, -15, 10, 10)),
    "sphere": KeyPose((30, 10, 35, 20), (32, 0, 36, 20), (34, -8, 36, 20), (36, -14, 34, 18), (5, 40, -25, 12, 15)),
    "cylinder": KeyPose((45, 2, 48, 26), (48, 0, 50, 28), (50, -1, 50, 28), (52, -2, 48, 26), (12, 42, -25, 15, 25)),
    "pinch": KeyPose(
        (52, 0, 42, 22), (45, 0, 42, 24), (40, 0, 38, 22), (34, 0, 34, 18), (10, 34, -25, 15, 20), ((_THUMB_PAD, SkinPoint("index", 2, 0.55)),),
        ("thumb", "index"),
    ),
    "ok": KeyPose(
        (55, 0, 48, 28), (14, 0, 16, 8), (8, -4, 12, 6), (4, -8, 10, 5), (10, 30, -25, 15, 20), ((_THUMB_PAD, SkinPoint("index", 2, 0.6)),),
        ("thumb", "index"),
    ),
    "tripod": KeyPose(
        (52, -2, 42, 25), (58, 2, 46, 26), (62, 0, 62, 32), (62, 0, 62, 32), (10, 34, -25, 15, 20),
        ((_THUMB_PAD, SkinPoint("index", 2, 0.55)), (SkinPoint("thumb", 2, 0.5), SkinPoint("middle", 2, 0.55))),
        ("thumb", "index", "middle"),
    ),
    "lateral": KeyPose(
        (55, 0, 55, 30), (66, 0, 70, 38), (70, 0, 75, 40), (72, 0, 72, 40), (15, 5, -10, 20, 20), ((_THUMB_PAD, SkinPoint("index", 1, 0.6, "radial")),)
    ),
}  # fmt: skip
"""By name; a free hand is drawn from mixtures of them."""


def joint_limits() -> Float[np.ndarray, "16 3 2"]:
    """Lowest and highest flexion, abduction and twist of each joint, radians; the wrist's are zero."""
    degrees = np.zeros((16, 3, 2))
    for finger in MANO_FINGERS:
        first = first_joint(finger)
        degrees[first : first + 3] = _THUMB_LIMITS if finger == "thumb" else _FINGER_LIMITS
    return np.deg2rad(degrees)


class ContactSolver:
    """Bends a key pose's moving digits until its skin points meet, without running a digit into another or the palm."""

    def __init__(self, hand: Mapping[str, np.ndarray], axes: Float[np.ndarray, "16 3 3"], capsules: HandCapsules) -> None:
        self._vertices, self._faces = hand["v_template"].astype(np.float64), hand["faces"].astype(np.int64)
        self._joints = hand["J_regressor"].astype(np.float64) @ self._vertices
        self._tips = self._vertices[list(tip_vertices())]
        self._axes, self._capsules, self._limits = axes, capsules, joint_limits()

    def skin_point(self, point: SkinPoint) -> tuple[int, Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """The joint that carries a skin point, its place in the rest hand and its outward direction."""
        joint = first_joint(point.finger) + point.bone
        end = self._joints[joint + 1] if point.bone < 2 else self._tips[FINGERS.index(point.finger)]
        origin = self._joints[joint] + point.along * (end - self._joints[joint])
        flexion, dorsal, _ = self._axes[joint]
        outward = {"palmar": -dorsal, "dorsal": dorsal, "radial": flexion, "ulnar": -flexion}[point.toward]
        reach = surface_distance(origin[None], outward[None], self._vertices, self._faces)[0]
        return joint, origin + reach * outward, outward

    def gaps(
        self, contacts: tuple[tuple[SkinPoint, SkinPoint], ...], angles: Float[Tensor, "batch 16 3"]
    ) -> Float[Tensor, "batch contacts 6"]:
        """Per contact: vector between the two skin points, metres, and the sum of their outward directions (zero when opposed)."""
        R, t = chain_transforms(rotations_from_angles(angles, torch.from_numpy(self._axes)), torch.from_numpy(self._joints))
        rows = []
        for pair in contacts:
            (p, n), (q, m) = (self._posed(point, R, t) for point in pair)
            rows.append(torch.cat([p - q, n + m], -1))
        return torch.stack(rows, 1)

    def _posed(self, point: SkinPoint, R: Float[Tensor, "batch 16 3 3"], t: Float[Tensor, "batch 16 3"]) -> tuple[Tensor, Tensor]:
        joint, place, outward = self.skin_point(point)
        return R[:, joint] @ torch.from_numpy(place - self._joints[joint]) + t[:, joint], R[:, joint] @ torch.from_numpy(outward)

    def solve(self, pose: KeyPose) -> Float[np.ndarray, "16 3"]:
        """Angles of the pose with its contacts closed, radians."""
        typed = pose.angles()
        stiffness = np.zeros((16, 3))
        for finger in FINGERS:
            first = first_joint(finger)
            stiff = _SOFT if finger in pose.moving else _STIFF
            stiffness[first, : 3 if finger == "thumb" else 2] = stiffness[first + 1 : first + 3, 0] = stiff
        movable = stiffness > 0
        lower, upper = self._limits[movable].T + np.array([[1e-6], [-1e-6]])
        start = np.clip(typed[movable], lower, upper)

        def residuals(candidates: np.ndarray) -> np.ndarray:
            angles = np.repeat(typed[None], len(candidates), 0)
            angles[:, movable] = candidates
            batch = torch.from_numpy(angles)
            overlap = self._capsules.overlap(rotations_from_angles(batch, torch.from_numpy(self._axes)))
            parts = [1e3 * (overlap - 0.0003).clamp_min(0), torch.from_numpy(np.rad2deg(candidates - start) * stiffness[movable])]
            if pose.contacts:
                gaps = self.gaps(pose.contacts, batch)
                parts += [1e3 * gaps[..., :3].flatten(1), 1.0 * gaps[..., 3:].flatten(1)]
            return torch.cat(parts, 1).numpy()

        def jacobian(x: np.ndarray) -> np.ndarray:
            step = 1e-5 * np.eye(len(x))
            return ((residuals(x + step) - residuals(x - step)) / 2e-5).T

        solved = least_squares(lambda x: residuals(x[None])[0], start, jac=jacobian, bounds=(lower, upper), max_nfev=80)
        typed[movable] = solved.x
        return typed


def build_prior(hand: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Axes, limits, key poses and the pose statistics of the open hand.

    Args:
        hand: `v_template` (778, 3) metres in MANO's right-hand axes, `faces` (1538, 3), `J_regressor` (16, 778); published tip vertices.

    Returns:
        `joint_axes` (16, 3, 3); `joint_limits` (16, 3, 2), `key_poses` (n, 16, 3), `angles_mean` (16, 3), `angles_covariance` (48, 48) in
        radians; `key_pose_names` (n,); `hands_mean` (45,), `hands_covariance` (45, 45), `hands_components` (45, 45) over axis-angles, the
        components orthonormal rows of falling variance.
    """
    vertices, faces = hand["v_template"].astype(np.float64), hand["faces"].astype(np.int64)
    joints = hand["J_regressor"].astype(np.float64) @ vertices
    tips = vertices[list(tip_vertices())]
    axes = joint_axes(torch.from_numpy(joints), torch.from_numpy(tips)).numpy()
    solver = ContactSolver(hand, axes, fit_capsules(vertices, faces, joints, tips, axes, torch.float64))
    prior = {
        "joint_axes": axes,
        "joint_limits": joint_limits(),
        "key_poses": np.stack([solver.solve(pose) for pose in KEY_POSES.values()]),
        "key_pose_names": np.array(list(KEY_POSES)),
    }
    angles = PoseSampler.from_arrays({**hand, **prior}).sample_batch(np.random.default_rng(_SEED), _SAMPLES).astype(np.float64)
    rotations = rotations_from_angles(torch.from_numpy(angles), torch.from_numpy(axes))
    pose = matrix_to_axis_angle(rotations[:, 1:]).flatten(1).numpy()
    covariance = np.cov(pose.T)
    variance, columns = np.linalg.eigh(covariance)
    components = columns.T[np.argsort(-variance)]
    components *= np.sign(np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1))
    return prior | {
        "angles_mean": angles.mean(0),
        "angles_covariance": np.cov(angles.reshape(_SAMPLES, 48).T),
        "hands_mean": pose.mean(0),
        "hands_covariance": covariance,
        "hands_components": components,
    }
