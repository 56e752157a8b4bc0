"""What `occhand doctor` finds, with a next step for everything that is not as it should be."""

import importlib.metadata
import re

import pytest

from occhand import doctor
from occhand.detect.landmarker_file import ENVIRONMENT_VARIABLE, cached_landmarker_file


def found(what: str) -> doctor.Finding:
    return next(finding for finding in doctor.diagnose() if finding.what == what)


def test_mediapipe_without_a_library_of_the_system_is_broken(monkeypatch):
    def refuse():
        raise ImportError("MediaPipe cannot be loaded: libEGL.so.1. On Debian or Ubuntu run: apt-get install libegl1")

    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0")
    monkeypatch.setattr(doctor, "require_mediapipe", refuse)
    assert found("detector").state == "broken"
    assert "apt-get install" in found("detector").next_step


def test_without_mediapipe_the_extra_is_named(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert found("detector").state == "missing"
    assert "pip install 'occhand[detect]'" in found("detector").next_step
    assert found("torch").state == "broken"


def test_a_missing_package_of_an_extra_names_it(monkeypatch):
    installed = {"gradio": "6.1", "tensorboard": "2.20"}

    def version(name):
        if name in installed or name in ("torch", "numpy", "numba", "pillow", "trimesh"):
            return installed.get(name, "1.0")
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert found("gradio").detail == "6.1"
    assert found("tensorboard").state == "ok"
    for name, extra in (("lightning-fabric", "train"), ("av", "video"), ("pyarrow", "video"), ("onnx", "export"), ("openvino", "export")):
        assert found(name).state == "missing"
        assert found(name).next_step == f"Run: pip install 'occhand[{extra}]'"
    monkeypatch.delitem(installed, "gradio")
    assert found("gradio").next_step == "Run: pip install 'occhand[demo]'"


def test_every_extra_is_looked_for():
    wanted = {}
    for line in importlib.metadata.requires("occhand"):
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        wanted.setdefault(extra and extra[1], set()).add(re.match(r"[\w-]+", line)[0])
    core = wanted.pop(None)  # of which an extra may want a newer version
    assert {extra: set(names) for extra, names in doctor.EXTRAS.items()} == {
        extra: names - core for extra, names in wanted.items() if extra not in ("dev", "detect")
    }


@pytest.mark.parametrize("state", ["ok", "missing", "broken"])
def test_the_detectors_file(state, tmp_path, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    if state == "ok":
        cached_landmarker_file().parent.mkdir(parents=True)
        cached_landmarker_file().touch()
    if state == "broken":
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "none.task"))
    assert found("detector model").state == state


def test_a_hand_file_that_is_none_is_broken(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "mano_right.npz").write_text("text")
    assert found("MANO right").state == "broken"
    assert "occhand convert mano" in found("MANO right").next_step


def test_of_the_hands_only_the_open_one_must_be_there(monkeypatch):
    def missing(name, side):
        raise FileNotFoundError

    monkeypatch.setattr(doctor, "load_parameters", missing)
    assert found("open hand").state == "broken"
    for side in ("right", "left"):
        assert found(f"MANO {side}").state == "missing"
        assert f"'occhand convert mano MANO_{side.upper()}.pkl'" in found(f"MANO {side}").next_step


def test_a_cache_in_a_file_cannot_be_written(run, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OCCHAND_CACHE", str(tmp_path / "file"))
    assert found("cache").state == "broken"
    assert run("doctor")[0] == 2


def test_a_cache_is_made_where_its_nearest_folder_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("OCCHAND_CACHE", str(tmp_path / "not" / "yet"))
    assert found("cache").state == "ok"
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: path != tmp_path)  # file modes bind everyone but root
    assert found("cache").state == "broken"
    assert "OCCHAND_CACHE" in found("cache").next_step
