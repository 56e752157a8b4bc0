"""The arrays that make a parametric hand, ours or MANO."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from occhand.hand.skeleton import tip_vertices
from occhand.types import Side

ARRAY_SHAPES: dict[str, tuple[int, ...]] = {
    "v_template": (778, 3),
    "faces": (1538, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "weights": (778, 16),
    "J_regressor": (16, 778),
    "hands_mean": (45,),
    "hands_components": (45, 45),
}


@dataclass(frozen=True)
class HandParameters:
    """The arrays of one hand model, MANO's shapes and meaning, metres.

    Rest pose of a right hand: fingers along -X, palm towards -Y, thumb side +Z. A left hand is its mirror in x.
    """

    v_template: Float[np.ndarray, "778 3"]
    faces: Int[np.ndarray, "1538 3"]
    shapedirs: Float[np.ndarray, "778 3 10"]
    posedirs: Float[np.ndarray, "778 3 135"]
    weights: Float[np.ndarray, "778 16"]
    J_regressor: Float[np.ndarray, "16 778"]
    hands_mean: Float[np.ndarray, "45"]
    hands_components: Float[np.ndarray, "45 45"]
    side: Side
    name: str
    """`open` for ours, `mano` for a user's file."""

    def __post_init__(self) -> None:
        for key in ARRAY_SHAPES:
            if not np.isfinite(getattr(self, key)).all():
                raise ValueError(f"The {self.name} hand has a number that is not finite in '{key}'. Get a fresh copy of it.")
        if self.faces.min() < 0 or self.faces.max() >= len(self.v_template):
            raise ValueError(f"The {self.name} hand has a face that names a vertex outside of 0..777. Get a fresh copy of it.")

    def mirrored(self) -> HandParameters:
        """The hand of the other side: mirrored across x = 0, poses of either side meaning the same motion."""
        flip = np.array([-1.0, 1.0, 1.0])
        axis_flip = np.tile([1.0, -1.0, -1.0], 15)
        # Entry (a, b) of a mirrored rotation is the old one times flip[a] * flip[b].
        feature_flip = np.tile(np.outer(flip, flip).ravel(), 15)
        return replace(
            self,
            v_template=self.v_template * flip,
            faces=np.ascontiguousarray(self.faces[:, ::-1]),
            shapedirs=self.shapedirs * flip[:, None],
            posedirs=self.posedirs * flip[:, None] * feature_flip,
            hands_mean=self.hands_mean * axis_flip,
            hands_components=self.hands_components * axis_flip,
            side="left" if self.side == "right" else "right",
        )


def held_side(v_template: Float[np.ndarray, "778 3"]) -> Side:
    """The side of a hand in its rest pose: the right hand's fingers point along -X from the middle of the mesh."""
    tips = v_template[list(tip_vertices())].mean(0)
    return "right" if tips[0] < v_template[:, 0].mean() else "left"


def has_flipped_shapedirs(v_template: Float[np.ndarray, "778 3"], shapedirs: Float[np.ndarray, "778 3 10"]) -> bool:
    """Whether the x column of `shapedirs` has the wrong sign, as in version 1.2 of MANO_LEFT.

    The component that grows the hand most must grow it along x too; with the fault it shrinks there while it grows in y and z.
    """
    centred = v_template - v_template.mean(0)
    growth = np.einsum("va,vak->ak", centred, shapedirs)
    size = np.abs(growth).sum(0).argmax()
    return bool(growth[0, size] * (growth[1, size] + growth[2, size]) < 0)
