"""Heat over a crop."""

from unittest.mock import Mock

import numpy as np

from occhand.render import heat
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
    attention[0, 0] = attention[1:, 6] = 1.0  # second row, third column of 4 x 4
    sheet = draw_maps(np.zeros((64, 64, 3), np.uint8), {"a": attention}, columns=1).astype(float).sum(2)
    tile = sheet[-256:-8, 8:-8][40:]  # without border and label
    row, column = np.unravel_index(tile.argmax(), tile.shape)
    assert ((row + 43) // 64, (column + 5) // 64) == (1, 2)


def test_heat_covers_the_share_of_a_crop_of_any_shape_that_it_is_told():
    dark = heat_colours(np.zeros((1, 1)))[0, 0]
    drawn = draw_heat(np.full((4, 6, 3), 200, np.uint8), np.zeros((2, 2)), alpha=0.25)
    np.testing.assert_array_equal(drawn, np.tile(np.round(0.25 * dark + 0.75 * 200).astype(np.uint8), (4, 6, 1)))


def test_pictures_have_the_shape_of_their_maps_and_labels_their_ranges(monkeypatch):
    lay_out = Mock(return_value=np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(heat, "contact_sheet", lay_out)
    name = "the attention of all joints to the image"
    draw_maps(np.zeros((64, 64, 3), np.uint8), {"a": np.eye(2), name: np.arange(3.0)[:, None], "long": np.full((2, 7), -0.5)})
    pictures, labels, *_ = lay_out.call_args.args
    assert labels == ["crop", "a  0 to 1", name, "long  -0.5 to -0.5"]
    assert [picture.shape[:2] for picture in pictures] == [(256, 256), (256, 256), (255, 85), (72, 252)]
