from __future__ import annotations

import numpy as np
import pytest
import torch
from trimesh.triangles import closest_point

from occhand.hand.assets import OPEN_HAND, load_parameters
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.parameters import HandParameters
from occhand.hand.prior import first_joint, load_prior, rotations_from_angles
from occhand.synth.pose import OVERLAP_TOLERANCE, PoseSampler
from tests.synth.penetration import PARTS, PenetrationGauge


@pytest.fixture(scope="module")
def sampler() -> PoseSampler:
    return PoseSampler.load()


@pytest.fixture(scope="module")
def hand() -> HandLayer:
    return load_hand()


@pytest.fixture(scope="module")
def mesh() -> HandParameters:
    return load_parameters("open")


@pytest.fixture(scope="module")
def gauge(mesh: HandParameters) -> PenetrationGauge:
    return PenetrationGauge(mesh.faces, mesh.weights)


@pytest.fixture(scope="module")
def key_poses() -> dict[str, np.ndarray]:
    with np.load(OPEN_HAND) as arrays:
        return dict(zip(arrays["key_pose_names"].tolist(), arrays["key_poses"].astype(np.float32), strict=True))


def posed_vertices(hand: HandLayer, sampler: PoseSampler, angles: np.ndarray) -> np.ndarray:
    rotations = rotations_from_angles(torch.from_numpy(angles), sampler.axes)
    return hand(rotations, torch.zeros(len(angles), 10)).vertices.double().numpy()


def crossed_fingers() -> np.ndarray:
    angles = np.zeros((1, 16, 3), np.float32)
    angles[0, first_joint("index"), 1], angles[0, first_joint("middle"), 1] = np.deg2rad([-14, 14])
    return angles


def test_same_generator_same_poses(sampler: PoseSampler) -> None:
    first, again, other = (sampler.sample_batch(np.random.default_rng(seed), 20) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert sampler.sample_batch(np.random.default_rng(1), 0).shape == (0, 16, 3)


def test_poses_keep_limits_and_leave_the_wrist(sampler: PoseSampler) -> None:
    angles = sampler.sample_batch(np.random.default_rng(3), 1000)
    assert (angles >= sampler.lower).all()
    assert (angles <= sampler.upper).all()
    assert (angles[:, 0] == 0).all()


def test_poses_vary_in_every_active_angle(sampler: PoseSampler) -> None:
    prior = load_prior()
    active = prior.active(torch.from_numpy(sampler.sample_batch(np.random.default_rng(4), 2000)))
    assert torch.rad2deg(active.std(0)).min() > 2.5
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(prior.covariance), (active - prior.mean).mT, upper=False)
    assert white.mean(1).abs().max() < 0.15  # the bundled prior is that of this sampler
    assert (white.std(1) - 1).abs().max() < 0.15


def test_no_capsules_overlap(sampler: PoseSampler) -> None:
    angles = torch.from_numpy(sampler.sample_batch(np.random.default_rng(5), 1000))
    assert sampler.deepest_overlap(angles).max() <= OVERLAP_TOLERANCE


def test_crossed_fingers_are_separated(sampler: PoseSampler) -> None:
    crossed = torch.from_numpy(crossed_fingers())
    assert sampler.deepest_overlap(crossed) > 3 * OVERLAP_TOLERANCE
    apart = sampler.separate(crossed)
    assert sampler.deepest_overlap(apart) <= OVERLAP_TOLERANCE
    assert torch.rad2deg((apart - crossed).abs().max()) < 15


def test_gauge_sees_crossed_fingers(hand: HandLayer, sampler: PoseSampler, gauge: PenetrationGauge) -> None:
    depth = gauge.depth(posed_vertices(hand, sampler, crossed_fingers())[0])
    assert depth[PARTS.index("index"), PARTS.index("middle")] > 0.004
    assert depth[PARTS.index("ring")].max() == 0


@pytest.mark.slow
def test_no_digit_runs_through_another_on_the_mesh(hand: HandLayer, sampler: PoseSampler, gauge: PenetrationGauge) -> None:
    """Soft tissue gives way by 2 to 3 mm in a firm touch; what is deeper than that would be a crossing."""
    vertices = posed_vertices(hand, sampler, sampler.sample_batch(np.random.default_rng(6), 500))
    deepest_mm = np.array([1e3 * gauge.depth(v).max() for v in vertices])
    assert deepest_mm.max() < 4.0
    assert np.mean(deepest_mm > 2.0) < 0.05


def test_key_poses_are_free_of_crossings(
    hand: HandLayer, sampler: PoseSampler, gauge: PenetrationGauge, key_poses: dict[str, np.ndarray]
) -> None:
    vertices = posed_vertices(hand, sampler, np.stack(list(key_poses.values())))
    depth_mm = {name: 1e3 * gauge.depth(v).max() for name, v in zip(key_poses, vertices, strict=True)}
    assert max(depth_mm.values()) < 2.5, depth_mm


@pytest.mark.parametrize(
    ("name", "finger"),
    [("pinch", "index"), ("ok", "index"), ("tripod", "index"), ("tripod", "middle"), ("lateral", "index"), ("fist", "middle")],
)
def test_pinching_skin_meets(
    hand: HandLayer, mesh: HandParameters, sampler: PoseSampler, key_poses: dict[str, np.ndarray], name: str, finger: str
) -> None:
    """The nearest vertices of thumb and finger are no farther apart than the mesh is coarse (edges of 7 mm)."""
    vertices = posed_vertices(hand, sampler, key_poses[name][None])[0]
    first = first_joint(finger)
    thumb = vertices[mesh.weights[:, first_joint("thumb") + 2] > 0.5]
    of_finger = mesh.weights[:, first + 1 : first + 3].sum(1) > 0.5
    skin = vertices[mesh.faces[of_finger[mesh.faces].all(1)]]
    nearest = closest_point(np.tile(skin, (len(thumb), 1, 1)), np.repeat(thumb, len(skin), 0)) - np.repeat(thumb, len(skin), 0)
    assert np.linalg.norm(nearest, axis=1).min() < 0.002
