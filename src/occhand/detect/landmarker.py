"""MediaPipe's hand landmarker, run through its Tasks API, in the three ways that we need.

The Tasks API finds palms in the whole picture, then runs the landmark network around each. It neither lets the caller say where to look,
nor tells how sure the landmark network is that it sees a hand. Both are in the model file, so we hand the API two variants of it, made in
memory:

* `aim_at_window` replaces the palm network by one that always answers "one palm, upright, so placed that the landmark network sees
  exactly this picture". So we choose the window.
* `report_presence` moves the landmark network's presence output to where the API expects handedness. So its score is the presence.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import sys
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from occhand.broken_files import BROKEN_ARCHIVE

PALM_FILE = "hand_detector.tflite"
LANDMARK_FILE = "hand_landmarks_detector.tflite"
"""Names inside a `.task` file, which is a zip archive without compression."""

_ALIGNMENT = 16  # the runtime maps the tflite files where they lie in the archive and copies them when they are not aligned
_PALM_INPUT_PX = 192
_PALM_ANCHOR = (12 * 24 + 12) * 2  # the first of two anchors of cell (12, 12) in the 24 x 24 grid
_ANCHOR_CENTER = 12.5 / 24
_PALM_TO_WINDOW = 2.6  # MediaPipe's window is 2.6 palms wide and moved towards the fingers by half a palm
_OUTPUTS_FIELD = 8  # place of `outputs` in the tflite schema's table `SubGraph`

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Landmarks:
    """One hand as the landmark network gives it."""

    joints: Float[np.ndarray, "21 2"]
    """House order; 0 to 1 from the picture's left and top edges."""
    joints_world: Float[np.ndarray, "21 3"]
    """Metres, x right, y down, z forward in the picture, origin near the middle of the hand."""
    right_score: float
    """How sure it is that this is the subject's right hand; with `report_presence`, that it is a hand."""


Landmarker = Callable[[np.ndarray], list[Landmarks]]
"""Takes a square uint8 RGB picture. The seam at which tests put a fake."""


def open_landmarker(task: bytes, max_hands: int, min_score: float) -> Landmarker:
    """Start MediaPipe on the CPU with the content of a `.task` file.

    Args:
        task: The archive's bytes.
        max_hands: At most so many hands per picture.
        min_score: Lowest palm score and lowest presence, 0 to 1.

    Raises:
        ImportError: mediapipe, or a system library that it needs, is missing.
        ValueError: Not a hand landmarker's `.task` file.
    """
    require_mediapipe()
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.HandLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=task, delegate=BaseOptions.Delegate.CPU),
        num_hands=max_hands,
        min_hand_detection_confidence=max(min_score, 0.05),
        min_hand_presence_confidence=min_score,
    )

    def run(picture: UInt8[np.ndarray, "size size 3"]) -> list[Landmarks]:
        found = network.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(picture)))
        return [
            _to_landmarks(joints, world, handedness[0])
            for joints, world, handedness in zip(found.hand_landmarks, found.hand_world_landmarks, found.handedness, strict=True)
        ]

    with _stderr_to_log():
        try:
            network = vision.HandLandmarker.create_from_options(options)
        except OSError as error:
            raise ImportError(_missing_library(error)) from error
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"MediaPipe refuses the hand landmarker file: {reason}. Delete it and let occhand fetch it again.") from error
        run(np.zeros((64, 64, 3), dtype=np.uint8))  # MediaPipe writes the rest of its greetings on the first picture
    weakref.finalize(run, _close, network)
    return run


def require_mediapipe() -> None:
    """Import MediaPipe, or say what to install.

    Raises:
        ImportError: mediapipe is not installed, or broken.
    """
    try:
        import mediapipe.tasks.python  # noqa: F401
    except ImportError as error:
        raise ImportError(f"The detector needs mediapipe ({error}). Run: pip install 'occhand[detect]'") from error
    except OSError as error:
        raise ImportError(_missing_library(error)) from error


def aim_at_window(task: bytes) -> bytes:
    """The same landmark network behind a palm network that always sees one palm, so that the window is the whole picture."""
    import flatbuffers  # type: ignore[import-untyped,import-not-found,unused-ignore]  # comes with mediapipe
    from mediapipe.tasks.metadata import schema_py_generated as schema

    files = read_task(task)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(files[PALM_FILE], 0))
    graph = model.subgraphs[0]
    boxes, scores = (graph.tensors[index] for index in graph.outputs)
    metadata = next(entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    content = [
        b"",
        _palm_boxes(boxes.shape).tobytes(),
        _palm_scores(scores.shape).tobytes(),
        bytes(model.buffers[metadata.buffer].data),
    ]
    model.buffers = [_buffer(schema, data) for data in content]
    picture = graph.tensors[graph.inputs[0]]
    picture.buffer, boxes.buffer, scores.buffer, metadata.buffer = range(4)
    model.metadata, model.metadataBuffer = [metadata], None
    graph.tensors, graph.inputs, graph.outputs = [picture, boxes, scores], [0], [1, 2]
    graph.operators, model.operatorCodes = [], []
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return write_task({**files, PALM_FILE: bytes(builder.Output())})


def report_presence(task: bytes) -> bytes:
    """The same file with presence in the place of handedness: outputs are landmarks, presence, handedness, world landmarks."""
    from mediapipe.tasks.metadata import schema_py_generated as schema

    files = read_task(task)
    network = bytearray(files[LANDMARK_FILE])
    table = schema.Model.GetRootAs(network, 0).Subgraphs(0)._tab
    start = table.Vector(table.Offset(_OUTPUTS_FIELD))
    landmarks, presence, _, world = struct.unpack_from("<4i", network, start)
    struct.pack_into("<4i", network, start, landmarks, presence, presence, world)
    return write_task({**files, LANDMARK_FILE: bytes(network)})


def read_task(task: bytes) -> dict[str, bytes]:
    """The two networks inside a `.task` archive.

    Raises:
        ValueError: Not such an archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(task)) as archive:
            return {name: archive.read(name) for name in (PALM_FILE, LANDMARK_FILE)}
    except BROKEN_ARCHIVE as error:
        raise ValueError(f"Not a hand landmarker .task file ({error}). Delete it and let occhand fetch it again.") from error


def write_task(files: dict[str, bytes]) -> bytes:
    """A `.task` archive: stored, aligned, and the same bytes every time."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            header = 30 + len(name) + 4
            padding = -(memory.tell() + header) % _ALIGNMENT
            entry.extra = struct.pack("<HH", 0xFFFF, padding) + bytes(padding)
            archive.writestr(entry, content)
    return memory.getvalue()


def _palm_boxes(shape: Any) -> Float[np.ndarray, "1 anchors 18"]:
    palm = 1 / _PALM_TO_WINDOW
    middle_x, middle_y = 0.5, 0.5 + palm / 2
    # Only keypoints 0 (wrist) and 2 (middle finger's base) count: they say which way is up.
    keypoints = [(0.5, 0.9), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5)]
    corner = [value - _ANCHOR_CENTER for point in [(middle_x, middle_y), *keypoints] for value in point]
    boxes = np.zeros(shape, dtype=np.float32)
    boxes[0, _PALM_ANCHOR] = np.array([*corner[:2], palm, palm, *corner[2:]]) * _PALM_INPUT_PX
    return boxes


def _palm_scores(shape: Any) -> Float[np.ndarray, "1 anchors 1"]:
    logits = np.full(shape, -100.0, dtype=np.float32)
    logits[0, _PALM_ANCHOR] = 100.0
    return logits


def _buffer(schema: Any, content: bytes) -> Any:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, dtype=np.uint8) if content else None
    return buffer


def _close(network: Any) -> None:
    try:
        network.close()
    except RuntimeError:
        # At the interpreter's end its worker thread is gone. Without this its destructor tries again, and says so on stderr.
        network._handle = None


def _to_landmarks(joints: Any, world: Any, handedness: Any) -> Landmarks:
    # The index, not the name: 0 has been the subject's right hand in every release, while the names were swapped in older ones
    # (they took the picture for a mirrored selfie).
    right = handedness.score if handedness.index == 0 else 1.0 - handedness.score
    return Landmarks(
        joints=np.array([(point.x, point.y) for point in joints]),
        joints_world=np.array([(point.x, point.y, point.z) for point in world]),
        right_score=float(right),
    )


def _missing_library(error: OSError) -> str:
    return (
        f"MediaPipe cannot be loaded: {error}. On Debian or Ubuntu run: apt-get install libegl1 libgles2; "
        "or give boxes and joints yourself (--keypoints)."
    )


@contextmanager
def _stderr_to_log() -> Iterator[None]:
    """Send what C++ code writes to file descriptor 2 to the log (level debug); MediaPipe has no switch for it."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            captured.seek(0)
            for line in captured.read().decode(errors="replace").splitlines():
                _log.debug("mediapipe: %s", line)
