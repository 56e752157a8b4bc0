"""How deep a posed mesh runs one digit through another or the palm, by solid angles: shares nothing with the capsules it judges."""

from __future__ import annotations

import numpy as np
from trimesh.triangles import closest_point

from occhand.hand.skeleton import MANO_FINGERS

PARTS = (*MANO_FINGERS, "palm")


class PenetrationGauge:
    """Cuts the mesh into five digits and the palm with the thenar, closes each cut with a fan, and looks for vertices of one in another."""

    def __init__(self, faces: np.ndarray, weights: np.ndarray) -> None:
        digits = [weights[:, 1 + 3 * k : 4 + 3 * k].sum(1) for k in range(4)]
        thumb, palm = weights[:, 14:16].sum(1), weights[:, 0] + weights[:, 13]
        self._share = np.stack([*digits, thumb, palm], 1)
        self._shells = []
        for part in range(6):
            inside = self._share[:, part] >= 0.5
            shell = faces[inside[faces].all(1)] if part < 5 else faces[(self._share[faces, part] >= 0.3).any(1)]
            loops = _open_loops(shell)
            fans = [(b, a, len(weights) + i) for i, loop in enumerate(loops) for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]
            self._shells.append((shell, np.array(fans), loops))

    def depth(self, vertices: np.ndarray) -> np.ndarray:
        """Entry (a, b): how far the deepest vertex of part a lies under the skin of part b, metres."""
        depth = np.zeros((6, 6))
        for part, (shell, fans, loops) in enumerate(self._shells):
            points = np.concatenate([vertices, [vertices[loop].mean(0) for loop in loops]])
            skin = points[shell]
            in_box = ((vertices > skin.min((0, 1))) & (vertices < skin.max((0, 1)))).all(1)
            for other in range(6):
                # Skin that both parts move is where they grow together.
                suspects = vertices[in_box & (self._share[:, other] > 0.9) & (self._share[:, part] < 0.02)]
                if other == part or len(suspects) == 0:
                    continue
                inside = suspects[_winding(suspects, points[np.concatenate([shell, fans])]) > 0.5]
                if len(inside):
                    pairs = closest_point(np.tile(skin, (len(inside), 1, 1)), np.repeat(inside, len(skin), 0)).reshape(len(inside), -1, 3)
                    depth[other, part] = np.linalg.norm(pairs - inside[:, None], axis=-1).min(1).max()
        return depth


def _open_loops(faces: np.ndarray) -> list[list[int]]:
    directed = {(int(f[i]), int(f[(i + 1) % 3])) for f in faces for i in range(3)}
    following = {a: b for a, b in directed if (b, a) not in directed}
    loops = []
    while following:
        start, current = following.popitem()
        loop = [start]
        while current != start:
            loop.append(current)
            current = following.pop(current)
        loops.append(loop)
    return loops


def _winding(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Turns of a closed surface around each point: 1 inside, 0 outside (Van Oosterom and Strackee 1983)."""
    corners = [triangles[None, :, k].transpose(2, 0, 1) - points.T[:, :, None] for k in range(3)]  # 3 points triangles

    def dot(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]

    a, b, c = corners
    la, lb, lc = (np.sqrt(dot(corner, corner)) for corner in corners)
    volume = dot(a, np.cross(b, c, axis=0))
    flat = la * lb * lc + dot(a, b) * lc + dot(b, c) * la + dot(c, a) * lb
    return np.arctan2(volume, flat).sum(1) / (2 * np.pi)
