"""Made-up trees of the data sets, written once per run."""

import json
import shutil
from dataclasses import replace

import pytest

from occhand.data.annotations_writer import rebuild_annotations
from occhand.data.datasets import dataset_info
from occhand.hand.assets import load_parameters
from occhand.hand.hand_layer import HandLayer
from tests.fixtures.make_fixtures import TREES

ANNOTATED = {"ho3d_annotations": "ho3d_v2", "dexycb_annotations": "dexycb"}
"""Data sets that are another one's pictures with annotation files, and the other one."""


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory):
    """Fixtures that outlive a test have a cache of their own too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCCHAND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def fake_root(tmp_path_factory):
    """`fake_root(name)`: the folder of a made-up data set. Tests share it, so they change `fake_copy(name)` instead."""
    made = {}

    def root_of(name):
        if name not in made:
            raw = ANNOTATED.get(name, name)
            out = tmp_path_factory.mktemp(name)
            TREES[raw].write(out)
            made[name] = out / TREES[raw].folder
            for split in covering_splits(name) if name in ANNOTATED else ():
                rebuild_annotations(raw, made[name], split)
        return made[name]

    return root_of


@pytest.fixture
def fake_copy(fake_root, tmp_path):
    """`fake_copy(name)`: a copy of the tree and of what lies beside it, for one test to break."""

    def copy_of(name):
        shutil.copytree(fake_root(name).parent, tmp_path / "copy", dirs_exist_ok=True)
        return tmp_path / "copy" / TREES[name].folder

    return copy_of


@pytest.fixture(scope="session")
def fake_manifest(fake_root):
    """`fake_manifest(name)`: what a correct reader gives for `fake_root(name)`."""
    return lambda name: json.loads((fake_root(name).parent / TREES[name].manifest).read_text())


@pytest.fixture(scope="session")
def mano_like():
    """The open hand under MANO's name, since no test may need the licensed file."""
    return HandLayer(replace(load_parameters("open"), name="mano"))


def covering_splits(name):
    """Official splits that hold every sample of a data set once."""
    return dataset_info(name).cover or dataset_info(name).splits
