"""Named hand poses: finger angles typed in, and the skin that meets where a pose is a touch.

They are our own, looked at from four sides. Hand-typed thumbs look broken, so thumbs and pinching fingers are only typed roughly;
`tools.open_hand.contact` bends them until skin meets skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from occhand.hand.prior import first_joint
from occhand.hand.skeleton import MANO_FINGERS

Direction = tuple[float, float, float]
"""Along a phalanx's flexion axis (radial; on an opposed thumb ulnar), dorsal axis and bone."""
_PALMAR, _DORSAL, _RADIAL = (0, -1, 0), (0, 1, 0), (1, 0, 0)
_PULP = (0, -1, 1)
"""Half way between palmar and the fingertip, where two bent fingers meet; flat pads meet only if both are straight."""


@dataclass(frozen=True)
class SkinPoint:
    """A point of the skin over a phalanx, and the outward direction there."""

    finger: str
    bone: int
    """0 to 2: the bone from the digit's first, second or third joint."""
    along: float
    """Share of the bone's length from its joint, where the ray to the skin starts."""
    toward: Direction = _PALMAR


Contact = tuple[SkinPoint, SkinPoint]


@dataclass(frozen=True)
class KeyPose:
    """Typed angles in degrees, and the skin that must meet.

    Fingers are (MCP flexion, MCP abduction, PIP, DIP); the thumb is (CMC flexion, abduction, twist, MCP, IP).
    """

    index: tuple[float, float, float, float] = (0, 0, 0, 0)
    middle: tuple[float, float, float, float] = (0, 0, 0, 0)
    ring: tuple[float, float, float, float] = (0, 0, 0, 0)
    pinky: tuple[float, float, float, float] = (0, 0, 0, 0)
    thumb: tuple[float, float, float, float, float] = (0, 0, 0, 0, 0)
    contacts: tuple[Contact, ...] = ()
    moving: tuple[str, ...] = ("thumb",)
    """Digits that reach for the contacts; the others only give way a little."""

    def angles(self) -> Float[np.ndarray, "16 3"]:
        """Radians, MANO's joint order."""
        degrees = np.zeros((16, 3))
        for finger in MANO_FINGERS[:4]:
            first = first_joint(finger)
            degrees[first, 0], degrees[first, 1], degrees[first + 1, 0], degrees[first + 2, 0] = getattr(self, finger)
        first = first_joint("thumb")
        degrees[first], degrees[first + 1, 0], degrees[first + 2, 0] = self.thumb[:3], self.thumb[3], self.thumb[4]
        return np.deg2rad(degrees)


_THUMB_PAD = SkinPoint("thumb", 2, 0.55)
# A thumb across the fist, or against a fingertip, meets them with the side of its pad that pronation turns towards them.
_THUMB_ACROSS = SkinPoint("thumb", 2, 0.6, (-0.8, -1, 0))
_PINCH = ((SkinPoint("thumb", 2, 0.65, (-0.4, -1, 1)), SkinPoint("index", 2, 0.65, _PULP)),)
_OVER_FIST = ((_THUMB_ACROSS, SkinPoint("middle", 1, 0.65, _DORSAL)),)
_MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN = (80, -1, 100, 58), (82, 0, 98, 54), (82, 2, 87, 43)
_FOLDED_THUMB = (20, 40, -30, 40, 35)

KEY_POSES: dict[str, KeyPose] = {
    "flat": KeyPose(),
    "open": KeyPose((-8, 7, 0, 0), (-8, 0, 0, 0), (-8, -6, 0, 0), (-8, -12, 0, 0), (-12, -8, 0, -5, -12)),
    "spread": KeyPose((0, 13, 4, 2), (0, 0, 4, 2), (2, -9, 4, 2), (4, -16, 4, 2), (-10, 14, 0, -4, -6)),
    "loose": KeyPose((12, 4, 18, 8), (10, 0, 20, 10), (12, -2, 22, 12), (14, -6, 22, 12), (5, 10, -5, 8, 10)),
    "relaxed": KeyPose((18, 0, 25, 12), (24, 0, 30, 14), (28, 0, 32, 15), (30, 0, 30, 14), (8, 12, -8, 10, 12)),
    "claw": KeyPose((5, 4, 60, 40), (5, 0, 62, 40), (5, -3, 62, 40), (5, -8, 58, 38), (0, 20, -10, 10, 40)),
    "hook": KeyPose((8, 0, 95, 55), (8, 0, 98, 55), (10, 0, 96, 55), (12, 0, 92, 52), (0, 0, 0, 5, 10)),
    "fist": KeyPose((78, 0, 100, 58), _MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN, _FOLDED_THUMB, _OVER_FIST),
    "point": KeyPose((4, 0, 6, 4), _MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN, _FOLDED_THUMB, _OVER_FIST),
    "thumbs_up": KeyPose((80, 0, 100, 58), _MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN, (-15, -8, 0, -5, -10)),
    "gun": KeyPose((2, 0, 4, 3), _MIDDLE_DOWN, _RING_DOWN, _PINKY_DOWN, (-14, -4, 0, -4, -8)),
    "victory": KeyPose(
        (0, 12, 2, 2), (0, -8, 2, 2), _RING_DOWN, _PINKY_DOWN, _FOLDED_THUMB, ((_THUMB_ACROSS, SkinPoint("ring", 1, 0.4, _DORSAL)),)
    ),
    "three": KeyPose(
        (2, 10, 4, 3), (0, 0, 3, 2), (4, -9, 5, 3), (76, 4, 82, 45), (25, 35, -25, 40, 45),
        ((_THUMB_ACROSS, SkinPoint("pinky", 1, 0.6, _DORSAL)),), ("thumb", "pinky"),
    ),
    "four": KeyPose((0, 7, 3, 2), (0, 1, 3, 2), (2, -6, 3, 2), (4, -12, 4, 3), (35, 20, -15, 45, 45)),
    "call_me": KeyPose((76, 0, 98, 56), _MIDDLE_DOWN, (80, 0, 98, 56), (0, -16, 4, 2), (-15, -4, 0, -5, -10)),
    "horns": KeyPose(
        (2, 6, 4, 3), _MIDDLE_DOWN, _RING_DOWN, (4, -8, 5, 3), _FOLDED_THUMB, _OVER_FIST
    ),
    "love": KeyPose((2, 6, 4, 3), _MIDDLE_DOWN, _RING_DOWN, (4, -10, 5, 3), (-14, -4, 0, -4, -8)),
    "table_top": KeyPose((75, 0, 5, 5), (78, 0, 5, 5), (78, 0, 5, 5), (76, 0, 8, 5), (10, 25, -15, 10, 10)),
    "sphere": KeyPose((30, 10, 35, 20), (32, 0, 36, 20), (34, -8, 36, 20), (36, -14, 34, 18), (5, 40, -25, 12, 15)),
    "cylinder": KeyPose((45, 2, 48, 26), (48, 0, 50, 28), (50, -1, 50, 28), (52, -2, 48, 26), (12, 42, -25, 15, 25)),
    "pinch": KeyPose(
        (58, 0, 56, 28), (46, 0, 44, 26), (38, 0, 40, 22), (32, 0, 34, 18), (15, 30, -20, 15, 25), _PINCH, ("thumb", "index"),
    ),
    "ok": KeyPose(
        (58, 0, 60, 32), (14, 0, 16, 8), (8, -4, 12, 6), (4, -8, 10, 5), (15, 28, -20, 15, 25), _PINCH, ("thumb", "index"),
    ),
    "tripod": KeyPose(
        (56, -2, 54, 28), (60, 2, 56, 28), (64, 0, 66, 34), (64, 0, 64, 34), (15, 32, -20, 15, 25),
        (
            (SkinPoint("thumb", 2, 0.6, (-1.8, -1, 1.2)), SkinPoint("index", 2, 0.6, (-0.8, -1, 0.8))),
            (SkinPoint("thumb", 2, 0.6, (0.2, -1, 1.2)), SkinPoint("middle", 2, 0.6, (0.8, -1, 0.8))),
        ),
        ("thumb", "index", "middle"),
    ),
    "lateral": KeyPose(
        (55, 0, 55, 30), (66, 0, 70, 38), (70, 0, 75, 40), (72, 0, 72, 40), (15, 5, -10, 20, 20),
        ((_THUMB_PAD, SkinPoint("index", 1, 0.6, _RADIAL)),),
    ),
}  # fmt: skip
"""By name; a free hand is drawn from mixtures of them."""
