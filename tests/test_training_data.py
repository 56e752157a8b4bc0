"""Crops to train on and to validate on: whose order, whose jitter, how many."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand import training_data
from occhand.data.folder import FolderDataset
from occhand.geometry.crop import crop_matrix, joints_bbox, square_bbox, transform_points
from occhand.training_data import open_training, open_validation
from tests.training_child import OPTIONS, tiny_recipe, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_data(root / "open-val", 8, first=100)
    return write_data(root / "open-train")


def joints_of(sample, size):
    """0..1 over the crop that is neither jittered nor turned; of a left hand its mirror image."""
    square = square_bbox(joints_bbox(torch.from_numpy(sample.joints_img), 1.5), 32, 32, 1.0)
    joints = transform_points(crop_matrix(square, size), torch.from_numpy(sample.joints_img))
    if sample.side == "left":
        joints = joints * torch.tensor([-1, 1]) + torch.tensor([size, 0])
    return joints / size


def test_held_out_crops_are_the_first_in_order_and_as_they_are(data):
    held_out = open_validation(tiny_recipe(), str(data), replace(OPTIONS, val_samples=6))
    samples = list(FolderDataset(data.parent / "open-val"))
    for _ in range(2):  # kept in memory after the first time
        joints = torch.cat([crop.joints_crop for crop in held_out.batches(0)])
        assert len(joints) == len(held_out) == 6
        for found, sample in zip(joints, samples, strict=False):
            torch.testing.assert_close(found, joints_of(sample, 64).float(), atol=1e-4, rtol=0)
    assert len(held_out.first_batches(1)) == 4
    assert len(open_validation(tiny_recipe(), str(data), OPTIONS)) == 8


def test_crops_to_train_on_are_shuffled_and_jittered_by_the_seed(data):
    crops = [open_training(tiny_recipe(), str(data), replace(OPTIONS, seed=seed)) for seed in (0, 1)]
    orders = [[each.index_of(place) for place in range(16)] for each in crops]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(16))
    samples = list(FolderDataset(data))
    off = [(crops[0][place].joints_crop - joints_of(samples[orders[0][place]], 64)).abs().max() for place in range(16)]
    assert np.median(off) > 0.02


def test_hands_stand_in_the_axes_that_the_network_takes(data):
    """Of the camera, or of one that looks at the middle of the crop."""
    roots = []
    for model in ("handgcat-s", "handgcat-open-s"):
        (crop,) = open_validation(replace(tiny_recipe(), model=model), str(data), replace(OPTIONS, val_samples=1)).batches(0)
        trained = open_training(replace(tiny_recipe(), model=model), str(data), OPTIONS)[0]
        roots.append((crop.pose[0, :3], trained.pose[:3]))
    for camera, middle in zip(*roots, strict=True):
        assert (camera - middle).abs().max() > 1e-3


def test_validation_data_without_joints_is_none(data, monkeypatch, caplog):
    unknown = [replace(FolderDataset(data)[0], joints_cam=np.full((21, 3), np.nan))]
    monkeypatch.setattr(training_data, "open_split", lambda *_: unknown)
    assert open_validation(replace(tiny_recipe(), val_split="evaluation"), str(data), OPTIONS) is None
    assert "there is no validation" in caplog.text
