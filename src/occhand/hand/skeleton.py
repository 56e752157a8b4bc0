"""Every joint order, permutation and fingertip list of the field, each with its source.

House order (21 joints, thumb first, base to tip): wrist, thumb1-4, index1-4, middle1-4, ring1-4, pinky1-4, where `<finger>4` is the
fingertip. It is the order of HandOccNet's and HandGCAT's outputs, of DexYCB, FreiHAND and MediaPipe.
"""

from __future__ import annotations

from typing import Literal, get_args

from occhand.types import Side

NUM_BETAS = 10

MANO_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
"""The order in which MANO lists its finger joints."""
MANO_JOINT_NAMES = ("wrist", *(f"{finger}{k}" for finger in MANO_FINGERS for k in (1, 2, 3)))
"""The 16 joints that carry a rotation."""
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""Parent of each MANO joint (`kintree_table[0]` of the MANO file)."""

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
JOINT_NAMES = ("wrist", *(f"{finger}{k}" for finger in FINGERS for k in (1, 2, 3, 4)))
"""The house order."""
BONES = tuple((0 if k == 1 else 4 * f + k - 1, 4 * f + k) for f in range(5) for k in (1, 2, 3, 4))
"""(parent, child) pairs of the 20 bones in the house order."""
TIP_JOINTS = (4, 8, 12, 16, 20)
"""Fingertips in the house order, thumb to pinky."""
MOVED_JOINTS = tuple(
    tuple(name != "wrist" and (turned == "wrist" or (turned[:-1] == name[:-1] and turned[-1] < name[-1])) for name in JOINT_NAMES)
    for turned in MANO_JOINT_NAMES
)
"""Whether a joint of the house order moves when one of MANO's 16 turns: MANO's along the rows."""

HO3D_JOINT_NAMES = (*MANO_JOINT_NAMES, *(f"{finger}4" for finger in FINGERS))
"""MANO's 16 joints, then the five tips, thumb first (HO-3D annotations and submissions)."""
FPHA_JOINT_NAMES = ("wrist", *(f"{finger}1" for finger in FINGERS), *(f"{finger}{k}" for finger in FINGERS for k in (2, 3, 4)))
"""Wrist, the five MCP joints, then PIP, DIP, TIP per finger (FPHA `skeleton.txt`)."""

HOUSE_FROM_HO3D = tuple(HO3D_JOINT_NAMES.index(name) for name in JOINT_NAMES)
HO3D_FROM_HOUSE = tuple(JOINT_NAMES.index(name) for name in HO3D_JOINT_NAMES)
HOUSE_FROM_FPHA = tuple(FPHA_JOINT_NAMES.index(name) for name in JOINT_NAMES)

TipSet = Literal["manopth", "freihand", "ho3d", "smplx"]
TIP_SETS: tuple[TipSet, ...] = get_args(TipSet)
_TIP_VERTICES: dict[TipSet, tuple[int, int, int, int, int]] = {
    "manopth": (745, 317, 444, 556, 673),  # manopth, manotorch, HandOccNet, HandGCAT, DexYCB toolkit
    "freihand": (744, 320, 443, 555, 672),  # FreiHAND annotations
    "ho3d": (744, 333, 444, 555, 672),  # HO-3D annotations
    "smplx": (744, 320, 443, 554, 671),  # smplx, HaMeR, WiLoR
}


def tip_vertices(tip_set: TipSet = "manopth", side: Side = "right") -> tuple[int, int, int, int, int]:
    """Vertex ids of the fingertips, thumb to pinky; the published lists lie 2 to 8 mm apart on the mesh.

    Raises:
        ValueError: Unknown tip set.
    """
    if tip_set not in _TIP_VERTICES:
        raise ValueError(f"Unknown fingertip set {tip_set!r}; choose one of {', '.join(TIP_SETS)}.")
    thumb, index, middle, ring, pinky = _TIP_VERTICES[tip_set]
    if tip_set == "manopth" and side == "left":
        middle = 445
    return thumb, index, middle, ring, pinky
