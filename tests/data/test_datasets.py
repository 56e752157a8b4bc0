"""What holds for every data set of the registry: a new entry is covered by existing."""

from collections import Counter

import numpy as np
import pytest
import torch

from occhand.data.augment import Jitter
from occhand.data.datasets import DATASETS, create_dataset, dataset_info
from occhand.data.index import IndexedDataset, sequence_of
from occhand.data.record import DataError
from occhand.data.transforms import cut_crop, mirror_sample
from occhand.hand.hand_layer import load_hand
from tests.data.conftest import ANNOTATED, covering_splits
from tests.fixtures.stick_hand import MARKS

NAMES = [name for name in DATASETS if DATASETS[name].splits]
MARK_OVERLAP = 20
"""Pixels of the picture within which one square may cover another."""


def seen_marks(sample):
    """Marked joints whose square is in the picture and under no other."""
    height, width = sample.image.shape[:2]
    for joint in MARKS:
        uv = sample.joints_img[joint]
        others = sample.joints_img[[other for other in MARKS if other != joint]]
        if (uv > 4).all() and (uv < (width - 5, height - 5)).all() and (np.abs(others - uv).max(1) > MARK_OVERLAP * width / 640).all():
            yield joint


def assert_colour(image, uv, joint):
    u, v = np.rint(uv).astype(int)
    assert np.abs(image[v, u].astype(int) - MARKS[joint]).max() < 60, f"joint {joint} at {u}, {v} is {image[v, u]}, not {MARKS[joint]}"


@pytest.fixture(scope="session", params=NAMES)
def opened(request, fake_root):
    """A data set's splits."""
    return [create_dataset(request.param, fake_root(request.param), split) for split in covering_splits(request.param)]


def test_indices_are_whole_and_in_order(opened):
    assert len(opened) > 1
    for dataset in opened:
        index = dataset.index
        assert isinstance(dataset, IndexedDataset)
        assert len(dataset) == len(index) == len(set(index.keys.tolist()))
        assert (np.diff(index.official_index) > 0).all()
        assert index.official_index[-1] < index.official_length
        assert set(index.sides.tolist()) <= {"right", "left"}
        assert np.isfinite(index.bbox_xyxy).all()
        assert not dataset.left_out
        assert all(sequence_of(key) for key in index.keys.tolist())


def test_joints_project_to_joints(opened):
    for dataset in opened:
        index = dataset.index
        homogeneous = np.einsum("nij,nkj->nki", index.K, index.joints_cam)
        assert np.nanmax(np.abs(homogeneous[..., :2] / homogeneous[..., 2:] - index.joints_img)) < 1e-3
        assert np.isfinite(index.joints_img[:, 0]).all()


def test_coloured_squares_stay_under_their_joints(opened):
    """In the picture, in its mirror image, and in crops that are turned, enlarged and, for left hands, mirrored."""
    checked: Counter = Counter()
    for dataset in opened:
        for number in range(0, len(dataset), 1 + len(dataset) // 12):
            sample = dataset[number]
            mirrored = mirror_sample(sample)
            crops = [cut_crop(sample, Jitter(scale, turn), needs_pose=False) for scale, turn in ((1.0, 0.0), (1.2, 0.7), (0.9, -0.9))]
            for joint in seen_marks(sample):
                assert_colour(sample.image, sample.joints_img[joint], joint)
                assert_colour(mirrored.image, mirrored.joints_img[joint], joint)
                for crop in crops:
                    uv = 256 * crop.joints_crop[joint].numpy()
                    if (uv > 4).all() and (uv < 251).all():
                        assert_colour((255 * crop.image.permute(1, 2, 0)).numpy(), uv, joint)
                        homogeneous = crop.K @ crop.joints_cam[joint]
                        assert np.abs((homogeneous[:2] / homogeneous[2]).numpy() - uv).max() < 0.05
                        checked[joint] += 1
    assert set(checked) == set(MARKS)
    assert sum(checked.values()) > 60


def test_loader_workers_read_the_same(opened):
    dataset = opened[0]
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork")
    for expected, sample in zip(dataset, loader, strict=True):
        assert sample.key == expected.key
        np.testing.assert_array_equal(sample.image, expected.image)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_roots_are_named_with_the_next_step(name, fake_root, tmp_path):
    split = covering_splits(name)[0]
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match=rf"^[^\n]*{root}[^\n]*(Give|Make)"):
            create_dataset(name, root, split)
    if name not in ANNOTATED:
        root = fake_root(name)
        with pytest.raises(DataError, match=f"It seems to be {root}"):
            create_dataset(name, root.parent, split)


@pytest.mark.parametrize("name", NAMES)
def test_splits_are_asked_for_by_name(name, tmp_path):
    splits = dataset_info(name).splits
    with pytest.raises(ValueError, match=f"{name} needs a split"):
        create_dataset(name, tmp_path)
    with pytest.raises(ValueError, match=f"no split '{splits[0]}x'. Did you mean {splits[0]}"):
        create_dataset(name, tmp_path, f"{splits[0]}x")


def test_a_hand_that_is_not_mano_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the hand given is 'open'"):
        create_dataset("ho3d_v2", tmp_path, "train", load_hand("open"))
