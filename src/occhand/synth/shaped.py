"""The open hand of any shape in numpy: what the compiled closing needs of it, and its posed skin without torch's cost per call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

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

    v_template: Float[np.ndarray, "778 3"]
    shapedirs: Float[np.ndarray, "2334 10"]
    posedirs: Float32[np.ndarray, "135 2334"]
    J_regressor: Float[np.ndarray, "16 778"]
    weights: Float[np.ndarray, "778 16"]
    axes: Float[np.ndarray, "16 3 3"]
    capsules: HandCapsules
    """Of the mean shape."""
    ends_by_betas: Float[np.ndarray, "10 capsules 2 3"]
    radii_by_betas: Float[np.ndarray, "10 capsules 2"]
    order: Int[np.ndarray, "probes"]
    """Vertices, then balls, sorted by segment."""
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
        varied = [fit(template + shapedirs[:, :, k]) for k in range(10)]
        carriers = np.tile(mean.joint.numpy(), len(_BALLS_PER_BONE))
        weights_of_all = np.concatenate([weights, np.eye(16)[carriers]])
        segment = weights_of_all.argmax(1)
        order = segment.argsort(kind="stable")
        bones = np.argsort(-weights_of_all[order], axis=1, kind="stable")[:, :4]
        strongest = np.take_along_axis(weights_of_all[order], bones, 1)
        return cls(
            v_template=template,
            shapedirs=shapedirs.reshape(-1, 10),
            posedirs=np.ascontiguousarray(arrays["posedirs"].reshape(-1, 135).T, dtype=np.float32),
            J_regressor=regressor,
            weights=weights,
            axes=axes,
            capsules=mean,
            ends_by_betas=np.stack([(one.ends - mean.ends).numpy() for one in varied]),
            radii_by_betas=np.stack([(one.radii - mean.radii).numpy() for one in varied]),
            order=order,
            bones=np.ascontiguousarray(bones),
            bone_weights=strongest / strongest.sum(1, keepdims=True),
            starts=np.searchsorted(segment[order], np.arange(17)),
        )

    def shaped_vertices(self, betas: Float[np.ndarray, "10"]) -> Float[np.ndarray, "778 3"]:
        """The skin at rest, metres."""
        return self.v_template + (self.shapedirs @ betas).reshape(-1, 3)

    def probed(self, vertices: Float[np.ndarray, "778 3"], betas: Float[np.ndarray, "10"]) -> ProbedHand:
        """The hand of one shape, with its skin at rest, as probes and capsules."""
        ends = self.capsules.ends.numpy() + np.tensordot(betas, self.ends_by_betas, 1)
        radii = self.capsules.radii.numpy() + np.tensordot(betas, self.radii_by_betas, 1)
        share = np.stack([1 - _BALLS_PER_BONE, _BALLS_PER_BONE], 1)
        centres = np.einsum("ks,csx->kcx", share, ends).reshape(-1, 3)
        ball_radii = np.maximum((share @ radii.T).ravel() - _FLESH, 0.001)
        probes = np.concatenate([vertices, centres])[self.order]
        middles = (np.minimum.reduceat(probes, self.starts[:-1]) + np.maximum.reduceat(probes, self.starts[:-1])) / 2
        from_middle = np.linalg.norm(probes - np.repeat(middles, np.diff(self.starts), 0), axis=1)
        return ProbedHand(
            joints=self.J_regressor @ vertices,
            axes=self.axes,
            probes=probes,
            radii=np.concatenate([np.zeros(len(vertices)), ball_radii])[self.order],
            bones=self.bones,
            weights=self.bone_weights,
            starts=self.starts,
            balls=np.column_stack([middles, np.maximum.reduceat(from_middle, self.starts[:-1])]),
            capsule_joints=self.capsules.joint.numpy(),
            capsule_ends=ends,
            capsule_radii=radii,
            pairs=self.capsules.pairs.numpy(),
        )

    def skin(self, vertices: Float[np.ndarray, "778 3"], placed: PlacedHand) -> Float[np.ndarray, "778 3"]:
        """The posed skin as `HandLayer` has it, pose correctives included, in the frame in which the hand was placed; metres.

        Args:
            vertices: From `shaped_vertices`.
            placed: From `occhand.synth.closing.place`.
        """
        local = placed.R[list(PARENTS[1:])].transpose(0, 2, 1) @ placed.R[1:]
        feature = (local - np.eye(3)).astype(np.float32).ravel()
        corrected = vertices + (feature @ self.posedirs).reshape(-1, 3)
        R = (self.weights @ placed.R.reshape(16, 9)).reshape(-1, 3, 3)
        return (R @ corrected[:, :, None])[:, :, 0] + self.weights @ placed.t
