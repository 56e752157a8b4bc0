"""HO-3D against its manifest, and what is wrong with copies of it."""

import io
import json
import logging
import pickle
import shutil
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from occhand.data.datasets import create_dataset
from occhand.data.record import DataError

FLIP = np.diag([1.0, -1.0, -1.0])
TIPS = [744, 333, 444, 555, 672]
VERSIONS = ("v2", "v3")


def open_split(root, split, *hand):
    return create_dataset("ho3d_" + root.name[-2:], root, split, *hand)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("split", ["train", "evaluation"])
def test_samples_are_those_of_the_manifest(version, split, fake_root, fake_manifest):
    name = f"ho3d_{version}"
    dataset, entries = open_split(fake_root(name), split), fake_manifest(name)[split]
    assert dataset.index.official_length == len(entries)
    for sample, image, entry in zip(dataset, dataset.index.images, entries, strict=True):
        assert (sample.key, image, sample.side) == (entry["id"], entry["image"], "right")
        np.testing.assert_allclose(sample.K, entry["K"], atol=1e-3)
        np.testing.assert_allclose(sample.joints_cam, entry["joints_cam"], atol=1e-5)
        np.testing.assert_allclose(sample.joints_img, entry["uv"], atol=1e-3)
        around = np.concatenate([np.min(entry["uv"], 0), np.max(entry["uv"], 0)])
        np.testing.assert_allclose(sample.bbox_xyxy, entry.get("bbox_xyxy", around), atol=1e-3)
        assert sample.image.shape == (480, 640, 3)
        if split == "evaluation":
            np.testing.assert_allclose(sample.vertices_cam[TIPS], sample.joints_cam[4::4], atol=1e-6)
            assert sample.pose is None
            assert sample.betas is None


@pytest.mark.parametrize("version", VERSIONS)
def test_the_root_turns_into_the_camera_frame(version, fake_root, fake_manifest):
    name = f"ho3d_{version}"
    for sample, entry in zip(open_split(fake_root(name), "train"), fake_manifest(name)["train"], strict=True):
        raw = np.array(entry["mano_pose_raw"])
        expected = FLIP @ Rotation.from_rotvec(raw[:3]).as_matrix()
        np.testing.assert_allclose(Rotation.from_rotvec(sample.pose[:3]).as_matrix(), expected, atol=1e-6)
        np.testing.assert_allclose(sample.pose[3:], raw[3:])
        np.testing.assert_allclose(sample.betas, entry["mano_shape"])
        assert sample.translation is None


def test_the_translation_knows_where_the_wrist_rests(fake_root, fake_manifest, mano_like):
    """The layer in the camera frame gives the flipped mesh of the layer in the annotation's frame."""
    dataset = open_split(fake_root("ho3d_v3"), "train", mano_like)
    for sample, entry in zip(dataset, fake_manifest("ho3d_v3")["train"], strict=True):
        raw, betas = torch.tensor([entry["mano_pose_raw"]]), torch.tensor([entry["mano_shape"]])
        annotated = mano_like(mano_like.rotations_from_axis_angle(raw), betas).vertices[0].numpy()
        trans_gl = np.array(entry["joints_cam"][0]) @ FLIP
        pose = torch.from_numpy(sample.pose).float()[None]
        ours = mano_like(mano_like.rotations_from_axis_angle(pose), betas).vertices[0].numpy() + sample.translation
        np.testing.assert_allclose(ours, (annotated + trans_gl) @ FLIP, atol=1e-5)


def test_without_the_hand_a_warning_says_what_is_unknown(fake_root, caplog, mano_like):
    open_split(fake_root("ho3d_v2"), "train")
    assert "without the right MANO hand no translation is known" in caplog.text
    caplog.clear()
    open_split(fake_root("ho3d_v2"), "train", mano_like)
    open_split(fake_root("ho3d_v2"), "evaluation")
    assert not caplog.text


def test_evaluation_without_the_released_truth_knows_the_wrist(fake_copy, fake_manifest):
    root = fake_copy("ho3d_v2")
    shutil.rmtree(root.parent / "HO3D_v2_evaluation_gt")
    for sample, entry in zip(open_split(root, "evaluation"), fake_manifest("ho3d_v2")["evaluation"], strict=True):
        np.testing.assert_allclose(sample.joints_cam[0], entry["joints_cam"][0], atol=1e-5)
        np.testing.assert_allclose(sample.joints_img[0], entry["uv"][0], atol=1e-3)
        np.testing.assert_allclose(sample.bbox_xyxy, entry["bbox_xyxy"])
        assert np.isnan(sample.joints_cam[1:]).all()
        assert np.isnan(sample.joints_img[1:]).all()
        assert sample.vertices_cam is None


def test_the_released_truth_is_found_in_the_root_and_when_it_comes_later(fake_copy):
    root = fake_copy("ho3d_v3")
    truth = root.parent / "HO3D_v3_evaluation_gt"
    before = open_split(root, "evaluation").index
    truth.rename(root.parent / "elsewhere")
    assert np.isnan(open_split(root, "evaluation").index.joints_cam).any()
    shutil.copy(root.parent / "elsewhere" / "evaluation_xyz.json", root)
    joints_only = open_split(root, "evaluation").index
    np.testing.assert_array_equal(joints_only.joints_cam, before.joints_cam)
    assert joints_only.vertices_cam is None
    shutil.copy(root.parent / "elsewhere" / "evaluation_verts.json", root / "evaluation")
    np.testing.assert_array_equal(open_split(root, "evaluation").index.vertices_cam, before.vertices_cam)


def test_a_truth_of_another_length_or_order_is_refused(fake_copy):
    root = fake_copy("ho3d_v2")
    path = root.parent / "HO3D_v2_evaluation_gt" / "evaluation_xyz.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps(rows[:-1]))
    with pytest.raises(
        DataError, match=r"evaluation_xyz\.json has 5 entries, evaluation\.txt lists 6\. Take the one released for HO-3D v2"
    ):
        open_split(root, "evaluation")
    path.write_text(json.dumps(rows[1:] + rows[:1]))
    with pytest.raises(DataError, match=r"its wrists lie \d+ mm from those of the annotations, expected the same\. Is it in the order of"):
        open_split(root, "evaluation")
    (root / "evaluation" / "SM1" / "meta" / "0001.pkl").unlink()
    with pytest.raises(DataError, match=r"its wrists lie \d+ mm from those of the annotations"):
        open_split(root, "evaluation")
    path.write_text(f"[{','.join(['[' + ','.join(['[0,0,0]'] * 21) + ']'] * 20_137)}]")
    with pytest.raises(DataError, match=r"has 20,137 entries, evaluation\.txt lists 6\. Is it of the other version\?"):
        open_split(root, "evaluation")
    path.write_text(json.dumps({"xyz": rows}))
    with pytest.raises(DataError, match=r"evaluation_xyz\.json is no list of N x 21 x 3 numbers"):
        open_split(root, "evaluation")


def test_a_listed_frame_without_annotation_is_left_out_and_named(fake_copy, caplog):
    root = fake_copy("ho3d_v2")
    lines = (root / "train.txt").read_text().split()
    (root / "train.txt").write_text("\n".join(["ABF10/0003", *lines]) + "\n")
    with caplog.at_level(logging.WARNING):
        dataset = open_split(root, "train")
    assert dataset.index.keys.tolist() == lines
    assert dataset.index.official_index.tolist() == list(range(1, 9))
    assert dataset.index.official_length == 9
    assert [key for key, _ in dataset.left_out] == ["ABF10/0003"]
    assert "its fields are None" in dataset.left_out[0][1]
    assert "1 of 9 entries are left out, the first is ABF10/0003" in caplog.text
    assert str(dataset) == "ho3d_v2 train (8 hands, 1 left out)"


def test_half_a_copy_gives_the_half_there_is(fake_copy):
    root = fake_copy("ho3d_v3")
    whole = open_split(root, "train").index
    shutil.rmtree(root / "train" / "MC1")
    (root / "train" / "ABF10" / "meta" / "0001.pkl").unlink()
    (root / "train" / "ABF10" / "rgb" / "0002.jpg").unlink()
    dataset = open_split(root, "train")
    reasons = dict(dataset.left_out)
    assert sorted(reasons) == ["ABF10/0001", "ABF10/0002", "MC1/0000", "MC1/0001", "MC1/0002", "MC1/0003"]
    assert "no annotation at" in reasons["ABF10/0001"]
    assert "no picture at" in reasons["ABF10/0002"]
    assert all("Copy or unpack it again." in reason for reason in reasons.values())
    assert {sample.key for sample in dataset} == {"ABF10/0000", "ABF10/0004"}
    for row, place in enumerate(dataset.index.official_index):
        assert dataset.index.keys[row] == whole.keys[place]
    shutil.rmtree(root / "train" / "ABF10" / "meta")
    with pytest.raises(DataError, match=r"no sample is left; .* Is it the whole data set, and unpacked here\?"):
        open_split(root, "train")
    shutil.rmtree(root / "train" / "ABF10" / "rgb")
    with pytest.raises(DataError, match=r"no sample is left; [A-Z\d]+/\d{4}: no picture at"):
        open_split(root, "train")
    shutil.rmtree(root / "train")
    with pytest.raises(DataError, match=r"is not HO-3D v3: no train; found .*unpack it again"):
        open_split(root, "train")


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def broken_annotations(content, target):
    whole = pickle.dumps(content, protocol=2)
    yield whole[: len(whole) // 2], "no pickle of numbers"
    yield b"", "no pickle of numbers"
    yield pickle.dumps([1, 2]), "expected a dict"
    yield pickle.dumps(content | {"handPose": Hostile(target)}), r"names \w+\.open.*nothing in it was run"
    yield pickle.dumps(content | {"objName": Hostile(target)}, protocol=2), "nothing in it was run"
    yield pickle.dumps(content | {"handPose": None}), "handPose is no array of numbers"
    yield pickle.dumps(content | {"handPose": np.full(48, None)}), "handPose is no array of numbers"
    yield pickle.dumps(content | {"handPose": np.zeros(51)}), r"handPose has shape \(51,\), expected \(48,\)"
    yield pickle.dumps(content | {"camMat": np.full((3, 3), np.nan)}), "camMat has shape .* finite"
    yield pickle.dumps(content | {"camMat": np.zeros(9)}), r"camMat has shape \(9,\), expected \(3, 3\)"
    yield pickle.dumps(content | {"handJoints3D": np.zeros((3, 21))}), r"handJoints3D has shape \(3, 21\), expected \(21, 3\)"
    yield whole + bytes(1 << 22), r"has 4,19\d,\d+ bytes, expected some thousands"
    yield pickle.dumps(content | {"handJoints3D": np.zeros(3)}), r"handJoints3D has shape \(3,\).*of the other split"


def test_broken_and_hostile_annotations_are_left_out_and_run_nothing(fake_copy, tmp_path):
    root, target = fake_copy("ho3d_v2"), tmp_path / "made-by-the-pickle"
    path = root / "train" / "ABF10" / "meta" / "0001.pkl"
    content = pickle.loads(path.read_bytes())
    for data, reason in broken_annotations(content, target):
        path.unlink()
        path.write_bytes(data)
        dataset = open_split(root, "train")
        assert len(dataset) == 7
        key, found = dataset.left_out[0]
        assert key == "ABF10/0001"
        assert found.startswith(f"{path}")
        with pytest.raises(ValueError, match=reason):
            raise ValueError(found)
        assert "\n" not in found
        assert not target.exists()
    path.unlink()
    path.mkdir()
    assert f"{path} cannot be read (Is a directory)" in open_split(root, "train").left_out[0][1]


class PythonTwoPickler(pickle._Pickler):
    """Text and the bytes of arrays as Python 2 wrote them: both `str`, no encoding."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_text(self, text):
        raw = text.encode() if isinstance(text, str) else text
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)
        self.memoize(text)

    def save_global(self, obj, name=None):
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{name or obj.__name__}\n".encode())
        self.memoize(obj)

    dispatch[str] = dispatch[bytes] = save_text
    dispatch[type] = dispatch[type(np.zeros)] = dispatch[type(np.zeros(1).__reduce__()[0])] = save_global


@pytest.mark.parametrize("write", [PythonTwoPickler, *range(6)])
def test_pickles_of_all_ages_give_the_same(write, fake_copy):
    root = fake_copy("ho3d_v2")
    before = open_split(root, "train").index
    for path in (root / "train").glob("*/meta/*.pkl"):
        content = pickle.loads(path.read_bytes())
        if isinstance(write, int):
            data = pickle.dumps(content, protocol=write)
        else:
            buffer = io.BytesIO()
            write(buffer, protocol=2).dump(content)
            data = buffer.getvalue()
            assert (b"numpy.core.multiarray" in data) == (content["camMat"] is not None)
            assert b"_codecs" not in data
        path.unlink()
        path.write_bytes(data)
    after = open_split(root, "train").index
    for name in ("keys", "pose", "betas", "joints_cam", "K"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_broken_picture_is_named_and_the_others_are_read(version, fake_copy):
    root = fake_copy(f"ho3d_{version}")
    dataset = open_split(root, "evaluation")
    path = root / str(dataset.index.images[2])
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:30], b"", b"GIF89a"):
        path.write_bytes(data)
        with pytest.raises(DataError, match=f"^Sample {dataset.index.keys[2]}: {path} cannot be decoded .*Copy or unpack it again"):
            dataset[2]
    Image.new("RGB", (640, 480)).save(path, "GIF")
    with pytest.raises(DataError, match="cannot be decoded"):
        dataset[2]
    Image.new("L", (640, 480), 7).save(path)
    assert dataset[2].image.shape == (480, 640, 3)
    Image.new("RGB", (64, 48)).save(path)
    with pytest.raises(DataError, match=r"is 64 x 48 pixels, expected 640 x 480"):
        dataset[2]
    path.unlink()
    with pytest.raises(DataError, match=r"no picture at"):
        dataset[2]
    assert dataset[1].image.shape == dataset[3].image.shape


def test_pictures_are_not_turned_by_their_tag(fake_copy):
    root = fake_copy("ho3d_v3")
    dataset = open_split(root, "train")
    path = root / str(dataset.index.images[0])
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    before = dataset[0].image
    Image.fromarray(before).save(path, quality=95, subsampling=0, exif=exif)
    assert np.abs(dataset[0].image.astype(int) - before).mean() < 3


def test_the_other_version_is_recognised(fake_copy):
    for name, other in (("ho3d_v2", "ho3d_v3"), ("ho3d_v3", "ho3d_v2")):
        with pytest.raises(DataError, match=f"expected those of HO-3D {other[-2:]}. If it is HO-3D {name[-2:]}, use {name}"):
            create_dataset(other, fake_copy(name), "train")


@pytest.mark.parametrize("line", ["../../secret/0001", "ABF10", "ABF10/0000.png", "ABF10/12"])
def test_a_list_with_other_lines_is_refused(line, fake_copy):
    root = fake_copy("ho3d_v2")
    lines = (root / "train.txt").read_text().split()
    (root / "train.txt").write_text("\r\n".join([*lines[:2], line]))
    with pytest.raises(DataError, match=r"train\.txt, line 3: found .*expected a sequence and a frame"):
        open_split(root, "train")
    (root / "train.txt").write_text("")
    with pytest.raises(DataError, match=r"train\.txt is empty"):
        open_split(root, "train")
    (root / "train.txt").write_bytes(b"\xff\xfeA")
    with pytest.raises(DataError, match=r"train\.txt, line 1: found"):
        open_split(root, "train")
    (root / "train.txt").unlink()
    (root / "train.txt").mkdir()
    with pytest.raises(DataError, match=r"train\.txt cannot be read \(Is a directory\)"):
        open_split(root, "train")
