"""The open hand of any shape in numpy: what the compiled closing needs of it, and its posed skin without torch's cost per call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from numba import njit

from occhand.hand.capsules import HandCapsules, fit_capsules
from occhand.hand.skeleton import PARENTS, tip_vertices
from occhand.synth.closing import PlacedHand, ProbedHand

_BALLS_PER_BONE = np.linspace(0.1, 0.9, 4)
"""Where balls stand along a capsule's axis."""
_FLESH = 0.004
"""By which the balls are thinner than the capsules, metres: the vertices tell where the skin is, the balls that nothing passes between."""


@dataclass(frozen=True)
class HandShapes:
    """The hand as linear functions of its betas."""

    constant: Float[np.ndarray, "numbers"]
    by_betas: Float[np.ndarray, "numbers 10"]
    """The shaped numbers: vertices, probes and their radii, joints, ends and radii of the capsules, one after the other."""
    posedirs: Float32[np.ndarray, "135 2334"]
    weights: Float[np.ndarray, "778 16"]
    axes: Float[np.ndarray, "16 3 3"]
    capsule_joints: Int[np.ndarray, "capsules"]
    pairs: Int[np.ndarray, "pairs 2"]
    partners: Int[np.ndarray, "capsules most"]
    bones: Int[np.ndarray, "probes 4"]
    bone_weights: Float[np.ndarray, "probes 4"]
    starts: Int[np.ndarray, "17"]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> HandShapes:
        """From the hand file's arrays."""
        wide = {name: arrays[name].astype(np.float64) for name in ("v_template", "shapedirs", "J_regressor", "weights", "joint_axes")}
        template, shapedirs, regressor, weights, axes = wide.values()
        faces = arrays["faces"].astype(np.int64)

        def fit(vertices: np.ndarray) -> HandCapsules:
            return fit_capsules(vertices, faces, regressor @ vertices, vertices[list(tip_vertices())], axes, dtype=torch.float64)

        mean = fit(template)
        carriers = np.tile(mean.joint.numpy(), len(_BALLS_PER_BONE))
        weights_of_all = np.concatenate([weights, np.eye(16)[carriers]])
        segment = weights_of_all.argmax(1)
        order = segment.argsort(kind="stable")
        bones = np.argsort(-weights_of_all[order], axis=1, kind="stable")[:, :4]
        strongest = np.take_along_axis(weights_of_all[order], bones, 1)

        constant = _shaped_numbers(template, regressor, mean, order)
        varied = [template + shapedirs[:, :, k] for k in range(10)]
        return cls(
            constant=constant,
            by_betas=np.stack([_shaped_numbers(vertices, regressor, fit(vertices), order) - constant for vertices in varied], 1),
            posedirs=np.ascontiguousarray(arrays["posedirs"].reshape(-1, 135).T, dtype=np.float32),
            weights=weights,
            axes=axes,
            capsule_joints=mean.joint.numpy(),
            pairs=mean.pairs.numpy(),
            partners=_partners(mean.pairs.numpy(), len(mean.joint)),
            bones=np.ascontiguousarray(bones),
            bone_weights=strongest / strongest.sum(1, keepdims=True),
            starts=np.searchsorted(segment[order], np.arange(17)),
        )

    def shaped(self, betas: Float[np.ndarray, "10"]) -> tuple[Float[np.ndarray, "778 3"], ProbedHand]:
        """The skin of one shape at rest, metres, and its probes and capsules."""
        numbers = self.constant + self.by_betas @ betas
        probes, capsules = len(self.bones), len(self.capsule_joints)
        sizes = (3 * len(self.weights), 3 * probes, probes, 3 * 16, 6 * capsules, 2 * capsules)
        skin, points, radii, joints, ends, capsule_radii = np.split(numbers, np.cumsum(sizes[:-1]))
        points = points.reshape(-1, 3)
        hand = ProbedHand(
            joints=joints.reshape(16, 3),
            axes=self.axes,
            probes=points,
            radii=radii,
            bones=self.bones,
            weights=self.bone_weights,
            starts=self.starts,
            balls=_bounding_balls(points, self.starts),
            capsule_joints=self.capsule_joints,
            capsule_ends=ends.reshape(-1, 2, 3),
            capsule_radii=capsule_radii.reshape(-1, 2),
            pairs=self.pairs,
            partners=self.partners,
        )
        return skin.reshape(-1, 3), hand

    def skin(self, vertices: Float[np.ndarray, "778 3"], placed: PlacedHand) -> Float[np.ndarray, "778 3"]:
        """The posed skin as `HandLayer` has it, pose correctives included, in the frame in which the hand was placed; metres.

        Args:
            vertices: At rest, from `shaped`.
            placed: From `occhand.synth.closing.place`.
        """
        local = placed.R[list(PARENTS[1:])].transpose(0, 2, 1) @ placed.R[1:]
        feature = (local - np.eye(3)).astype(np.float32).ravel()
        corrected = vertices + (feature @ self.posedirs).reshape(-1, 3)
        return _skin(corrected, self.weights, placed)


def _shaped_numbers(vertices: np.ndarray, regressor: np.ndarray, capsules: HandCapsules, order: np.ndarray) -> np.ndarray:
    """All that varies with the shape, in one row; every number is linear in the vertices, the radii nearly so."""
    ends, radii = capsules.ends.numpy(), capsules.radii.numpy()
    share = np.stack([1 - _BALLS_PER_BONE, _BALLS_PER_BONE], 1)
    probes = np.concatenate([vertices, np.einsum("ks,csx->kcx", share, ends).reshape(-1, 3)])
    probe_radii = np.concatenate([np.zeros(len(vertices)), (share @ radii.T).ravel() - _FLESH])
    numbers = (vertices, probes[order], probe_radii[order], regressor @ vertices, ends, radii)
    return np.concatenate([number.ravel() for number in numbers])


def _partners(pairs: np.ndarray, capsules: int) -> np.ndarray:
    """Of each capsule the others in its pairs, filled up with -1."""
    others = [[*pairs[pairs[:, 0] == capsule, 1], *pairs[pairs[:, 1] == capsule, 0]] for capsule in range(capsules)]
    most = max(map(len, others))
    return np.array([row + [-1] * (most - len(row)) for row in others])


@njit(cache=True, error_model="numpy")
@no_type_check
def _bounding_balls(points, starts):
    """About the middle of each segment's box."""
    balls = np.empty((16, 4))
    for segment in range(16):
        first, last, furthest = starts[segment], starts[segment + 1], 0.0
        for k in range(3):
            low, high = np.inf, -np.inf
            for point in range(first, last):
                low, high = min(low, points[point, k]), max(high, points[point, k])
            balls[segment, k] = (low + high) / 2
        for point in range(first, last):
            squared = 0.0
            for k in range(3):
                squared += (points[point, k] - balls[segment, k]) ** 2
            furthest = max(furthest, squared)
        balls[segment, 3] = np.sqrt(furthest)
    return balls


@njit(cache=True, error_model="numpy")
@no_type_check
def _skin(vertices, weights, placed):
    posed = np.zeros_like(vertices)
    R, t = placed.R, placed.t  # read one by one: views of rows would be counted references
    for v in range(len(vertices)):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        for joint in range(16):
            w = weights[v, joint]
            if w > 0.0:
                for k in range(3):
                    posed[v, k] += w * (R[joint, k, 0] * x + R[joint, k, 1] * y + R[joint, k, 2] * z + t[joint, k])
    return posed
