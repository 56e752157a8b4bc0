"""Procrustes against scipy and its own properties."""

import numpy as np
import torch
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from occhand.geometry.align import procrustes, procrustes_align

GENERATOR = torch.Generator().manual_seed(0)
SOURCE = torch.randn(5, 21, 3, generator=GENERATOR).double()
TARGET = torch.randn(5, 21, 3, generator=GENERATOR).double()


def test_recovers_a_similarity():
    R = torch.from_numpy(Rotation.random(5, random_state=0).as_matrix())
    moved = 1.7 * SOURCE @ R.mT + torch.tensor([0.1, -2.0, 3.0])
    found = procrustes(SOURCE, moved)
    torch.testing.assert_close(found.R, R)
    torch.testing.assert_close(found.scale, torch.full((5,), 1.7).double())
    torch.testing.assert_close(found.apply(SOURCE), moved)


def test_reflection_allowed_equals_scipy():
    """scipy scales the target to unit norm and allows reflections, as the official evaluation does."""
    for source, target in zip(SOURCE, TARGET, strict=True):
        normalised, aligned, _ = scipy_procrustes(target.numpy(), source.numpy())
        centred = target - target.mean(0)
        expected = aligned * centred.norm().item() + target.mean(0).numpy()
        np.testing.assert_allclose(procrustes_align(source, target, allow_reflection=True), expected, atol=1e-12)
        assert np.isfinite(normalised).all()


def test_a_mirrored_hand_is_wrong_unless_reflections_are_allowed():
    mirrored = SOURCE * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(procrustes_align(mirrored, SOURCE, allow_reflection=True), SOURCE)
    assert (procrustes_align(mirrored, SOURCE) - SOURCE).norm(dim=-1).mean() > 0.3
    assert (torch.linalg.det(procrustes(mirrored, SOURCE).R) > 0.99).all()


def test_without_reflection_equals_scipy():
    """A plain rotation is the best one also where a reflection would fit better."""
    assert (torch.linalg.det(procrustes(SOURCE, TARGET, allow_reflection=True).R) < 0).any()
    found = procrustes(SOURCE, TARGET)
    for k, (source, target) in enumerate(zip(SOURCE - SOURCE.mean(1, keepdim=True), TARGET - TARGET.mean(1, keepdim=True), strict=True)):
        R = torch.from_numpy(Rotation.align_vectors(target, source)[0].as_matrix())
        torch.testing.assert_close(found.R[k], R, atol=1e-8, rtol=0)
        torch.testing.assert_close(found.scale[k], (target * (source @ R.mT)).sum() / source.square().sum())


def test_coinciding_points_go_to_the_mean():
    for point in (1.0, 0.1, 1 / 3):  # of which the mean over 21 points is not always the point itself
        source = torch.full((21, 3), point)
        assert procrustes(source, TARGET[0].float()).scale == 0
        aligned = procrustes_align(source, TARGET[0].float())
        torch.testing.assert_close(aligned, TARGET[0].float().mean(0).expand(21, 3))
