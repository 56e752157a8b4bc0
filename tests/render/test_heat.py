"""Heat over a crop."""

import numpy as np

from occhand.render.heat import draw_heat, draw_maps, heat_colours


def test_lightness_rises_with_the_value():
    colours = heat_colours(np.linspace(0.0, 5.0, 50)[None])[0].astype(float)
    lightness = colours @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > 0).all()


def test_constant_maps_are_drawn():
    assert (heat_colours(np.full((3, 3), 7.0)) == heat_colours(np.zeros((3, 3)))).all()


def test_the_hot_place_is_over_its_place_in_the_crop():
    values = np.zeros((8, 8))
    values[1, 6] = 1.0
    drawn = draw_heat(np.zeros((64, 64, 3), np.uint8), values).astype(float).sum(2)
    row, column = np.unravel_index(drawn.argmax(), drawn.shape)
    assert (row // 8, column // 8) == (1, 6)


def test_a_sheet_holds_the_crop_and_all_maps():
    crop = np.full((64, 64, 3), 200, np.uint8)
    one = draw_maps(crop, {"a": np.eye(4)})
    five = draw_maps(crop, {name: np.eye(4) for name in "abcd"} | {"long": np.ones((2, 9))})
    assert five.shape[0] > one.shape[0]


def test_attention_to_places_lies_over_the_crop():
    attention = np.zeros((3, 16))
    attention[:, 6] = 1.0  # second row, third column of 4 x 4
    sheet = draw_maps(np.zeros((64, 64, 3), np.uint8), {"a": attention}, columns=1).astype(float).sum(2)
    tile = sheet[-256:-8, 8:-8][40:]  # without border and label
    row, column = np.unravel_index(tile.argmax(), tile.shape)
    assert ((row + 43) // 64, (column + 5) // 64) == (1, 2)
