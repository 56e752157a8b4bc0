"""The drawn hand against the hand layer, and the subdivision against trimesh's."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree

from occhand.hand.hand_layer import load_hand
from occhand.synth.hand_surface import border_loop, load_surface, subdivide


def test_pose_equals_the_hand_layer():
    surface, hand, rng = load_surface(), load_hand("open").double(), np.random.default_rng(0)
    for _ in range(5):
        rotations = hand.rotations_from_axis_angle(torch.from_numpy(rng.normal(0, 0.5, 48)))
        betas = rng.standard_normal(10)
        posed = hand(rotations, torch.from_numpy(betas))
        vertices, joints = surface.pose(rotations.numpy(), betas)
        np.testing.assert_allclose(vertices, posed.vertices.numpy(), atol=1e-8)
        np.testing.assert_allclose(joints, posed.transforms[:, :3, 3].numpy(), atol=1e-8)


def test_subdivision_equals_trimesh():
    surface = load_surface()
    vertices, faces = surface.parameters.v_template, surface.parameters.faces.astype(np.int64)
    step = subdivide(faces, len(vertices))
    theirs, their_faces = trimesh.remesh.subdivide_loop(vertices, faces, iterations=1)
    ours = step.refine(vertices)
    assert (len(ours), len(step.faces)) == (len(theirs), len(their_faces))
    # Ours has Warren's simpler weights at vertices of the mesh, which are Loop's own only at those of valence 6.
    valence = np.bincount(trimesh.Trimesh(vertices, faces, process=False).edges_unique.ravel())
    same = np.concatenate([np.flatnonzero(valence == 6), np.arange(len(vertices), len(ours))])
    same = np.setdiff1d(same, border_loop(step.faces))
    assert cKDTree(theirs).query(ours[same])[0].max() < 1e-9
    np.testing.assert_allclose(step.weights.sum(1), 1.0, atol=1e-12)


def test_the_drawn_surface_passes_through_the_vertices():
    surface = load_surface()
    vertices, _ = surface.pose(np.tile(np.eye(3), (16, 1, 1)), np.zeros(10))
    fine = surface.subdivision.refine(vertices)
    np.testing.assert_array_equal(fine[: len(vertices)], vertices)
    mesh = trimesh.Trimesh(vertices, surface.parameters.faces, process=False)
    distance, _ = cKDTree(mesh.sample(200_000, seed=0)).query(fine)
    assert distance.max() < 0.002  # smoother, not elsewhere


def test_the_wrist_loop_runs_once_around_the_border():
    surface = load_surface()
    loop = surface.wrist_loop
    assert len(set(loop.tolist())) == len(loop) == 32
    assert np.ptp(surface.rest_fine[loop, 0]) < 0.003
