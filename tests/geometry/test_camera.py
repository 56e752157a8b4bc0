"""Projection, its inverse, and intrinsics of mirrored and cropped images."""

import numpy as np
import pytest
import torch

from occhand.geometry.camera import flip_opencv_opengl, look_at, mirror_intrinsics, project, unproject
from occhand.types import Camera

K = torch.tensor([[600.0, 0.5, 310.0], [0.0, 590.0, 250.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
POINTS = torch.randn(4, 21, 3, generator=torch.Generator().manual_seed(0)).double() * 0.1 + torch.tensor([0.0, 0.0, 0.6])


@pytest.mark.parametrize("pixel", [(320.0, 240.0), (0.0, 0.0), (639.0, 100.0)])
def test_a_camera_that_looks_at_a_pixel_has_it_on_its_axis_and_is_turned_no_further(pixel):
    K = torch.tensor([[500.0, 3.0, 320.0], [0.0, 480.0, 240.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    turn = look_at(torch.tensor(pixel, dtype=torch.float64), K)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(project(turn[None, :, 2], K)[0], torch.tensor(pixel, dtype=torch.float64))
    angle = torch.arccos((turn.trace() - 1) / 2)
    torch.testing.assert_close(angle, torch.arccos(turn[2, 2]))  # the angle between the two axes alone
    in_view = project(torch.eye(3, dtype=torch.float64)[2:], K @ turn)  # any matrix to pixels will do
    torch.testing.assert_close(in_view[0], torch.tensor(pixel, dtype=torch.float64))
    torch.testing.assert_close(look_at(torch.tensor(pixel, dtype=torch.float64), K @ turn), torch.eye(3, dtype=torch.float64))


def test_project_matches_the_pinhole_formula():
    x, y, z = POINTS.unbind(-1)
    expected = torch.stack([(600 * x + 0.5 * y) / z + 310, 590 * y / z + 250], dim=-1)
    torch.testing.assert_close(project(POINTS, K), expected)


def test_unproject_undoes_project():
    torch.testing.assert_close(unproject(project(POINTS, K), POINTS[..., 2], K), POINTS)


def test_mirrored_camera_sees_the_mirrored_hand():
    mirrored = project(POINTS * torch.tensor([-1.0, 1.0, 1.0]), mirror_intrinsics(K, 640))
    pixels = project(POINTS, K)
    torch.testing.assert_close(mirrored, torch.stack([639 - pixels[..., 0], pixels[..., 1]], dim=-1))


def test_opengl_has_y_up_and_looks_along_minus_z():
    torch.testing.assert_close(flip_opencv_opengl(torch.tensor([1.0, 2.0, 3.0])), torch.tensor([1.0, -2.0, -3.0]))


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (np.eye(4), "shape"),
        (np.diag([np.nan, 1.0, 1.0]), "finite"),
        (np.diag([-500.0, 500.0, 1.0]), "focal"),
        (np.array([[500.0, 0, 0], [0, 500.0, 0], [0.1, 0, 1]]), "last row"),
    ],
)
def test_a_matrix_that_is_no_camera_is_refused(K, message):
    with pytest.raises(ValueError, match=message):
        Camera(K, 480, 640)


def test_assumed_camera_has_the_stated_field_of_view():
    camera = Camera.assume(480, 640, diagonal_fov_deg=60.0)
    corner = np.linalg.inv(camera.K) @ [-0.5, -0.5, 1.0]
    assert camera.source == "assumed"
    assert np.rad2deg(np.arctan(np.linalg.norm(corner[:2]))) == pytest.approx(30.0)


def test_assumed_camera_sees_a_mirrored_picture_alike():
    K = torch.from_numpy(Camera.assume(480, 641).K)
    torch.testing.assert_close(mirror_intrinsics(K, 641), K)
