"""The stages that the bundled weights were trained in: packed crops are the loader's, every stage moves its part and goes on."""

import numpy as np
import pytest
import torch

from occhand.data.augment import Jitter
from occhand.data.transforms import TrainingCrop, cut_crop, look_at_middle
from occhand.models.checkpoint import load_checkpoint
from occhand.synth.dataset import SynthDataset, generate_sample
from occhand.synth.write import write_synth
from tools.open_models import packed
from tools.open_models.packed import PackedHands, pack
from tools.open_models.pretrain import pretrain


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("packed")
    write_synth(root / "shards", SynthDataset(11, range(6), 96), workers=1)
    assert pack(root / "shards", root / "arrays") == 6
    return root / "arrays"


def test_packed_crops_are_the_loaders(folder, monkeypatch):
    for name in ("_SCALE", "_SHIFT", "_MOST_TURNED"):
        monkeypatch.setattr(packed, name, 0.0)
    found = PackedHands(folder, seed=0).draw(6, 128, torch.Generator())
    for place in range(6):
        row = TrainingCrop(*(part[place] for part in found))
        expected = min(
            (look_at_middle(cut_crop(generate_sample(11, index, 96), Jitter(), 128), 128) for index in range(6)),
            key=lambda crop: float((crop.betas - row.betas).abs().max()),
        )
        torch.testing.assert_close(row.betas, expected.betas, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(row.joints_cam.norm(dim=-1), expected.joints_cam.norm(dim=-1), atol=1e-4, rtol=1e-4)
        assert torch.equal(row.joints_visible, expected.joints_visible)
        if expected.is_mirrored:
            continue  # the release takes a left hand's box before it mirrors, so one at the border is another, and so is where one looks
        for name in ("joints_cam", "pose"):
            torch.testing.assert_close(getattr(row, name), getattr(expected, name), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(row.joints_crop, expected.joints_crop, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(row.K, expected.K, atol=0.02, rtol=1e-4)
        assert (row.image - expected.image).abs().mean() < 0.005  # shards hold whole grey levels


def test_every_hand_comes_once_before_any_comes_again(folder):
    hands = PackedHands(folder, seed=3)
    seen = torch.cat([hands.draw(3, 32, torch.Generator()).betas for _ in range(2)])
    assert len(np.unique(seen.numpy(), axis=0)) == 6


def test_a_folder_without_arrays_says_how_to_write_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="open_models pack"):
        PackedHands(tmp_path, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "moved", "kept"), [("lifter", "regressor.lifter", "trunk"), ("trunk", "trunk.", "regressor.lifter")])
def test_a_stage_moves_its_part_alone_and_goes_on(stage, moved, kept, folder, tmp_path):
    out, steps = tmp_path / "weights.safetensors", []
    pretrain("lifter", "handgcat-open-s", folder, tmp_path / "start.safetensors", minutes=1e-6)
    start = load_checkpoint(tmp_path / "start.safetensors").state_dict()
    for minutes in (0.1, 0.5):
        pretrain(stage, "handgcat-open-s", folder, out, minutes, [tmp_path / "start.safetensors"], keeps_stem=True)
        steps.append(torch.load(out.with_suffix(".state.pt"), weights_only=True)["run"]["step"])
    assert steps[1] > steps[0] > 0
    for key, value in load_checkpoint(out).state_dict().items():
        if key.startswith((kept, "trunk.resnet.conv1", "trunk.resnet.bn1")):
            assert torch.equal(value, start[key])
        elif key.startswith(moved) and value.is_floating_point() and key.endswith("weight"):
            assert not torch.equal(value, start[key])
    maps = "regressor.sight.maps.weight"  # they lie on the trunk, and learn with it
    assert torch.equal(load_checkpoint(out).state_dict()[maps], start[maps]) == (stage != "trunk")
