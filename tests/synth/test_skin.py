"""Where the painted features of skin are, and that tones are spread evenly."""

from __future__ import annotations

import numpy as np
import pytest

from occhand.hand.skeleton import tip_vertices
from occhand.render.shade import linear_from_srgb, vertex_normals
from occhand.synth.hand_surface import load_surface
from occhand.synth.skin import MASKS, SKIN_SCALE, TILE, mix_skin, skin_masks, skin_palette, skin_tiles

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@pytest.fixture(scope="module")
def painted():
    surface = load_surface()
    normals = vertex_normals(surface.rest_fine, surface.subdivision.faces)
    return surface.rest_fine, normals, skin_masks(surface.rest_fine, normals)


def test_nails_are_on_the_back_of_the_five_last_bones(painted):
    points, normals, masks = painted
    nails = points[masks[:, MASKS.index("nail")] > 0.5]
    tips = load_surface().parameters.v_template[list(tip_vertices())]
    distance = np.linalg.norm(nails[:, None] - tips, axis=2)
    assert distance.min(1).max() < 0.02
    assert set(distance.argmin(1)) == set(range(5))
    fingers = distance.argmin(1) > 0  # the thumb's nail looks sideways
    assert (normals[masks[:, MASKS.index("nail")] > 0.5][fingers, 1] > 0).all()


def test_palm_is_the_palm(painted):
    _, normals, masks = painted
    palm = masks[:, MASKS.index("palm")]
    assert normals[palm > 0.7, 1].mean() < -0.5
    assert palm[normals[:, 1] > 0.9].max() < 0.2


def test_tiles_hold_the_masks_of_their_corners(painted):
    surface = load_surface()
    faces = surface.subdivision.faces
    tiles = skin_tiles(surface.rest_fine, faces)
    corner_points = [0, (TILE + 1) * (TILE + 2) // 2 - 1, TILE]  # of corners 0, 1 and 2
    for corner, point in enumerate(corner_points):
        np.testing.assert_allclose(tiles[: len(faces), point] / 255, painted[2][faces[:, corner]], atol=0.003)
        np.testing.assert_array_equal(tiles[: len(faces), point], tiles[len(faces) :, corner_points[2 - corner]])


def test_the_scale_darkens_in_even_steps():
    luminance = linear_from_srgb(SKIN_SCALE) @ LUMINANCE
    lightness = 116 * np.cbrt(luminance) - 16  # CIE L*
    steps = -np.diff(lightness)
    assert (steps > 2.5).all()
    assert steps.max() < 3 * steps.min()


def test_palms_differ_less_between_people_than_the_backs_of_their_hands():
    rng = np.random.default_rng(0)
    light, dark = skin_palette(0.05, rng), skin_palette(0.95, rng)
    assert (light @ LUMINANCE)[0] > 5 * (dark @ LUMINANCE)[0]
    assert (light @ LUMINANCE)[1] / (dark @ LUMINANCE)[1] < (light @ LUMINANCE)[0] / (dark @ LUMINANCE)[0]
    assert np.array_equal(mix_skin(np.zeros((4, 5)), light), np.tile(light[0], (4, 1)))
