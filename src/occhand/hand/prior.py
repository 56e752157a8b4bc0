"""Anatomical joint angles of a hand, and a Gaussian prior of its free poses.

A joint's rotation is written as flexion, abduction and twist about three axes fixed in the rest hand. Flexion turns about the proximal
bone's axis, twist about the distal bone's, abduction about the floating axis between them: the joint coordinate system of the
International Society of Biomechanics (Wu et al., J Biomech 38:981, 2005). Its only singularity is 90 degrees of abduction, which no
finger reaches; the order abduction-flexion-twist would be singular at 90 degrees of flexion, inside the range of the PIP joints.

The prior holds free poses only, no grasps: hands around objects are rarer under it than in life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from occhand.hand.assets import OPEN_HAND
from occhand.hand.skeleton import FINGERS, MANO_FINGERS, MANO_JOINT_NAMES

AXIS_NAMES = ("flexion", "abduction", "twist")
"""The last axis of every angle array. Positive: towards the palm, towards the thumb's side, right-handed about the bone."""

ACTIVE_ANGLES: tuple[tuple[str, str], ...] = (
    *(
        (f"{finger}{k}", axis)
        for finger in MANO_FINGERS[:4]
        for k, axis in ((1, "flexion"), (1, "abduction"), (2, "flexion"), (3, "flexion"))
    ),
    *(("thumb1", axis) for axis in AXIS_NAMES),
    ("thumb2", "flexion"),
    ("thumb3", "flexion"),
)
"""The 21 angles that muscles move; the other 27 (wrist, and a degree or so of passive play) are left at zero."""

_ACTIVE_INDEX = tuple(3 * MANO_JOINT_NAMES.index(joint) + AXIS_NAMES.index(axis) for joint, axis in ACTIVE_ANGLES)

# Direction of the back of each digit in MANO's right-hand axes (fingers -x, palm -y, thumb +z). The tilts of ring and little finger
# make the fingertips converge on flexion; the thumb's puts its pad opposite the index.
_DORSAL = {
    "index": (0.0, 1.0, -0.05),
    "middle": (0.0, 1.0, 0.0),
    "ring": (0.0, 1.0, 0.08),
    "pinky": (0.0, 1.0, 0.20),
    "thumb": (0.45, 0.55, 0.70),
}


def first_joint(finger: str) -> int:
    """Index in MANO's order of a digit's most proximal joint (MCP, or the thumb's CMC)."""
    return MANO_JOINT_NAMES.index(f"{finger}1")


def joint_axes(joints_rest: Float[Tensor, "16 3"], tips_rest: Float[Tensor, "5 3"]) -> Float[Tensor, "16 3 3"]:
    """Flexion, abduction and twist axes of every joint of a right hand at rest.

    Args:
        joints_rest: MANO's joint order, metres, MANO's right-hand axes (fingers -x, palm -y, thumb +z).
        tips_rest: Thumb to pinky, same frame.

    Returns:
        Rows are unit vectors and right-handed; the wrist's are x, y, z.
    """
    axes = torch.eye(3, dtype=joints_rest.dtype, device=joints_rest.device).repeat(16, 1, 1)
    for finger, tip in zip(FINGERS, tips_rest, strict=True):
        first = first_joint(finger)
        chain = torch.cat([joints_rest[first : first + 3], tip[None]])
        bone = normalize(chain[1:] - chain[:-1], dim=-1)
        dorsal = bone.new_tensor(_DORSAL[finger]).expand(3, 3)
        dorsal = normalize(dorsal - (dorsal * bone).sum(-1, keepdim=True) * bone, dim=-1)
        axes[first : first + 3] = torch.stack([torch.linalg.cross(dorsal, bone), dorsal, bone], dim=1)
    return axes


def rotations_from_angles(angles: Float[Tensor, "*batch 16 3"], axes: Float[Tensor, "16 3 3"]) -> Float[Tensor, "*batch 16 3 3"]:
    """Rotation of each joint relative to its parent, R = R_flexion R_abduction R_twist, in the rest hand's axes.

    Args:
        angles: Radians, MANO's joint order; row 0 turns the whole hand and is usually zero.
        axes: From `joint_axes`.
    """
    (sf, sa, st), (cf, ca, ct) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    local = torch.stack(
        [
            *(ca * ct, -ca * st, sa),
            *(cf * st + sf * sa * ct, cf * ct - sf * sa * st, -sf * ca),
            *(sf * st - cf * sa * ct, sf * ct + cf * sa * st, cf * ca),
        ],
        dim=-1,
    ).unflatten(-1, (3, 3))
    return axes.mT @ local @ axes


def angles_from_rotations(rotations: Float[Tensor, "*batch 16 3 3"], axes: Float[Tensor, "16 3 3"]) -> Float[Tensor, "*batch 16 3"]:
    """The inverse of `rotations_from_angles`: flexion and twist in (-pi, pi], abduction in [-pi/2, pi/2]."""
    local = axes @ rotations @ axes.mT
    flexion = torch.atan2(-local[..., 1, 2], local[..., 2, 2])
    abduction = torch.atan2(local[..., 0, 2], torch.hypot(local[..., 1, 2], local[..., 2, 2]))
    twist = torch.atan2(-local[..., 0, 1], local[..., 0, 0])
    return torch.stack([flexion, abduction, twist], dim=-1)


@dataclass(frozen=True)
class PosePrior:
    """Gaussian over the 21 active angles of a free right hand, with the joints' limits.

    A left hand is the mirror of a right one, so the same prior serves it. Where the limits come from: `tools/open_hand/poses.py`.
    """

    axes: Float[Tensor, "16 3 3"]
    """From `joint_axes`; those of the open hand unless replaced by another hand's."""
    mean: Float[Tensor, "active"]
    covariance: Float[Tensor, "active active"]
    lower: Float[Tensor, "active"]
    upper: Float[Tensor, "active"]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], dtype: torch.dtype = torch.float32) -> PosePrior:
        """Take the prior from the hand file's `joint_axes, joint_limits, angles_mean, angles_covariance`."""
        index = list(_ACTIVE_INDEX)
        limits = arrays["joint_limits"].reshape(48, 2)[index]
        fields = {
            "axes": arrays["joint_axes"],
            "mean": arrays["angles_mean"].reshape(48)[index],
            "covariance": arrays["angles_covariance"][np.ix_(index, index)],
            "lower": limits[:, 0],
            "upper": limits[:, 1],
        }
        return cls(**{name: torch.as_tensor(np.ascontiguousarray(value), dtype=dtype) for name, value in fields.items()})

    @cached_property
    def _index(self) -> Int[Tensor, "active"]:
        return torch.tensor(_ACTIVE_INDEX, device=self.mean.device)

    @cached_property
    def _cholesky(self) -> Float[Tensor, "active active"]:
        return torch.linalg.cholesky(self.covariance)

    @cached_property
    def precision(self) -> Float[Tensor, "active active"]:
        """The covariance's inverse."""
        return torch.cholesky_inverse(self._cholesky)

    def clamp(self, active: Float[Tensor, "*batch active"]) -> Float[Tensor, "*batch active"]:
        """The nearest angles within the joints' limits."""
        return torch.clamp(active, self.lower, self.upper)

    def angles(self, active: Float[Tensor, "*batch active"]) -> Float[Tensor, "*batch 16 3"]:
        """All angles of the hand, the passive ones zero."""
        full = active.new_zeros((*active.shape[:-1], 48))
        full[..., list(_ACTIVE_INDEX)] = active
        return full.unflatten(-1, (16, 3))

    def active(self, angles: Float[Tensor, "*batch 16 3"]) -> Float[Tensor, "*batch active"]:
        """The active ones among all angles."""
        return angles.flatten(-2).index_select(-1, self._index)

    def rotations(self, active: Float[Tensor, "*batch active"]) -> Float[Tensor, "*batch 16 3 3"]:
        """Rotation of each joint relative to its parent; the wrist's is the identity."""
        return rotations_from_angles(self.angles(active), self.axes)


def load_prior(dtype: torch.dtype = torch.float32) -> PosePrior:
    """The prior bundled with the open hand.

    Example:
        >>> prior = load_prior()
        >>> prior.rotations(prior.mean).shape
        torch.Size([16, 3, 3])
    """
    return PosePrior.from_arrays(_bundled_arrays(), dtype)


@cache
def _bundled_arrays() -> dict[str, np.ndarray]:
    with np.load(OPEN_HAND) as arrays:
        return {name: arrays[name] for name in ("joint_axes", "joint_limits", "angles_mean", "angles_covariance")}
