"""The implicit surface of the hand: some 60 capsules and ellipsoids, smoothly joined.

The value is a distance in mm near the surface, negative inside. A hand is a short program for two registers: primitives are joined to a
`digit` or to the `body`, and a finished digit is joined to the body. The order of the joins matters, because a smooth minimum of three is
not associative: the palm comes first, then thumb muscle, webs and hollow, then the fingers.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from occhand.hand.skeleton import MANO_FINGERS
from tools.open_hand.anatomy import FIRST_JOINT, HALF_BREADTH_MM, HandShape, dorsal, skeleton, unit

CAPSULE, ELLIPSOID, JOIN_DIGIT = 0, 1, 2
DORSAL = np.array([0.0, 0.0, 1.0])


class Field:
    """The surface of one hand shape.

    Primitives are added by `capsule` and `ellipsoid`; `blend` is the width in mm over which a join is rounded, `bone` the joint of
    MANO's tree that a primitive moves with.
    """

    def __init__(self) -> None:
        self._kinds: list[tuple[int, int, int]] = []
        self._bones: list[tuple[int, int]] = []
        self._numbers: list[np.ndarray] = []
        self.to_digit = False

    def _add(self, kind: int, blend: float, numbers: np.ndarray, bones: tuple[int, int] = (0, 0), sign: int = 1) -> None:
        row = np.zeros(17)
        row[0] = blend
        row[1 : 1 + len(numbers)] = numbers
        self._kinds.append((kind, int(self.to_digit), sign))
        self._bones.append(bones)
        self._numbers.append(row)

    def capsule(
        self,
        a: np.ndarray,
        b: np.ndarray,
        radii: tuple[float, float],
        blend: float,
        bone: int | tuple[int, int] = 0,
        flat: float = 1.0,
        up: np.ndarray = DORSAL,
    ) -> None:
        """A rod from a to b whose radius runs linearly; `flat` < 1 presses it along `up`. Its ends may move with two bones."""
        self._add(CAPSULE, blend, np.concatenate([a, b, radii, [1 / flat - 1], up]), (bone, bone) if isinstance(bone, int) else bone)

    def ellipsoid(self, centre: np.ndarray, axes: np.ndarray, radii: np.ndarray, blend: float, bone: int = 0, cut: bool = False) -> None:
        """An ellipsoid with the rows of `axes`; `cut` takes it away instead."""
        self._add(ELLIPSOID, blend, np.concatenate([centre, axes.reshape(9), radii]), (bone, bone), -1 if cut else 1)

    def posed(self, rotations: Float[np.ndarray, "16 3 3"], translations: Float[np.ndarray, "16 3"]) -> Field:
        """The same primitives moved with their bones, each taking x to R x + t."""
        field = Field()
        field._kinds, field._bones = self._kinds, self._bones
        for (kind, _, _), (first, second), row in zip(self._kinds, self._bones, self._numbers, strict=True):
            R, moved = rotations[first], row.copy()
            moved[1:4] = R @ row[1:4] + translations[first]
            if kind == CAPSULE:
                moved[4:7] = rotations[second] @ row[4:7] + translations[second]
                moved[10:13] = R @ row[10:13]
            elif kind == ELLIPSOID:
                moved[4:13] = (row[4:13].reshape(3, 3) @ R.T).ravel()
            field._numbers.append(moved)
        return field

    def join_digit(self, blend: float) -> None:
        """Join the finished digit to the body."""
        self._add(JOIN_DIGIT, blend, np.zeros(0))

    @property
    def program(self) -> tuple[Int[np.ndarray, "steps 3"], Float[np.ndarray, "steps 17"]]:
        """Step kinds (kind, register, sign) and their numbers."""
        return np.array(self._kinds), np.array(self._numbers)

    def distance(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        """Signed distance at the points, mm."""
        return _distances(np.ascontiguousarray(points, dtype=np.float64), *self.program)

    def distance_and_gradient(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
        """Signed distance and its gradient by central differences."""
        return _gradients(np.ascontiguousarray(points, dtype=np.float64), *self.program)

    def project(
        self, points: Float[np.ndarray, "n 3"], steps: int, in_plane: Float[np.ndarray, "n"] | None = None
    ) -> Float[np.ndarray, "n 3"]:
        """Newton steps onto the surface; points flagged by `in_plane` (1 or 0) keep their forward coordinate."""
        points = np.array(points, dtype=np.float64)
        for _ in range(steps):
            value, gradient = self.distance_and_gradient(points)
            if in_plane is not None:
                gradient[:, 0] *= 1 - in_plane
            step = (value / np.maximum((gradient**2).sum(1), 0.05))[:, None] * gradient
            length = np.linalg.norm(step, axis=1, keepdims=True)
            points -= step * np.minimum(1.0, 2.5 / np.maximum(length, 1e-9))
        return points


@no_type_check
@njit(cache=True)
def _smooth_min(a, b, blend):
    h = max(blend - abs(a - b), 0.0) / max(blend, 1e-9)
    return min(a, b) - h * h * h * blend / 6.0


@no_type_check
@njit(cache=True)
def _capsule(x, y, z, n):
    abx, aby, abz = n[4] - n[1], n[5] - n[2], n[6] - n[3]
    qx, qy, qz = x - n[1], y - n[2], z - n[3]
    t = (qx * abx + qy * aby + qz * abz) / (abx * abx + aby * aby + abz * abz)
    t = min(max(t, 0.0), 1.0)
    vx, vy, vz = qx - t * abx, qy - t * aby, qz - t * abz
    h = (vx * n[10] + vy * n[11] + vz * n[12]) * n[9]
    vx, vy, vz = vx + h * n[10], vy + h * n[11], vz + h * n[12]
    return np.sqrt(vx * vx + vy * vy + vz * vz + 1e-9) - (n[7] + (n[8] - n[7]) * t)


@no_type_check
@njit(cache=True)
def _ellipsoid(x, y, z, n):
    qx, qy, qz = x - n[1], y - n[2], z - n[3]
    outer, inner = 1e-9, 1e-9
    for i in range(3):
        u = (qx * n[4 + 3 * i] + qy * n[5 + 3 * i] + qz * n[6 + 3 * i]) / n[13 + i]
        outer += u * u
        inner += u * u / (n[13 + i] * n[13 + i])
    k = np.sqrt(outer)
    return k * (k - 1.0) / np.sqrt(inner)


@no_type_check
@njit(cache=True)
def _distance(x, y, z, kinds, numbers, steps, each):
    """The program's value from some of its steps; `each` takes what every primitive gave."""
    body, digit = 1e9, 1e9
    for i in steps:
        n = numbers[i]
        if kinds[i, 0] == JOIN_DIGIT:
            body, digit = _smooth_min(body, digit, n[0]), 1e9
            continue
        d = _capsule(x, y, z, n) if kinds[i, 0] == CAPSULE else _ellipsoid(x, y, z, n)
        each[i] = d
        if kinds[i, 1] == 1:
            digit = _smooth_min(digit, d, n[0])
        elif kinds[i, 2] > 0:
            body = _smooth_min(body, d, n[0])
        else:
            body = -_smooth_min(-body, d, n[0])
    return body


@no_type_check
@njit(cache=True)
def _distances(points, kinds, numbers):
    out, steps, each = np.empty(points.shape[0]), np.arange(kinds.shape[0]), np.zeros(kinds.shape[0])
    for i in range(points.shape[0]):
        out[i] = _distance(points[i, 0], points[i, 1], points[i, 2], kinds, numbers, steps, each)
    return out


@no_type_check
@njit(cache=True)
def _gradients(points, kinds, numbers):
    """Central differences; primitives further away than the blends reach are left out (they change it by 1e-7)."""
    reach, e = 40.0, 0.02
    steps, each, other = np.arange(kinds.shape[0]), np.zeros(kinds.shape[0]), np.zeros(kinds.shape[0])
    value, gradient = np.empty(points.shape[0]), np.empty(points.shape)
    shift = np.zeros(3)
    for i in range(points.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        value[i] = _distance(x, y, z, kinds, numbers, steps, each)
        near = steps[(kinds[:, 0] == JOIN_DIGIT) | (each < value[i] + reach)]
        for axis in range(3):
            shift[axis] = e
            ahead = _distance(x + shift[0], y + shift[1], z + shift[2], kinds, numbers, near, other)
            behind = _distance(x - shift[0], y - shift[1], z - shift[2], kinds, numbers, near, other)
            gradient[i, axis] = (ahead - behind) / (2 * e)
            shift[axis] = 0.0
    return value, gradient


def _axes(along: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Rows: along, sideways, up."""
    x = unit(along)
    z = unit(up - x * (x @ up))
    return np.stack([x, np.cross(z, x), z])


def hand_field(shape: HandShape) -> Field:
    """The implicit surface of a hand shape in rest."""
    field = Field()
    chains = skeleton(shape)
    _palm(field, shape, chains)
    _thumb_base(field, shape, chains)
    _pads_and_webs(field, shape, chains)
    field.to_digit = True
    for i, finger in enumerate(MANO_FINGERS):
        breadth = (
            np.array(HALF_BREADTH_MM[finger]) * shape.finger_breadth[i] * np.array([1, 1, 0.5 + 0.5 * shape.tip_breadth, shape.tip_breadth])
        )
        if finger == "thumb":
            _thumb(field, chains[finger], breadth, shape.finger_breadth[i])
        else:
            _finger(field, finger, chains[finger], breadth)
    return field


METACARPAL_AXIS_BASE = {"index": (22, 11, -3), "middle": (24, 2, -2), "ring": (23, -8, -3), "pinky": (20, -15.5, -5)}
METACARPAL_RADIUS_MM = {"index": (14, 12.0), "middle": (14, 11.6), "ring": (13.5, 11.0), "pinky": (13.5, 10.8)}


def _on_palm(shape: HandShape, finger: str) -> np.ndarray:
    return np.array(METACARPAL_AXIS_BASE[finger]) * np.array([shape.palm_length, shape.palm_breadth, 1.0])


def _palm(field: Field, shape: HandShape, chains: dict[str, np.ndarray]) -> None:
    for finger, radii in METACARPAL_RADIUS_MM.items():
        base, head = (r * shape.palm_depth for r in radii)
        field.capsule(_on_palm(shape, finger), chains[finger][0] + np.array([-3, 0, -1.5]), (base, head), blend=13)
    breadth = shape.palm_breadth
    field.capsule(np.array([-60.0, 0, -3]), np.array([14.0, 0, -3]), (28.5 * breadth, 28.0 * breadth), blend=20, flat=0.70)


def _thumb_base(field: Field, shape: HandShape, chains: dict[str, np.ndarray]) -> None:
    """Thumb metacarpal, ball of the thumb, first web, ball of the little finger."""
    thumb, muscle, bone = chains["thumb"], shape.thenar, FIRST_JOINT["thumb"]
    # The ball blends into the metacarpal before both blend into the palm, hence the digit register.
    field.to_digit = True
    radii = 14.5 * muscle, 12.0 * shape.finger_breadth[4]
    field.capsule(thumb[0] * 0.9 + np.array([0, -3, -1]), thumb[1], radii, blend=0, bone=(0, bone))
    ball = 0.48 * thumb[0] + 0.52 * thumb[1] + np.array([0, -9, -5])
    field.ellipsoid(ball, _axes(thumb[1] - thumb[0], -DORSAL), np.array([31, 16.5, 14]) * muscle, blend=12, bone=bone)
    field.join_digit(blend=14)
    field.to_digit = False
    web_thumb = 0.30 * thumb[0] + 0.70 * thumb[1] + np.array([0, 0, 1])
    web_index = 0.35 * _on_palm(shape, "index") + 0.65 * chains["index"][0] + np.array([0, 2, -4])
    field.capsule(web_thumb, web_index, (7.0, 8.0), blend=16, bone=(bone, 0))
    base, head = _on_palm(shape, "pinky"), chains["pinky"][0]
    ball = 0.5 * base + 0.5 * head + np.array([-6, -4, -7])
    field.ellipsoid(ball, _axes(head - base, -DORSAL), np.array([30, 13, 12.5]) * shape.hypothenar, blend=12)


def _pads_and_webs(field: Field, shape: HandShape, chains: dict[str, np.ndarray]) -> None:
    """Pads under the knuckles, webs between the fingers, the hollow of the palm, the knuckles."""
    neighbours = (("index", "middle", 0.40), ("middle", "ring", 0.40), ("ring", "pinky", 0.42))
    for a, b, _ in neighbours:
        field.ellipsoid(0.5 * (chains[a][0] + chains[b][0]) + np.array([-7, 0, -7]), np.eye(3), np.array([12.0, 11, 7.5]), blend=8)
    for a, b, reach in neighbours:
        web_a, web_b = ((1 - reach) * chains[f][0] + reach * chains[f][1] + np.array([-6, 0, -3]) for f in (a, b))
        field.capsule(web_a, web_b, (6.5, 6.5), blend=9, bone=(FIRST_JOINT[a], FIRST_JOINT[b]))
        field.ellipsoid(0.5 * (chains[a][0] + chains[b][0]) + np.array([2, 0, -3]), np.eye(3), np.array([13.0, 9, 9]), blend=9)
    hollow = (chains["index"][0] + chains["middle"][0] + chains["ring"][0]) / 3 * np.array([0.62, 1, 1]) + np.array([0, -2, -27])
    field.ellipsoid(hollow, np.eye(3), np.array([30, 19, 13.5]), blend=9, cut=True)
    for finger in ("index", "middle", "pinky", "ring"):
        field.ellipsoid(chains[finger][0] + np.array([-1.5, 0, 5.0]), np.eye(3), np.array([11, 6.5, 5.2]), blend=9)


def _finger(field: Field, finger: str, chain: np.ndarray, r: np.ndarray) -> None:
    """Two capsules per phalanx with a slight waist, palmar pads, a dorsal bump at the PIP."""
    up, along, bone = dorsal(finger, chain), unit(chain[3] - chain[0]), FIRST_JOINT[finger]
    lengths = np.linalg.norm(np.diff(chain, axis=0), axis=1)
    mcp, pip, dip, tip = chain

    middle, waist = 0.5 * (mcp + pip), 0.485 * (r[0] + r[1])
    field.capsule(mcp - 4 * along - up, middle, (r[0], waist), blend=0, bone=bone, flat=0.94, up=up)
    field.capsule(middle, pip, (waist, 0.96 * r[1]), blend=3, bone=bone, flat=0.92, up=up)
    pad = np.array([0.42 * lengths[0], 0.80 * r[0], 0.78 * r[0]])
    field.ellipsoid(0.52 * mcp + 0.48 * pip - 3.2 * up, _axes(pip - mcp, up), pad, blend=5, bone=bone)

    middle, waist = 0.5 * (pip + dip), 0.468 * (r[1] + r[2])
    field.capsule(pip, middle, (0.97 * r[1], waist), blend=3, bone=bone + 1, flat=0.90, up=up)
    field.capsule(middle, dip, (waist, 0.97 * r[2]), blend=3, bone=bone + 1, flat=0.87, up=up)
    pad = np.array([0.45 * lengths[1], 0.86 * r[2], 0.84 * r[2]])
    field.ellipsoid(middle - 2.2 * up, _axes(dip - pip, up), pad, blend=4, bone=bone + 1)

    end = unit(tip - dip)
    field.capsule(dip, tip - r[3] * end, (0.96 * r[2], r[3]), blend=3, bone=bone + 2, flat=0.82, up=up)
    pad = np.array([0.51 * lengths[2], 1.08 * r[3], 0.92 * r[3]])
    field.ellipsoid(0.42 * dip + 0.58 * tip - 1.8 * up - 1.5 * end, _axes(end, up), pad, blend=4, bone=bone + 2)
    field.ellipsoid(pip + 2.2 * up, _axes(along, up), np.array([7.5, 0.80 * r[1], 0.72 * r[1]]), blend=5, bone=bone)
    field.join_digit(blend=6)


def _thumb(field: Field, chain: np.ndarray, r: np.ndarray, breadth: float) -> None:
    up, bone = dorsal("thumb", chain), FIRST_JOINT["thumb"]
    _, mcp, ip, tip = chain
    end = unit(tip - ip)
    field.capsule(mcp, ip, (0.93 * r[0], 0.93 * r[1]), blend=0, bone=bone + 1, flat=0.92, up=up)
    field.capsule(ip, tip - r[3] * end, (0.97 * r[1], r[3]), blend=4, bone=bone + 2, flat=0.80, up=up)
    pad = np.array([13, 9.4, 7]) * breadth
    field.ellipsoid(0.45 * ip + 0.55 * tip - 2.6 * up - end, _axes(end, up), pad, blend=5, bone=bone + 2)
    pad = np.array([13, 8.5, 7]) * breadth
    field.ellipsoid(0.5 * (mcp + ip) - 4 * up, _axes(ip - mcp, up), pad, blend=6, bone=bone + 1)
    field.ellipsoid(mcp + 3.5 * up, _axes(ip - mcp, up), np.array([9, 9, 8]), blend=6, bone=bone)
    field.join_digit(blend=9)
