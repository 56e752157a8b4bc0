"""Light, colour and smooth edges."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from occhand.render.raster import rasterize
from occhand.render.shade import PALETTE, Light, Mesh, draw_meshes, linear_from_srgb, shade, srgb_from_linear, vertex_normals

K = np.array([[100.0, 0.0, 30.0], [0.0, 100.0, 24.0], [0.0, 0.0, 1.0]])


def ball(x: float = 0.0, z: float = 1.0, radius: float = 0.2, **colour: object) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return Mesh(sphere.vertices + np.array([x, 0.0, z]), np.asarray(sphere.faces), **colour)


def rectangle(left: float, top: float, right: float, bottom: float, z: float = 1.0) -> Mesh:
    """A rectangle given by the pixel coordinates of its borders, seen from outside."""
    corners = np.array([[left, top, 1.0], [right, top, 1.0], [right, bottom, 1.0], [left, bottom, 1.0]])
    return Mesh(corners @ np.linalg.inv(K).T * z, np.array([[0, 3, 2], [0, 2, 1]]))


def test_normals_of_a_ball_point_outwards() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3)
    normals = vertex_normals(np.asarray(sphere.vertices), np.asarray(sphere.faces))
    np.testing.assert_allclose(normals, sphere.vertices, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0)


def test_vertex_without_face_has_no_normal() -> None:
    corners = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [5.0, 5.0, 5.0]])
    np.testing.assert_array_equal(vertex_normals(corners, np.array([[0, 1, 2]]))[[0, 3]], [[0, 0, 1], [0, 0, 0]])


def test_srgb_goes_there_and_back() -> None:
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(-1, 3)
    np.testing.assert_array_equal(srgb_from_linear(linear_from_srgb(values)), values)
    np.testing.assert_array_equal(srgb_from_linear(np.array([0.5, -1.0, 7.0])), [188, 0, 255])


@pytest.mark.parametrize("direction", [(1.0, 0.0, -0.5), (-1.0, 0.0, -0.5), (0.0, 1.0, -0.5), (0.0, -1.0, -0.5)])
def test_light_comes_from_its_direction(direction: tuple[float, float, float]) -> None:
    mesh = ball()
    raster = rasterize(mesh.vertices_cam, mesh.faces, K, 48, 60)
    light = shade(raster, mesh.vertices_cam, mesh.faces, np.full(mesh.vertices_cam.shape, 0.5), [Light(direction, (1.0, 1.0, 1.0))])
    dark = shade(raster, mesh.vertices_cam, mesh.faces, np.full(mesh.vertices_cam.shape, 0.5), [])
    ys, xs = np.nonzero(raster.face_ids >= 0)
    weight = (light - dark)[ys, xs, 1]
    lean = np.array([(weight * (xs - 30)).sum(), (weight * (ys - 24)).sum()]) / weight.sum()
    assert lean @ np.array(direction[:2]) > 5.0
    assert abs(lean @ np.array([-direction[1], direction[0]])) < 0.5
    assert (light[raster.face_ids < 0] == 0).all()


def test_inner_side_is_darker() -> None:
    outside = rectangle(10, 10, 40, 40)
    inside = Mesh(outside.vertices_cam, outside.faces[:, ::-1])
    seen = [draw_meshes([mesh], K, 48, 60).rgb[24, 30].astype(int).sum() for mesh in (outside, inside)]
    assert seen[1] < 0.8 * seen[0]


@pytest.mark.parametrize("supersample", [1, 2, 4])
def test_borders_between_pixels_cover_whole_pixels(supersample: int) -> None:
    alpha = draw_meshes([rectangle(9.5, 5.5, 19.5, 11.5)], K, 48, 60, supersample).alpha
    expected = np.zeros((48, 60))
    expected[6:12, 10:20] = 1.0
    np.testing.assert_array_equal(alpha, expected)


def test_partly_covered_pixels_are_partly_opaque_in_full_colour() -> None:
    picture = draw_meshes([rectangle(9.9, 5.5, 19.5, 11.5)], K, 48, 60, supersample=4)
    np.testing.assert_array_equal(picture.alpha[6:12, 10], 0.5)
    difference = picture.rgb[6:12, 10].astype(int) - picture.rgb[6:12, 11]
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("nearest", [0, 1])
def test_nearer_mesh_hides_the_farther_in_either_order(nearest: int) -> None:
    red, blue = (255, 0, 0), (0, 0, 255)
    meshes = [ball(colour=red, z=1.0), ball(x=0.05, colour=blue, z=1.5)]
    rgb = draw_meshes(meshes[:: 1 if nearest == 0 else -1], K, 48, 60).rgb
    assert rgb[24, 30, 0] > 2 * rgb[24, 30, 2]


def test_vertex_colours_are_kept_apart() -> None:
    mesh = ball()
    colours = np.where(mesh.vertices_cam[:, :1] < 0.0, np.uint8([[200, 20, 20]]), np.uint8([[20, 20, 200]]))
    rgb = draw_meshes([Mesh(mesh.vertices_cam, mesh.faces, colours)], K, 48, 60).rgb
    assert rgb[24, 20, 0] > 2 * rgb[24, 20, 2]
    assert rgb[24, 40, 2] > 2 * rgb[24, 40, 0]


def test_strips_fit_together() -> None:
    tall = K + np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 100.0], [0.0, 0.0, 0.0]])
    whole, part = draw_meshes([ball()], tall, 300, 60), draw_meshes([ball()], K, 48, 60)
    np.testing.assert_array_equal(whole.rgb[100:148], part.rgb)
    np.testing.assert_array_equal(whole.alpha[100:148], part.alpha)


def test_nothing_to_draw_is_transparent() -> None:
    assert draw_meshes([], K, 8, 9).alpha.max() == 0.0


def test_palette_colours_differ() -> None:
    colours = np.array(PALETTE, dtype=float)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    assert distance[~np.eye(len(colours), dtype=bool)].min() > 40.0
