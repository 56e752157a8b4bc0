"""Backgrounds: many, distinct, and the same for the same seed."""

from __future__ import annotations

import numpy as np

from occhand.synth.background import draw_background
from occhand.synth.noise import hash3
from occhand.synth.sensor import develop


def test_over_300_backgrounds_are_distinct():
    drawn = [draw_background(np.random.default_rng(seed), 32) for seed in range(320)]
    assert all(image.shape == (32, 32, 3) and np.isfinite(image).all() and image.min() >= 0 for image in drawn)
    flat = np.stack([np.sqrt(image).ravel() for image in drawn])
    squares = np.square(flat).sum(1)
    distance = np.sqrt(np.maximum(0.0, squares[:, None] + squares - 2 * flat @ flat.T) / flat.shape[1])
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 0.01  # root mean square over the square roots of light


def test_a_negative_place_is_hashed_alike_as_whole_number_and_as_float():
    """Straight to an unsigned number, a processor with AVX-512 makes all negative floats the same."""
    places = [(-1, -2, -3), (-1, -2, -4), (-5, 7, 0), (3, -9, 2)]
    whole = [hash3(*place, 11) for place in places]
    assert whole == [hash3(*map(float, place), 11) for place in places]
    assert len(set(whole)) == len(places)


def test_the_same_seed_gives_the_same_background():
    first, again = (draw_background(np.random.default_rng(5), 64) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_sizes_that_are_odd():
    assert {draw_background(np.random.default_rng(seed), 61).shape for seed in range(12)} == {(61, 61, 3)}


def test_more_light_gives_a_brighter_picture():
    levels = []
    for light in (0.05, 0.2, 0.6):
        picture = develop(np.full((48, 48, 3), light, dtype=np.float32), 1.0, np.random.default_rng(1))
        assert picture.dtype == np.uint8
        assert picture.shape == (48, 48, 3)
        levels.append(picture.mean())
    assert levels[0] < levels[1] < levels[2]
