"""The numbering of the vertices: published lists of fingertips and of the wrist loop fall on the same places as on MANO."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from occhand.hand.skeleton import FINGERS
from tools.open_hand.mesh import boundary_loop

TIP_LISTS = {
    "thumb": (745, 744, 728),
    "index": (317, 320, 333, 353),
    "middle": (444, 443, 445, 442),
    "ring": (556, 555, 554, 576),
    "pinky": (673, 672, 671, 694),
}
"""Per finger: the entry nearest to the tip (manopth's list), then those of the other lists (see `occhand.hand.skeleton`)."""
WRIST_LOOP = (234, 239, 279, 215, 214, 121, 78, 79, 108, 120, 119, 117, 118, 122, 38, 92)
"""In the direction of the mesh's own edges; the faces with which handobjectconsist and manotorch close MANO's wrist run the other way."""
NEIGHBOUR_MM = (2.0, 8.0)
"""How far the further tip vertices may lie from the first."""


def published_order(
    points: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], weights: Float[np.ndarray, "v 16"], tips: dict[str, np.ndarray]
) -> Int[np.ndarray, "v"]:
    """The old index of each new vertex.

    Args:
        points: Vertices in mm.
        faces: Mesh with one open loop of 16.
        weights: Skin weights; vertices not in any list are sorted by their main joint, then from wrist to tip.
        tips: Anatomical tip of each finger.

    Raises:
        ValueError: Too few vertices near a tip.
    """
    place: dict[int, int] = dict(zip(WRIST_LOOP, boundary_loop(faces), strict=True))
    for finger in FINGERS:
        wanted = TIP_LISTS[finger]
        first = int(np.linalg.norm(points - tips[finger], axis=1).argmin())
        distance = np.linalg.norm(points - points[first], axis=1)
        near = [int(v) for v in np.argsort(distance, kind="stable") if NEIGHBOUR_MM[0] <= distance[v] <= NEIGHBOUR_MM[1]]
        if len(near) < len(wanted) - 1:
            raise ValueError(f"{len(near)} vertices near the tip of the {finger}, expected {len(wanted) - 1}: the mesh is too coarse there")
        place |= dict(zip(wanted, [first, *near], strict=False))
    fixed = set(place.values())
    rest = iter(int(v) for v in np.lexsort((points[:, 0], weights.argmax(1))) if v not in fixed)
    return np.array([place[i] if i in place else next(rest) for i in range(len(points))])
