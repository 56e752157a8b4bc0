"""DexYCB against the manifest of a made-up tree, the official splits, and what can be wrong on disk."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand.data import dexycb
from occhand.data.datasets import create_dataset
from occhand.data.dexycb import PARTS, SERIALS, SUBJECTS, open_dexycb
from occhand.data.record import DataError
from occhand.hand.assets import load_parameters
from occhand.hand.hand_layer import HandLayer
from tests.fixtures.stick_hand import MARKS, project

FIRST = "20200709-subject-01/20200709_100000"
"""A right hand, 4 frames, none of them with a hand in frame 0."""


def is_in(split, subject, rank, camera):
    """The official rules, a cell at a time."""
    setup, part = split.split("_")[:2]
    if setup == "s0":
        return part == ("train" if rank % 5 != 4 else "val" if subject in (0, 1) else "test")
    if setup == "s1":
        return part == ("val" if subject == 6 else "test" if subject in (7, 8) else "train")
    if setup == "s2":
        return part == ("val" if camera == 6 else "test" if camera == 7 else "train")
    return part == {3: "val", 19: "val", 7: "test", 11: "test", 15: "test"}.get(rank // 5, "train")


def expected_samples(manifest, split):
    """(place in the results file, sample) of the frames of a split, invalid ones included: sequences, cameras, frames."""
    found = []
    for sequence in sorted(manifest["sequences"], key=lambda sequence: (sequence["subject"], sequence["index"])):
        for camera, serial in enumerate(SERIALS):
            if is_in(split, sequence["subject"], sequence["index"], camera):
                prefix = f"{sequence['name']}/{serial}/"
                found += sorted((s for s in manifest["samples"] if s["image"].startswith(prefix)), key=lambda s: s["image"])
    return list(enumerate(found))


def stand_in_mano(side):
    """The open hand with a mean pose and components of its own, which are no orthonormal basis."""
    rng = np.random.default_rng(SERIALS.index("836212060125") + (side == "left"))
    parameters = load_parameters("open", side)
    means = {"hands_mean": rng.normal(0, 0.2, 45), "hands_components": rng.normal(0, 0.3, (45, 45))}
    return HandLayer(replace(parameters, name="mano", **means))


@pytest.mark.parametrize("split", PARTS)
def test_official_splits(split):
    part = PARTS[split]
    cells = {(s, i, c) for s in range(10) for i in range(100) for c in range(8) if is_in(split, s, i, c)}
    assert {(s, i, c) for s in part.subjects for i in part.sequences for c in part.cameras} == cells
    assert all(list(ranks) == sorted(ranks) for ranks in part)


@pytest.mark.parametrize("split", ["s0_train_left", "s0_val", "s0_test", "s0_test_right", "s1_test", "s2_val", "s3_test_left"])
def test_agrees_with_manifest(fake_root, fake_manifest, split):
    samples = expected_samples(fake_manifest("dexycb"), split)
    wanted = [(place, s) for place, s in samples if s["valid"] and split.split("_")[2:] in ([], [s["side"]])]
    dataset = open_dexycb(fake_root("dexycb"), split, {})
    index = dataset.index
    assert len(dataset) == len(wanted) > 0
    assert index.official_length == len(samples)
    assert index.official_index.tolist() == [place for place, _ in wanted]
    assert index.images.tolist() == [s["image"] for _, s in wanted]
    assert index.keys.tolist() == [s["image"].replace("color_", "").removesuffix(".jpg") for _, s in wanted]
    assert index.sides.tolist() == [s["side"] for _, s in wanted]
    joints_cam, K = (np.array([s[name] for _, s in wanted]) for name in ("joints_cam", "K"))
    uv = np.array([project(joints, matrix) for joints, matrix in zip(joints_cam, K, strict=True)])
    np.testing.assert_allclose(index.joints_cam, joints_cam, atol=1e-5)
    np.testing.assert_allclose(index.K, K, atol=1e-3)
    np.testing.assert_allclose(index.joints_img, uv, atol=1e-3)
    np.testing.assert_allclose(index.bbox_xyxy, np.concatenate([uv.min(1), uv.max(1)], axis=1), atol=1e-3)
    assert (index.size == (480, 640)).all()
    assert not dataset.left_out


def test_frames_without_a_hand_count_but_are_no_samples(fake_root):
    index = open_dexycb(fake_root("dexycb"), "s2_test", {}).index
    assert index.official_length == 20
    assert index.official_index[:3].tolist() == [1, 2, 3]


def test_samples_show_what_was_annotated(fake_root, fake_manifest):
    dataset = create_dataset("dexycb", fake_root("dexycb"), "s0_test")
    betas = fake_manifest("dexycb")["betas"]
    for place in (0, 40, 60, -1):
        sample = dataset[place]
        for joint, colour in MARKS.items():
            x, y = np.rint(sample.joints_img[joint]).astype(int)
            if 0 <= x < 640 and 0 <= y < 480:
                np.testing.assert_allclose(sample.image[y, x].astype(int), colour, atol=60)
        subject = SUBJECTS.index(sample.key.split("/")[0])
        np.testing.assert_allclose(sample.betas, betas[f"{subject}_{sample.side}"], atol=1e-6)
        assert sample.pose is None
        assert sample.translation.shape == (3,)


def test_poses_are_multiplied_out_with_the_hand_of_their_side(fake_root, caplog):
    root, right, left = fake_root("dexycb"), stand_in_mano("right"), stand_in_mano("left")
    both = create_dataset("dexycb", root, "s0_test", hand=(right, left))
    assert not caplog.records
    for place, layer in ((0, right), (60, left)):
        sample = both[place]
        assert sample.side == layer.side
        folder, frame = sample.key.rsplit("/", 1)
        encoded = torch.from_numpy(np.load(root / folder / f"labels_{frame}.npz")["pose_m"][0])
        rotations = layer.rotations_from_pca(encoded[:3], encoded[3:48])
        torch.testing.assert_close(layer.rotations_from_axis_angle(torch.from_numpy(sample.pose)), rotations, atol=1e-5, rtol=0)
        np.testing.assert_array_equal(sample.translation, encoded[48:])
    only_right = create_dataset("dexycb", root, "s0_test", hand=right)
    assert only_right[0].pose is not None
    assert only_right[60].pose is None
    assert "poses of left hands are unknown, since they need your MANO_LEFT.pkl" in caplog.text


def test_second_opening_reads_no_labels(fake_root, monkeypatch):
    told = []
    first = open_dexycb(fake_root("dexycb"), "s2_val", {}, lambda done, total: told.append((done, total)))
    assert told[-1] == (20, 20)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    monkeypatch.setattr(dexycb, "_read_view", None)
    again = open_dexycb(fake_root("dexycb"), "s2_val", {})
    np.testing.assert_array_equal(again.index.joints_cam, first.index.joints_cam)


def test_the_hand_of_the_other_side_changes_nothing(fake_root, monkeypatch, caplog):
    right = create_dataset("dexycb", fake_root("dexycb"), "s1_val_right", stand_in_mano("right"))
    assert right[0].pose is not None
    monkeypatch.setattr(dexycb, "_read_view", None)
    both = create_dataset("dexycb", fake_root("dexycb"), "s1_val_right", (stand_in_mano("right"), stand_in_mano("left")))
    np.testing.assert_array_equal(both.index.pose, right.index.pose)
    assert not caplog.records


def test_a_change_of_any_part_is_seen(fake_root, tmp_path):
    root = tmp_path / "DexYCB"
    for part in ("calibration", SUBJECTS[6]):
        shutil.copytree(fake_root("dexycb") / part, root / part)
    sequence = "20200928-subject-07/20200928_101900"
    before = open_dexycb(root, "s1_val", {}).index
    assert len(before) == 24
    (root / SUBJECTS[6] / "20200928_235959").write_text("a file of that name")
    (root / sequence / SERIALS[2] / "color_000001.jpg").unlink()
    dataset = open_dexycb(root, "s1_val", {})
    assert [key for key, _ in dataset.left_out] == [f"{sequence}/{SERIALS[2]}/000001"]
    path = root / "calibration" / "intrinsics" / f"{SERIALS[0]}_640x480.yml"
    path.write_text(path.read_text().replace("ppx: 313.0", "ppx: 300.25", 1))  # of the colour camera, which stands before depth
    np.testing.assert_array_equal(open_dexycb(root, "s1_val", {}).index.K[[0, 3], 0, 2], (300.25, before.K[3, 0, 2]))
    for path in root.glob("calibration/mano_*_subject-07_right/mano.yml"):
        path.write_text(f"betas: [{', '.join(map(str, range(10)))}]")
    assert open_dexycb(root, "s1_val", {}).index.betas[0].tolist() == list(range(10))
    path = root / sequence / "meta.yml"
    path.write_text(path.read_text().replace("num_frames: 3", "num_frames: 2"))
    assert open_dexycb(root, "s1_val", {}).index.official_length == 16


def test_wrong_root_says_where_the_data_lie(fake_root, tmp_path):
    root = fake_root("dexycb")
    with pytest.raises(DataError, match=r"is not DexYCB.*It seems to be .*DexYCB"):
        open_dexycb(root.parent, "s0_test", {})
    with pytest.raises(DataError, match="No folder"):
        open_dexycb(tmp_path / "nowhere", "s0_test", {})


def test_half_copied_tree(fake_copy):
    root = fake_copy("dexycb")
    view = root / FIRST / SERIALS[6]
    view.joinpath("color_000002.jpg").unlink()
    data = (view / "labels_000003.npz").read_bytes()
    (view / "labels_000003.npz").write_bytes(data[: len(data) // 2])
    shutil.rmtree(root / "20200820-subject-03" / "20200820_100400" / SERIALS[6])
    dataset = open_dexycb(root, "s2_val", {})
    left_out = dict(dataset.left_out)
    assert list(left_out)[:2] == [f"{FIRST}/{SERIALS[6]}/000002", f"{FIRST}/{SERIALS[6]}/000003"]
    assert len(left_out) == 2 + 4
    assert "color_000002.jpg is missing. Copy" in left_out[f"{FIRST}/{SERIALS[6]}/000002"]
    assert "labels_000003.npz cannot be used: no archive, or a truncated one" in left_out[f"{FIRST}/{SERIALS[6]}/000003"]
    assert dataset.index.official_length == 20
    assert dataset.index.official_index[:4].tolist() == [1, 4, 5, 6]

    (root / "20200709-subject-01" / "notes").mkdir()
    shutil.rmtree(root / FIRST)
    with pytest.raises(DataError, match=r"20200709-subject-01 has 99 sequences, expected 100.*Unpack"):
        open_dexycb(root, "s2_val", {})
    (root / FIRST).mkdir()
    with pytest.raises(DataError, match=r"20200709_100000/meta\.yml is missing.*Copy"):
        open_dexycb(root, "s2_val", {})


def good_arrays():
    return {name: np.zeros((1, *shape), np.float32) for name, shape in dexycb._LABEL_SHAPES.items()}


class Malice:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose_m": None}, "it has no pose_m"),
        ({"joint_3d": np.zeros((2, 21, 3), np.float32)}, r"its joint_3d is float32 \(2, 21, 3\), expected float32 \(1, 21, 3\)"),
        ({"joint_2d": np.zeros((1, 21, 2))}, "its joint_2d is float64"),
        ({"joint_3d": np.full((1, 21, 3), np.nan, np.float32)}, "not finite"),
    ],
)
def test_labels_of_another_form(tmp_path, change, message):
    arrays = {name: array for name, array in (good_arrays() | change).items() if array is not None}
    np.savez_compressed(tmp_path / "labels.npz", **arrays)
    with pytest.raises(DataError, match=rf"labels\.npz cannot be used: .*{message}.*Copy it"):
        dexycb._read_label(tmp_path / "labels.npz")


def test_hostile_labels_run_nothing(tmp_path):
    objects = np.array([Malice(tmp_path / "run")], dtype=object)
    np.savez(tmp_path / "labels.npz", **(good_arrays() | {"joint_3d": objects}))
    with pytest.raises(DataError, match="joint_3d is object"):
        dexycb._read_label(tmp_path / "labels.npz")
    assert not (tmp_path / "run").exists()


def test_labels_that_are_no_files_of_labels(tmp_path):
    path = tmp_path / "labels.npz"
    np.savez(path, **good_arrays())
    os.truncate(path, (1 << 23) + 1)
    with pytest.raises(DataError, match=r"labels\.npz cannot be used: 8,388,609 bytes, expected some thousands"):
        dexycb._read_label(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"labels\.npz cannot be used: .*Is a directory.*Copy it"):
        dexycb._read_label(path)


def test_every_cut_and_flip_of_a_label_is_a_data_error(tmp_path):
    path, rng = tmp_path / "labels.npz", np.random.default_rng(0)
    np.savez_compressed(path, **good_arrays())
    data = path.read_bytes()
    broken = 0
    for position in rng.integers(0, len(data), 300):
        for damaged in (data[:position], data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]):
            path.write_bytes(damaged)
            try:
                dexycb._read_label(path)
            except DataError:
                broken += 1
    assert broken > 300


@pytest.mark.parametrize(
    "text",
    [
        "mano_sides: [right, left]\nmano_calib: [a, b]\nnum_frames: 3",
        "mano_sides: [both]\nmano_calib: [a]\nnum_frames: 3",
        "mano_sides: [right]\nmano_calib: [../../secret]\nnum_frames: 3",
        "mano_sides: [right]\nmano_calib: [a]\nnum_frames: 900000000",
        "mano_sides: [right]\nmano_calib: [a]\nnum_frames: -1",
        pytest.param("mano_sides: [right]\nmano_calib: [a]\nnum_frames: 3\n#" + "x" * (1 << 20), id="huge"),
        "mano_sides: [right]\nmano_calib: [[a]]\nnum_frames: 3",
        "mano_sides: [right]\nmano_calib: [a]",
        "- 1",
        "",
        "mano_sides: [",
        "[" * 5000,
        "!!python/object/apply:os.mkdir [run]",
    ],
)
def test_broken_meta(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meta.yml").write_text(text)
    with pytest.raises(DataError, match=r"meta\.yml .*Copy it from the original again"):
        dexycb._read_meta(tmp_path / "meta.yml")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["betas: [1, 2]", "betas: [nan, 0, 0, 0, 0, 0, 0, 0, 0, 0]", "betas: x", "x"])
def test_broken_betas(tmp_path, text):
    (tmp_path / "mano.yml").write_text(text)
    with pytest.raises(DataError, match="10 finite betas"):
        dexycb._read_betas(tmp_path / "mano.yml")


@pytest.mark.parametrize(
    "text",
    [
        "depth: {fx: 1}",
        "color: {fx: -1, fy: 1, ppx: 2, ppy: 3}",
        "color: {fx: 1, fy: 0, ppx: 2, ppy: 3}",
        "color: {fx: 1, fy: 1, ppx: inf, ppy: 3}",
    ],
)
def test_broken_intrinsics(tmp_path, text):
    path = dexycb._intrinsics_path(tmp_path, 0)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(DataError, match="fx, fy, ppx and ppy"):
        dexycb._read_intrinsics(tmp_path, 0)
