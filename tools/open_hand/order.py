"""The numbering of the vertices: published lists of fingertips and of the wrist loop fall on the same places as on MANO."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from occhand.hand.skeleton import FINGERS, TIP_SETS, tip_vertices
from tools.open_hand.mesh import boundary_loop

DRAWING_TIPS = (728, 353, 442, 576, 694)
"""A fifth list, thumb to pinky, which only feeds the drawing tools of HandOccNet's code."""
_LISTS = (*(tip_vertices(name) for name in TIP_SETS), tip_vertices("manopth", "left"), DRAWING_TIPS)
TIP_LISTS = {finger: tuple(dict.fromkeys(published[k] for published in _LISTS)) for k, finger in enumerate(FINGERS)}
"""Per finger: the entry nearest to the tip (manopth's list), then those of the other lists."""
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
