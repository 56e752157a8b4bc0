"""The open hand's file, and the tool that builds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from occhand.hand.assets import OPEN_HAND
from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.hand.prior import rotations_from_angles
from occhand.hand.skeleton import FINGERS, MANO_FINGERS, MANO_JOINT_NAMES, PARENTS, TIP_SETS, tip_vertices
from tools.open_hand.anatomy import HandShape, joints16, skeleton, tips, to_metres, to_mm
from tools.open_hand.build import build_hand, save_hand
from tools.open_hand.correctives import group_angles, lost_by_skinning
from tools.open_hand.field import hand_field
from tools.open_hand.intersect import self_intersections
from tools.open_hand.measure import bent, capped_volume, flipped_faces, hand_lengths, pose_vertices, shapes_within, volume_changes
from tools.open_hand.mesh import EditableMesh, boundary_loop, mesh_edges, triangle_quality
from tools.open_hand.order import TIP_LISTS, WRIST_LOOP
from tools.open_hand.remesh import sizing
from tools.open_hand.shape_space import fit_template, sample_shape
from tools.open_hand.skin import skin_weights

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    with np.load(OPEN_HAND) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def rest_mm(arrays: Arrays) -> np.ndarray:
    return to_mm(arrays["v_template"].astype(np.float64))


@pytest.fixture(scope="module")
def layer() -> HandLayer:
    return load_hand("open")


@pytest.fixture(scope="module")
def sampled(arrays: Arrays, rest_mm: np.ndarray) -> list[tuple[HandShape, np.ndarray]]:
    """A few hands of the population, as vertices on their own surface, mm."""
    on_loop = np.zeros(778)
    on_loop[boundary_loop(arrays["faces"])] = 1
    shapes = [sample_shape(draw) for draw in np.random.default_rng(7).standard_normal((6, 35))]
    return [(shape, fit_template(rest_mm, arrays["weights"].astype(np.float64), on_loop, shape)) for shape in shapes]


def test_has_the_shapes_and_types_of_mano(arrays: Arrays) -> None:
    shapes = {
        "v_template": (778, 3), "faces": (1538, 3), "shapedirs": (778, 3, 10), "posedirs": (778, 3, 135), "weights": (778, 16),
        "J_regressor": (16, 778), "parents": (16,), "hands_mean": (45,), "hands_components": (45, 45), "hands_covariance": (45, 45),
        "joint_axes": (16, 3, 3), "joint_limits": (16, 3, 2), "angles_mean": (16, 3), "angles_covariance": (48, 48),
    }  # fmt: skip
    assert {key: arrays[key].shape for key in shapes} == shapes
    assert arrays["faces"].dtype == np.int32
    assert all(np.isfinite(arrays[key]).all() for key in shapes)
    assert tuple(arrays["parents"]) == PARENTS
    assert (str(arrays["side"]), str(arrays["name"])) == ("right", "open")


def test_is_a_disk_with_one_wrist_loop_wound_outwards(arrays: Arrays, rest_mm: np.ndarray) -> None:
    faces = arrays["faces"].astype(int)
    edges = mesh_edges(faces)
    assert len(edges) == 2315
    assert len(rest_mm) - len(edges) + len(faces) == 1
    directed = {(f[i], f[(i + 1) % 3]) for f in faces.tolist() for i in range(3)}
    assert len(directed) == 3 * 1538, "an edge is used twice in the same direction"
    assert len(boundary_loop(faces)) == 16
    assert sorted(np.unique(faces)) == list(range(778))
    assert 300e3 < capped_volume(rest_mm, faces) < 400e3


def test_lies_on_the_implicit_surface_with_good_triangles(arrays: Arrays, rest_mm: np.ndarray) -> None:
    assert triangle_quality(rest_mm, arrays["faces"]).min() > 0.5
    assert np.abs(hand_field(HandShape()).distance(rest_mm)).max() < 0.05


def test_no_faces_cross_in_rest_or_in_extreme_shapes(arrays: Arrays) -> None:
    rest, faces = arrays["v_template"].astype(np.float64), arrays["faces"]
    shapes = rest + np.einsum("vak,bk->bva", arrays["shapedirs"], shapes_within(2.5, 10))
    for vertices in [rest, *shapes]:
        assert len(self_intersections(vertices, faces)) == 0
        assert flipped_faces(vertices, rest, faces) == 0


def test_crossing_faces_are_found() -> None:
    triangle = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    needle = np.array([[0.2, 0.2, -1], [0.2, 0.3, 1], [0.3, 0.2, 1]])
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    assert self_intersections(np.concatenate([triangle, needle]), faces).tolist() == [[0, 1]]
    assert len(self_intersections(np.concatenate([triangle, needle + np.array([1.0, 1, 0])]), faces)) == 0
    # One shared corner: the fan is clean as long as no edge passes through the other face.
    fan = np.array([[0, 1, 2], [0, 3, 4]])
    assert len(self_intersections(np.concatenate([triangle, [[-1.0, 0, 1], [-1, 1, 1]]]), fan)) == 0
    assert len(self_intersections(np.concatenate([triangle, [[0.3, 0.3, 1.0], [0.3, 0.3, -1]]]), fan)) == 1


def test_a_bent_finger_crosses_the_palm_when_pushed_through_it(layer: HandLayer, arrays: Arrays) -> None:
    through = bent("index1", 90) + bent("index2", 120) + bent("index3", 75)
    vertices = pose_vertices(layer, through[None], arrays["joint_axes"])[0]
    assert len(self_intersections(vertices.astype(np.float64), arrays["faces"])) > 0


def test_keeps_its_volume_when_it_bends(layer: HandLayer, arrays: Arrays) -> None:
    fist = arrays["key_poses"][arrays["key_pose_names"].tolist().index("fist")]
    angles = np.stack([*(bent(f"{finger}2", 90) for finger in ("index", "middle", "ring", "pinky")), fist])
    *one_finger, whole = volume_changes(layer, angles, arrays["joint_axes"])
    assert min(one_finger) > -0.02
    assert whole > -0.06


def test_hand_length_over_the_shape_space(layer: HandLayer) -> None:
    lengths = 1e3 * hand_lengths(layer, np.random.default_rng(3).standard_normal((4000, 10)))
    assert abs(lengths.mean() - 184) < 1
    assert abs(lengths.std() - 11) < 0.5


def test_first_component_is_size_and_the_others_are_square_to_it(arrays: Arrays, rest_mm: np.ndarray) -> None:
    components = arrays["shapedirs"].astype(np.float64).reshape(-1, 10)
    size = to_metres(rest_mm) - to_metres(np.zeros(3))
    gram = components.T @ components
    cosines = gram / np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
    assert np.abs(cosines - np.eye(10)).max() < 0.01
    assert components[:, 0] @ size.ravel() / np.linalg.norm(components[:, 0]) / np.linalg.norm(size) > 0.99999
    assert (np.diff(np.diag(gram)) < 0).all(), "components are sorted by how much they move"


def test_ten_components_hold_the_sampled_hands(arrays: Arrays, rest_mm: np.ndarray, sampled: list[tuple[HandShape, np.ndarray]]) -> None:
    components = 1e3 * arrays["shapedirs"].astype(np.float64).reshape(-1, 10)
    template = to_metres(rest_mm).ravel() * 1e3
    left_over, total = 0.0, 0.0
    for _, vertices in sampled:
        change = 1e3 * to_metres(vertices).ravel() - template
        fitted = components @ np.linalg.lstsq(components, change, rcond=None)[0]
        left_over += ((change - fitted) ** 2).sum()
        size = 0.058 * rest_mm  # one standard deviation: these samples have the form of other hands, not their size
        total += (size**2).sum() + (change**2).sum()
    assert left_over / total < 0.01


def test_joint_regressor_finds_the_joints_of_other_hands(
    arrays: Arrays, rest_mm: np.ndarray, sampled: list[tuple[HandShape, np.ndarray]]
) -> None:
    regressor = arrays["J_regressor"].astype(np.float64)
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-6)
    assert regressor.min() >= 0
    errors = [np.linalg.norm(regressor @ vertices - joints16(shape), axis=1) for shape, vertices in [(HandShape(), rest_mm), *sampled]]
    assert np.mean(errors, axis=0).max() < 0.2


def test_skin_weights_are_those_of_the_skeleton(arrays: Arrays, rest_mm: np.ndarray) -> None:
    weights = arrays["weights"]
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(weights, skin_weights(rest_mm, arrays["faces"], skeleton(HandShape())), atol=1e-4)
    assert (weights[boundary_loop(arrays["faces"]), 0] == 1).all()
    assert (weights.max(0) > 0.95).all(), "every joint owns some skin"


@pytest.mark.parametrize("tip_set", TIP_SETS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_published_tip_lists_fall_on_the_tips(arrays: Arrays, rest_mm: np.ndarray, tip_set: str, side: str) -> None:
    anatomical = dict(zip(MANO_FINGERS, tips(HandShape()), strict=True))
    for finger, vertex in zip(FINGERS, tip_vertices(tip_set, side), strict=True):
        assert vertex in TIP_LISTS[finger]
        assert MANO_JOINT_NAMES[arrays["weights"][vertex].argmax()] == f"{finger}3"
        assert np.linalg.norm(rest_mm[vertex] - anatomical[finger]) < 9


def test_first_tip_list_is_nearest_and_the_others_lie_2_to_8_mm_away(rest_mm: np.ndarray) -> None:
    anatomical = dict(zip(MANO_FINGERS, tips(HandShape()), strict=True))
    for finger, (first, *others) in TIP_LISTS.items():
        distance = np.linalg.norm(rest_mm - anatomical[finger], axis=1)
        assert distance.argmin() == first
        assert distance[first] < 3
        between = np.linalg.norm(rest_mm[others] - rest_mm[first], axis=1)
        assert between.min() >= 2
        assert between.max() <= 8


def test_published_wrist_loop_is_the_open_end(arrays: Arrays) -> None:
    loop = boundary_loop(arrays["faces"])
    start = WRIST_LOOP.index(loop[0])
    assert list(WRIST_LOOP[start:] + WRIST_LOOP[:start]) == loop


def test_pose_correctives_are_tame_and_local(arrays: Arrays) -> None:
    posedirs = arrays["posedirs"].reshape(778, 3, 15, 9)
    touched = np.abs(posedirs).max((1, 3)) > 0
    assert not (touched & (arrays["weights"][:, 1:] < 0.009)).any()
    angles = group_angles(tuple(range(1, 16)), arrays["joint_limits"], 60, seed=11)
    rotations = rotations_from_angles(torch.from_numpy(angles), torch.from_numpy(arrays["joint_axes"].astype(np.float64))).numpy()
    moves = np.einsum("vajf,bjf->bva", posedirs, (rotations[:, 1:] - np.eye(3)).reshape(60, 15, 9))
    assert 1e3 * np.linalg.norm(moves, axis=2).max() < 12


def test_posed_field_moves_with_its_bones(rest_mm: np.ndarray) -> None:
    """A rigid motion of all bones moves the surface rigidly, and nothing is lost by skinning."""
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    rotations, translations = np.tile(turn, (1, 16, 1, 1)), np.tile([5.0, -3, 2], (1, 16, 1))
    moved = rest_mm @ turn.T + translations[0, 0]
    assert np.abs(lost_by_skinning(moved[None], rotations, translations, hand_field(HandShape()))).max() < 0.01


def test_editing_a_mesh_keeps_it_a_surface(arrays: Arrays, rest_mm: np.ndarray) -> None:
    mesh = EditableMesh(rest_mm, arrays["faces"].astype(int))
    assert mesh.collapse(*next(edge for edge in mesh.edges() if not any(map(mesh.on_boundary, edge))))
    mesh.split(*mesh.edges()[100])
    assert mesh.flip(*mesh.edges()[200])
    mesh.even_valences()
    points, faces = mesh.arrays()
    assert len(points) - len(mesh_edges(faces)) + len(faces) == 1
    assert len(boundary_loop(faces)) == 16
    assert len(points) == 778


def test_mesh_is_finer_on_fingers_than_on_the_palm() -> None:
    chains = skeleton(HandShape())
    size = sizing(np.array([chains["middle"][2], [30.0, 0, 0]]), chains)
    assert size.length[0] < 0.8 * size.length[1]
    assert size.stretch[0] > 1.5
    assert size.stretch[1] == 1


@pytest.mark.slow
def test_rebuild_gives_the_same_hand(arrays: Arrays, tmp_path: Path) -> None:
    """On another machine the last bits of a float may turn an edge the other way: what does not hang on single edges is compared."""
    save_hand(build_hand(), tmp_path / "hand.npz")
    rebuilt = load_hand(tmp_path / "hand.npz")
    committed = load_hand("open")
    with np.load(tmp_path / "hand.npz") as again:
        np.testing.assert_allclose(again["weights"].mean(0), arrays["weights"].mean(0), rtol=0.05)
        np.testing.assert_allclose(again["joint_limits"], arrays["joint_limits"], atol=1e-6)
        np.testing.assert_allclose(again["angles_mean"], arrays["angles_mean"], atol=0.02)
        np.testing.assert_allclose(
            np.linalg.norm(again["shapedirs"], axis=(0, 1)), np.linalg.norm(arrays["shapedirs"], axis=(0, 1)), rtol=0.05
        )
    rest, rebuilt_rest = committed.v_template.numpy().astype(float), rebuilt.v_template.numpy().astype(float)
    np.testing.assert_allclose(capped_volume(rebuilt_rest, rebuilt.faces.numpy()), capped_volume(rest, committed.faces.numpy()), rtol=2e-3)
    np.testing.assert_allclose(rebuilt.joint_template.numpy(), committed.joint_template.numpy(), atol=2e-4)
