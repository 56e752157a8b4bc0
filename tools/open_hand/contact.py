"""Bends typed key poses until the skin that should touch does touch, and nothing else runs into anything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import least_squares
from torch import Tensor

from occhand.hand.capsules import fit_capsules, surface_distance
from occhand.hand.kinematics import chain_transforms
from occhand.hand.prior import first_joint, rotations_from_angles
from occhand.hand.skeleton import FINGERS, tip_vertices
from tools.open_hand.key_poses import Contact, KeyPose, SkinPoint

_SOFT, _STIFF = 0.03, 0.3
"""Millimetres of gap or overlap that the contact solver weighs as much as leaving a typed angle by a degree."""
_OPPOSED = 3.0
"""Millimetres of gap that weigh as much as skin points facing away from each other by a radian."""
_FREE_OVERLAP, _FREE_OVERLAP_IN_TOUCH = 0.0003, 0.0020
"""Metres by which two capsules may overlap at no cost; more where skin is asked to touch, as capsules stand out from flat pads."""


class ContactSolver:
    """Bends a key pose's moving digits until its skin points meet, without running a digit into another or the palm."""

    def __init__(self, hand: Mapping[str, np.ndarray], axes: Float[np.ndarray, "16 3 3"], limits: Float[np.ndarray, "16 3 2"]) -> None:
        self._vertices, self._faces = hand["v_template"].astype(np.float64), hand["faces"].astype(np.int64)
        self._joints = hand["J_regressor"].astype(np.float64) @ self._vertices
        self._tips = self._vertices[list(tip_vertices())]
        self._axes, self._limits = axes, limits
        self._capsules = fit_capsules(self._vertices, self._faces, self._joints, self._tips, axes, torch.float64)

    def skin_point(self, point: SkinPoint) -> tuple[int, Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """The joint that carries a skin point, its place in the rest hand and its outward direction."""
        joint = first_joint(point.finger) + point.bone
        end = self._joints[joint + 1] if point.bone < 2 else self._tips[FINGERS.index(point.finger)]
        origin = self._joints[joint] + point.along * (end - self._joints[joint])
        outward = np.array(point.toward) @ self._axes[joint] / np.linalg.norm(point.toward)
        reach = surface_distance(origin[None], outward[None], self._vertices, self._faces)[0]
        return joint, origin + reach * outward, outward

    def gaps(self, contacts: tuple[Contact, ...], angles: Float[Tensor, "batch 16 3"]) -> Float[Tensor, "batch contacts 6"]:
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
            stiffness[first : first + 3, 0] = stiff
            stiffness[first, 1:3] = (stiff, stiff) if finger == "thumb" else (_STIFF, 0)
        movable = stiffness > 0
        lower, upper = self._limits[movable].T + np.array([[1e-6], [-1e-6]])
        start = np.clip(typed[movable], lower, upper)

        touching = [{first_joint(point.finger) + point.bone for point in pair} for pair in pose.contacts]
        carriers = self._capsules.joint[self._capsules.pairs].tolist()
        free = torch.tensor([_FREE_OVERLAP_IN_TOUCH if set(pair) in touching else _FREE_OVERLAP for pair in carriers])

        def residuals(candidates: np.ndarray) -> np.ndarray:
            angles = np.repeat(typed[None], len(candidates), 0)
            angles[:, movable] = candidates
            batch = torch.from_numpy(angles)
            overlap = self._capsules.overlap(rotations_from_angles(batch, torch.from_numpy(self._axes)))
            parts = [1e3 * (overlap - free).clamp_min(0), torch.from_numpy(np.rad2deg(candidates - start) * stiffness[movable])]
            if pose.contacts:
                gaps = self.gaps(pose.contacts, batch)
                parts += [1e3 * gaps[..., :3].flatten(1), _OPPOSED * gaps[..., 3:].flatten(1)]
            return torch.cat(parts, 1).numpy()

        def jacobian(x: np.ndarray) -> np.ndarray:
            step = 1e-5 * np.eye(len(x))
            return ((residuals(x + step) - residuals(x - step)) / 2e-5).T

        solved = least_squares(lambda x: residuals(x[None])[0], start, jac=jacobian, bounds=(lower, upper), max_nfev=80)
        typed[movable] = solved.x
        return typed
