"""Made-up trees of the data sets, written once per run."""

import json
import shutil

import pytest

from tests.fixtures.make_fixtures import TREES


@pytest.fixture(scope="session")
def fake_root(tmp_path_factory):
    """`fake_root(name)`: the folder of a made-up data set. Tests share it, so they change `fake_copy(name)` instead."""
    made = {}

    def root_of(name):
        if name not in made:
            out = tmp_path_factory.mktemp(name)
            TREES[name].write(out)
            made[name] = out / TREES[name].folder
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
