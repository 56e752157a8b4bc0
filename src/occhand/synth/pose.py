"""Random free hand poses: mixtures of key poses with joint noise, within the joints' limits, no digit through another or the palm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occhand.hand.assets import OPEN_HAND
from occhand.hand.capsules import HandCapsules, fit_capsules
from occhand.hand.prior import first_joint, rotations_from_angles
from occhand.hand.skeleton import MANO_FINGERS, tip_vertices

OVERLAP_TOLERANCE = 0.001
"""Metres by which two capsules may overlap in a sampled pose: soft flesh in touch."""

_LONG_FINGERS = np.array([first_joint(finger) for finger in MANO_FINGERS[:4]])
_THUMB = first_joint("thumb")
_SEPARATION_STEPS = 12

# Standard deviations in degrees.
_COMMON_CLOSURE = 7.0
_MCP_FLEXION, _MCP_ABDUCTION, _PIP_FLEXION, _DIP_FLEXION = 6.0, 3.5, 8.0, 5.0
_THUMB_NOISE = ((6.0, 7.0, 6.0), (8.0, 0.0, 0.0), (10.0, 0.0, 0.0))
_PASSIVE_PLAY = 0.8
_DIP_FOLLOWS_PIP = 0.6
"""DIP and PIP share the deep flexor's tendon."""
_EXTENSION_CHANCE = 0.06
"""Share of fingers stretched out of the mixture on their own."""


@dataclass(frozen=True)
class PoseSampler:
    """Draws anatomical angles of a free right hand (see `occhand.hand.prior`); grasps are not among them.

    Collisions are judged on the mean shape: a thick hand in the same pose is in firmer touch.
    """

    key_poses: Float[np.ndarray, "poses 16 3"]
    lower: Float[np.ndarray, "16 3"]
    upper: Float[np.ndarray, "16 3"]
    axes: Float[Tensor, "16 3 3"]
    capsules: HandCapsules

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> PoseSampler:
        """Take key poses, limits, axes and the rest mesh from the hand file's arrays."""
        vertices, faces = arrays["v_template"], arrays["faces"].astype(np.int64)
        joints = arrays["J_regressor"] @ vertices
        axes = arrays["joint_axes"]
        capsules = fit_capsules(vertices, faces, joints, vertices[list(tip_vertices())], axes)
        limits = arrays["joint_limits"].astype(np.float32)
        return cls(
            key_poses=arrays["key_poses"].astype(np.float32),
            lower=limits[..., 0],
            upper=limits[..., 1],
            axes=torch.as_tensor(axes, dtype=torch.float32),
            capsules=capsules,
        )

    @classmethod
    def load(cls) -> PoseSampler:
        """The sampler of the bundled open hand."""
        with np.load(OPEN_HAND) as arrays:
            return cls.from_arrays(arrays)

    def sample_batch(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "count 16 3"]:
        """Independent poses, radians, MANO's joint order, each free of collisions beyond `OVERLAP_TOLERANCE`; the wrist's row is zero."""
        accepted: list[np.ndarray] = []
        while (missing := count - sum(map(len, accepted))) > 0:
            poses = self.separate(torch.from_numpy(self.propose(rng, missing)))
            accepted.append(poses[self.deepest_overlap(poses) <= OVERLAP_TOLERANCE].numpy())
        return np.concatenate(accepted) if accepted else np.zeros((0, 16, 3), np.float32)

    def deepest_overlap(self, angles: Float[Tensor, "*batch 16 3"]) -> Float[Tensor, "*batch"]:
        """The deepest overlap of any two capsules, metres; negative if all are apart."""
        return self.capsules.overlap(rotations_from_angles(angles, self.axes)).amax(-1)

    def separate(self, angles: Float[Tensor, "batch 16 3"]) -> Float[Tensor, "batch 16 3"]:
        """Move colliding digits apart along the gradient of their overlap, within the limits.

        The root sum of squared overlaps e falls nearly linearly, so each step is Newton's on it: e grad(e) / |grad(e)|^2.
        Not every collision can be undone this way; the caller looks at `deepest_overlap`.
        """
        lower, upper = torch.from_numpy(self.lower), torch.from_numpy(self.upper)
        angles = angles.clone()
        todo = torch.arange(len(angles))
        for _ in range(_SEPARATION_STEPS):
            with torch.enable_grad():
                moving = angles[todo].requires_grad_()
                overlap = self.capsules.overlap(rotations_from_angles(moving, self.axes))
                squared = (overlap - OVERLAP_TOLERANCE / 2).clamp_min(0).square().sum(-1)
                (gradient,) = torch.autograd.grad(squared.sum(), moving)
            is_deep = overlap.detach().amax(-1) > OVERLAP_TOLERANCE
            if not is_deep.any():
                break
            gradient[:, 0] = 0
            # For squared = e^2 the step e grad(e) / |grad(e)|^2 is 2 squared grad(squared) / |grad(squared)|^2.
            length = gradient.square().sum((1, 2), keepdim=True).clamp_min(1e-12)
            step = 2 * squared.detach()[:, None, None] * gradient / length
            todo = todo[is_deep]
            angles[todo] = torch.clamp(angles[todo] - step[is_deep].clamp(-0.3, 0.3), lower, upper)
        return angles

    def propose(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "count 16 3"]:
        """Mixtures of two or three key poses, plus a common closure, joint noise and single extended fingers."""

        def noise(*shape: int) -> np.ndarray:
            return rng.standard_normal((count, *shape))

        shares = rng.dirichlet([0.7] * 3, count)
        is_pair = rng.random(count) > 0.4
        shares[is_pair, 2] = 0
        shares /= shares.sum(1, keepdims=True)
        picks = rng.random((count, len(self.key_poses))).argsort(1)[:, :3]
        degrees = np.rad2deg(np.einsum("nk,nkja->nja", shares, self.key_poses[picks]))

        mcp, pip, dip = _LONG_FINGERS, _LONG_FINGERS + 1, _LONG_FINGERS + 2
        closure = _COMMON_CLOSURE * noise(1)
        pip_bend = 0.8 * closure + _PIP_FLEXION * noise(4)
        # Collateral ligaments tighten as the MCP joint flexes: less play sideways.
        freedom = 1 - 0.7 * np.clip(degrees[:, mcp, 0] / 90, 0, 1)
        degrees[:, mcp, 0] += closure + _MCP_FLEXION * noise(4)
        degrees[:, mcp, 1] += freedom * _MCP_ABDUCTION * noise(4)
        degrees[:, pip, 0] += pip_bend
        degrees[:, dip, 0] += _DIP_FOLLOWS_PIP * pip_bend + _DIP_FLEXION * noise(4)
        degrees[:, _THUMB : _THUMB + 3] += np.array(_THUMB_NOISE) * noise(3, 3)

        stretched = rng.random((count, 4)) < _EXTENSION_CHANCE
        straight = np.stack([6 * noise(4), 8 * np.abs(noise(4)), 5 * np.abs(noise(4))])
        for joints, flexion in zip((mcp, pip, dip), straight, strict=True):
            degrees[:, joints, 0] = np.where(stretched, flexion, degrees[:, joints, 0])
        degrees += _PASSIVE_PLAY * noise(16, 3)
        degrees[:, 0] = 0
        return np.clip(np.deg2rad(degrees), self.lower, self.upper).astype(np.float32)
