"""The animated GLB, read back by our own reader and skinned as glTF 2.0 says, against the tables."""

import json
import struct

import numpy as np
from scipy.spatial.transform import Rotation

from occhand.hand.hand_layer import load_hand
from occhand.video.gltf import save_animation_glb

FRAMES = 12


def table(side: str = "left") -> dict[str, np.ndarray]:
    """A hand that is there in frames 0 to 4 and 8 to 11."""
    import torch

    frame = np.array([k for k in range(FRAMES) if not 5 <= k < 8])
    pose = np.random.default_rng(0).normal(0, 0.2, (len(frame), 16, 3))
    layer = load_hand()
    signs = np.array([1, -1, -1]) if side == "left" else np.ones(3)
    rotations = torch.from_numpy(Rotation.from_rotvec((pose * signs).reshape(-1, 3)).as_matrix().reshape(-1, 16, 3, 3)).float()
    mirror = np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])
    place = np.array([0.02, 0.01, 0.5]) + np.arange(len(frame))[:, None] * 0.01
    joints = layer(rotations, torch.zeros(len(frame), 10)).joints.double().numpy() * mirror + place[:, None]
    return {
        "frame": frame,
        "time_s": frame / 30,
        "track": np.full(len(frame), 3),
        "side": np.full(len(frame), side),
        "pose": pose.reshape(-1, 48).astype(np.float32),
        "betas": np.zeros((len(frame), 10), np.float32),
        "joints": joints.astype(np.float32),
    }


def read_glb(path):
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size = struct.unpack_from("<I", data, 12)[0]
    document, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    widths = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
    kinds = {5126: np.float32, 5123: np.uint16, 5121: np.uint8}
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        count = accessor["count"] * widths[accessor["type"]]
        array = np.frombuffer(binary, kinds[accessor["componentType"]], count, view["byteOffset"]).reshape(accessor["count"], -1)
        if "min" in accessor:
            np.testing.assert_allclose(array.min(0), accessor["min"], rtol=1e-6)
            np.testing.assert_allclose(array.max(0), accessor["max"], rtol=1e-6)
        arrays.append(array)
    return document, arrays


def joints_at(document, arrays, key: int):
    """World places of the skin's joints at a key of the animation."""
    animation = document["animations"][0]
    nodes = [dict(node) for node in document["nodes"]]
    for channel in animation["channels"]:
        if channel["target"]["path"] != "scale":
            nodes[channel["target"]["node"]][channel["target"]["path"]] = arrays[animation["samplers"][channel["sampler"]]["output"]][key]
    world = {}

    def visit(index, parent):
        node, local = nodes[index], np.eye(4)
        local[:3, :3] = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
        local[:3, 3] = node.get("translation", [0, 0, 0])
        world[index] = parent @ local
        for child in node.get("children", []):
            visit(child, world[index])

    visit(0, np.eye(4))
    return np.stack([world[node][:3, 3] for node in document["skins"][0]["joints"]])


def test_the_skeleton_is_that_of_the_table_in_gltfs_frame(tmp_path):
    for side in ("right", "left"):
        hands = table(side)
        pieces = [{name: column[:4] for name, column in hands.items()}, {name: column[4:] for name, column in hands.items()}]
        assert save_animation_glb(tmp_path / "hands.glb", lambda pieces=pieces: pieces, load_hand(), FRAMES / 30)
        document, arrays = read_glb(tmp_path / "hands.glb")
        index = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3]  # MANO's joints in the house order
        for key in range(len(hands["frame"])):
            expected = hands["joints"][key][index] * [1.0, -1.0, -1.0]
            np.testing.assert_allclose(joints_at(document, arrays, key), expected, atol=1e-5)


def test_a_hand_is_shown_while_it_is_there(tmp_path):
    save_animation_glb(tmp_path / "hands.glb", lambda: [table()], load_hand(), (FRAMES - 1) / 30)
    document, arrays = read_glb(tmp_path / "hands.glb")
    animation = document["animations"][0]
    (channel,) = (channel for channel in animation["channels"] if channel["target"]["path"] == "scale")
    sampler = animation["samplers"][channel["sampler"]]
    assert sampler["interpolation"] == "STEP"
    times, scales = arrays[sampler["input"]][:, 0], arrays[sampler["output"]][:, 0]
    for frame in range(FRAMES):
        shown = scales[np.searchsorted(times, np.float32(frame / 30), "right") - 1]
        assert shown == (0.0 if 5 <= frame < 8 else 1.0)


def test_skin_weights_are_whole_and_trimesh_reads_the_file(tmp_path):
    import trimesh

    save_animation_glb(tmp_path / "hands.glb", lambda: [table("right")], load_hand(), 1.0)
    document, arrays = read_glb(tmp_path / "hands.glb")
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    np.testing.assert_allclose(arrays[attributes["WEIGHTS_0"]].sum(1), 1.0, atol=1e-6)
    assert arrays[attributes["JOINTS_0"]].max() < 16
    (mesh,) = trimesh.load(tmp_path / "hands.glb", process=False).geometry.values()
    assert mesh.vertices.shape == (778, 3)
    assert len(mesh.faces) == 1538


def test_without_hands_there_is_no_file(tmp_path):
    empty = {name: column[:0] for name, column in table().items()}
    assert not save_animation_glb(tmp_path / "hands.glb", lambda: [empty], load_hand(), 1.0)
    assert not list(tmp_path.iterdir())
