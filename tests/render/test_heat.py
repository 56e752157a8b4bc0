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
    crop = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    maps = {name: np.eye(4) for name in "abcd"} | {"long": np.eye(2, 9)}
    sheet = draw_maps(crop, maps)
    gap, cell = 3, 256
    assert sheet.shape == (2 * cell + 3 * gap, 4 * cell + 5 * gap, 3)
    tiles = [sheet[y : y + cell, x : x + cell][40:] for y in (3, 262) for x in (3, 262, 521, 780)]  # below the label
    assert (tiles[0] == crop[40:]).all()
    for tile in tiles[1:5]:
        assert (tile == draw_heat(crop, np.eye(4))[40:]).all()
    assert len(np.unique(tiles[5].reshape(-1, 3), axis=0)) > 2


def test_attention_to_places_lies_over_the_crop():
    attention = np.zeros((3, 16))
    attention[:, 6] = 1.0  # second row, third column of 4 x 4
    sheet = draw_maps(np.zeros((64, 64, 3), np.uint8), {"a": attention}, columns=1).astype(float).sum(2)
    tile = sheet[-256:-8, 8:-8][40:]  # without border and label
    row, column = np.unravel_index(tile.argmax(), tile.shape)
    assert ((row + 43) // 64, (column + 5) // 64) == (1, 2)
