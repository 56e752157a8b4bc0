from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import trimesh
from trimesh.triangles import closest_point

from occhand.synth.distance import signed_distance
from occhand.synth.objects import OBJECTS, SolidObject, make_object, sample_object
from occhand.synth.primitives import Part, fillet, join, lathe, ring, rounded_box, superquadric

PARTS = {
    "box": rounded_box((0.02, 0.03, 0.06), 0.005),
    "lathe": lathe(fillet([(0, -0.05, 0), (0.03, -0.05, 0.005), (0.012, 0.0, 0.02), (0.03, 0.05, 0.005), (0, 0.05, 0)])),
    "ellipsoid": superquadric((0.03, 0.02, 0.05)),
    "superquadric": superquadric((0.03, 0.02, 0.05), 0.4, 0.6),
    "ring": ring(0.03, 0.006, 1.6),
}


def mesh_distance(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """By trimesh, which shares nothing with the closed forms; right for one closed shell."""
    nearest = closest_point(np.tile(vertices[faces], (len(points), 1, 1)), np.repeat(points, len(faces), 0)).reshape(len(points), -1, 3)
    distance = np.linalg.norm(nearest - points[:, None], axis=-1).min(1)
    return np.where(trimesh.Trimesh(vertices, faces, process=False).contains(points), -distance, distance)


def points_around(vertices: np.ndarray, count: int = 150) -> np.ndarray:
    low, high = vertices.min(0), vertices.max(0)
    return (low + high) / 2 + np.random.default_rng(0).uniform(-0.8, 0.8, (count, 3)) * (high - low)


@pytest.mark.parametrize("name", PARTS)
def test_distance_of_a_part_is_that_of_its_mesh(name: str) -> None:
    tilt = trimesh.transformations.rotation_matrix(0.7, (1, 2, 3))[:3, :3]
    vertices, faces, parts = join([PARTS[name].placed((0.01, -0.02, 0.03), tilt)])
    points = points_around(vertices)
    distance, expected = signed_distance(points, parts), mesh_distance(vertices, faces, points)
    chord = 0.0003  # by which the flat faces cut into the curved surface
    if "ellipsoid" in name or "superquadric" in name:
        assert (distance < expected + chord).all()  # on the safe side, inside and out
        near = np.abs(expected) < 0.003
        assert near.any()
        assert np.abs(distance - expected)[near].max() < 0.002
    else:
        assert np.abs(distance - expected).max() < chord
    np.testing.assert_allclose(signed_distance(vertices, parts), 0, atol=1e-6)


def test_distance_of_joined_parts_is_the_nearest() -> None:
    one, other = PARTS["box"], PARTS["ring"].placed((0.02, 0.0, 0.05))
    vertices, _, parts = join([one, other])
    points = points_around(vertices)
    apart = [signed_distance(points, join([part])[2]) for part in (one, other)]
    np.testing.assert_allclose(signed_distance(points, parts), np.minimum(*apart))


def shells(solid: SolidObject) -> list[trimesh.Trimesh]:
    return list(trimesh.Trimesh(solid.vertices, solid.faces, process=False).split(only_watertight=False))


@pytest.mark.parametrize("name", OBJECTS)
def test_meshes_are_closed_outward_and_small(name: str) -> None:
    for seed in range(3):
        solid = make_object(name, np.random.default_rng(seed))
        assert 200 <= len(solid.faces) <= 3000
        for shell in shells(solid):
            assert shell.is_watertight
            assert shell.is_winding_consistent
            assert shell.volume > 0
        assert 0.03 < np.ptp(solid.vertices, axis=0).max() < 0.35
        assert solid.signed_distance(solid.vertices).max() < 1e-4  # no vertex floats outside


@pytest.mark.parametrize("name", OBJECTS)
def test_grips_lie_in_the_thing(name: str) -> None:
    for seed in range(40):
        solid = make_object(name, np.random.default_rng(seed))
        assert solid.grips
        for grip in solid.grips:
            along, facing = np.array(grip.along), np.array(grip.facing)
            assert abs(along @ facing) < 1e-9
            assert np.linalg.norm(along) == pytest.approx(1)
            assert np.linalg.norm(facing) == pytest.approx(1)
            assert solid.signed_distance(np.array([grip.centre]))[0] < 0.03


def test_a_vessel_is_open_to_the_eye_and_full_to_the_distance() -> None:
    solid = make_object("cup", np.random.default_rng(0))
    middle = np.zeros((1, 3))
    assert not trimesh.Trimesh(solid.vertices, solid.faces, process=False).contains(middle)[0]
    assert solid.signed_distance(middle)[0] < -0.02


def test_same_generator_same_thing() -> None:
    first, again = (sample_object(np.random.default_rng(5)) for _ in range(2))
    assert first.name == again.name
    np.testing.assert_array_equal(first.vertices, again.vertices)
    assert len({sample_object(np.random.default_rng(seed)).name for seed in range(100)}) > 18


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match="packet"):
        make_object("teapot", np.random.default_rng(0))


def test_a_part_stays_where_it_was_put() -> None:
    part: Part = PARTS["box"].placed((0.1, 0.0, 0.0))
    vertices, _, parts = join([part])
    np.testing.assert_allclose(vertices.mean(0), (0.1, 0, 0), atol=1e-12)
    assert signed_distance(np.array([[0.1, 0.0, 0.0]]), parts)[0] == pytest.approx(-0.02)


def test_shares_of_things_are_those_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(())

    def note(name: str, rng: np.random.Generator) -> SolidObject:
        counts[name] += 1
        return solid

    solid, counts, rng = make_object("pen", np.random.default_rng(0)), Counter(names), np.random.default_rng(0)
    monkeypatch.setattr("occhand.synth.objects.make_object", note)
    for _ in range(10_000):
        sample_object(rng)
    total = sum(share for share, *_ in OBJECTS.values())
    assert all(counts[name] / 10_000 == pytest.approx(share / total, rel=0.2) for name, (share, *_) in OBJECTS.items())


@pytest.mark.parametrize("name", OBJECTS)
def test_grips_are_as_thick_and_as_long_as_they_say(name: str) -> None:
    for seed in range(20):
        solid = make_object(name, np.random.default_rng(seed))
        for grip in solid.grips:
            centre, along, facing = (np.array(v) for v in (grip.centre, grip.along, grip.facing))
            surface = solid.signed_distance((centre + grip.half_thickness * facing)[None])[0]
            assert abs(surface) < 0.004  # of what tapers a mean
            assert solid.signed_distance(centre + np.outer([-grip.slide, 0, grip.slide], along)).max() < 0


def test_heads_and_handles_are_where_things_have_them() -> None:
    for seed in range(5):
        hammer, drill, mug, pen, cup = (make_object(name, np.random.default_rng(seed)) for name in ("hammer", "drill", "mug", "pen", "cup"))
        low, high = hammer.vertices.min(0), hammer.vertices.max(0)
        assert high[1] - low[1] > 0.069  # the head lies across, at the end
        assert np.abs(hammer.vertices[hammer.vertices[:, 2] < high[2] - 0.04][:, 1]).max() < 0.02
        assert np.ptp(drill.vertices[drill.vertices[:, 2] > 0.05], axis=0)[0] > 0.13
        assert mug.vertices[:, 0].max() > -mug.vertices[:, 0].min() + 0.02
        assert pen.grips[0].centre[2] < -0.02  # near the tip
        rim, foot = (cup.vertices[np.abs(cup.vertices[:, 2] - z) < 0.002] for z in (cup.vertices[:, 2].max(), cup.vertices[:, 2].min()))
        assert np.hypot(*rim.T[:2]).max() >= np.hypot(*foot.T[:2]).max() - 0.001
