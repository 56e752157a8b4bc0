"""A hand with the forearm that it belongs to, and a sleeve over it, as one surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from occhand.synth.hand_surface import HandSurface
from occhand.synth.surfaces import Surfaces

ARM_LABEL, OTHER_HAND_LABEL = 3, 4
"""As in `occhand.types.Occlusion.labels`."""

_REACH = np.array([0.010, 0.022, 0.036, 0.055, 0.08, 0.11, 0.15, 0.20, 0.26, 0.34])
"""Metres beyond the wrist's loop at which the forearm's cross-sections stand."""
_SLEEVE_STEPS = np.array([0.02, 0.0, -0.002, 0.0, 0.006, 0.014, 0.024, 0.036, 0.05, 0.07, 0.10, 0.14, 0.19, 0.26, 0.34])
"""Metres from the sleeve's hem: from inside around the hem, then up the arm."""
_SLEEVE_THICKNESS = np.array([-0.05, -0.05, 0.0, 0.05, *[0.06] * 11])
"""Of the cloth, in arm widths."""
_BEND_OVER = 0.06
"""Metres over which the wrist bends."""


@dataclass(frozen=True)
class Forearm:
    """How a forearm leaves the wrist. Everything in the hand's rest frame: fingers -x, palm -y, thumb +z."""

    flexion: float
    """Radians; about z."""
    deviation: float
    """Radians; about y."""
    girth: float
    """Growth of the cross-section towards the elbow."""
    sleeve_from: float | None
    """Metres beyond the wrist's loop at which a sleeve begins, negative over the palm; None for a bare arm."""
    sleeve_width: float
    """Of the sleeve, in arm widths."""
    wrinkle_phases: Float[np.ndarray, "3"]


def sample_forearm(rng: np.random.Generator, sleeve_from: float | None = None) -> Forearm:
    """A relaxed to strongly bent wrist; a sleeve on half of the arms, or where told."""
    if sleeve_from is None and rng.random() < 0.5:
        sleeve_from = float(rng.uniform(0.005, 0.10))
    return Forearm(
        flexion=float(np.clip(rng.normal(-0.1, 0.4), -1.0, 0.9)),
        deviation=float(np.clip(rng.normal(0.0, 0.18), -0.4, 0.4)),
        girth=rng.uniform(1.25, 1.65),
        sleeve_from=sleeve_from,
        sleeve_width=rng.uniform(1.12, 1.5),
        wrinkle_phases=rng.uniform(0.0, 2 * np.pi, 3),
    )


def limb_surfaces(
    surface: HandSurface,
    vertices: Float[np.ndarray, "778 3"],
    wrist: Float[np.ndarray, "3"],
    forearm: Forearm,
    labels: tuple[int, int],
    skin_id: int,
    cloth_id: int,
) -> Surfaces:
    """Hand, forearm and sleeve in the frame of `vertices`.

    The first 778 vertices are the hand's; the forearm grows out of the wrist's loop without a seam.

    Args:
        surface: The open hand.
        vertices: Posed, with the root unturned; metres.
        wrist: The joint about which the forearm bends.
        forearm: Its shape.
        labels: Of the hand, and of forearm and sleeve.
        skin_id: Material.
        cloth_id: Material of the sleeve.
    """
    hand = surface.subdivision.refine(vertices)
    rest = surface.rest_fine
    loop = surface.wrist_loop
    count = len(loop)
    ring, rest_ring = hand[loop], rest[loop]
    rings = _sections(ring, wrist, forearm, _REACH, np.ones(len(_REACH))).reshape(-1, 3)
    local = np.concatenate([rest_ring + np.array([x, 0.0, 0.0]) for x in _REACH])
    first = len(hand)
    arm_faces = _tube_faces(np.concatenate([loop, first + np.arange(len(rings))]).reshape(-1, count))
    vertices_all, local_all = [hand, rings], [rest, local]
    faces_all, face_labels = [surface.subdivision.faces, arm_faces], [labels[0], labels[1]]
    materials = [skin_id, skin_id]
    if forearm.sleeve_from is not None:
        points, texture = _sleeve(ring, wrist, forearm)
        start = first + len(rings)
        vertices_all.append(points.reshape(-1, 3))
        local_all.append(texture.reshape(-1, 3))
        faces_all.append(_tube_faces(start + np.arange(points.shape[0] * count).reshape(-1, count)))
        face_labels.append(labels[1])
        materials.append(cloth_id)
    sizes = [len(faces) for faces in faces_all]
    tile_ids = np.full(sum(sizes), -1)
    tile_ids[: sizes[0]] = np.arange(sizes[0])
    return Surfaces(
        vertices_cam=np.concatenate(vertices_all),
        local=np.concatenate(local_all),
        faces=np.concatenate(faces_all),
        labels=np.repeat(np.array(face_labels, dtype=np.uint8), sizes),
        material_ids=np.repeat(np.array(materials), sizes),
        tile_ids=tile_ids,
        is_closed=np.repeat(np.array([True, True, False][: len(sizes)]), sizes),
    )


def _sections(
    ring: Float[np.ndarray, "loop 3"],
    wrist: Float[np.ndarray, "3"],
    forearm: Forearm,
    reach: Float[np.ndarray, "sections"],
    width: Float[np.ndarray, "sections"],
) -> Float[np.ndarray, "sections loop 3"]:
    """The wrist's loop moved up the arm (or, with a negative reach, over the palm), widened, and turned with the bend of the wrist."""
    middle = ring.mean(0)
    growth = width * (1 + (forearm.girth - 1) * _fade(reach / 0.18))
    over_palm = np.maximum(0.0, -reach) / 0.05
    spread = growth[:, None] * np.stack([np.ones_like(reach), 1.0 + 0.35 * over_palm, 1.0 + 0.55 * over_palm], axis=1)
    points = (ring - middle) * spread[:, None] + middle - wrist
    points[:, :, 0] += reach[:, None]
    share = _fade((reach + 0.015) / _BEND_OVER)[:, None]
    (cz, sz), (cy, sy) = ((np.cos(share * angle), np.sin(share * angle)) for angle in (forearm.flexion, forearm.deviation))
    x, y, z = points.transpose(2, 0, 1)
    x, z = cy * x + sy * z, cy * z - sy * x
    return np.stack([cz * x - sz * y, sz * x + cz * y, z], axis=2) + wrist


def _sleeve(
    ring: Float[np.ndarray, "loop 3"], wrist: Float[np.ndarray, "3"], forearm: Forearm
) -> tuple[Float[np.ndarray, "sections loop 3"], Float[np.ndarray, "sections loop 3"]]:
    """Cross-sections of a tube of cloth from its inside over the hem up the arm, and the same unrolled for its texture."""
    assert forearm.sleeve_from is not None
    angle = np.linspace(0.0, 2 * np.pi, len(ring), endpoint=False)
    sections = _sections(ring, wrist, forearm, forearm.sleeve_from + _SLEEVE_STEPS, forearm.sleeve_width + _SLEEVE_THICKNESS)
    waves = ((3, 60, 0), (5, -90, 1), (2, 140, 2))
    folds = sum(np.sin(lobes * angle + twist * _SLEEVE_STEPS[:, None] + forearm.wrinkle_phases[k]) for lobes, twist, k in waves)
    depth = 0.035 * _fade((_SLEEVE_STEPS - 0.004) / 0.02)[:, None]
    middle = sections.mean(1, keepdims=True)
    points = middle + (sections - middle) * (1 + depth * folds)[..., None]
    around = np.stack([np.zeros_like(angle), 0.035 * np.cos(angle), 0.035 * np.sin(angle)], axis=1)
    texture = np.tile(around, (len(sections), 1, 1))
    texture[:, :, 0] = (forearm.sleeve_from + _SLEEVE_STEPS)[:, None]
    return points, texture


def _tube_faces(rings: np.ndarray) -> np.ndarray:
    """Faces between rings of vertices; counter-clockwise seen from outside for rings in the order of the hand's wrist loop."""
    a, far_a = rings[:-1], rings[1:]
    b, far_b = np.roll(a, -1, axis=1), np.roll(far_a, -1, axis=1)
    return np.concatenate([np.stack([b, a, far_a], -1).reshape(-1, 3), np.stack([b, far_a, far_b], -1).reshape(-1, 3)])


def _fade(x: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
