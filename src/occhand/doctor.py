"""What is installed, found and missing on this machine, and the next step for each."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Literal, NamedTuple

import torch

import occhand
from occhand.detect.landmarker import require_mediapipe
from occhand.detect.landmarker_file import ENVIRONMENT_VARIABLE, cached_landmarker_file
from occhand.files import cache_dir
from occhand.hand.assets import load_parameters
from occhand.types import SIDES

EXTRAS = {
    "train": ("lightning-fabric", "tensorboard"),
    "video": ("av", "pyarrow"),
    "demo": ("gradio",),
    "export": ("onnx", "onnxscript", "onnxruntime", "openvino"),
}
"""Packages by the extra that brings them, as in `pyproject.toml`; the detector's is looked at more closely."""


class Finding(NamedTuple):
    """One thing that was looked for."""

    what: str
    state: Literal["ok", "missing", "broken"]
    """`missing` things are optional; `broken` ones stop `occhand predict`."""
    detail: str
    next_step: str = ""


def diagnose() -> list[Finding]:
    """Look for everything that `occhand` can use; nothing is downloaded, made or changed."""
    return [
        Finding("occhand", "ok", f"{occhand.__version__} on Python {platform.python_version()}, {platform.system()} {platform.machine()}"),
        *(_package(name) for name in ("torch", "numpy", "numba", "pillow", "trimesh")),
        _device(),
        _hand("open hand", "open", "right", "Reinstall occhand: the file belongs to the package."),
        *(_hand(f"MANO {side}", "mano", side, f"Optional. Run 'occhand convert mano MANO_{side.upper()}.pkl'.") for side in SIDES),
        _detector(),
        _landmarker(),
        *(_optional_package(name, extra) for extra, names in EXTRAS.items() for name in names),
        _cache(),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "broken", "not installed", f"Run: pip install {name}")


def _optional_package(name: str, extra: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing", f"not installed; of the extra {extra}", f"Run: pip install 'occhand[{extra}]'")


def _device() -> Finding:
    if torch.cuda.is_available():
        return Finding("GPU", "ok", torch.cuda.get_device_name())
    return Finding("GPU", "missing", f"none seen by torch; {torch.get_num_threads()} CPU threads are used", "Not needed.")


def _hand(what: str, name: str, side: Literal["right", "left"], next_step: str) -> Finding:
    try:
        hand = load_parameters(name, side)
    except FileNotFoundError:
        return Finding(what, "broken" if name == "open" else "missing", "no file", next_step)
    except ValueError as error:
        return Finding(what, "broken", str(error), next_step)
    return Finding(what, "ok", f"{len(hand.v_template)} vertices, {len(hand.faces)} faces")


def _detector() -> Finding:
    try:
        version = importlib.metadata.version("mediapipe")
    except importlib.metadata.PackageNotFoundError:
        return Finding("detector", "missing", "mediapipe is not installed; joints must be given", "Run: pip install 'occhand[detect]'")
    try:
        require_mediapipe()  # a package that is there may lack a library of the system
    except ImportError as error:
        return Finding("detector", "broken", f"mediapipe {version}", str(error))
    return Finding("detector", "ok", f"mediapipe {version}")


def _landmarker() -> Finding:
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    path = named or cached_landmarker_file()
    if os.path.isfile(path):
        return Finding("detector model", "ok", str(path))
    if named:
        return Finding("detector model", "broken", f"no file {named}", f"Mend or unset {ENVIRONMENT_VARIABLE}.")
    return Finding("detector model", "missing", f"not yet at {path}", "Nothing to do: it is fetched at the first photograph.")


def _cache() -> Finding:
    folder = cache_dir()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK):
        return Finding("cache", "ok", str(folder))
    return Finding("cache", "broken", f"{folder} cannot be written", "Set OCCHAND_CACHE to a folder of yours.")
