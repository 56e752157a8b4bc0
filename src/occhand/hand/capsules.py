"""The hand as 20 capsules, to tell in microseconds whether a pose runs one digit through another or through the palm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from occhand.hand.kinematics import chain_transforms
from occhand.hand.prior import first_joint
from occhand.hand.skeleton import FINGERS

_PALM_SPAN = (0.35, 0.95)
"""Stretch of the line wrist to MCP that a palm capsule covers."""
_HYPOTHENAR_SPAN, _HYPOTHENAR_OFFSET = (0.3, 0.8), 0.008
"""The bulge on the little finger's side, on which its tip lands in a fist: stretch and distance (metres) from that line."""
_FREE_FROM = (0.5, 0.35)
"""Where along a finger's, and the thumb's, first free phalanx its capsule begins: the base lies in the web, in touch by nature."""


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
    """Tapered capsules: three per finger, three for the thumb (its metacarpal is the thenar), five for the palm."""

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
    bones = _bones(joints_rest, tips_rest, axes)
    fits = [_fit_capsule(bone, vertices, faces) for bone in bones]
    pairs = [(i, j) for i, j in combinations(range(len(bones)), 2) if _may_collide(bones[i].name, bones[j].name)]
    return HandCapsules(
        joint=torch.tensor([bone.joint for bone in bones]),
        ends=torch.as_tensor(np.array([ends for ends, _ in fits]), dtype=dtype),
        radii=torch.as_tensor(np.array([radii for _, radii in fits]), dtype=dtype),
        pairs=torch.tensor(pairs),
        joints_rest=torch.as_tensor(joints_rest, dtype=dtype),
    )


class _Bone(NamedTuple):
    name: tuple[str, int]
    """Digit, or the palm, and the bone's number in it."""
    joint: int
    start: Float[np.ndarray, "3"]
    end: Float[np.ndarray, "3"]
    span: tuple[float, float]
    """Stretch from start to end that the capsule's axis covers."""
    across: Float[np.ndarray, "directions 3"]
    """Both ways along these, rays measure the cross-section."""


def _bones(joints: Float[np.ndarray, "16 3"], tips: Float[np.ndarray, "5 3"], axes: Float[np.ndarray, "16 3 3"]) -> list[_Bone]:
    bones = []
    for finger, tip in zip(FINGERS, tips, strict=True):
        first = first_joint(finger)
        chain = [*joints[first : first + 3], tip]
        root = 1 if finger == "thumb" else 0  # the first free phalanx
        for k in range(3):
            span = (0.0, 1.0)
            if k == root:
                span = (_FREE_FROM[finger == "thumb"], 1.0)
            # Where a digit grows out of the hand, sideways rays would run on into its neighbour.
            across = axes[first + k, :2] if k > root else axes[first + k, 1:2]
            bones.append(_Bone((finger, k), first + k, chain[k], chain[k + 1], span, across))
        if finger != "thumb":
            bones.append(_Bone(("palm", first), 0, joints[0], chain[0], _PALM_SPAN, axes[first, 1:2]))
        if finger == "pinky":
            ulnar = -_HYPOTHENAR_OFFSET * axes[first, 0]
            bones.append(_Bone(("palm", 0), 0, joints[0] + ulnar, chain[0] + ulnar, _HYPOTHENAR_SPAN, axes[first, 1:2]))
    return bones


def _fit_capsule(
    bone: _Bone, vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> tuple[Float[np.ndarray, "2 3"], Float[np.ndarray, "2"]]:
    """Ends and radii of the capsule through two cross-sections, a quarter of the span from either end and so clear of joints and tips."""
    low, high = bone.span
    if bone.name[1] == 2:  # the round end reaches a radius beyond the axis
        _, (radius,) = _sections(bone, np.array([0.7]), vertices, faces)
        high -= radius / float(np.linalg.norm(bone.end - bone.start))
    centres, radii = _sections(bone, low + (high - low) * np.array([0.25, 0.75]), vertices, faces)
    extend = np.array([[1.5, -0.5], [-0.5, 1.5]])
    return extend @ centres, extend @ radii


def _sections(
    bone: _Bone, along: Float[np.ndarray, "n"], vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """Middle and mean half-width of the flesh at shares of a bone's length."""
    points = bone.start + along[:, None] * (bone.end - bone.start)
    origins, directions = np.repeat(points, len(bone.across), 0), np.tile(bone.across, (len(points), 1))
    plus, minus = (surface_distance(origins, sign * directions, vertices, faces).reshape(len(points), -1) for sign in (1, -1))
    return points + ((plus - minus) / 2) @ bone.across, ((plus + minus) / 2).mean(1)


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
