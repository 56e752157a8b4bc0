"""Build `open_hand.npz`: surface, mesh, skin, shape space, pose prior, pose correctives. Start reading at `build_hand`."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from occhand.files import atomic_path
from occhand.hand.assets import OPEN_HAND, HandParameters
from occhand.hand.skeleton import MANO_FINGERS, PARENTS
from tools.open_hand.anatomy import METRES_FROM_MM, HandShape, skeleton, to_metres
from tools.open_hand.correctives import fit_correctives
from tools.open_hand.mesh import boundary_loop
from tools.open_hand.order import published_order
from tools.open_hand.poses import build_prior
from tools.open_hand.remesh import remesh
from tools.open_hand.shape_space import joint_regressor, learn_shape_space
from tools.open_hand.skin import skin_weights

log = logging.getLogger(__name__)


def ordered_mesh() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (mm), faces and skin weights of the mean hand in the published order."""
    chains = skeleton(HandShape())
    points, faces = remesh(HandShape())
    weights = skin_weights(points, faces, chains)
    order = published_order(points, faces, weights, {finger: chains[finger][3] for finger in MANO_FINGERS})
    new_index = np.argsort(order)
    faces = new_index[faces]
    first = faces.argmin(1)
    faces = np.stack([np.take_along_axis(faces, ((first + i) % 3)[:, None], 1)[:, 0] for i in range(3)], axis=1)
    return points[order], faces[np.lexsort(faces.T[::-1])], weights[order]


def build_hand() -> dict[str, np.ndarray]:
    """All arrays of the open hand, metres, MANO's right-hand axes."""
    points, faces, weights = ordered_mesh()
    log.info("mesh: %d vertices, %d faces", len(points), len(faces))
    on_loop = np.zeros(len(points))
    on_loop[boundary_loop(faces)] = 1
    space = learn_shape_space(points, weights, on_loop)
    log.info("shape space: %.2f %% of the variance in ten components", 100 * space.explained)
    hand = {
        "v_template": to_metres(points),
        "faces": faces,
        "shapedirs": np.einsum("ab,vbk->vak", METRES_FROM_MM, space.components),
        "posedirs": np.zeros((len(points), 3, 135)),
        "weights": weights,
        "J_regressor": joint_regressor(points, space),
        "parents": np.array(PARENTS),
        "side": np.array("right"),
        "name": np.array("open"),
    }
    hand |= build_prior(hand)
    parameters = HandParameters(
        **{key: hand[key] for key in HandParameters.__dataclass_fields__ if key not in ("side", "name")}, side="right", name="open"
    )
    hand["posedirs"] = fit_correctives(parameters, hand["joint_axes"], hand["joint_limits"])
    return hand


def save_hand(hand: dict[str, np.ndarray], path: Path) -> None:
    """Write the arrays in the precision of the package's file."""
    kinds = {"faces": np.int32, "parents": np.int64}
    arrays: dict[str, Any] = {
        key: value.astype(kinds.get(key, np.float32)) if value.dtype.kind != "U" else value for key, value in hand.items()
    }
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def main() -> None:
    """Parse the command line, build, write."""
    parser = argparse.ArgumentParser(prog="python -m tools.open_hand", description=__doc__)
    parser.add_argument("--out", type=Path, default=OPEN_HAND, help="file to write (default: the package's)")
    path = parser.parse_args().out
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    start = time.perf_counter()
    save_hand(build_hand(), path)
    log.info("wrote %s in %.1f s", path, time.perf_counter() - start)
