from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from occhand.hand.assets import load_parameters
from occhand.hand.capsules import HandCapsules, _closest, fit_capsules, surface_distance
from occhand.hand.kinematics import chain_transforms
from occhand.hand.prior import first_joint, load_prior, rotations_from_angles
from occhand.hand.skeleton import FINGERS, PARENTS, tip_vertices


@pytest.fixture(scope="module")
def capsules() -> HandCapsules:
    hand = load_parameters("open")
    vertices = hand.v_template.astype(np.float64)
    tips = vertices[list(tip_vertices())]
    axes = load_prior(torch.float64).axes.numpy()
    return fit_capsules(vertices, hand.faces, hand.J_regressor.astype(np.float64) @ vertices, tips, axes, torch.float64)


def overlap(capsules: HandCapsules, **degrees: tuple[float, float, float, float]) -> float:
    """Deepest overlap in millimetres with fingers at (MCP flexion, MCP abduction, PIP, DIP)."""
    angles = torch.zeros(16, 3, dtype=torch.float64)
    for finger, (flexion, abduction, pip, dip) in degrees.items():
        first = first_joint(finger)
        angles[first, 0], angles[first, 1], angles[first + 1, 0], angles[first + 2, 0] = flexion, abduction, pip, dip
    rotations = rotations_from_angles(torch.deg2rad(angles), load_prior(torch.float64).axes)
    return float(1e3 * capsules.overlap(rotations).max())


def test_chain_equals_the_plain_recursion() -> None:
    generator = torch.Generator().manual_seed(1)
    rotations = torch.linalg.qr(torch.randn(5, 16, 3, 3, generator=generator, dtype=torch.float64))[0]
    rest = torch.randn(16, 3, generator=generator, dtype=torch.float64)
    R, t = chain_transforms(rotations, rest)
    for joint in range(1, 16):
        parent = PARENTS[joint]
        torch.testing.assert_close(R[:, joint], R[:, parent] @ rotations[:, joint])
        torch.testing.assert_close(t[:, joint], t[:, parent] + R[:, parent] @ (rest[joint] - rest[parent]))


def test_rays_meet_a_sphere_at_its_radius() -> None:
    sphere = trimesh.creation.icosphere(4, radius=2.0)
    directions = np.random.default_rng(0).standard_normal((100, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    reach = surface_distance(np.zeros((100, 3)), directions, sphere.vertices, sphere.faces)
    np.testing.assert_allclose(reach, 2.0, atol=0.01)
    assert np.isinf(surface_distance(3 * directions, directions, sphere.vertices, sphere.faces)).all()


def test_closest_points_beat_a_fine_grid() -> None:
    generator = torch.Generator().manual_seed(2)
    p, d, q, e = torch.randn(4, 200, 3, generator=generator, dtype=torch.float64)
    steps = torch.linspace(0, 1, 101, dtype=torch.float64)
    points, others = (a[:, None] + steps[:, None] * b[:, None] for a, b in ((p, d), (q, e)))
    best = torch.cdist(points, others).flatten(1).amin(1)
    s, u, distance = _closest(p, d, q, e)
    torch.testing.assert_close((p + s[:, None] * d - q - u[:, None] * e).norm(dim=-1), distance)
    assert (distance <= best + 1e-9).all()
    assert (distance >= best - 0.05).all()


def test_capsules_fill_the_mesh(capsules: HandCapsules) -> None:
    """The skin of each middle and last phalanx lies within 1.8 mm of its capsule."""
    hand = load_parameters("open")
    for joint, ends, radii in zip(capsules.joint.tolist(), capsules.ends, capsules.radii, strict=True):
        skin = torch.from_numpy(hand.v_template[hand.weights[:, joint] > 0.9].astype(np.float64))
        if joint % 3 == 1 or joint == 0 or len(skin) == 0:
            continue
        axis = ends[1] - ends[0]
        along = ((skin - ends[0]) @ axis / (axis @ axis)).clamp(0, 1)
        outside = (skin - ends[0] - along[:, None] * axis).norm(dim=-1) - (radii[0] + along * (radii[1] - radii[0]))
        assert outside.abs().max() < 1.8e-3 or joint == 14  # the thumb's proximal capsule leaves out its base


def test_overlap_is_the_same_whichever_capsule_comes_first(capsules: HandCapsules) -> None:
    generator = torch.Generator().manual_seed(4)
    angles = 0.5 * torch.randn(50, 16, 3, generator=generator, dtype=torch.float64)
    rotations = rotations_from_angles(angles, load_prior(torch.float64).axes)
    other_way = replace(capsules, pairs=capsules.pairs.flip(1))
    torch.testing.assert_close(other_way.overlap(rotations), capsules.overlap(rotations), atol=1e-6, rtol=0)


def test_neither_palm_nor_thenar_collides_with_the_phalanges_that_grow_from_the_hand(capsules: HandCapsules) -> None:
    grown, firsts = {0, first_joint("thumb")}, {0, *(first_joint(finger) for finger in FINGERS)}
    met = [set(pair) for pair in capsules.joint[capsules.pairs].tolist()]
    assert not [pair for pair in met if pair & grown and pair <= firsts]
    assert {0, first_joint("ring") + 1} in met


def test_the_bulge_of_the_palm_lies_on_the_little_fingers_side(capsules: HandCapsules) -> None:
    *palm, bulge = capsules.ends[capsules.joint == 0][..., 2].mean(1).tolist()
    assert bulge < min(palm) - 0.004


def test_what_lies_in_the_web_at_the_base_of_a_digit_is_left_out(capsules: HandCapsules) -> None:
    begin = {first_joint(finger): 0.5 for finger in FINGERS[1:]} | {first_joint("thumb") + 1: 0.35}
    for joint, ends in zip(capsules.joint.tolist(), capsules.ends, strict=True):
        if joint % 3 == 0:  # the palm, and last phalanges, which end at a tip
            continue
        start, end = capsules.joints_rest[[joint, joint + 1]]
        along = (ends - start) @ (end - start) / (end - start).square().sum()
        torch.testing.assert_close(along, torch.tensor([begin.get(joint, 0.0), 1.0], dtype=torch.float64), atol=1e-6, rtol=0)


def test_rest_is_free_of_overlap(capsules: HandCapsules) -> None:
    assert overlap(capsules) < -1.0


@pytest.mark.parametrize(
    "pose",
    [
        {"index": (0, -18, 0, 0), "middle": (0, 18, 0, 0)},  # side by side into each other
        {"index": (90, 0, 106, 75)},  # into the palm
        {"ring": (60, 18, 60, 30), "middle": (60, -18, 60, 30)},  # crossed
    ],
)
def test_collisions_are_seen(capsules: HandCapsules, pose: dict[str, tuple[float, float, float, float]]) -> None:
    assert overlap(capsules, **pose) > 2.0
