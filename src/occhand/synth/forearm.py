"""A hand with the forearm that it belongs to, and a sleeve over it, as one surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from occhand.synth.hand_surface import load_surface
from occhand.synth.surfaces import Surfaces

ARM_LABEL, OTHER_HAND_LABEL = 3, 4
"""As in `occhand.types.Occlusion.labels`."""

_REACH = np.array([0.010, 0.022, 0.036, 0.055, 0.08, 0.11, 0.15, 0.20, 0.26, 0.34])
"""Metres beyond the wrist's loop at which the forearm's cross-sections stand."""
_SLEEVE_STEPS = np.array([0.02, 0.0, -0.002, 0.0, 0.006, 0.014, 0.024, 0.036, 0.05, 0.07, 0.10, 0.14, 0.19, 0.26, 0.34])
"""Metres from the sleeve's hem: from inside around the hem, then up the arm."""
_SLEEVE_THICKNESS = np.array([-0.05, -0.05, 0.0, 0.05, *[0.06] * 11])
"""Of the cloth, in arm widths."""
_HEM = np.clip((_SLEEVE_STEPS[:, None] - 0.004) / 0.02, 0.0, 1.0)
_FOLD_DEPTH = 0.035 * _HEM**2 * (3 - 2 * _HEM)
"""Of the cloth's folds, which begin behind the hem; in arm widths."""
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
        vertices: Posed, with the root unturned; metres.
        wrist: The joint about which the forearm bends.
        forearm: Its shape.
        labels: Of the hand, and of forearm and sleeve.
        skin_id: Material.
        cloth_id: Material of the sleeve.
    """
    surface = load_surface()
    hand = surface.subdivision.refine(vertices)
    ring, has_sleeve = hand[surface.wrist_loop], forearm.sleeve_from is not None
    local, faces, piece, tile_ids = _topology(has_sleeve)
    points = [hand, _sections(ring, wrist, forearm, _REACH, np.ones(len(_REACH))).reshape(-1, 3)]
    if has_sleeve:
        cloth, texture = _sleeve(ring, wrist, forearm)
        points.append(cloth.reshape(-1, 3))
        local = np.concatenate([local, texture.reshape(-1, 3)])
    return Surfaces(
        vertices_cam=np.concatenate(points),
        local=local,
        faces=faces,
        labels=np.array([labels[0], labels[1], labels[1]], dtype=np.uint8)[piece],
        material_ids=np.array([skin_id, skin_id, cloth_id])[piece],
        tile_ids=tile_ids,
        is_closed=piece < 2,
    )


@lru_cache(maxsize=2)
def _topology(has_sleeve: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What all limbs share: texture places of hand and arm; faces; 0, 1 or 2 for hand, arm and sleeve; skin tiles."""
    surface = load_surface()
    loop, count = surface.wrist_loop, len(surface.rest_fine)
    along = np.stack([_REACH, np.zeros(len(_REACH)), np.zeros(len(_REACH))], axis=1)
    arm = (surface.rest_fine[loop] + along[:, None]).reshape(-1, 3)
    faces = [surface.subdivision.faces, _tube_faces(np.concatenate([loop, count + np.arange(len(arm))]).reshape(-1, len(loop)))]
    if has_sleeve:
        faces.append(_tube_faces(count + len(arm) + np.arange(len(_SLEEVE_STEPS) * len(loop)).reshape(-1, len(loop))))
    piece = np.repeat(np.arange(len(faces)), [len(part) for part in faces])
    tile_ids = np.where(piece == 0, np.arange(len(piece)), -1)
    return np.concatenate([surface.rest_fine, arm]), np.concatenate(faces), piece, tile_ids


def _sections(
    ring: Float[np.ndarray, "loop 3"],
    wrist: Float[np.ndarray, "3"],
    forearm: Forearm,
    reach: Float[np.ndarray, "sections"],
    width: Float[np.ndarray, "sections"],
) -> Float[np.ndarray, "sections loop 3"]:
    """The wrist's loop moved up the arm (or, with a negative reach, over the palm), widened, and turned with the bend of the wrist."""
    return _bent_sections(ring, wrist, reach, width, forearm.girth, forearm.flexion, forearm.deviation)


@njit(cache=True, error_model="numpy")
@no_type_check
def _bent_sections(ring, wrist, reach, width, girth, flexion, deviation):
    count, length = reach.shape[0], ring.shape[0]
    sections, middle = np.empty((count, length, 3)), np.zeros(3)
    for at in range(length):
        for axis in range(3):
            middle[axis] += ring[at, axis] / length
    for section in range(count):
        growth = width[section] * (1.0 + (girth - 1.0) * _smooth_step(reach[section] / 0.18))
        over_palm = max(0.0, -reach[section]) / 0.05
        share = _smooth_step((reach[section] + 0.015) / _BEND_OVER)
        cz, sz = np.cos(share * flexion), np.sin(share * flexion)
        cy, sy = np.cos(share * deviation), np.sin(share * deviation)
        for at in range(length):
            x = growth * (ring[at, 0] - middle[0]) + middle[0] - wrist[0] + reach[section]
            y = growth * (1.0 + 0.35 * over_palm) * (ring[at, 1] - middle[1]) + middle[1] - wrist[1]
            z = growth * (1.0 + 0.55 * over_palm) * (ring[at, 2] - middle[2]) + middle[2] - wrist[2]
            x, z = cy * x + sy * z, cy * z - sy * x
            sections[section, at, 0] = cz * x - sz * y + wrist[0]
            sections[section, at, 1] = sz * x + cz * y + wrist[1]
            sections[section, at, 2] = z + wrist[2]
    return sections


@njit(cache=True, error_model="numpy")
@no_type_check
def _smooth_step(x):
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


def _sleeve(
    ring: Float[np.ndarray, "loop 3"], wrist: Float[np.ndarray, "3"], forearm: Forearm
) -> tuple[Float[np.ndarray, "sections loop 3"], Float[np.ndarray, "sections loop 3"]]:
    """Cross-sections of a tube of cloth from its inside over the hem up the arm, and the same unrolled for its texture."""
    assert forearm.sleeve_from is not None
    angle = np.linspace(0.0, 2 * np.pi, len(ring), endpoint=False)
    sections = _sections(ring, wrist, forearm, forearm.sleeve_from + _SLEEVE_STEPS, forearm.sleeve_width + _SLEEVE_THICKNESS)
    waves = ((3, 60, 0), (5, -90, 1), (2, 140, 2))
    folds = sum(np.sin(lobes * angle + twist * _SLEEVE_STEPS[:, None] + forearm.wrinkle_phases[k]) for lobes, twist, k in waves)
    middle = sections.mean(1, keepdims=True)
    points = middle + (sections - middle) * (1 + _FOLD_DEPTH * folds)[..., None]
    around = np.stack([np.zeros_like(angle), 0.035 * np.cos(angle), 0.035 * np.sin(angle)], axis=1)
    texture = np.tile(around, (len(sections), 1, 1))
    texture[:, :, 0] = (forearm.sleeve_from + _SLEEVE_STEPS)[:, None]
    return points, texture


def _tube_faces(rings: np.ndarray) -> np.ndarray:
    """Faces between rings of vertices; counter-clockwise seen from outside for rings in the order of the hand's wrist loop."""
    a, far_a = rings[:-1], rings[1:]
    b, far_b = np.roll(a, -1, axis=1), np.roll(far_a, -1, axis=1)
    return np.concatenate([np.stack([b, a, far_a], -1).reshape(-1, 3), np.stack([b, far_a, far_b], -1).reshape(-1, 3)])
