"""The animated GLB, read back by our own reader and skinned as glTF 2.0 says, against the tables."""

import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from occhand.hand.hand_layer import load_hand
from occhand.types import SIDES
from occhand.video.gltf import save_animation_glb

FRAMES = 12


def table(side: str = "left", track: int = 3, bend: float = 0.2) -> dict[str, np.ndarray]:
    """A hand that is there in frames 2 to 4 and 8 to 11; without a bend it is turned as a whole."""
    import torch

    frame = np.array([k for k in range(FRAMES) if 2 <= k < 5 or k >= 8])
    rng = np.random.default_rng(track)
    pose, betas = rng.normal(0, 0.2, (len(frame), 16, 3)), rng.normal(0, 1, 10)
    pose[:, 1:] *= bend / 0.2
    layer = load_hand()
    signs = np.array([1, -1, -1]) if side == "left" else np.ones(3)
    rotations = torch.from_numpy(Rotation.from_rotvec((pose * signs).reshape(-1, 3)).as_matrix().reshape(-1, 16, 3, 3)).float()
    mirror = np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])
    place = np.array([0.02, 0.01, 0.5]) + np.arange(len(frame))[:, None] * 0.01
    posed = layer(rotations, torch.from_numpy(betas).float().expand(len(frame), 10))
    vertices, joints = (points.double().numpy() * mirror + place[:, None] for points in (posed.vertices, posed.joints))
    return {
        "frame": frame,
        "time_s": frame / 30,
        "track": np.full(len(frame), track),
        "side": np.full(len(frame), side),
        "pose": pose.reshape(-1, 48).astype(np.float32),
        "betas": np.tile(betas.astype(np.float32), (len(frame), 1)),
        "joints": joints.astype(np.float32),
        "vertices": vertices,
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


def transforms_at(document, arrays, key: int, skin: int = 0):
    """Of a skin's joints, to the world, at a key of the animation."""
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
    return np.stack([world[node] for node in document["skins"][skin]["joints"]])


def mesh_of(document, arrays, skin: int = 0) -> dict[str, np.ndarray]:
    """What glTF names the attributes of a skin's mesh, and its triangles."""
    (node,) = (node for node in document["nodes"] if node.get("skin") == skin)
    (primitive,) = document["meshes"][node["mesh"]]["primitives"]
    parts = primitive["attributes"] | {"faces": primitive["indices"]}
    return {name: arrays[accessor] for name, accessor in parts.items()} | {"faces": arrays[parts["faces"]].reshape(-1, 3)}


def test_the_skeleton_is_that_of_the_table_in_gltfs_frame(tmp_path):
    for side in ("right", "left"):
        hands = table(side)
        pieces = [{name: column[:4] for name, column in hands.items()}, {name: column[4:] for name, column in hands.items()}]
        assert save_animation_glb(tmp_path / "hands.glb", lambda pieces=pieces: pieces, load_hand(), FRAMES / 30)
        document, arrays = read_glb(tmp_path / "hands.glb")
        index = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3]  # MANO's joints in the house order
        for key in range(len(hands["frame"])):
            expected = hands["joints"][key][index] * [1.0, -1.0, -1.0]
            np.testing.assert_allclose(transforms_at(document, arrays, key)[:, :3, 3], expected, atol=1e-5)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("bend", "mean_mm", "most_mm"), [(0.0, 1e-4, 1e-3), (0.2, 0.5, 6.0)])
def test_the_skin_follows_the_skeleton_and_looks_outwards(tmp_path, side, bend, mean_mm, most_mm):
    """Without a bend to the last digit, else but for the pose blend shapes."""
    hands = table(side, bend=bend)
    save_animation_glb(tmp_path / "hands.glb", lambda: [hands], load_hand(), 1.0)
    document, arrays = read_glb(tmp_path / "hands.glb")
    mesh = mesh_of(document, arrays)
    inverse = arrays[document["skins"][0]["inverseBindMatrices"]].reshape(16, 4, 4).swapaxes(1, 2)
    for key in range(len(hands["frame"])):
        skinning = (transforms_at(document, arrays, key) @ inverse)[mesh["JOINTS_0"]]
        points = np.einsum(
            "vj,vjab,vb->va", mesh["WEIGHTS_0"], skinning[..., :3, :], np.pad(mesh["POSITION"], ((0, 0), (0, 1)), constant_values=1)
        )
        off_mm = 1e3 * np.linalg.norm(points - hands["vertices"][key] * [1.0, -1.0, -1.0], axis=1)
        assert off_mm.mean() < mean_mm
        assert off_mm.max() < most_mm
    corners = mesh["POSITION"][mesh["faces"]].astype(float)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((corners.mean(1) - mesh["POSITION"].mean(0)) * across).sum() > 0
    assert (mesh["NORMAL"][mesh["faces"][:, 0]] * across).sum(1).mean() > 0


def test_two_hands_are_two_skeletons_of_their_own_look(tmp_path):
    both = [table("left", 3), table("right", 4)]
    piece = {name: np.concatenate([hands[name] for hands in both]) for name in both[0]}
    order = np.argsort(piece["frame"], kind="stable")
    half = len(order) // 2 + 1
    pieces = [{name: column[rows] for name, column in piece.items()} for rows in (order[:half], order[half:])]
    save_animation_glb(tmp_path / "hands.glb", lambda: pieces, load_hand(), 1.0)
    document, arrays = read_glb(tmp_path / "hands.glb")
    for skin, hands in enumerate(both):
        for key in range(len(hands["frame"])):
            expected = hands["joints"][key][0] * [1.0, -1.0, -1.0]
            np.testing.assert_allclose(transforms_at(document, arrays, key, skin)[0, :3, 3], expected, atol=1e-6)
    colours = [material["pbrMetallicRoughness"]["baseColorFactor"] for material in document["materials"]]
    assert colours[0] != colours[1]


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
        assert shown == (1.0 if frame in table()["frame"] else 0.0)
    assert scales[-1] == 1.0  # so it stays, as the picture does, after the last frame


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
