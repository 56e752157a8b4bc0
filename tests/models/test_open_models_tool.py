"""The tool that measures the small open models: its rows, its judgement of their reports."""

import math

import pytest
import torch

from occhand.data.joint_errors import FixedErrors
from occhand.models.checkpoint import load_checkpoint, save_checkpoint
from occhand.models.presets import create_model
from tools.open_models.average import average
from tools.open_models.calibration import auroc, best_scale, calibration, chi3_quantile, mean_aligned_distance
from tools.open_models.document import evaluate, plot
from tools.open_models.held_out import load_held_out
from tools.open_models.score import another_hand, joints_rows, strata, table


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept")
    first = load_held_out("open-test", 4, 128, kept)
    again = load_held_out("open-test", 4, 128, kept)
    assert torch.equal(first.crop.joints_cam, again.crop.joints_cam)
    torch.testing.assert_close(first.crop.image, again.crop.image, atol=0.6 / 255, rtol=0)
    return again


def test_the_chi_squared_law_of_three_degrees():
    for level, expected in ((0.1, 0.584), (0.5, 2.366), (0.95, 7.815)):  # any table of the law
        assert chi3_quantile(level) == pytest.approx(expected, abs=1e-3)


def test_true_deviations_are_calibrated_and_wrong_ones_are_not():
    generator = torch.Generator().manual_seed(0)
    sigma = 0.002 + 0.02 * torch.rand(3000, 21, generator=generator)
    distance = (sigma[..., None] * torch.randn(3000, 21, 3, generator=generator)).norm(dim=-1)
    seen = torch.rand(3000, 21, generator=generator) < 0.6
    honest = calibration(sigma, distance, seen.float() + 0.1 * torch.rand(3000, 21, generator=generator), seen)
    assert honest.is_monotone
    assert honest.expected_error < 0.01
    assert honest.visibility_auroc == 1.0
    torch.testing.assert_close(honest.sigma_by_decile, honest.error_by_decile, rtol=0.03, atol=0)
    assert best_scale(sigma, 2 * distance) == pytest.approx(2, rel=0.02)
    assert calibration(sigma, 2 * distance, seen.float(), seen).expected_error > 0.15
    flat = calibration(sigma[torch.randperm(3000, generator=generator)], distance, seen.float(), seen)
    assert not flat.is_monotone


def test_the_average_mixes_the_named_part_alone(tmp_path):
    for seed in range(2):
        torch.manual_seed(seed)
        save_checkpoint(create_model("handgcat-open-s"), tmp_path / f"{seed}.safetensors", data="none", licence="none")
    average(tmp_path / "0.safetensors", tmp_path / "1.safetensors", "regressor.lifter", 0.25, tmp_path / "mixed.safetensors")
    one, other, mixed = (load_checkpoint(tmp_path / f"{name}.safetensors").state_dict() for name in ("0", "1", "mixed"))
    for name, value in mixed.items():
        if not value.is_floating_point():
            continue
        share = 0.25 if name.startswith("regressor.lifter") else 0.0
        torch.testing.assert_close(value, one[name] + share * (other[name] - one[name]))


def test_auroc_of_noise_is_a_half():
    generator = torch.Generator().manual_seed(0)
    assert auroc(torch.rand(20_000, generator=generator), torch.rand(20_000, generator=generator) < 0.3) == pytest.approx(0.5, abs=0.02)


def test_rows_stand_beside_each_other(held_out):
    torch.manual_seed(0)
    model = create_model("handgcat-open-s").eval()
    rows = joints_rows(model, held_out, FixedErrors(missing="hidden"))
    assert [row.name for row in rows] == ["network", "joints only", "wrong image", "fit", "network, refined"]
    assert all(row.errors.shape == (4, 21) and bool(row.errors.isfinite().all()) for row in rows)
    assert sum(int(mask.sum()) for mask in strata(held_out).values()) == 4
    assert "| fit |" in table(rows, held_out)


def test_a_model_without_joints_is_written_up(held_out, tmp_path):
    torch.manual_seed(0)
    model = create_model("handoccnet-open-s")
    save_checkpoint(model, tmp_path / "m.safetensors", data="none", licence="none")
    text = evaluate(tmp_path / "m.safetensors", 4, None, tmp_path / "out")
    assert "| mean pose |" in text
    assert "AUROC" in text
    assert (tmp_path / "out" / "m.md").read_text().strip() == text
    assert (tmp_path / "out" / "m-calibration.png").stat().st_size > 1000
    assert plot("m", calibration(torch.rand(9, 21), torch.rand(9, 21), torch.rand(9, 21), torch.rand(9, 21) < 0.5)).shapes
    assert not load_checkpoint(tmp_path / "m.safetensors").training


def test_distances_forget_where_the_hand_is():
    joints = torch.rand(2, 21, 3)
    assert float(mean_aligned_distance(joints + torch.tensor([1.0, 2.0, 3.0]), joints).max()) < 1e-5
    moved = joints.clone()
    moved[:, 0, 0] += 0.021
    assert float(mean_aligned_distance(moved, joints)[0, 0]) == pytest.approx(0.020, abs=1e-5)
    assert math.isclose(float(mean_aligned_distance(moved, joints)[0, 1]), 0.001, abs_tol=1e-5)


def test_the_wrong_picture_is_another_hands_of_any_stratum():
    other = another_hand(400)
    assert not (other == torch.arange(400)).any()
    assert sorted(other.tolist()) == list(range(400))
    assert len(set(zip((torch.arange(400) % 4).tolist(), (other % 4).tolist(), strict=True))) == 16
