"""What skin looks like: where palm, creases, flush and nails are on the open hand, and a scale of skin tones.

Where a feature is does not depend on the tone: five masks are painted once on the rest hand, and a palette turns them into colours.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, UInt8

from occhand.hand.assets import OPEN_HAND
from occhand.hand.prior import first_joint
from occhand.hand.skeleton import MANO_FINGERS, TIP_JOINTS, tip_vertices
from occhand.render.shade import linear_from_srgb, vertex_normals

MASKS = ("palm", "flush", "crease", "nail_edge", "nail")
"""The order in which one is painted over the other."""

SKIN_SCALE: UInt8[np.ndarray, "12 3"] = np.array(
    [
        (244, 214, 196),
        (236, 200, 178),
        (226, 186, 160),
        (214, 170, 142),
        (198, 152, 122),
        (180, 134, 104),
        (160, 115, 87),
        (138, 97, 72),
        (116, 80, 59),
        (97, 66, 49),
        (79, 54, 41),
        (63, 44, 35),
    ],
    dtype=np.uint8,
)
"""The OccHand skin scale: the back of the hand in white light, sRGB, lightest to darkest in 12 steps of about equal lightness.

Ours: drawn up by eye to span human skin, not measured, and no relation to a dermatological scale is claimed.
"""

_LINEAR_SCALE = linear_from_srgb(SKIN_SCALE)

Palette = Float[np.ndarray, "6 3"]
"""Linear RGB of bare skin, then of each of `MASKS`."""

_PALM_CREASES_MM = (
    ((58, -34), (64, -22), (69, -8), (75, 4), (84, 12)),
    ((64, 29), (60, 18), (55, 5), (47, -10), (38, -22)),
    ((64, 29), (59, 17), (48, 8), (34, 3), (20, 3), (8, 8)),
)
"""Heart, head and life line: (forward, towards the thumb) from the wrist."""
_CREASES_MM = {"finger": ((17.0,), (-1.2, 1.2), (0.0,)), "thumb": ((), (0.0,), (0.0,))}
"""Where creases cross the palm side, from each joint on; the first is where a finger leaves the palm."""
_HALF_BREADTH_MM = {
    "index": (11.3, 10.6, 9.2, 7.5),
    "middle": (11.5, 10.7, 9.3, 7.6),
    "ring": (10.8, 10.0, 8.8, 7.3),
    "pinky": (9.6, 8.8, 7.8, 6.6),
    "thumb": (13.6, 11.5, 11.1, 9.0),
}
"""Of the open hand's fingers at their three joints and the tip."""


def skin_palette(tone: float, rng: np.random.Generator) -> Palette:
    """Colours of one person's skin.

    Args:
        tone: Place on `SKIN_SCALE`, 0 lightest, 1 darkest.
        rng: Draws how ruddy or sallow the skin is, and how much palm, flush and nails stand out.
    """
    base = _on_scale(tone) * (1 + 0.04 * rng.standard_normal()) * (1 + rng.normal(0.0, (0.03, 0.015, 0.035)))
    # The palm has little melanin: nearly the same on everyone's hand, and much lighter than the back of a dark hand.
    palm = _on_scale(0.62 * tone) * (1.02, 0.95, 0.92)
    palm = base + rng.uniform(0.45, 1.0) * (palm - base)
    flush = base * (1.0, 0.62, 0.56) + (0.012, 0.0, 0.0)
    flush = base + rng.uniform(0.3, 1.2) * (flush - base)
    crease = base * (0.62, 0.47, 0.42)
    nail = 0.5 * base + 0.5 * np.array([0.84, 0.58, 0.50]) * rng.uniform(0.75, 1.05)
    if rng.random() < 0.06:  # varnish
        nail = rng.uniform(0.02, 0.75, 3)
    return np.clip(np.stack([base, palm, flush, crease, base * (0.62, 0.45, 0.40), nail]), 0.005, 0.95)


def mix_skin(masks: Float[np.ndarray, "*points 5"], palette: Palette) -> Float[np.ndarray, "*points 3"]:
    """Paint each mask's colour over what lies below it; any colour space."""
    colour = np.broadcast_to(palette[0], (*masks.shape[:-1], 3))
    for k in range(len(MASKS)):
        colour = colour + masks[..., k, None] * (palette[k + 1] - colour)
    return colour


def skin_masks(points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 5"]:
    """How much of each of `MASKS` covers surface points of the mean open hand at rest, 0..1.

    Args:
        points: Metres, the hand file's frame.
        normals: Unit.
    """
    joints, tips, axes = _rest_skeleton()
    points, wrist = 1000 * points, joints[0]
    chains = {finger: np.stack([*joints[(k := first_joint(finger)) : k + 3], tips[finger]]) for finger in MANO_FINGERS}
    reach = np.stack([_distance_to_line(points, chains[finger]) for finger in MANO_FINGERS])
    owner = reach.argmin(0)

    masks = np.zeros((len(points), len(MASKS)))
    facing = normals[:, 1].copy()
    for i, finger in enumerate(MANO_FINGERS):
        mine = np.flatnonzero(owner == i)
        chain, up = chains[finger], axes[first_joint(finger) + 1, 1]
        beyond_knuckle = (points[mine] - chain[0]) @ _unit(chain[1] - chain[0]) > -5
        facing[mine] = np.where(beyond_knuckle, normals[mine] @ up, facing[mine])
        masks[mine] = _finger_masks(points[mine], facing[mine], chain, up, finger)

    forward = wrist[0] - points[:, 0]
    masks[:, 0] = _smooth_step(0.5 - facing) * _smooth_step((forward + 5) / 25)
    on_palm = _smooth_step(-2 * normals[:, 1])
    flat = np.stack([forward, points[:, 2] - wrist[2]], axis=1)
    for line in _PALM_CREASES_MM:
        curve = _smooth_curve(np.array(line, dtype=float))
        distance = np.linalg.norm(flat[:, None] - curve, axis=2)
        nearest = distance.argmin(1)
        ends = np.minimum(nearest, len(curve) - 1 - nearest) / (0.16 * len(curve))
        crease = 0.42 * _bump(distance.min(1), 1.1) * _smooth_step(0.3 + ends) * on_palm
        masks[:, 2] = np.maximum(masks[:, 2], crease)
    return masks


def _finger_masks(points: np.ndarray, facing: np.ndarray, chain: np.ndarray, up: np.ndarray, finger: str) -> np.ndarray:
    """Redness, creases and the nail of one finger; mm."""
    bones = [_unit(chain[k + 1] - chain[k]) for k in range(3)]
    up = _unit(up - bones[2] * (up @ bones[2]))
    to_tip = (chain[3] - points) @ bones[2]
    bare = 1 - 0.35 * _smooth_step((16 - to_tip) / 16)
    crease = np.zeros(len(points))
    for k in (0, 1, 2):
        bare *= 1 - (0.30, 0.40, 0.25)[k] * _bump(np.linalg.norm(points - chain[k] - 6 * up, axis=1), 8.0)
        across = _unit(bones[k] + bones[max(k - 1, 0)])
        place = points - chain[k]
        width = np.linalg.norm(place - (place @ bones[k])[:, None] * bones[k], axis=1)
        on_joint = _smooth_step((1.35 * _HALF_BREADTH_MM[finger][k] - width) / 3)
        for offset in _CREASES_MM["thumb" if finger == "thumb" else "finger"][k]:
            crease = np.maximum(crease, 0.45 * _bump(place @ across - offset, 0.8) * on_joint * _smooth_step(-facing + 0.35))
        if k > 0 and finger != "thumb":  # the wrinkles over the joints
            for offset in (-2.2, 0.0, 2.2):
                crease = np.maximum(crease, 0.2 * _bump(place @ across - offset, 0.7) * on_joint * _smooth_step(2 * facing - 0.6))
    # The nail is a rounded rectangle on the back of the last bone.
    length, width = 0.55 * np.linalg.norm(chain[3] - chain[2]), 0.80 * _HALF_BREADTH_MM[finger][3]
    x = (to_tip - 1.0 - length / 2) / (length / 2)
    y = (points - chain[3]) @ np.cross(up, bones[2]) / width
    edge = (np.abs(x) ** 3.5 + np.abs(y) ** 3.5) ** (1 / 3.5)
    on_back = _smooth_step(4 * facing - 0.4)
    nail_edge = 0.8 * on_back * _bump(edge - 1.0, 0.14)
    return np.stack([np.zeros(len(points)), 1 - bare, crease, nail_edge, 0.9 * on_back * _smooth_step((1.0 - edge) / 0.15)], axis=1)


TILE = 4
"""Each face of the drawn hand carries its masks at the points that divide its edges into this many parts."""


def skin_tiles(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> UInt8[np.ndarray, "tiles points 5"]:
    """The masks on a lattice over every face of the rest mesh: creases a millimetre wide without a mesh that fine.

    The point with barycentrics (1 - (i + j) / TILE, i / TILE, j / TILE) has the number i (2 TILE + 3 - i) / 2 + j. One tile for each
    face, then once more for a mirrored hand, whose faces list their corners backwards.
    """
    steps = [(TILE - i - j, i, j) for i in range(TILE + 1) for j in range(TILE + 1 - i)]
    backwards = [steps.index(step[::-1]) for step in steps]
    shares = np.array(steps) / TILE
    normals = vertex_normals(vertices, faces)
    points = np.einsum("tc,fcx->ftx", shares, vertices[faces]).reshape(-1, 3)
    directions = np.einsum("tc,fcx->ftx", shares, normals[faces]).reshape(-1, 3)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    unique, first, inverse = np.unique(np.round(points, 7), axis=0, return_index=True, return_inverse=True)
    masks = skin_masks(unique, directions[first])[inverse.ravel()]
    tiles = np.round(255 * masks).astype(np.uint8).reshape(len(faces), len(shares), len(MASKS))
    return np.concatenate([tiles, tiles[:, backwards]])


def _on_scale(tone: float) -> np.ndarray:
    """Linear RGB at a place on `SKIN_SCALE`."""
    place = min(1.0, max(0.0, tone)) * (len(SKIN_SCALE) - 1)
    step = min(int(place), len(SKIN_SCALE) - 2)
    mixed: np.ndarray = _LINEAR_SCALE[step] + (place - step) * (_LINEAR_SCALE[step + 1] - _LINEAR_SCALE[step])
    return mixed


@lru_cache(maxsize=1)
def _rest_skeleton() -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Joints and fingertips of the open hand at rest (mm), and the joints' axes."""
    with np.load(OPEN_HAND) as arrays:
        vertices, axes = 1000.0 * arrays["v_template"], arrays["joint_axes"].astype(np.float64)
        joints = arrays["J_regressor"] @ vertices
    names = ("thumb", "index", "middle", "ring", "pinky")
    assert len(names) == len(TIP_JOINTS)
    return joints, {name: vertices[i] for name, i in zip(names, tip_vertices(), strict=True)}, axes


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _smooth_step(x: np.ndarray) -> np.ndarray:
    """Quintic from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * x * (x * (6 * x - 15) + 10)


def _bump(distance: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-((distance / width) ** 2))


def _distance_to_line(points: np.ndarray, chain: np.ndarray) -> np.ndarray:
    """Distance to the nearest segment of a chain of points."""
    distances = []
    for a, b in pairwise(chain):
        t = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
        distances.append(np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return np.min(distances, axis=0)


def _smooth_curve(line: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    """Points every millimetre or so along a Catmull-Rom curve through a line's points."""
    padded = np.concatenate([2 * line[:1] - line[1:2], line, 2 * line[-1:] - line[-2:-1]])
    t = np.linspace(0.0, 1.0, 12, endpoint=False)[:, None]
    pieces = []
    for p, q, r, s in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        pieces.append(q + 0.5 * t * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p))))
    return np.concatenate([*pieces, line[-1:]])
