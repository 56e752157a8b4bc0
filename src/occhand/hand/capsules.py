"""The hand as 19 capsules, to tell in microseconds whether a pose runs one digit through another or through the palm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from occhand.hand.kinematics import chain_transforms
from occhand.hand.prior import first_joint
from occhand.hand.skeleton import FINGERS

_PALM_SPAN = (0.35, 0.95)
"""Stretch of the line wrist to MCP that a palm capsule covers."""
_PROXIMAL_SPAN = {"thumb": (0.35, 1.0), "finger": (0.5, 1.0)}
"""Distal part of the first free phalanx: its base lies in the web, in touch with its neighbour by nature."""


def surface_distance(
    origins: Float[np.ndarray, "rays 3"],
    directions: Float[np.ndarray, "rays 3"],
    vertices: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
) -> Float[np.ndarray, "rays"]:
    """Distance along each unit ray to the first face it meets (Moeller and Trumbore 1997); infinite where it meets none."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    p = np.cross(directions[:, None], c - a)
    determinant = np.einsum("rfk,fk->rf", p, b - a)
    inverse = 1 / np.where(np.abs(determinant) < 1e-15, np.inf, determinant)
    s = origins[:, None] - a
    q = np.cross(s, b - a)
    u, v = np.einsum("rfk,rfk->rf", s, p) * inverse, np.einsum("rfk,rk->rf", q, directions) * inverse
    distance = np.einsum("rfk,fk->rf", q, c - a) * inverse
    is_hit = (inverse != 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 0)
    return np.where(is_hit, distance, np.inf).min(1)


@dataclass(frozen=True)
class HandCapsules:
    """Tapered capsules: three per finger, three for the thumb (its metacarpal is the thenar), four for the palm."""

    joint: Int[Tensor, "capsules"]
    """The joint that carries each capsule."""
    ends: Float[Tensor, "capsules 2 3"]
    """Axis ends in the rest hand, metres."""
    radii: Float[Tensor, "capsules 2"]
    pairs: Int[Tensor, "pairs 2"]
    """The pairs that may not overlap."""
    joints_rest: Float[Tensor, "16 3"]

    def overlap(self, rotations: Float[Tensor, "*batch 16 3 3"]) -> Float[Tensor, "*batch pairs"]:
        """How deep the capsules of each pair run into each other, metres; negative is the gap."""
        R, t = chain_transforms(rotations, self.joints_rest)
        from_joint = self.ends - self.joints_rest[self.joint][:, None]
        posed = from_joint @ R[..., self.joint, :, :].mT + t[..., self.joint, None, :]
        start, axis = posed[..., 0, :], posed[..., 1, :] - posed[..., 0, :]
        first, second = self.pairs.unbind(1)
        s, u, distance = _closest(start[..., first, :], axis[..., first, :], start[..., second, :], axis[..., second, :])
        radius, taper = self.radii[:, 0], self.radii[:, 1] - self.radii[:, 0]
        return radius[first] + s * taper[first] + radius[second] + u * taper[second] - distance


def _closest(
    p: Float[Tensor, "*batch 3"], d: Float[Tensor, "*batch 3"], q: Float[Tensor, "*batch 3"], e: Float[Tensor, "*batch 3"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Closest points p + s d and q + u e of two segments: s, u and their distance (Ericson, Real-Time Collision Detection, 5.1.9)."""
    r = p - q
    dd, ee, de = (d * d).sum(-1), (e * e).sum(-1), (d * e).sum(-1)
    dr, er = (d * r).sum(-1), (e * r).sum(-1)
    s = ((de * er - dr * ee) / (dd * ee - de * de).clamp_min(1e-12)).clamp(0, 1)
    u = ((de * s + er) / ee).clamp(0, 1)
    s = ((de * u - dr) / dd).clamp(0, 1)
    gap = r + s[..., None] * d - u[..., None] * e
    return s, u, (gap * gap).sum(-1).clamp_min(1e-12).sqrt()


def fit_capsules(
    vertices: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    joints_rest: Float[np.ndarray, "16 3"],
    tips_rest: Float[np.ndarray, "5 3"],
    axes: Float[np.ndarray, "16 3 3"],
    dtype: torch.dtype = torch.float32,
) -> HandCapsules:
    """Fit the capsules to a rest mesh: rays from the bones to the skin give the middle and the width of each cross-section.

    Args:
        joints_rest: MANO's joint order, metres, MANO's right-hand axes.
        tips_rest: Thumb to pinky.
        axes: From `occhand.hand.prior.joint_axes`.
    """
    names, joint, ends, radii = [], [], [], []

    def section(point: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, float]:
        reach = surface_distance(np.tile(point, (2 * len(directions), 1)), np.concatenate([directions, -directions]), vertices, faces)
        plus, minus = np.split(reach, 2)
        return point + ((plus - minus) / 2) @ directions, float((plus + minus).mean() / 2)

    def add(name: tuple[str, int], carrier: int, a: np.ndarray, b: np.ndarray, span: tuple[float, float], directions: np.ndarray) -> None:
        # Sections at a quarter and three quarters of the span keep clear of joints and tips; the line through them is extended to the span.
        low, high = span
        quarters = low + (high - low) * np.array([0.25, 0.75])
        (centre0, radius0), (centre1, radius1) = (section(a + (b - a) * q, directions) for q in quarters)
        ends_ = np.stack([1.5 * centre0 - 0.5 * centre1, 1.5 * centre1 - 0.5 * centre0])
        names.append(name)
        joint.append(carrier)
        ends.append(ends_)
        radii.append((1.5 * radius0 - 0.5 * radius1, 1.5 * radius1 - 0.5 * radius0))

    for finger, tip in zip(FINGERS, tips_rest, strict=True):
        first = first_joint(finger)
        chain = np.concatenate([joints_rest[first : first + 3], tip[None]])
        is_thumb = finger == "thumb"
        for k in range(3):
            a, b, span = chain[k], chain[k + 1], (0.0, 1.0)
            if k == int(is_thumb):
                span = _PROXIMAL_SPAN["thumb" if is_thumb else "finger"]
            if k == 2:  # the round end reaches one radius beyond the axis
                length = np.linalg.norm(b - a)
                radius = section(a + 0.7 * (b - a), axes[first + 2, :2])[1]
                span = (0.0, 1 - radius / length)
            # Where a digit grows out of the hand, sideways rays would run on into its neighbour.
            is_free = k == 2 or (k == 1 and not is_thumb)
            add((finger, k), first + k, a, b, span, axes[first + k, 0 if is_free else 1 : 2])
        if not is_thumb:
            add(("palm", first), 0, joints_rest[0], chain[0], _PALM_SPAN, axes[first, 1:2])
    pairs = [(i, j) for i, j in combinations(range(len(names)), 2) if _may_collide(names[i], names[j])]
    return HandCapsules(
        joint=torch.tensor(joint),
        ends=torch.as_tensor(np.array(ends), dtype=dtype),
        radii=torch.as_tensor(np.array(radii), dtype=dtype),
        pairs=torch.tensor(pairs),
        joints_rest=torch.as_tensor(joints_rest, dtype=dtype),
    )


def _may_collide(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether two capsules are free to run into each other: different digits, and no phalanx with the palm it grows from."""
    if one[0] == other[0]:
        return False
    if "palm" in (one[0], other[0]):
        digit = other if one[0] == "palm" else one
        return digit[1] > 0
    thenar = ("thumb", 0)
    if thenar in (one, other):
        return (other if one == thenar else one)[1] > 0
    return True
