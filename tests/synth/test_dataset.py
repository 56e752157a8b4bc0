"""Generated data sets and their splits, with the real generator."""

import json

import numpy as np
import pytest
import torch

from occhand.synth import dataset as dataset_module
from occhand.synth.dataset import CHOSEN_FILE, OCCLUSION_STRATA, SPLITS, SynthDataset, load_split
from occhand.synth.generate import GENERATOR_VERSION
from tests.data.samples import assert_same
from tools.open_data.choose import choose


def test_loader_workers_give_the_same_samples():
    dataset = SynthDataset(5, [7, 1, 4], size=48)
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork")
    here, there = list(dataset), list(loader)
    assert len(there) == 3
    for one, other in zip(here, there, strict=True):
        assert_same(one, other)
    assert [sample.key for sample in here] == [SynthDataset(5, range(8), size=48)[index].key for index in (7, 1, 4)]


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_loads_by_name(name):
    split = load_split(name, size=64)
    seed, count = SPLITS[name]
    assert (split.seed, len(split), split.name) == (seed, count, name)
    assert len(set(split.indices)) == count
    assert f"{name} (seed {seed}" in str(split)
    assert f"generator {GENERATOR_VERSION}" in str(split)


def test_open_test_takes_turns_between_the_strata():
    split = load_split("open-test")
    ratios = [split[place].occlusion.ratio for place in (0, 1, 2, 3, 1996, 1997, 1998, 1999)]
    assert np.searchsorted(OCCLUSION_STRATA, ratios, side="right").tolist() == [1, 2, 3, 4] * 2


def test_splits_share_no_seed():
    assert len({seed for seed, _ in SPLITS.values()}) == len(SPLITS)


def test_a_choice_of_another_generator_is_refused(monkeypatch):
    monkeypatch.setattr(dataset_module, "GENERATOR_VERSION", "none such")
    with pytest.raises(ValueError, match=r"chosen with generator .*this is generator none such.*tools\.open_data choose"):
        load_split("open-test")


def test_unknown_splits_get_the_near_ones():
    with pytest.raises(ValueError, match="near: open-test"):
        load_split("opentest")
    with pytest.raises(ValueError, match="open-train, open-val, open-test"):
        load_split("imagenet")


def test_choosing_fills_the_strata_with_the_first_that_fit():
    ratios = [0.1, 0.9, 0.5, 0.15, 0.2, 0.7, 0.59, 0.3, 0.05, 0.61, 0.8]
    assert choose(enumerate(ratios), per_stratum=2) == [0, 4, 2, 5, 3, 7, 6, 9]
    with pytest.raises(ValueError, match=r"\[3, 2, 2, 2\] samples, expected 5"):
        choose(enumerate(ratios), per_stratum=5)


def test_the_chosen_file_is_small():
    path = dataset_module.resources.files("occhand.synth").joinpath(CHOSEN_FILE)
    assert len(path.read_bytes()) < 20_000
    assert json.loads(path.read_text())["strata"] == list(OCCLUSION_STRATA)
