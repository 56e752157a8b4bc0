"""Skin, nails and creases for the open hand's pictures: a finer surface, and a colour for each of its points in rest."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.interpolate import make_interp_spline
from scipy.sparse import csr_matrix, diags_array, eye_array, vstack
from scipy.spatial import cKDTree

from occhand.hand.skeleton import MANO_FINGERS
from tools.open_hand.anatomy import HALF_BREADTH_MM, HandShape, distance_to_segment, dorsal, skeleton, unit
from tools.open_hand.skin import smooth_step

SKIN = np.array([218.0, 168, 138])
PALM = np.array([232.0, 180, 156])
FLUSH = np.array([214.0, 138, 116])
"""Knuckles and fingertips."""
NAIL = np.array([238.0, 198, 184])
NAIL_EDGE = np.array([190.0, 132, 112])
CREASE = np.array([176.0, 116, 94])

PALM_CREASES = (
    ((58, -34), (64, -22), (69, -8), (75, 4), (84, 12)),
    ((64, 29), (60, 18), (55, 5), (47, -10), (38, -22)),
    ((64, 29), (59, 17), (48, 8), (34, 3), (20, 3), (8, 8)),
)
"""Heart, head and life line: (forward, radial) in mm."""


def subdivide(faces: Int[np.ndarray, "f 3"], vertex_count: int, levels: int) -> tuple[Int[np.ndarray, "g 3"], csr_matrix]:
    """Loop subdivision (1987): the finer faces, and the matrix that takes the coarse vertices to the fine ones."""
    matrix = eye_array(vertex_count, format="csr")
    for _ in range(levels):
        corners = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        opposite = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
        edges, edge_of = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True)
        edge_of = edge_of.ravel()
        n, m = matrix.shape[0], len(edges)
        is_open = np.bincount(edge_of, minlength=m) == 1
        end = np.where(is_open, 0.5, 0.375)
        inner = ~is_open[edge_of]
        odd = csr_matrix(
            (
                np.concatenate([end, end, np.full(inner.sum(), 0.125)]),
                (np.concatenate([np.arange(m), np.arange(m), edge_of[inner]]), np.concatenate([edges[:, 0], edges[:, 1], opposite[inner]])),
            ),
            shape=(m, n),
        )
        on_border = np.zeros(n, bool)
        on_border[edges[is_open]] = True
        both, open_twice = np.concatenate([edges, edges[:, ::-1]]), np.concatenate([is_open, is_open])
        valence = np.bincount(edges.ravel(), minlength=n)
        beta = np.where(valence == 3, 3 / 16, 3 / (8 * valence))
        weight = np.where(on_border[both[:, 0]], np.where(open_twice, 0.125, 0.0), beta[both[:, 0]])
        even = csr_matrix((weight, (both[:, 0], both[:, 1])), shape=(n, n)) + diags_array(np.where(on_border, 0.75, 1 - valence * beta))
        matrix = vstack([even, odd]).tocsr() @ matrix
        a, b, c = (edge_of + n).reshape(3, -1)
        faces = np.concatenate([np.stack(t, 1) for t in ((faces[:, 0], a, c), (a, faces[:, 1], b), (c, b, faces[:, 2]), (a, b, c))])
    return faces, matrix


_CREASES_MM: dict[str, tuple[tuple[float, ...], ...]] = {"finger": ((17.0,), (-1.2, 1.2), (0.0,)), "thumb": ((), (0.0,), (0.0,))}
"""Where creases cross the palm side, from each joint on; the first is where a finger leaves the palm."""


def _mixed(colour: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    return colour + share[:, None] * (other - colour)


def _bump(distance: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-((distance / width) ** 2))


def skin_colours(points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    """sRGB of surface points of the mean hand in rest.

    Args:
        points: mm, build frame.
        normals: Unit, build frame.
    """
    chains = skeleton(HandShape())
    reach = np.stack(
        [np.min([distance_to_segment(points, c[k], c[k + 1]) for k in range(3)], axis=0) for c in (chains[f] for f in MANO_FINGERS)]
    )
    owner = reach.argmin(0)
    up = np.stack([dorsal(f, chains[f]) for f in MANO_FINGERS])[owner]
    beyond_knuckle = np.stack([(points - chains[f][0]) @ unit(chains[f][1] - chains[f][0]) for f in MANO_FINGERS])[
        owner, np.arange(len(points))
    ]
    up = np.where((beyond_knuckle > -5)[:, None], up, np.array([0.0, 0.0, 1.0]))
    facing = (normals * up).sum(1)
    colour = _mixed(np.tile(SKIN, (len(points), 1)), PALM, smooth_step(0.5 - facing) * smooth_step((points[:, 0] + 5) / 25))
    for i, finger in enumerate(MANO_FINGERS):
        mine = owner == i
        colour[mine] = _finger_colours(colour[mine], points[mine], facing[mine], chains[finger], finger)
    for line in PALM_CREASES:
        curve = make_interp_spline(np.linspace(0, 1, len(line)), np.array(line), k=2)(np.linspace(0, 1, 160))
        distance, nearest = cKDTree(curve).query(points[:, :2])
        ends = np.minimum(nearest, 159 - nearest) / 25
        colour = _mixed(colour, CREASE, 0.42 * _bump(distance, 1.1) * smooth_step(0.3 + ends) * smooth_step(-2 * normals[:, 2]))
    return np.clip(np.round(colour), 0, 255).astype(np.uint8)


def _finger_colours(colour: np.ndarray, points: np.ndarray, facing: np.ndarray, chain: np.ndarray, finger: str) -> np.ndarray:
    """Redness, creases and the nail of one finger."""
    bones = [unit(chain[k + 1] - chain[k]) for k in range(3)]
    up = dorsal(finger, chain)
    to_tip = (chain[3] - points) @ bones[2]
    colour = _mixed(colour, FLUSH, 0.35 * smooth_step((16 - to_tip) / 16))
    for k in (0, 1, 2):
        colour = _mixed(colour, FLUSH, (0.30, 0.40, 0.25)[k] * _bump(np.linalg.norm(points - chain[k] - 6 * up, axis=1), 8.0))
        across = unit(bones[k] + bones[max(k - 1, 0)])
        for offset in _CREASES_MM["thumb" if finger == "thumb" else "finger"][k]:
            place = points - chain[k]
            width = np.linalg.norm(place - (place @ bones[k])[:, None] * bones[k], axis=1)
            near = _bump(place @ across - offset, 0.8) * smooth_step((1.35 * HALF_BREADTH_MM[finger][k] - width) / 3)
            colour = _mixed(colour, CREASE, 0.45 * near * smooth_step(-facing + 0.35))
    # The nail is a rounded rectangle on the back of the last bone.
    length, width = (0.55 * np.linalg.norm(chain[3] - chain[2]), 0.80 * HALF_BREADTH_MM[finger][3])
    side = np.cross(up, bones[2])
    x = (to_tip - 1.0 - length / 2) / (length / 2)
    y = (points - chain[3]) @ side / width
    edge = (np.abs(x) ** 3.5 + np.abs(y) ** 3.5) ** (1 / 3.5)
    on_back = smooth_step(4 * facing - 0.4)
    colour = _mixed(colour, NAIL_EDGE, 0.8 * on_back * _bump(edge - 1.0, 0.14))
    return _mixed(colour, NAIL, 0.9 * on_back * smooth_step((1.0 - edge) / 0.15))
