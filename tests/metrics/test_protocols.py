"""What each benchmark's table holds."""

import torch

from occhand.metrics.protocols import fpha

GENERATOR = torch.Generator().manual_seed(0)
TARGET = 0.05 * torch.randn(6, 21, 3, generator=GENERATOR).double() + torch.tensor([0.0, 0.0, 0.6])


def test_fpha_forgives_place_and_only_procrustes_forgives_size():
    moved = fpha(TARGET + torch.tensor([0.1, 0.2, 0.3]), TARGET)
    assert set(moved) == {"root_relative", "procrustes", "procrustes_proper"}
    assert all(summary.mean_mm < 1e-3 for summary in moved.values())
    grown = fpha(1.2 * TARGET, TARGET)
    assert grown["root_relative"].mean_mm > 5
    assert max(grown["procrustes"].mean_mm, grown["procrustes_proper"].mean_mm) < 1e-3


def test_fpha_tells_the_two_alignments_apart_on_a_mirrored_hand():
    mirrored = fpha(TARGET * torch.tensor([-1.0, 1.0, 1.0]), TARGET)
    assert mirrored["procrustes"].mean_mm < 1e-3
    assert mirrored["procrustes_proper"].mean_mm > 5
