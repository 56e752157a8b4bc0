"""Light on a ball: from where its lamp stands, from above, and past what is in its way."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from occhand.synth.generate import draw_scene
from occhand.synth.materials import Material, Pattern
from occhand.synth.scene import OBJECT_LABEL, PosedHand, Scene
from occhand.synth.shading import Lighting
from occhand.synth.surfaces import Surfaces, join

SIZE = 64
K = np.array([[150.0, 0.0, 31.5], [0.0, 150.0, 31.5], [0.0, 0.0, 1.0]])
CENTRE, RIGHT = np.array([0.0, 0.0, 0.5]), np.array([0.02, 0.0, 0.5])
CHALK = Material(Pattern.PLAIN, np.full((6, 3), 0.5), np.array([1.0, 0.0, 0.0]), 0.01, 0.0, 0.0, 8.0, 1)
DARK = Lighting(np.array([[0.0, 0.0, -1.0]]), np.full((1, 3), 1e-6), np.full(3, 1e-3), np.full(3, 1e-3))


def ball(centre: np.ndarray, radius: float) -> Surfaces:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    count = len(sphere.faces)
    return Surfaces(
        vertices_cam=np.asarray(sphere.vertices) + centre,
        local=np.asarray(sphere.vertices),
        faces=np.asarray(sphere.faces),
        labels=np.full(count, OBJECT_LABEL, np.uint8),
        material_ids=np.zeros(count, np.int64),
        tile_ids=np.full(count, -1),
        is_closed=np.full(count, True),
    )


def draw(lighting: Lighting, *balls: Surfaces, background: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over the channels, labels and depth; the same sensor every time."""
    hand = PosedHand(np.tile(np.eye(3), (16, 1, 1)), np.zeros(10), CENTRE, np.tile(CENTRE, (778, 1)), np.tile(CENTRE, (21, 1)))
    scene = Scene(hand, join(balls), [CHALK], lighting, K, None, np.eye(3), np.zeros(3))
    image, labels, depth = draw_scene(
        scene, scene.surfaces.front(), np.full((SIZE, SIZE, 3), background, np.float32), np.random.default_rng(4)
    )
    return image.mean(2), labels, depth


def lean(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far right and down of the middle the light falls, pixels."""
    rows, columns = np.nonzero(labels == OBJECT_LABEL)
    weights = image[rows, columns]
    return np.array([(weights * (columns - 31.5)).sum(), (weights * (rows - 31.5)).sum()]) / weights.sum()


@pytest.mark.parametrize("towards", [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)])
def test_a_ball_is_bright_on_the_side_of_its_lamp(towards):
    direction = np.array([[*towards, -0.5]]) / np.sqrt(1.25)
    image, labels, _ = draw(Lighting(direction, np.ones((1, 3)), np.full(3, 0.1), np.full(3, 0.1)), ball(CENTRE, 0.06))
    side = lean(image, labels)
    assert side @ np.array(towards) > 2
    assert abs(side @ np.array([towards[1], towards[0]])) < 1


def test_the_sky_is_above():
    image, labels, _ = draw(Lighting(DARK.directions, DARK.intensities, np.full(3, 0.8), np.full(3, 0.05)), ball(CENTRE, 0.06))
    assert lean(image, labels)[1] < -1


@pytest.mark.parametrize("lamp", [0, 1])
def test_the_first_lamp_casts_shadows(lamp):
    directions = np.array([[-0.8, 0.0, -0.6], [-0.8, 0.0, -0.6]])
    intensities = np.zeros((2, 3))
    intensities[lamp] = 1.0
    lighting = Lighting(directions, intensities, np.full(3, 0.05), np.full(3, 0.05))
    big, small = ball(RIGHT, 0.05), ball(RIGHT + 0.09 * directions[0], 0.02)
    alone, both = draw(lighting, big)[0], draw(lighting, big, small)[0]
    point = K @ (RIGHT + 0.05 * directions[0])
    x, y = np.round(point[:2] / point[2]).astype(int)
    assert (both[y, x] < 0.6 * alone[y, x]) == (lamp == 0)


def test_what_covers_the_background_hides_its_light():
    lighting = Lighting(DARK.directions, np.full((1, 3), 0.2), np.full(3, 0.2), np.full(3, 0.2))
    image, labels, depth = draw(lighting, ball(CENTRE, 0.05), background=5.0)
    inside = np.hypot(*(np.indices((SIZE, SIZE)) - 31.5)) < 13
    assert (labels[inside] == OBJECT_LABEL).all()
    assert depth[31, 31] == pytest.approx(0.45, abs=0.002)
    assert np.isinf(depth[0, 0])
    assert image[inside].max() < 0.95 * image[:8].min()


def test_a_ball_keeps_its_size_and_place_in_the_picture():
    _, labels, _ = draw(
        Lighting(DARK.directions, np.ones((1, 3)), np.ones(3), np.ones(3)), ball(CENTRE + np.array([0.05, -0.03, 0.0]), 0.03)
    )
    rows, columns = np.nonzero(labels == OBJECT_LABEL)
    assert columns.mean() == pytest.approx(31.5 + 150 * 0.05 / 0.5, abs=0.5)
    assert rows.mean() == pytest.approx(31.5 - 150 * 0.03 / 0.5, abs=0.5)
    assert len(rows) == pytest.approx(np.pi * (150 * 0.03 / 0.5) ** 2, rel=0.06)
