"""Things to hold: boxes, cans, bottles, cups, mugs, fruit, clamps and tools of household size (as in the YCB set), made anew each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from occhand.synth.distance import Parts, signed_distance
from occhand.synth.primitives import Part, fillet, join, lathe, ring, rounded_box, superquadric

Hold = Literal["power", "precision"]
"""Against the palm with all digits, or between the pads of the thumb and one to four fingers."""


_Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Grip:
    """Where and which way a hand may take an object; its own frame, metres."""

    hold: Hold
    centre: _Vector
    along: _Vector
    """Unit: lies across the palm in a power hold, across the fingers' pads in a precision hold. May be reversed."""
    facing: _Vector
    """Unit, at right angles to `along`: towards the palm, or the fingers' pads."""
    half_thickness: float
    """From the centre to the surface in the direction of `facing`."""
    slide: float = 0.0
    """How far the centre may move either way along `along`."""
    is_round: bool = False
    """`facing` may turn freely about `along`."""


@dataclass(frozen=True)
class SolidObject:
    """A thing without colour: a closed mesh and the signed distance to it, in the thing's own frame, metres."""

    name: str
    kind: str
    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    """Counter-clockwise seen from outside. A thing of several parts is several closed shells that run into each other."""
    parts: Parts
    grips: tuple[Grip, ...]

    def signed_distance(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points"]:
        """Distance of points to the surface, negative inside: exact or on the safe side. Cups, mugs and glasses count as full."""
        return signed_distance(points, self.parts)


def sample_object(rng: np.random.Generator) -> SolidObject:
    """Any of `OBJECTS`, in any of its sizes."""
    return make_object(list(OBJECTS)[rng.choice(len(OBJECTS), p=_object_chances())], rng)


@cache
def _object_chances() -> np.ndarray:
    shares = np.array([share for share, *_ in OBJECTS.values()])
    return shares / shares.sum()


def make_object(name: str, rng: np.random.Generator) -> SolidObject:
    """One named thing.

    Raises:
        ValueError: Unknown name.
    """
    if name not in OBJECTS:
        raise ValueError(f"Unknown object {name!r}; choose one of {', '.join(OBJECTS)}.")
    _, kind, make = OBJECTS[name]
    parts, grips = make(rng)
    vertices, faces, distance = join(parts)
    return SolidObject(name, kind, vertices, faces, distance, tuple(grips))


_Made = tuple[list[Part], list[Grip]]
_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_AXES = (_X, _Y, _Z)
_O = (0.0, 0.0, 0.0)
_WIDEST_POWER, _WIDEST_PRECISION = 0.044, 0.030
"""Half the thickness that still fits the hand."""


def _box_grips(half: Sequence[float]) -> list[Grip]:
    """By any two opposite sides that fit the hand, along a longer edge."""
    grips = []
    for facing in range(3):
        for along in range(3):
            width = half[3 - facing - along] if along != facing else 0.0
            if along == facing or half[along] < half[facing] - 0.004:
                continue
            slide = max(0.0, half[along] - 0.04)
            for sign in (1.0, -1.0):
                x, y, z = _AXES[facing]
                face = (sign * x, sign * y, sign * z)
                if width < 0.044 and half[facing] < 0.036 and half[along] > 0.03:
                    grips.append(Grip("power", _O, _AXES[along], face, half[facing], slide))
                if half[facing] < _WIDEST_PRECISION:
                    grips.append(Grip("precision", _O, _AXES[along], face, half[facing], max(0.0, half[along] - 0.012)))
    return grips


def _round_grips(radius: float, half_length: float, height: float = 0.0) -> list[Grip]:
    """Around the z axis at a height where the radius holds for the given length either way."""
    grips = []
    centre = (0.0, 0.0, height)
    if radius < _WIDEST_POWER and half_length > 0.02:
        grips.append(Grip("power", centre, _Z, _X, radius, max(0.0, half_length - 0.035), is_round=True))
    if radius < _WIDEST_PRECISION:
        grips.append(Grip("precision", centre, _Z, _X, radius, max(0.0, half_length - 0.01), is_round=True))
    return grips


def _box(smallest: _Vector, largest: _Vector, edge: float) -> Callable[[np.random.Generator], _Made]:
    def make(rng: np.random.Generator) -> _Made:
        half = tuple(float(h) for h in rng.uniform(smallest, largest))
        return [rounded_box(half, min(edge * rng.uniform(0.7, 1.5), 0.9 * min(half)))], _box_grips(half)

    return make


def _can(rng: np.random.Generator) -> _Made:
    r, h = rng.uniform(0.020, 0.043), rng.uniform(0.03, 0.075)
    rim = rng.uniform(0.001, 0.006)
    return [lathe(fillet([(0, -h, 0), (r, -h, rim), (r, h, rim), (0, h, 0)]))], _round_grips(r, h)


def _tube(rng: np.random.Generator) -> _Made:
    r, h = rng.uniform(0.010, 0.022), rng.uniform(0.06, 0.13)
    return [lathe(fillet([(0, -h, 0), (r, -h, 0.002), (r, h, 0.002), (0, h, 0)]))], _round_grips(r, h)


def _bottle(rng: np.random.Generator) -> _Made:
    r, h = rng.uniform(0.022, 0.042), rng.uniform(0.075, 0.13)
    neck, cap = r * rng.uniform(0.32, 0.5), h * rng.uniform(0.16, 0.24)
    shoulder, top = h * rng.uniform(0.05, 0.45), h - 1.6 * cap
    waist = r * rng.uniform(0.86, 1.0)
    outline = [(0, -h, 0), (r, -h, 0.008), (r, -0.7 * h, 0.02), (waist, -0.3 * h, 0.02), (r, shoulder, 0.02), (neck, top, 0.02)]
    outline += [(neck, h - cap, 0), (1.25 * neck, h - cap, 0.001), (1.25 * neck, h, 0.002), (0, h, 0)]
    return [lathe(fillet(outline, 3))], _round_grips(r, (shoulder + h) / 2, (shoulder - h) / 2) + _round_grips(
        1.25 * neck, cap / 2, h - cap / 2
    )


def _cup(rng: np.random.Generator) -> _Made:
    h, r = rng.uniform(0.04, 0.065), rng.uniform(0.030, 0.042)
    foot = r * rng.uniform(0.68, 1.0)
    return [_vessel(foot, r, h)], _round_grips((foot + r) / 2, h)


def _bowl(rng: np.random.Generator) -> _Made:
    r, h = rng.uniform(0.05, 0.075), rng.uniform(0.02, 0.03)
    outside = [(0, -h, 0), (0.5 * r, -h, 0.004), (0.85 * r, -0.2 * h, 0.03), (r, h, 0.001)]
    inside = [(r - 0.004, h, 0.001), (0.82 * r - 0.003, -0.1 * h, 0.03), (0.45 * r, -h + 0.005, 0.004), (0, -h + 0.005, 0)]
    rim = (0.96 * r - 0.002, 0.0, 0.5 * h)
    # A thumb inside and fingers outside, or the other way round: unlike a cup it is not full.
    return [lathe(fillet([*outside, *inside]))], [Grip("precision", rim, _Y, side, 0.003) for side in (_X, (-1.0, 0.0, 0.0))]


def _vessel(foot: float, rim: float, h: float) -> Part:
    wall = 0.003
    full = [(0, -h, 0), (foot, -h, 0.004), (rim, h, 0.001)]
    inside = [(rim - wall, h, 0.001), (foot - wall, -h + 2 * wall, 0.004), (0, -h + 2 * wall, 0)]
    return lathe(fillet([*full, (0, h, 0)]), fillet([*full, *inside]))


def _mug(rng: np.random.Generator) -> _Made:
    h, r = rng.uniform(0.040, 0.055), rng.uniform(0.036, 0.042)
    bend, tube = rng.uniform(0.024, 0.030), rng.uniform(0.0045, 0.006)
    # The ring lies in its xy plane about +y: y becomes the mug's x, x its height.
    upright = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    handle = ring(bend, tube, 1.5).placed((r + 0.001, 0.0, 0.0), upright)  # its ends stay within the wall
    grip = Grip("power", (r + bend, 0.0, 0.0), _Z, _X, tube, 0.004)
    return [_vessel(0.96 * r, r, h), handle], [grip, grip, *_round_grips(r, h)]


def _glass(rng: np.random.Generator) -> _Made:
    r, h = rng.uniform(0.028, 0.038), rng.uniform(0.035, 0.05)
    stem, length, foot = rng.uniform(0.0035, 0.005), rng.uniform(0.05, 0.08), rng.uniform(0.028, 0.036)
    low = -h - length
    full = [
        (0, low, 0),
        (foot, low, 0.001),
        (foot, low + 0.003, 0.001),
        (stem, low + 0.008, 0.008),
        (stem, -h, 0.01),
        (r, -0.2 * h, 0.03),
        (0.85 * r, h, 0.001),
    ]
    inside = [(0.85 * r - 0.002, h, 0.0005), (r - 0.003, -0.2 * h, 0.03), (0, -h + 0.006, 0)]
    stem_grip = Grip("precision", (0.0, 0.0, -h - length / 2), _Z, _X, stem, length / 4, is_round=True)
    return [lathe(fillet([*full, (0, h, 0)]), fillet([*full, *inside]))], [stem_grip, *_round_grips(r, 0.03, 0.0)]


def _fruit(rng: np.random.Generator) -> _Made:
    r = rng.uniform(0.022, 0.040)
    half = (r, r * rng.uniform(0.9, 1.0), r * rng.uniform(0.85, 1.5))
    return [superquadric(half)], [*_round_grips(r, half[2]), Grip("power", _O, _X, _Z, half[2], is_round=False)][
        : 3 if half[2] < 0.044 else 1
    ]


def _banana(rng: np.random.Generator) -> _Made:
    radius, tube = rng.uniform(0.09, 0.13), rng.uniform(0.014, 0.018)
    half = rng.uniform(0.07, 0.09) / radius
    body = ring(radius, tube, half).placed((0.0, -radius, 0.0))
    faces = (_Y, (0.0, -1.0, 0.0), _Z)
    return [body], [Grip("power", _O, _X, face, tube, 0.02) for face in faces] + [
        Grip("precision", _O, _X, face, tube, 0.03) for face in faces
    ]


def _lump(rng: np.random.Generator) -> _Made:
    half = tuple(float(v) for v in rng.uniform((0.016, 0.022, 0.03), (0.032, 0.036, 0.09)))
    return [superquadric(half, rng.uniform(0.25, 0.9), rng.uniform(0.25, 0.9))], _box_grips(half)


def _clamp(rng: np.random.Generator) -> _Made:
    """A C of three bars with a screw through the lower one."""
    bar, depth, height = rng.uniform(0.006, 0.009), rng.uniform(0.022, 0.035), rng.uniform(0.035, 0.055)
    back = rounded_box((bar, bar, height), 0.003)
    arms = [rounded_box((depth, bar, bar), 0.003).placed((depth - bar, 0.0, sign * (height - bar))) for sign in (1.0, -1.0)]
    screw, knob = rng.uniform(0.004, 0.006), rng.uniform(0.009, 0.013)
    top, low = -0.3 * height, -height - 0.05
    outline = [(0, low, 0), (knob, low, 0.003), (knob, low + 0.025, 0.003), (screw, low + 0.028, 0.002), (screw, top - 0.006, 0)]
    outline += [(1.7 * screw, top - 0.006, 0.001), (1.7 * screw, top, 0.001), (0, top, 0)]
    spindle = lathe(fillet(outline, 3)).placed((1.6 * depth, 0.0, 0.0))
    x = 1.6 * depth
    knob_grip = Grip("precision", (x, 0.0, low + 0.0125), _Z, _X, knob, 0.004, is_round=True)
    hold_back = Grip("power", _O, _Z, (-1.0, 0.0, 0.0), bar, 0.01)
    return [back, *arms, spindle], [knob_grip, hold_back]


def _pen(rng: np.random.Generator) -> _Made:
    r, h = rng.uniform(0.0038, 0.0075), rng.uniform(0.062, 0.078)
    tip = rng.uniform(0.010, 0.018)
    body = lathe(fillet([(0, -h, 0), (0.25 * r, -h + 0.001, 0), (r, -h + tip, 0.003), (r, h, 0.002), (0, h, 0)]))
    return [body], [Grip("precision", (0.0, 0.0, -h + tip + 0.022), _Z, _X, r, 0.008, is_round=True)]


def _screwdriver(rng: np.random.Generator) -> _Made:
    r, handle, shaft, length = rng.uniform(0.011, 0.016), rng.uniform(0.09, 0.11), rng.uniform(0.0028, 0.004), rng.uniform(0.07, 0.13)
    outline = [
        (0, 0, 0),
        (r, 0, 0.006),
        (r, 0.7 * handle, 0.01),
        (0.65 * r, 0.85 * handle, 0.01),
        (0.8 * r, handle, 0.003),
        (shaft, handle, 0),
    ]
    outline += [(shaft, handle + length, 0.001), (0, handle + length, 0)]
    return [lathe(fillet(outline, 3))], [
        *_round_grips(r, handle / 2, handle / 2),
        Grip("precision", (0.0, 0.0, handle * 0.8), _Z, _X, 0.7 * r, 0.01, True),
    ]


def _spoon(rng: np.random.Generator) -> _Made:
    length, width, thick = rng.uniform(0.055, 0.075), rng.uniform(0.0045, 0.007), rng.uniform(0.0022, 0.003)
    bowl = (rng.uniform(0.015, 0.022), 0.0045, rng.uniform(0.022, 0.032))
    handle = rounded_box((width, thick, length), 0.9 * thick)
    scoop = superquadric(bowl).placed((0.0, -0.001, length + 0.85 * bowl[2]))
    centre = (0.0, 0.0, -0.3 * length)
    return [handle, scoop], [Grip("precision", centre, _Z, face, thick, 0.02) for face in (_Y, (0.0, -1.0, 0.0), _X)]


def _knife(rng: np.random.Generator) -> _Made:
    handle = (0.0075, rng.uniform(0.010, 0.013), rng.uniform(0.045, 0.058))
    blade = (0.0015, rng.uniform(0.010, 0.018), rng.uniform(0.05, 0.09))
    parts = [rounded_box(handle, 0.006), rounded_box(blade, 0.001).placed((0.0, 0.0, handle[2] + blade[2] - 0.003))]
    grips = [
        Grip("power", _O, _Z, face, t, 0.01) for face, t in ((_X, handle[0]), ((0.0, 1.0, 0.0), handle[1]), ((0.0, -1.0, 0.0), handle[1]))
    ]
    return parts, grips


def _hammer(rng: np.random.Generator) -> _Made:
    r, length = rng.uniform(0.011, 0.016), rng.uniform(0.10, 0.14)
    handle = superquadric((0.85 * r, r, length), 0.35, 0.9)
    reach, face = rng.uniform(0.035, 0.055), rng.uniform(0.010, 0.015)
    sideways = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    head = lathe(fillet([(0, -reach, 0), (face, -reach, 0.002), (0.75 * face, 0.0, 0.01), (face, reach, 0.002), (0, reach, 0)], 3))
    return [handle, head.placed((0.0, 0.0, length - 0.012), sideways)], _round_grips(r, 0.6 * length, -0.35 * length)[:1]


def _drill(rng: np.random.Generator) -> _Made:
    """A pistol: a body across a handle."""
    r, length = rng.uniform(0.022, 0.028), rng.uniform(0.06, 0.08)
    half = (rng.uniform(0.020, 0.025), rng.uniform(0.015, 0.018), rng.uniform(0.05, 0.06))
    forward = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    outline = [
        (0, -length, 0),
        (r, -length, 0.006),
        (r, 0.5 * length, 0.01),
        (0.5 * r, 0.8 * length, 0.004),
        (0.3 * r, 1.3 * length, 0.003),
        (0, 1.3 * length, 0),
    ]
    body = lathe(fillet(outline, 3)).placed((0.02, 0.0, half[2] + 0.7 * r), forward)
    foot = rounded_box((half[0] + 0.012, half[1] + 0.01, 0.012), 0.004).placed((0.008, 0.0, -half[2]))
    return [superquadric(half, 0.3, 0.6), body, foot], [Grip("power", (0.0, 0.0, 0.008), _Z, (-1.0, 0.0, 0.0), half[0], 0.004)]


def _brush(rng: np.random.Generator) -> _Made:
    r, length = rng.uniform(0.0045, 0.0065), rng.uniform(0.075, 0.095)
    handle = superquadric((r, 0.75 * r, length), 0.3, 0.8)
    head = rounded_box((0.006, 0.007, 0.013), 0.002).placed((0.0, 0.006, length - 0.012))
    return [handle, head], [
        Grip("precision", (0.0, 0.0, -0.3 * length), _Z, _Y, 0.75 * r, 0.02, True),
        *_round_grips(r, 0.5 * length, -0.3 * length)[:1],
    ]


def _disc(rng: np.random.Generator) -> _Made:
    """A lid, a tin or a puck."""
    r, h = rng.uniform(0.022, 0.042), rng.uniform(0.006, 0.018)
    rim = min(0.004, 0.5 * h)
    edge = [Grip("precision", (0.6 * r, 0.0, 0.0), _Y, face, h) for face in (_Z, (0.0, 0.0, -1.0))]
    return [lathe(fillet([(0, -h, 0), (r, -h, rim), (r, h, rim), (0, h, 0)]))], [*edge, *_round_grips(r, h)]


OBJECTS: dict[str, tuple[float, str, Callable[[np.random.Generator], _Made]]] = {
    "packet": (1.5, "box", _box((0.016, 0.026, 0.055), (0.029, 0.042, 0.105), 0.003)),
    "block": (1.0, "box", _box((0.016, 0.018, 0.020), (0.030, 0.032, 0.045), 0.002)),
    "phone": (1.0, "box", _box((0.0035, 0.030, 0.065), (0.0055, 0.039, 0.082), 0.003)),
    "book": (0.7, "box", _box((0.006, 0.050, 0.075), (0.018, 0.075, 0.110), 0.002)),
    "remote": (1.0, "box", _box((0.008, 0.018, 0.060), (0.013, 0.026, 0.100), 0.005)),
    "soap": (0.7, "box", _box((0.012, 0.022, 0.032), (0.018, 0.032, 0.050), 0.009)),
    "can": (1.5, "cylinder", _can),
    "tube": (1.0, "cylinder", _tube),
    "bottle": (1.5, "lathe", _bottle),
    "cup": (1.0, "lathe", _cup),
    "bowl": (0.6, "lathe", _bowl),
    "glass": (0.6, "lathe", _glass),
    "tin": (0.7, "lathe", _disc),
    "mug": (1.3, "mug", _mug),
    "fruit": (1.5, "ellipsoid", _fruit),
    "banana": (0.7, "ring", _banana),
    "lump": (1.0, "superquadric", _lump),
    "clamp": (0.7, "clamp", _clamp),
    "pen": (1.2, "tool", _pen),
    "screwdriver": (1.0, "tool", _screwdriver),
    "spoon": (0.8, "tool", _spoon),
    "knife": (0.7, "tool", _knife),
    "hammer": (0.7, "tool", _hammer),
    "drill": (0.7, "tool", _drill),
    "brush": (0.8, "tool", _brush),
}
"""Share (relative), kind and maker of every thing."""
