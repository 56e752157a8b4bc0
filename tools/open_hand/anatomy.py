"""Bone lengths, breadths and the rest skeleton that the open hand is built from.

Everything here and in the other build steps is in millimetres, in the frame (forward to the fingers, radial to the thumb side, dorsal to
the back of the hand), wrist joint at 0. `to_metres` gives the exported frame: fingers -X, palm -Y, thumb +Z, wrist joint at x = 0.1 m.

Bone lengths are the means of Buryanov and Kotiuk, Int J Morphol 28 (2010) 755 (66 adults). Where a bone begins, where it points and how
thick a finger is were chosen by us against gross anthropometry (hand length 184 mm, breadth 83 mm at the knuckles).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from occhand.hand.skeleton import MANO_FINGERS

FIRST_JOINT = {finger: 1 + 3 * i for i, finger in enumerate(MANO_FINGERS)}
"""The joint (MCP, or the thumb's CMC) at which a finger begins."""

METACARPAL_MM = {"index": 68.1, "middle": 64.6, "ring": 58.0, "pinky": 53.7, "thumb": 46.2}
PHALANGES_MM = {
    "index": (39.8, 22.4, 15.8 + 3.8),
    "middle": (44.6, 26.3, 17.4 + 4.4),
    "ring": (41.4, 25.7, 17.3 + 4.0),
    "pinky": (32.7, 18.1, 16.0 + 3.7),
    "thumb": (46.2, 31.6, 21.7 + 5.7),
}
"""Segments from each joint of the tree to the next, the last with its soft tip; the thumb's first is its metacarpal."""

METACARPAL_BASE = {"index": (25, 12, 1), "middle": (27, 2, 2.5), "ring": (26, -8, 1), "pinky": (23, -16, -2), "thumb": (17, 21, -9)}
METACARPAL_DIRECTION = {"index": (66.5, 12.5, 1.5), "middle": (64.6, 1.9, 2.0), "ring": (57.4, -7.8, 0.5), "pinky": (50.6, -17.5, -3.0)}
FINGER_DIRECTION = {"index": (1, 0.10, -0.02), "middle": (1, 0, -0.02), "ring": (1, -0.115, -0.03), "pinky": (1, -0.27, -0.04)}
PALMAR_BEND = (0.0, 0.07, 0.06)
"""What each phalanx turns towards the palm in rest, radians."""
THUMB_DIRECTIONS = ((0.74, 0.60, -0.30), (0.84, 0.50, -0.20), (0.90, 0.42, -0.12))
THUMB_DORSAL = (-0.45, 0.70, 0.55)
"""Where the thumb's nail looks; the pad then faces the index finger."""

HALF_BREADTH_MM = {
    "index": (11.3, 10.6, 9.2, 7.5),
    "middle": (11.5, 10.7, 9.3, 7.6),
    "ring": (10.8, 10.0, 8.8, 7.3),
    "pinky": (9.6, 8.8, 7.8, 6.6),
    "thumb": (13.6, 11.5, 11.1, 9.0),
}
"""At the base, the PIP, the DIP and the tip; for the thumb at the MCP, before the IP, at the IP and the tip."""

METRES_FROM_MM = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]) / 1000.0
"""A proper rotation (and the unit), so axis-angles keep their sense: +Z flexes the four fingers."""
WRIST_AT = np.array([0.1, 0.0, 0.0])


def _ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


@dataclass(frozen=True)
class HandShape:
    """Factors on the mean hand, size apart; fingers in the order of `MANO_FINGERS`."""

    finger_length: Float[np.ndarray, "5"] = field(default_factory=lambda: _ones(5))
    segment_length: Float[np.ndarray, "5 3"] = field(default_factory=lambda: _ones(5, 3))
    finger_breadth: Float[np.ndarray, "5"] = field(default_factory=lambda: _ones(5))
    tip_breadth: float = 1.0
    palm_length: float = 1.0
    palm_breadth: float = 1.0
    palm_depth: float = 1.0
    thenar: float = 1.0
    hypothenar: float = 1.0


def unit(vector: Float[np.ndarray, "3"] | tuple[float, ...]) -> Float[np.ndarray, "3"]:
    """The vector at length 1."""
    array = np.asarray(vector, dtype=np.float64)
    return array / np.linalg.norm(array)


def skeleton(shape: HandShape) -> dict[str, Float[np.ndarray, "4 3"]]:
    """Three joints and the tip of each finger in rest, mm."""
    palm = np.array([shape.palm_length, shape.palm_breadth, 1.0])
    chains = {}
    for i, finger in enumerate(MANO_FINGERS):
        lengths = np.array(PHALANGES_MM[finger]) * shape.finger_length[i] * shape.segment_length[i]
        joint = np.array(METACARPAL_BASE[finger]) * palm
        if finger == "thumb":
            lengths[0] *= shape.palm_length / shape.finger_length[i] * (0.5 + 0.5 * shape.finger_length[i])
            directions = [unit(d) for d in THUMB_DIRECTIONS]
        else:
            joint = joint + unit(METACARPAL_DIRECTION[finger]) * METACARPAL_MM[finger] * palm
            direction, directions = unit(FINGER_DIRECTION[finger]), []
            for bend in PALMAR_BEND:
                direction = unit(direction - np.array([0.0, 0.0, bend]))
                directions.append(direction)
        points = [joint]
        for length, direction in zip(lengths, directions, strict=True):
            points.append(points[-1] + length * direction)
        chains[finger] = np.array(points)
    return chains


def dorsal(finger: str, chain: Float[np.ndarray, "4 3"]) -> Float[np.ndarray, "3"]:
    """Unit vector to the back of a finger, square to it."""
    along = unit(chain[3] - chain[0])
    up = np.array(THUMB_DORSAL if finger == "thumb" else (0.0, 0.0, 1.0))
    return unit(up - along * (along @ up))


def joints16(shape: HandShape) -> Float[np.ndarray, "16 3"]:
    """Wrist and finger joints in MANO's order, mm."""
    chains = skeleton(shape)
    return np.concatenate([np.zeros((1, 3)), *(chains[f][:3] for f in MANO_FINGERS)])


def tips(shape: HandShape) -> Float[np.ndarray, "5 3"]:
    """Finger tips in the order of `MANO_FINGERS`, mm."""
    chains = skeleton(shape)
    return np.stack([chains[f][3] for f in MANO_FINGERS])


def to_metres(points: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 3"]:
    """From the build frame (mm) to the exported one (metres, MANO's axes)."""
    return points @ METRES_FROM_MM.T + WRIST_AT


def to_mm(points: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 3"]:
    """The inverse of `to_metres`."""
    return (points - WRIST_AT) @ np.linalg.inv(METRES_FROM_MM).T


def distance_to_segment(points: Float[np.ndarray, "n 3"], a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> Float[np.ndarray, "n"]:
    """Distance of points to the segment a-b."""
    ab = b - a
    t = np.clip((points - a) @ ab / (ab @ ab), 0.0, 1.0)
    return np.linalg.norm(points - a - t[:, None] * ab, axis=1)
