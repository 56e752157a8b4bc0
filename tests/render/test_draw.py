"""What is drawn over photographs, where, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from occhand.hand.skeleton import JOINT_NAMES
from occhand.render.draw import FINGER_COLOURS, draw_joints, draw_label, overlay
from occhand.render.shade import Mesh, draw_meshes

K = np.array([[300.0, 0.0, 120.0], [0.0, 300.0, 90.0], [0.0, 0.0, 1.0]])


def photo(height: int = 180, width: int = 240) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ball(x: float = 0.0, z: float = 1.0) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    return Mesh(sphere.vertices + np.array([x, 0.0, z]), np.asarray(sphere.faces))


def open_hand_joints() -> np.ndarray:
    """Five straight fingers that fan out from a wrist at the lower border."""
    joints = np.zeros((21, 2))
    joints[0] = (120.0, 160.0)
    for finger in range(5):
        angle = np.deg2rad(-150 + 30 * finger)
        reach = np.array([50.0, 75.0, 100.0, 125.0])
        joints[1 + 4 * finger : 5 + 4 * finger] = joints[0] + reach[:, None] * np.array([np.cos(angle), np.sin(angle)])
    return joints


def test_overlay_changes_the_mesh_pixels_only() -> None:
    image = photo()
    before = image.copy()
    drawn = overlay(image, [ball()], K)
    alpha = draw_meshes([ball()], K, *image.shape[:2]).alpha
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(drawn[alpha == 0], image[alpha == 0])
    assert (drawn != image)[alpha == 1].any(axis=-1).mean() > 0.95


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_overlay_blends(alpha: float) -> None:
    image = photo()
    picture = draw_meshes([ball()], K, *image.shape[:2])
    opacity = alpha * picture.alpha[..., None].astype(np.float64)
    expected = opacity * picture.rgb + (1.0 - opacity) * image
    assert np.abs(overlay(image, [ball()], K, alpha=alpha) - expected).max() <= 0.51


def test_overlay_of_a_crop_is_the_crop_of_the_overlay() -> None:
    image = photo()
    crop_from_img = np.array([[1.0, 0.0, -100.0], [0.0, 1.0, -64.0], [0.0, 0.0, 1.0]])
    np.testing.assert_array_equal(overlay(image[64:, 100:], [ball()], crop_from_img @ K), overlay(image, [ball()], K)[64:, 100:])


@pytest.mark.parametrize("meshes", [[], [ball(x=50.0)], [ball(z=-1.0)]])
def test_overlay_of_what_is_out_of_sight_is_the_photograph(meshes: list[Mesh]) -> None:
    np.testing.assert_array_equal(overlay(photo(), meshes, K), photo())


def test_overlay_reaches_the_border_when_the_camera_is_inside() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=1.0)
    drawn = overlay(photo(), [Mesh(np.asarray(sphere.vertices), np.asarray(sphere.faces))], K, alpha=1.0)
    assert drawn.std(axis=(0, 1)).max() < 40.0


def test_joints_have_their_fingers_colour() -> None:
    joints = open_hand_joints()
    drawn = draw_joints(photo(), joints)
    for joint, name in enumerate(JOINT_NAMES[1:], start=1):
        x, y = np.round(joints[joint]).astype(int)
        expected = FINGER_COLOURS[(joint - 1) // 4]
        assert np.abs(drawn[y, x].astype(int) - expected).max() < 40, name


def test_occluded_joints_are_rings() -> None:
    joints = open_hand_joints()
    occluded = np.zeros(21, dtype=bool)
    occluded[12] = True
    drawn = draw_joints(photo(), joints, occluded)
    x, y = np.round(joints[12]).astype(int)
    assert drawn[y, x].max() < 60
    x, y = np.round(joints[11]).astype(int)
    assert drawn[y, x].max() > 150


def test_joints_that_are_not_finite_are_left_out() -> None:
    joints = open_hand_joints()
    joints[4] = np.nan
    drawn = draw_joints(photo(), joints)
    x, y = np.round(open_hand_joints()[4]).astype(int)
    np.testing.assert_array_equal(drawn[y - 3 : y + 4, x - 3 : x + 4], photo()[y - 3 : y + 4, x - 3 : x + 4])
    np.testing.assert_array_equal(draw_joints(photo(), np.full((21, 2), np.nan)), photo())


def test_joints_outside_the_photograph_are_cut_off() -> None:
    np.testing.assert_array_equal(draw_joints(photo(), open_hand_joints() + 9e3), photo())
    drawn = draw_joints(photo(), open_hand_joints() + np.array([150.0, 60.0]))
    np.testing.assert_array_equal(drawn[:, :60], photo()[:, :60])
    assert (drawn != photo()).any()


@pytest.mark.parametrize("at", [(0.0, 0.0), (1e6, 1e6), (-5.0, 90.0)])
def test_label_stays_within_the_picture(at: tuple[float, float]) -> None:
    grey = np.full((180, 240, 3), 128, dtype=np.uint8)
    ys, xs = np.nonzero((draw_label(grey, "camera assumed", at) != grey).any(axis=-1))
    assert 0 < xs.min() <= xs.max() < 239
    assert 0 < ys.min() <= ys.max() < 179
    assert 60 < np.ptp(xs) < 200
    assert 10 < np.ptp(ys) < 40


def test_label_wider_than_the_picture_is_cut_off() -> None:
    assert draw_label(photo(40, 30), "camera assumed").shape == (40, 30, 3)


def test_label_text_reads_on_its_badge() -> None:
    grey = np.full((180, 240, 3), 128, dtype=np.uint8)
    assert draw_label(grey, "right", colour=(20, 20, 20)).max() > 230
    assert draw_label(grey, "right", colour=(250, 240, 200)).min() < 60
    assert draw_label(grey, "right", colour=(20, 20, 235))[..., 0].max() > 200
    assert draw_label(grey, "right", colour=(30, 255, 30))[..., 1].min() < 80


def test_bones_have_their_fingers_colour_and_are_thin_where_hidden() -> None:
    joints, image = open_hand_joints(), photo()
    middle = np.round((joints[0] + joints[9]) / 2).astype(int)  # wrist to middle finger
    drawn = draw_joints(image, joints)
    assert np.abs(drawn[middle[1], middle[0]].astype(int) - FINGER_COLOURS[2]).max() < 40
    wrist = np.round(joints[0]).astype(int)
    assert drawn[wrist[1], wrist[0]].min() > 200
    thin = draw_joints(image, joints, np.arange(21) == 9)
    row = slice(middle[0] - 8, middle[0] + 9)
    widths = [(picture[middle[1], row] != image[middle[1], row]).any(axis=1).sum() for picture in (thin, drawn)]
    assert 0 < widths[0] < widths[1]


def test_bones_of_missing_joints_are_left_out() -> None:
    joints = np.full((21, 2), np.nan)
    joints[[0, 4]] = (60.0, 90.0), (180.0, 90.0)
    changed = (draw_joints(photo(), joints) != photo()).any(axis=2)
    ys, xs = np.nonzero(changed)
    assert np.minimum(np.hypot(xs - 60, ys - 90), np.hypot(xs - 180, ys - 90)).max() < 6
    nothing = photo()
    assert draw_joints(nothing, np.full((21, 2), np.nan)) is not nothing


def test_a_hand_larger_than_the_photograph_does_not_paint_it_over() -> None:
    joints = (open_hand_joints() - 120.0) * 8.0 + 120.0
    assert (draw_joints(photo(), joints) != photo()).any(axis=2).mean() < 0.1


def test_label_stands_where_told_and_grows_with_the_picture() -> None:
    grey = np.full((180, 240, 3), 128, dtype=np.uint8)
    ys, xs = np.nonzero((draw_label(grey, "left", (20.0, 100.0)) != grey).any(axis=-1))
    assert (xs.min(), ys.min()) == (20, 100)
    large = np.full((1000, 1400, 3), 128, dtype=np.uint8)
    assert np.ptp(np.nonzero((draw_label(large, "left") != large).any(axis=-1))[0]) > 1.8 * np.ptp(ys)
