"""An animated GLB: each track as a skinned hand with sixteen joints, written a piece at a time.

The frame is glTF's (x right, y up, z towards the viewer, metres): a node above all hands turns the camera's by half a turn about x. A hand
is shown while its track has rows and shrunk to nothing otherwise. Each track has one shape, the mean of its own. Skinning alone, without
the pose blend shapes: the skin is off by what they would add.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Float

import occhand
from occhand.files import atomic_path
from occhand.geometry.motion import from_rotation_vectors
from occhand.hand.hand_layer import HandLayer
from occhand.hand.skeleton import MANO_JOINT_NAMES, PARENTS
from occhand.render.shade import PALETTE, vertex_normals
from occhand.video.pose import mirrored_faces
from occhand.video.tables import Pieces

_FLOAT, _UINT16, _UINT8 = 5126, 5123, 5121
_INFLUENCES = 4
"""Joints that move a vertex, as every viewer can."""
_HIDDEN, _SHOWN = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass
class _TrackSummary:
    """What must be known of a track before its numbers are written."""

    is_left: bool
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    betas: Float[np.ndarray, "10"] = field(default_factory=lambda: np.zeros(10))
    """Sum over rows."""
    spans: list[list[float]] = field(default_factory=list)
    """First and last time of each stretch without a gap."""
    last_frame: int = -2

    def add(self, frame: int, time: float, betas: Float[np.ndarray, "10"]) -> None:
        if frame != self.last_frame + 1:
            self.spans.append([time, time])
        self.spans[-1][1] = time
        self.first = time if self.count == 0 else self.first
        self.last, self.last_frame, self.count = time, frame, self.count + 1
        self.betas = self.betas + betas


def save_animation_glb(path: Path, pieces: Pieces, layer: HandLayer, end: float) -> bool:
    """Write all tracks; False where there is none, and no file then.

    Args:
        path: Of the file; it appears whole or not at all.
        pieces: Finished tables, in order, as often as asked.
        layer: The right hand that was fitted.
        end: Time of the last frame, seconds.
    """
    tracks = _summarize(pieces)
    if not tracks:
        return False
    document = _Document()
    hands = [_add_hand(document, number, track, layer, end) for number, track in tracks.items()]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        start = document.write_head(file)
        written = dict.fromkeys(tracks, 0)
        samplers = dict(zip(tracks, hands, strict=True))
        for piece in pieces():
            for number in np.unique(piece["track"]):
                rows = np.flatnonzero(piece["track"] == number)
                samplers[int(number)].write_rows(file, start, written[int(number)], piece, rows)
                written[int(number)] += len(rows)
    return True


def _summarize(pieces: Pieces) -> dict[int, _TrackSummary]:
    tracks: dict[int, _TrackSummary] = {}
    for piece in pieces():
        for row, number in enumerate(piece["track"].tolist()):
            track = tracks.setdefault(number, _TrackSummary(is_left=str(piece["side"][row]) == "left"))
            track.add(int(piece["frame"][row]), float(piece["time_s"][row]), piece["betas"][row].astype(np.float64))
    return dict(sorted(tracks.items()))


class _Document:
    """The JSON of a glTF file and the layout of its buffer; bytes are given at once, or left to be filled in."""

    def __init__(self) -> None:
        self.size = 0
        self.blocks: list[tuple[int, bytes]] = []
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": f"OccHand {occhand.__version__}"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            # Half a turn about x: from the camera's axes (y down, z forward) to glTF's.
            "nodes": [{"name": "camera frame", "rotation": [1.0, 0.0, 0.0, 0.0], "children": []}],
            "meshes": [],
            "skins": [],
            "materials": [],
            "accessors": [],
            "bufferViews": [],
            "animations": [{"name": "hands", "channels": [], "samplers": []}],
        }

    def add_node(self, node: dict[str, Any]) -> int:
        self.json["nodes"].append(node)
        return len(self.json["nodes"]) - 1

    def add_array(self, array: np.ndarray, kind: str, has_bounds: bool = False, target: int | None = None) -> int:
        """An accessor of an array that is known now."""
        component = {"float32": _FLOAT, "uint16": _UINT16, "uint8": _UINT8}[array.dtype.name]
        bounds = (array.reshape(len(array), -1).min(0), array.reshape(len(array), -1).max(0)) if has_bounds else None
        index = self.reserve(len(array), array.nbytes, component, kind, bounds, target)
        self.blocks.append((self.json["bufferViews"][self.json["accessors"][index]["bufferView"]]["byteOffset"], array.tobytes()))
        return index

    def reserve(
        self,
        count: int,
        size: int,
        component: int,
        kind: str,
        bounds: tuple[np.ndarray, np.ndarray] | None = None,
        target: int | None = None,
    ) -> int:
        """An accessor of `size` bytes that are written later."""
        view: dict[str, Any] = {"buffer": 0, "byteOffset": self.size, "byteLength": size}
        if target is not None:
            view["target"] = target
        self.json["bufferViews"].append(view)
        accessor: dict[str, Any] = {
            "bufferView": len(self.json["bufferViews"]) - 1,
            "componentType": component,
            "count": count,
            "type": kind,
        }
        if bounds is not None:
            accessor |= {"min": bounds[0].tolist(), "max": bounds[1].tolist()}
        self.json["accessors"].append(accessor)
        self.size += -(-size // 4) * 4
        return len(self.json["accessors"]) - 1

    def offset(self, accessor: int) -> int:
        offset: int = self.json["bufferViews"][self.json["accessors"][accessor]["bufferView"]]["byteOffset"]
        return offset

    def animate(self, node: int, path: str, times: int, values: int, interpolation: str = "LINEAR") -> None:
        animation = self.json["animations"][0]
        animation["samplers"].append({"input": times, "output": values, "interpolation": interpolation})
        animation["channels"].append({"sampler": len(animation["samplers"]) - 1, "target": {"node": node, "path": path}})

    def write_head(self, file: BinaryIO) -> int:
        """Everything but what was reserved; where the buffer begins in the file."""
        self.json["buffers"] = [{"byteLength": self.size}]
        text = json.dumps(self.json, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + self.size))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", self.size, b"BIN\0"))
        start = file.tell()
        file.truncate(start + self.size)
        for offset, data in self.blocks:
            file.seek(start + offset)
            file.write(data)
        return start


@dataclass(frozen=True)
class _HandSamplers:
    """Where the numbers of a track go in the buffer."""

    times: int
    wrist: int
    joints: list[int]

    def write_rows(self, file: BinaryIO, start: int, at: int, piece: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
        turns = from_rotation_vectors(piece["pose"][rows].astype(np.float64).reshape(len(rows), 16, 3))
        wrist = piece["joints"][rows, 0]
        columns: list[tuple[int, np.ndarray]] = [(self.times, piece["time_s"][rows]), (self.wrist, wrist)]
        columns += [(offset, turns[:, joint, [1, 2, 3, 0]]) for joint, offset in enumerate(self.joints)]  # glTF's order is x, y, z, w
        for offset, values in columns:
            data = np.ascontiguousarray(values, dtype="<f4")
            file.seek(start + offset + at * data.nbytes // len(rows))
            file.write(data.tobytes())


def _add_hand(document: _Document, number: int, track: _TrackSummary, layer: HandLayer, end: float) -> _HandSamplers:
    side = "left" if track.is_left else "right"
    vertices, rest = _rest_hand(layer, track.betas / track.count, track.is_left)
    faces = layer.faces.numpy()
    faces = mirrored_faces(faces) if track.is_left else faces
    top = document.add_node({"name": f"{side} hand {number}", "children": []})
    document.json["nodes"][0]["children"].append(top)
    nodes = []
    for joint, parent in enumerate(PARENTS):
        nodes.append(document.add_node({"name": f"{MANO_JOINT_NAMES[joint]} {number}", "children": []}))
        if parent >= 0:
            document.json["nodes"][nodes[joint]]["translation"] = (rest[joint] - rest[parent]).tolist()
        document.json["nodes"][nodes[parent] if parent >= 0 else top]["children"].append(nodes[joint])
    for node in nodes:
        if not document.json["nodes"][node]["children"]:
            del document.json["nodes"][node]["children"]
    mesh = _add_mesh(document, number, vertices, faces, layer)
    skin = _add_skin(document, nodes, rest)
    skinned = document.add_node({"name": f"skin {number}", "mesh": mesh, "skin": skin})
    document.json["nodes"][0]["children"].append(skinned)
    return _add_motion(document, track, nodes, top, end)


def _rest_hand(layer: HandLayer, betas: Float[np.ndarray, "10"], is_left: bool) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and MANO's joints of the shaped hand at rest."""
    shape = torch.from_numpy(betas).to(layer.v_template)[None]
    with torch.no_grad():
        vertices = layer(torch.eye(3).to(shape).expand(1, 16, 3, 3), shape).vertices[0].double().numpy()
        rest = layer.rest_joints(shape)[0].double().numpy()
    mirror = np.array([-1.0, 1.0, 1.0]) if is_left else np.ones(3)
    return vertices * mirror, rest * mirror


def _add_mesh(document: _Document, number: int, vertices: np.ndarray, faces: np.ndarray, layer: HandLayer) -> int:
    weights = layer.skin_weights.T.double().numpy()
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :_INFLUENCES]
    weights = np.take_along_axis(weights, joints, axis=1)
    weights /= weights.sum(1, keepdims=True)
    joints = np.where(weights > 0, joints, 0)
    vertex_buffer, index_buffer = 34962, 34963
    attributes = {
        "POSITION": document.add_array(vertices.astype(np.float32), "VEC3", has_bounds=True, target=vertex_buffer),
        "NORMAL": document.add_array(vertex_normals(vertices, faces).astype(np.float32), "VEC3", target=vertex_buffer),
        "JOINTS_0": document.add_array(joints.astype(np.uint8), "VEC4", target=vertex_buffer),
        "WEIGHTS_0": document.add_array(weights.astype(np.float32), "VEC4", target=vertex_buffer),
    }
    indices = document.add_array(faces.astype(np.uint16).reshape(-1), "SCALAR", target=index_buffer)
    colour = [((value / 255) ** 2.2) for value in PALETTE[number % len(PALETTE)]]
    look = {"baseColorFactor": [*colour, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.6}
    document.json["materials"].append({"pbrMetallicRoughness": look, "doubleSided": True})
    primitive = {"attributes": attributes, "indices": indices, "material": len(document.json["materials"]) - 1}
    document.json["meshes"].append({"name": f"hand {number}", "primitives": [primitive]})
    return len(document.json["meshes"]) - 1


def _add_skin(document: _Document, nodes: list[int], rest: np.ndarray) -> int:
    inverse = np.tile(np.eye(4, dtype=np.float32), (16, 1, 1))
    inverse[:, 3, :3] = -rest  # column-major: the translation is the last row here
    matrices = document.add_array(inverse.reshape(16, 16), "MAT4")
    document.json["skins"].append({"joints": nodes, "inverseBindMatrices": matrices, "skeleton": nodes[0]})
    return len(document.json["skins"]) - 1


def _add_motion(document: _Document, track: _TrackSummary, nodes: list[int], top: int, end: float) -> _HandSamplers:
    count = track.count
    bounds = (np.array([track.first], np.float32), np.array([track.last], np.float32))
    times = document.reserve(count, 4 * count, _FLOAT, "SCALAR", bounds)
    wrist = document.reserve(count, 12 * count, _FLOAT, "VEC3")
    document.animate(nodes[0], "translation", times, wrist)
    joints = []
    for node in nodes:
        turns = document.reserve(count, 16 * count, _FLOAT, "VEC4")
        document.animate(node, "rotation", times, turns)
        joints.append(document.offset(turns))
    keys = _shown_keys(track, end)
    shown = document.add_array(np.array([time for time, _ in keys], np.float32), "SCALAR", has_bounds=True)
    scales = document.add_array(np.array([scale for _, scale in keys], np.float32), "VEC3")
    document.animate(top, "scale", shown, scales, "STEP")
    return _HandSamplers(document.offset(times), document.offset(wrist), joints)


def _shown_keys(track: _TrackSummary, end: float) -> list[tuple[float, tuple[float, float, float]]]:
    """When the hand appears and goes; the moment after a stretch belongs to it no more."""
    keys: dict[float, tuple[float, float, float]] = {0.0: _HIDDEN}
    for first, last in track.spans:
        keys[first] = _SHOWN
        if last < end:
            keys[float(np.nextafter(np.float32(last), np.float32(np.inf)))] = _HIDDEN
    return sorted(keys.items())
