"""Training batches: the same whatever the workers and the start, every sample once an epoch, and failures that name their sample."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand.data.augment import Augmentation
from occhand.data.loader import CropDataset, FirstSamples, Places, load_batches, name_dead_worker
from occhand.data.record import DataError
from occhand.data.transforms import CropForTraining
from tests.data.samples import make_sample

AUGMENTED = CropForTraining(32, Augmentation(spectrum=0.5, noise=0.5))


class Samples:
    """Made-up samples; one may lack its pose, or kill who reads it."""

    def __init__(self, count: int, broken: int = -1, deadly: int = -1) -> None:
        self.count, self.broken, self.deadly = count, broken, deadly

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        if index == self.deadly and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        sample = make_sample(3, index)
        return replace(sample, pose=None) if index == self.broken else sample

    def __iter__(self):
        return (self[index] for index in range(self.count))

    def __str__(self) -> str:
        return "made-up samples"


def crops_of(places, workers=0, seed=0, samples=None):
    dataset = CropDataset(samples or Samples(10), AUGMENTED, seed)
    return [batch.crop for batch in load_batches(dataset, places, workers)]


def assert_same_crops(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for name, value in one._asdict().items():
            torch.testing.assert_close(value, getattr(other, name), rtol=0, atol=0, msg=name)


def test_crops_depend_on_seed_and_position_alone():
    places = Places(batch=4, chunks=1, first_step=0, last_step=6)
    crops = crops_of(places)
    assert_same_crops(crops, crops_of(places, workers=2))
    assert_same_crops(crops[3:], crops_of(replace(places, first_step=3)))
    assert not torch.equal(crops[0].image, crops_of(places, seed=1)[0].image)


def test_every_sample_comes_once_an_epoch_in_another_order_each():
    dataset = CropDataset(Samples(10), AUGMENTED)
    epochs = [[dataset.index_of(position) for position in range(start, start + 10)] for start in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    plain = CropDataset(Samples(10), AUGMENTED, shuffle=False)
    assert [plain.index_of(position) for position in range(10)] == list(range(10))


def test_augmentation_differs_between_epochs():
    dataset = CropDataset(Samples(1), AUGMENTED)
    assert not torch.equal(dataset[0].image, dataset[1].image)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_the_chunks_of_each_step(processes):
    parts = [Places(2, 4, 1, 3, process, processes) for process in range(processes)]
    seen = [list(part) for part in parts]
    assert [part[0].start for part in seen] == [8 + 2 * process for process in range(processes)]
    per_step = 4 // processes
    for step in (0, 1):
        chunks = [chunk for part in seen for chunk in part[step * per_step : (step + 1) * per_step]]
        assert sorted(position for chunk in chunks for position in chunk) == list(range(8 * (step + 1), 8 * (step + 2)))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_sample_is_named(workers):
    places = Places(4, 1, 0, 3)
    with pytest.raises(DataError, match=r"^Sample 7 of made-up samples could not be used \(ValueError\): Sample 3-000007 has no pose"):
        crops_of(places, workers, samples=Samples(10, broken=7))


def test_a_worker_that_dies_names_its_sample():
    dataset = CropDataset(Samples(10, deadly=7), AUGMENTED)
    with (
        pytest.raises(
            DataError,
            match=r"A loader worker died \((is killed by signal: Killed|exited unexpectedly)\) at sample 7 \(3-000007\) of made-up samples",
        ),
        name_dead_worker(dataset),
    ):
        list(load_batches(dataset, Places(2, 1, 0, 5), workers=1))


def test_other_errors_pass_unchanged():
    with pytest.raises(RuntimeError, match="of its own"), name_dead_worker(CropDataset(Samples(1), AUGMENTED)):
        raise RuntimeError("something of its own")


def test_the_first_samples():
    first = FirstSamples(Samples(10), 3)
    assert len(first) == 3
    assert [sample.key for sample in first] == ["3-000000", "3-000001", "3-000002"]
    assert str(first) == "first 3 of made-up samples"
    for outside in (3, -1):
        with pytest.raises(IndexError):
            first[outside]
    with pytest.raises(ValueError, match="at least 1"):
        FirstSamples(Samples(10), 0)


def test_joints_alone_train_where_pose_is_not_needed():
    sample = replace(make_sample(3, 0), pose=None, betas=None)
    crop = CropForTraining(32, needs_pose=False)(sample, np.random.default_rng(0))
    assert crop.pose.isnan().all()
    assert crop.betas.isnan().all()
    assert crop.joints_cam.isfinite().all()
    nowhere = replace(sample, joints_img=np.full((21, 2), np.nan))
    with pytest.raises(ValueError, match="2D joints"):
        CropForTraining(32, needs_pose=False)(nowhere, np.random.default_rng(0))
