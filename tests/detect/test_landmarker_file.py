from __future__ import annotations

import hashlib
import io
import subprocess
import urllib.request
import zipfile
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from occhand.detect import landmarker_file
from occhand.detect.landmarker import LANDMARK_FILE, PALM_FILE, read_task, write_task
from occhand.detect.landmarker_file import ENVIRONMENT_VARIABLE, find_landmarker_file

FILES = {PALM_FILE: b"palm" * 101, LANDMARK_FILE: b"landmarks" * 77}


@pytest.fixture(autouse=True)
def _no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setenv("OCCHAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)


def _fake_pip(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], known: dict[str, bytes]) -> None:
    inside = {name: f"mediapipe/{name}" for name in FILES}
    checks = {name: (inside[name], hashlib.sha256(content).hexdigest()) for name, content in known.items()}

    def download(command: list[str], **_: Any) -> None:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "mediapipe.whl", "w") as wheel:
            for name, content in files.items():
                wheel.writestr(inside[name], content)

    monkeypatch.setattr(landmarker_file, "WHEEL_FILES", checks)
    monkeypatch.setattr(subprocess, "run", download)


def test_task_archive_is_stored_aligned_and_reproducible(tmp_path: Path) -> None:
    task = write_task(FILES)
    assert task == write_task(FILES)
    assert read_task(task) == FILES
    for content in FILES.values():
        assert task.index(content) % 16 == 0
    (tmp_path / "a.task").write_bytes(task)
    with zipfile.ZipFile(tmp_path / "a.task") as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_broken_task() -> None:
    with pytest.raises(ValueError, match=r"Not a hand landmarker \.task file"):
        read_task(b"not an archive")
    with pytest.raises(ValueError, match=r"Not a hand landmarker \.task file"):
        read_task(write_task({PALM_FILE: b"alone"}))


def test_order_given_environment_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, named, cached = tmp_path / "given.task", tmp_path / "named.task", tmp_path / "cache" / "hand_landmarker.task"
    cached.parent.mkdir()
    for path in (given, named, cached):
        path.touch()
    assert find_landmarker_file() == cached
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(named))
    assert find_landmarker_file() == named
    assert find_landmarker_file(given) == given
    named.unlink()
    with pytest.raises(FileNotFoundError, match=r"named\.task.*unset OCCHAND_HAND_LANDMARKER"):
        find_landmarker_file()


def test_download_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "remote").write_bytes(write_task(FILES))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: (tmp_path / "remote").open("rb"))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip is called though the download works"))
    path = find_landmarker_file()
    assert path == tmp_path / "cache" / "hand_landmarker.task"
    assert read_task(path.read_bytes()) == FILES


def test_a_download_without_end_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(landmarker_file, "MAX_TASK_BYTES", 100)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(write_task(FILES)))
    with pytest.raises(FileNotFoundError, match="Not a hand landmarker"):
        find_landmarker_file()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("failure", [OSError("no network"), IncompleteRead(b"half"), b"<html>Sign in to this network</html>"])
def test_made_from_the_wheel_when_the_download_fails(failure: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> io.BytesIO:
        if isinstance(failure, bytes):
            return io.BytesIO(failure)
        raise failure

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    _fake_pip(monkeypatch, FILES, FILES)
    assert read_task(find_landmarker_file().read_bytes()) == FILES
    assert [item.name for item in (tmp_path / "cache").iterdir()] == ["hand_landmarker.task"]


def test_wheel_with_other_content_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake_pip(monkeypatch, {**FILES, PALM_FILE: b"other"}, FILES)
    with pytest.raises(ValueError, match="SHA-256"):
        find_landmarker_file()
    assert not (tmp_path / "cache").exists()
    _fake_pip(monkeypatch, {PALM_FILE: FILES[PALM_FILE]}, FILES)
    with pytest.raises(ValueError, match="SHA-256"):
        find_landmarker_file()


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (subprocess.CalledProcessError(1, "pip", stderr="WARNING: x\nNo module named pip\n"), "No module named pip"),
        (subprocess.TimeoutExpired("pip", 300), "took longer than 300 s"),
        (None, "left no wheel"),
    ],
)
def test_nothing_works(failure: Exception | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pip(command: list[str], **_: object) -> None:
        if failure is not None:
            raise failure

    monkeypatch.setattr(subprocess, "run", no_pip)
    with pytest.raises(FileNotFoundError) as caught:
        find_landmarker_file()
    message = str(caught.value)
    assert "\n" not in message
    for words in ("no network in tests", said, ENVIRONMENT_VARIABLE, "--keypoints"):
        assert words in message
