"""The code on the pages runs, and the README's first screen holds what it should."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from occhand import cli
from occhand.cli.console import EXIT_BAD_INPUT, EXIT_PARTIAL
from occhand.predictor import Predictor
from tests.conftest import EXAMPLES

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")] if "```python" in path.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_the_page_runs(page, tmp_path, monkeypatch, stand_in):
    """All blocks of a page in one namespace, in a folder that holds photo.jpg; the detector is a stand-in."""

    def load_detector(predictor):
        predictor._detector = predictor._keypointer = stand_in

    monkeypatch.setattr(Predictor, "load_detector", load_detector)
    monkeypatch.chdir(tmp_path)
    Image.open(EXAMPLES / "rendered-hand.png").convert("RGB").save("photo.jpg")
    shutil.copy(EXAMPLES / "rendered-hand.json", "joints.json")
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    exec(compile("\n".join(blocks), str(page), "exec"), {})


LINES = re.findall(r"^occhand [^#\n]*", (ROOT / "README.md").read_text(), re.MULTILINE)
SHORTER = {
    "--n 1000": "--n 4",
    "--split open-train": "--n 4",
    "--workers 8": "",
    "--quick": "--limit 4 --clips 1 --frames 10",
    "--limit 64": "--limit 4",
}
BROUGHT = (".pth.tar", ".safetensors", "HO3D", "DexYCB", "--data hands-train", "clip.mp4")


def slow(line):
    return pytest.param(line, marks=pytest.mark.slow) if "stress --quick" in line else line


@pytest.mark.parametrize("line", [slow(line) for line in LINES if line.strip() != "occhand demo"], ids=str.strip)  # it serves until stopped
def test_shell_on_the_readme_runs(line, tmp_path, monkeypatch, stand_in, capsys):
    """In a folder that holds what the lines name but what users bring, weights and data sets; few samples; the detector is a stand-in."""

    def load_detector(predictor):
        predictor._detector = predictor._keypointer = stand_in

    monkeypatch.setattr(Predictor, "load_detector", load_detector)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "photos/photo.jpg"):
        Image.open(EXAMPLES / "rendered-hand.png").convert("RGB").save(name)
    shutil.copy(EXAMPLES / "rendered-hand.json", "joints.json")
    shorter = line
    for long, short in SHORTER.items():
        shorter = shorter.replace(long, short)
    with pytest.raises(SystemExit) as ended:
        cli.main(shlex.split(shorter)[1:])
    is_brought = any(name in line for name in BROUGHT)
    is_partial = line.startswith("occhand eval") and "--limit" in line
    assert ended.value.code == (EXIT_BAD_INPUT if is_brought else EXIT_PARTIAL if is_partial else 0)
    assert "Unrecognized" not in capsys.readouterr().err


def test_readme_shows_picture_install_python_and_shell_first():
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:30])
    for needed in ("![", "pip install", "```python", "occhand predict"):
        assert needed in first, needed


def test_links_on_the_pages_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page.name} -> {target}"
