"""The rasteriser against ray casting by trimesh and embreex, and what must hold for any z-buffer."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import Delaunay

from occhand.render.raster import Raster, covered_pixels, rasterize

HEIGHT, WIDTH = 120, 160
K = np.array([[190.0, 3.0, 78.3], [0.0, 185.0, 61.7], [0.0, 0.0, 1.0]])
"""With skew, unequal focal lengths and an off-centre principal point."""


def pixel_rays(K: np.ndarray, height: int, width: int) -> np.ndarray:
    """Direction through every pixel centre with z = 1, so that depth is the distance along it."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(K).T


def knot(turns: tuple[int, int], radius: float) -> trimesh.Trimesh:
    """A closed tube along a torus knot, hand-sized; it hides parts of itself as bent fingers do."""
    p, q = turns
    along, around = np.meshgrid(
        np.linspace(0.0, 2.0 * np.pi, 120, endpoint=False), np.linspace(0.0, 2.0 * np.pi, 10, endpoint=False), indexing="ij"
    )

    def path(t: np.ndarray) -> np.ndarray:
        spread = 2.0 + np.cos(q * t)
        return 0.022 * np.stack([spread * np.cos(p * t), spread * np.sin(p * t), -np.sin(q * t)], axis=-1)

    tangent = path(along + 1e-4) - path(along - 1e-4)
    side = np.cross(tangent, (0.0, 0.0, 1.0))
    up = np.cross(side, tangent)
    side, up = (axis / np.linalg.norm(axis, axis=-1, keepdims=True) for axis in (side, up))
    vertices = path(along) + radius * (np.cos(around)[..., None] * side + np.sin(around)[..., None] * up)
    number = np.arange(along.size).reshape(along.shape)
    ahead, beside = np.roll(number, -1, axis=0), np.roll(number, -1, axis=1)
    diagonal = np.roll(ahead, -1, axis=1)
    faces = np.concatenate([np.stack([number, ahead, diagonal], axis=-1), np.stack([number, diagonal, beside], axis=-1)])
    return trimesh.Trimesh(vertices.reshape(-1, 3), faces.reshape(-1, 3), process=False)


def random_scene(seed: int) -> trimesh.Trimesh:
    """About six thousand faces in overlapping, hand-sized solids and a soup of single triangles."""
    rng = np.random.default_rng(seed)
    parts = [
        trimesh.creation.icosphere(subdivisions=3, radius=rng.uniform(0.02, 0.06)),
        trimesh.creation.torus(rng.uniform(0.04, 0.08), rng.uniform(0.01, 0.03), major_sections=40, minor_sections=20),
        trimesh.creation.box(extents=rng.uniform(0.02, 0.12, 3)),
        knot([(2, 3), (3, 2), (2, 5)][seed % 3], rng.uniform(0.006, 0.012)),
        *(trimesh.creation.capsule(height=rng.uniform(0.03, 0.09), radius=rng.uniform(0.006, 0.012), count=[12, 12]) for _ in range(6)),
    ]
    for part in parts:
        part.apply_transform(trimesh.transformations.random_rotation_matrix(rand=rng.random(3)))
        part.apply_translation(rng.uniform((-0.08, -0.06, 0.3), (0.08, 0.06, 0.55)))
    soup = rng.uniform((-0.1, -0.08, 0.3), (0.1, 0.08, 0.6), (60, 1, 3)) + rng.normal(0.0, 0.02, (60, 3, 3))
    parts.append(trimesh.Trimesh(soup.reshape(-1, 3), np.arange(180).reshape(-1, 3), process=False))
    return trimesh.util.concatenate(parts)


def cast_rays(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Depth and face ids by trimesh and embreex, a ray through every pixel centre."""
    rays = pixel_rays(K, HEIGHT, WIDTH).reshape(-1, 3)
    assert type(mesh.ray).__module__.endswith("ray_pyembree")
    faces, pixels, points = mesh.ray.intersects_id(np.zeros_like(rays), rays, multiple_hits=False, return_locations=True)
    depth, ids = np.full(len(rays), np.inf), np.full(len(rays), -1)
    ids[pixels], depth[pixels] = faces, points[:, 2]
    return depth.reshape(HEIGHT, WIDTH), ids.reshape(HEIGHT, WIDTH)


def raster_of(vertices: object, faces: object, near: float = 0.01) -> Raster:
    return rasterize(np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int64).reshape(-1, 3), K, HEIGHT, WIDTH, near=near)


def unproject(pixels: np.ndarray, depth: np.ndarray | float) -> np.ndarray:
    """Points of the camera frame behind pixels."""
    homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
    return homogeneous @ np.linalg.inv(K).T * np.broadcast_to(depth, len(pixels))[:, None]


@pytest.mark.parametrize("seed", range(20))
def test_depth_and_ids_equal_ray_casting(seed: int) -> None:
    mesh = random_scene(seed)
    depth, ids = cast_rays(mesh)
    raster = raster_of(mesh.vertices, mesh.faces)
    assert (ids >= 0).mean() > 0.2
    assert (raster.face_ids == ids).mean() >= 0.995
    with np.errstate(invalid="ignore"):
        agrees = (raster.depth == depth) | (np.abs(raster.depth - depth) < 1e-4)
    # Where ids differ, too; one pixel in ten thousand is left to the single precision of embreex at silhouettes.
    assert agrees[raster.face_ids == ids].all()
    assert agrees.mean() >= 0.9999


def test_tilted_plane_has_its_depth() -> None:
    normal, distance = np.array([0.2, -0.3, -1.0]), -0.4
    corners = np.array([[-2.0, -2.0], [2.0, -2.0], [2.0, 2.0], [-2.0, 2.0]])
    z = (distance - corners @ normal[:2]) / normal[2]
    raster = raster_of(np.column_stack([corners, z]), [[0, 1, 2], [0, 2, 3]])
    expected = distance / (pixel_rays(K, HEIGHT, WIDTH) @ normal)
    np.testing.assert_allclose(raster.depth, expected, rtol=1e-6)


def test_barycentrics_lead_back_to_the_pixel_rays() -> None:
    mesh = random_scene(3)
    raster = raster_of(mesh.vertices, mesh.faces)
    seen = raster.face_ids >= 0
    weights = raster.barycentrics[seen].astype(np.float64)
    points = (mesh.vertices[mesh.faces[raster.face_ids[seen]]] * weights[..., None]).sum(axis=1)
    expected = pixel_rays(K, HEIGHT, WIDTH)[seen] * raster.depth[seen][:, None]
    np.testing.assert_allclose(points, expected, atol=1e-7)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)
    assert weights.min() >= 0.0


def test_what_is_empty_is_marked() -> None:
    raster = raster_of(np.zeros((0, 3)), [])
    assert np.isinf(raster.depth).all()
    assert (raster.face_ids == -1).all()
    assert (raster.barycentrics == 0).all()


def test_pixel_centres_are_whole_numbers() -> None:
    corners = unproject(np.array([[6.9, 4.9], [7.1, 4.9], [7.0, 5.2]]), 0.5)
    ys, xs = np.nonzero(raster_of(corners, [[0, 1, 2]]).face_ids >= 0)
    assert (xs.tolist(), ys.tolist()) == ([7], [5])


def test_order_of_faces_does_not_matter() -> None:
    mesh = random_scene(5)
    order = np.random.default_rng(0).permutation(len(mesh.faces))
    first, second = raster_of(mesh.vertices, mesh.faces), raster_of(mesh.vertices, mesh.faces[order])
    np.testing.assert_array_equal(first.depth, second.depth)
    np.testing.assert_array_equal(first.face_ids, np.append(order, -1)[second.face_ids])


def test_first_of_equal_faces_is_kept() -> None:
    corners = unproject(np.array([[20.0, 20.0], [90.0, 30.0], [40.0, 80.0]]), np.array([0.4, 0.5, 0.6]))
    raster = raster_of(corners, [[0, 1, 2], [0, 1, 2], [0, 1, 2]])
    assert set(np.unique(raster.face_ids)) == {-1, 0}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("on_pixel_centres", [True, False])
def test_shared_edges_leave_no_gaps(seed: int, on_pixel_centres: bool) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.concatenate(
        [
            rng.uniform((0, 0), (WIDTH - 1, HEIGHT - 1), (600, 2)),
            np.array([[-9, -9], [WIDTH + 9, -9], [-9, HEIGHT + 9], [WIDTH + 9, HEIGHT + 9]]),
        ]
    )
    if on_pixel_centres:
        pixels = np.unique(np.round(pixels), axis=0)
    faces = Delaunay(pixels).simplices
    faces[::2] = faces[::2, ::-1]
    vertices = unproject(pixels, rng.uniform(0.4, 0.5, len(pixels)))
    assert (raster_of(vertices, faces).face_ids >= 0).all()


@pytest.mark.parametrize("near", [0.01, 0.3])
def test_floor_below_the_camera_is_cut_at_the_near_plane(near: float) -> None:
    floor = [[-30.0, 0.1, -5.0], [30.0, 0.1, -5.0], [30.0, 0.1, 40.0], [-30.0, 0.1, 40.0]]
    raster = raster_of(floor, [[0, 1, 2], [0, 2, 3]], near=near)
    with np.errstate(divide="ignore"):
        expected = 0.1 / pixel_rays(K, HEIGHT, WIDTH)[..., 1]
    expected[(expected < near) | (expected > 40.0)] = np.inf
    assert 0.3 < np.isfinite(expected).mean() < 0.6
    np.testing.assert_allclose(raster.depth, expected, rtol=1e-6)


def test_box_around_the_camera_is_seen_from_inside() -> None:
    box = trimesh.creation.box(extents=(2.0, 2.0, 2.0))
    raster = raster_of(box.vertices, box.faces)
    rays = pixel_rays(K, HEIGHT, WIDTH)
    np.testing.assert_allclose(raster.depth, 1.0 / np.abs(rays).max(axis=-1), rtol=1e-6)


@pytest.mark.parametrize("offset", [(0.0, 0.0, -2.0), (1e9, 0.0, 1.0), (0.0, -1e300, 1.0)])
def test_what_is_out_of_sight_is_not_drawn(offset: tuple[float, float, float]) -> None:
    ball = trimesh.creation.icosphere(subdivisions=1, radius=0.5)
    assert (raster_of(ball.vertices + np.array(offset), ball.faces).face_ids == -1).all()


def test_face_seen_edge_on_has_no_wild_depth() -> None:
    corners = np.array([[0.0, -0.1, 0.4], [0.0, 0.1, 0.4], [0.0, 0.0, 0.6]])  # in the plane x = 0, through the camera
    straight = np.array([[200.0, 0.0, 80.0], [0.0, 200.0, 60.0], [0.0, 0.0, 1.0]])
    depth = rasterize(corners, np.array([[0, 1, 2]]), straight, HEIGHT, WIDTH).depth
    seen = np.isfinite(depth)
    assert ((depth[seen] >= 0.4) & (depth[seen] <= 0.6)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices_cam": np.full((3, 3), np.nan)}, "not finite"),
        ({"faces": np.array([[0, 1, 3]])}, "there are 3"),
        ({"faces": np.array([[0, 1, -1]])}, "there are 3"),
        ({"K": np.diag([200.0, 200.0, 2.0])}, "no pinhole"),
        ({"K": np.diag([np.nan, 200.0, 1.0])}, "no pinhole"),
        ({"near": 0.0}, "positive"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    good = {"vertices_cam": np.eye(3), "faces": np.array([[0, 1, 2]]), "K": K, "height": HEIGHT, "width": WIDTH}
    with pytest.raises(ValueError, match=message):
        rasterize(**{**good, **change})


@pytest.mark.parametrize("seed", range(4))
def test_covered_pixels_are_those_with_a_face(seed: int) -> None:
    """A closed mesh shows its front wherever it shows anything; no border cuts it off."""
    mesh = knot((2, 3), 0.3)
    mesh.apply_transform(trimesh.transformations.random_rotation_matrix(np.random.default_rng(seed).random(3)))
    vertices = mesh.vertices - mesh.vertices.mean(0) + (0.1 * seed, -0.05, 1.5)
    K = np.array([[90.3, 0.0, 100.2], [0.0, 90.3, 100.7], [0.0, 0.0, 1.0]])
    seen = rasterize(vertices, mesh.faces, K, 200, 200).face_ids >= 0
    assert not seen[[0, -1]].any()
    assert not seen[:, [0, -1]].any()
    assert covered_pixels(vertices, mesh.faces, K) == seen.sum() > 1000
    K[:2, 2] -= 150  # out of the picture's border
    assert covered_pixels(vertices, mesh.faces, K) == seen.sum()
