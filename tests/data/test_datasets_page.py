"""Every command on the page of data sets runs, on made-up trees."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from occhand import cli
from occhand.synth.dataset import SynthDataset
from occhand.synth.write import write_synth
from tests.fixtures.make_fixtures import TREES

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
LINES = sorted({line.strip() for line in re.findall(r"(?:^|`)(occhand (?:data|convert annotations) [^#`\n]*)", PAGE, re.MULTILINE)})
FOLDERS = {tree.folder: name for name, tree in TREES.items()}


def test_the_page_has_a_check_for_every_data_set():
    checked = {line.split()[3] for line in LINES if line.startswith("occhand data check")}
    assert checked == {*TREES, "folder"}


@pytest.mark.parametrize("line", LINES)
def test_commands_on_the_page_run(line, fake_root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_synth("hands", SynthDataset(seed=7, indices=range(1), size=64))
    for folder in FOLDERS.keys() & set(line.split()):
        shutil.copytree(fake_root(FOLDERS[folder]), folder)
    with pytest.raises(SystemExit) as ended:
        cli.main(shlex.split(line)[1:])
    captured = capsys.readouterr()
    needs_mano = "--mean excluded" in line
    assert ended.value.code == (2 if needs_mano else 0), captured.err
    assert ("needs your MANO" in captured.err) == needs_mano
