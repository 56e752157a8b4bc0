from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from occhand.detect.window import Window, WindowCutter, around_box, around_hand, tiles, whole_image


def _dot(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    value = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return np.repeat(value[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("angle_deg", [0, 30, 90, 200, -75])
@pytest.mark.parametrize(("side_px", "size", "radius"), [(100.0, 224, 2.0), (150.0, 150, 2.0), (260.3, 64, 8.0), (300.0, 32, 12.0)])
def test_a_dot_seen_in_the_window_maps_back_to_where_it_is(angle_deg: float, side_px: float, size: int, radius: float) -> None:
    x, y = 131.3, 88.7
    image = _dot(220, 300, x, y, radius)
    window = Window((120.0, 95.5), side_px, float(np.deg2rad(angle_deg)))
    cut = WindowCutter(image).cut(window, size)[..., 0].astype(float)
    row, column = ndimage.center_of_mass(cut)
    seen = window.to_image(np.array([[(column + 0.5) / size, (row + 0.5) / size]]))[0]
    np.testing.assert_allclose(seen, [x, y], atol=0.12 * max(1.0, side_px / size))


def test_upright_window_of_image_size_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(WindowCutter(image).cut(whole_image(40, 40), 40), image)


def test_quarter_turn_is_numpys() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    cut = WindowCutter(image).cut(Window((19.5, 19.5), 40.0, np.pi / 2), 40)
    np.testing.assert_allclose(cut.astype(int), np.rot90(image), atol=1)  # the image's right is the window's up


def test_outside_is_black_and_shrinking_does_not_alias() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 254
    cut = WindowCutter(stripes).cut(whole_image(256, 256), 32)
    assert np.ptp(cut) <= 2
    stripes[:, 2::4] = 0
    assert np.abs(WindowCutter(stripes).cut(whole_image(256, 256), 32) - 254 / 4).max() <= 2
    assert (WindowCutter(stripes).cut(Window((-300.0, 0.0), 100.0), 16) == 0).all()


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (300, 300), (100, 800)])
@pytest.mark.parametrize("fraction", [1.0, 0.66, 0.45])
def test_tiles_cover_the_image_with_overlap(height: int, width: int, fraction: float) -> None:
    seen = np.zeros((height, width), dtype=int)
    for tile in tiles(height, width, fraction):
        x1, y1 = (np.asarray(tile.center) + 0.5 - tile.side_px / 2).round().astype(int)
        assert min(x1, y1) >= 0
        seen[y1 : y1 + round(tile.side_px), x1 : x1 + round(tile.side_px)] += 1
    assert seen.min() >= 1
    if fraction < 1:
        assert seen[height // 4 : -height // 4, width // 4 : -width // 4].min() >= 2


def test_long_strips_get_no_more_tiles_than_others_and_are_covered() -> None:
    for height, width in ((3, 20_000), (300, 20_000), (20_000, 1), (1, 1)):
        windows = [tile for fraction in (1.0, 0.66, 0.45) for tile in tiles(height, width, fraction)]
        assert len(windows) <= 230
        for length, axis in ((width, 0), (height, 1)):
            ends = sorted((tile.center[axis] + 0.5 - tile.side_px / 2, tile.center[axis] + 0.5 + tile.side_px / 2) for tile in windows)
            assert ends[0][0] <= 1e-6
            assert max(end for _, end in ends) >= length - 1e-6


def test_window_around_box_holds_it() -> None:
    window = around_box(np.array([10.0, 20.0, 50.0, 100.0]), 1.5, 0.0)
    assert window == Window((30.0, 60.0), 120.0, 0.0)


def test_the_window_of_a_whole_image_is_as_long_as_its_longer_side() -> None:
    assert whole_image(100, 300) == Window((149.5, 49.5), 300.0)
    assert whole_image(300, 100) == Window((49.5, 149.5), 300.0)


@pytest.mark.parametrize(("half_width", "side_px"), [(50.0, 200.0), (30.0, 160.0)])
def test_window_around_hand_is_twice_the_palm_and_a_tenth_towards_the_fingers(half_width: float, side_px: float) -> None:
    """The palm: 80 pixels from the wrist to the joints in the middle of the fingers; what lies beyond does not count."""
    joints = np.zeros((21, 2))
    joints[0], joints[5], joints[13] = (0, 60), (-half_width, 0), (half_width, 0)
    joints[[6, 10, 14, 18], 1] = -20
    joints[[4, 7, 8, 11, 12, 15, 16, 19, 20]] = (-300, -300)
    assert around_hand(joints) == Window((0.0, 20.0 - 8.0), side_px, 0.0)
    assert around_hand(np.ones((21, 2))).side_px == 1.0


def test_window_around_hand_turns_with_the_hand() -> None:
    rng = np.random.default_rng(1)
    joints = rng.uniform(-20, 20, (21, 2))
    joints[0] = (0, 60)
    upright = around_hand(joints)
    for angle in (0.4, -2.0, 3.0):
        turn = Window((0.0, 0.0), 1.0, angle).rotation
        window = around_hand(joints @ turn.T + (300, 200))
        assert window.side_px == pytest.approx(upright.side_px)
        np.testing.assert_allclose(window.center, turn @ upright.center + (300, 200))
        assert np.exp(1j * window.angle) == pytest.approx(np.exp(1j * (upright.angle + angle)))
