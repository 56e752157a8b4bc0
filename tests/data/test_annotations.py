"""Annotation files: released forms read for what they mean, ours read back as they were written, broken ones named."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from occhand.data import annotations
from occhand.data.annotations import find_annotations, open_annotations, read_annotations
from occhand.data.annotations_writer import annotations_path, rebuild_annotations, write_annotations
from occhand.data.datasets import create_dataset
from occhand.data.index import AnnotationIndex, IndexedDataset
from occhand.data.pose_encoding import HANDGCAT_V3, HANDOCCNET, HOUSE
from occhand.data.record import DataError
from occhand.hand.assets import convert_mano, load_parameters
from occhand.hand.hand_layer import converted_mano, load_hand
from tests.data.test_pose_encoding import MIRROR, encoded
from tests.hand.mano_standin import mano_content, write_mano

HANDS = {side: load_hand("open", side) for side in ("right", "left")}
"""Stand for the user's MANO."""
COUNT = 12


@pytest.fixture(scope="module")
def truth():
    """Hands that agree with their poses: the house's pose, betas, joints in the camera, sides."""
    rng = np.random.default_rng(11)
    pose = np.concatenate([rng.uniform(-2, 2, (COUNT, 3)), HANDS["right"].hands_mean.numpy() + rng.normal(0, 0.2, (COUNT, 45))], axis=1)
    betas = rng.normal(0, 1, (COUNT, 10))
    is_left = np.arange(COUNT) % 2 == 1
    joints = HANDS["right"](HANDS["right"].rotations_from_axis_angle(torch.from_numpy(pose).float()), torch.from_numpy(betas).float())
    joints = (
        joints.joints.double().numpy()
        - joints.joints[:, :1].double().numpy()
        + rng.uniform((-0.1, -0.1, 0.5), (0.1, 0.1, 0.9), (COUNT, 1, 3))
    )
    return {"pose": pose, "betas": betas, "joints": joints, "is_left": is_left}


def released(truth, family, encoding=HANDOCCNET):
    """What the authors' files hold, all right hands for HO-3D, every other one left for DexYCB."""
    is_left = truth["is_left"] & (family == "dexycb")
    pose = encoded(np.where(is_left[:, None], truth["pose"] * MIRROR, truth["pose"]), encoding, is_left)
    joints = np.where(is_left[:, None, None], truth["joints"] * (-1, 1, 1), truth["joints"])
    content = {"images": [], "annotations": []}
    for k in range(COUNT):
        place = k if family == "ho3d" else 3 * k + 5
        name = f"MC1/rgb/{k:04d}.png" if family == "ho3d" else f"20200709-subject-01/20200709_141754/836212060125/color_{k:06d}.jpg"
        content["images"].append({"id": place, "file_name": name, "width": 640, "height": 480})
        annotation = {
            "id": place,
            "image_id": place,
            "cam_param": {"focal": [600.0 + k, 610.0], "princpt": [320.5, 240.25]},
            "joints_coord_cam": joints[k].tolist(),
            "mano_param": {"pose": pose[k].tolist(), "shape": truth["betas"][k].tolist()},
        }
        if family == "dexycb":
            annotation["joints_img"] = (joints[k, :, :2] / joints[k, :, 2:] * (600 + k, 610) + (320.5, 240.25)).tolist()
            annotation["hand_type"] = "left" if is_left[k] else "right"
        content["annotations"].append(annotation)
    return content


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("encoding", [HOUSE, HANDOCCNET, HANDGCAT_V3], ids="-".join)
def test_released_ho3d_training_file(encoding, truth, tmp_path):
    path = write(tmp_path / "HO3D_train_data.json", released(truth, "ho3d", encoding))
    index = read_annotations("ho3d", path, "train", HANDS)
    assert index.keys.tolist() == [f"MC1/{k:04d}" for k in range(COUNT)]
    assert index.images[3] == "train/MC1/rgb/0003.png"
    assert index.size.tolist() == [[480, 640]] * COUNT
    assert index.K[2].tolist() == [[602, 0, 320.5], [0, 610, 240.25], [0, 0, 1]]
    assert np.array_equal(index.joints_cam, truth["joints"])
    homogeneous = truth["joints"] @ index.K.swapaxes(1, 2)
    assert np.abs(index.joints_img - homogeneous[..., :2] / homogeneous[..., 2:]).max() < 1e-9
    assert np.array_equal(index.bbox_xyxy, np.concatenate([index.joints_img.min(1), index.joints_img.max(1)], axis=1))
    posed = HANDS["right"](
        HANDS["right"].rotations_from_axis_angle(torch.from_numpy(index.pose).float()), torch.from_numpy(index.betas).float()
    )
    assert np.abs(posed.joints.numpy() + index.translation[:, None] - truth["joints"]).max() < 1e-5


def test_released_ho3d_evaluation_file(truth, tmp_path):
    content = released(truth, "ho3d")
    for annotation in content["annotations"]:
        annotation["root_joint_cam"] = annotation.pop("joints_coord_cam")[0]
        del annotation["mano_param"]
        annotation["bbox"] = [10.0, 20.0, 300.0, 200.0]
    content["annotations"].reverse()  # the order of the list counts, not that of the pictures
    index = read_annotations("ho3d", write(tmp_path / "HO3D_evaluation_data.json", content), "evaluation", HANDS)
    assert index.keys[0] == f"MC1/{COUNT - 1:04d}"
    assert index.official_index.tolist() == list(range(COUNT))
    assert index.bbox_xyxy.tolist() == [[10, 20, 310, 220]] * COUNT
    assert np.array_equal(index.joints_cam[:, 0], truth["joints"][::-1, 0])
    assert np.isnan(index.joints_cam[:, 1:]).all()
    assert np.isfinite(index.joints_img[:, 0]).all()
    assert np.isnan(index.pose).all()


def test_released_dexycb_file_of_both_sides(truth, tmp_path):
    path = write(tmp_path / "DEX_YCB_s0_train_data.json", released(truth, "dexycb"))
    index = read_annotations("dexycb", path, "s0_train", HANDS)
    assert index.sides.tolist() == ["right", "left"] * (COUNT // 2)
    assert index.keys[1] == "20200709-subject-01/20200709_141754/836212060125/000001"
    assert index.official_index.tolist() == [3 * k + 5 for k in range(COUNT)]
    assert index.official_length == 465_504
    for place in range(COUNT):
        layer = HANDS[str(index.sides[place])]
        posed = layer(
            layer.rotations_from_axis_angle(torch.from_numpy(index.pose[place]).float()), torch.from_numpy(index.betas[place]).float()
        )
        error = np.abs(posed.joints.numpy() + index.translation[place] - index.joints_cam[place]).max(1)
        assert np.delete(error, 12).max() < 1e-5  # manopth's middle tip is another vertex on a left hand


def test_a_translation_and_a_size_of_its_own_are_kept(truth, tmp_path):
    content = released(truth, "ho3d")
    content["annotations"][3]["mano_param"]["translation"] = [0.1, 0.2, 0.3]
    content["images"][4] |= {"width": 320, "height": 200}
    index = read_annotations("ho3d", write(tmp_path / "HO3D_train_data.json", content), "train", HANDS)
    assert index.translation[3].tolist() == [0.1, 0.2, 0.3]
    assert (np.abs(index.translation[[2, 4]] - (0.1, 0.2, 0.3)).max(1) > 0.05).all()
    assert index.size[3:6].tolist() == [[480, 640], [200, 320], [480, 640]]


def test_poses_without_their_mean_stay_unknown_without_mano(truth, tmp_path, caplog):
    path = write(tmp_path / "DEX_YCB_s0_train_data.json", released(truth, "dexycb"))
    index = read_annotations("dexycb", path, "s0_train", {})
    assert np.isnan(index.pose).all()
    assert np.isnan(index.translation).all()
    assert "12 of 12 poses leave the mean pose out" in caplog.text


def test_a_file_that_does_not_tell_is_refused_unless_told(truth, tmp_path):
    content = released(truth, "ho3d")
    poses = [annotation["mano_param"] for annotation in content["annotations"]]
    for annotation, other in zip(content["annotations"], [*poses[1:], poses[0]], strict=True):
        annotation["mano_param"] = other
    path = write(tmp_path / "HO3D_train_data.json", content)
    with pytest.raises(DataError, match=r"do not tell what they mean.*Make it from the raw data"):
        read_annotations("ho3d", path, "train", HANDS)
    told = read_annotations("ho3d", path, "train", HANDS, encoding=HANDGCAT_V3)
    assert np.allclose(told.pose[0, 3:], poses[1]["pose"][3:])


@pytest.mark.parametrize("mean", ["included", "excluded"])
@pytest.mark.parametrize("family", ["ho3d", "dexycb"])
def test_what_is_written_is_read_back(family, mean, truth, tmp_path):
    split = {"ho3d": "train", "dexycb": "s0_test"}[family]
    first = read_annotations(family, write(tmp_path / "released.json", released(truth, family)), split, HANDS)
    dataset = IndexedDataset("a-name", tmp_path, split, first)
    path = annotations_path(family, tmp_path, split)
    assert write_annotations(dataset, family, path, mean, HANDS) == COUNT
    text = path.read_bytes()
    told = []
    write_annotations(dataset, family, path, mean, HANDS, lambda done, total: told.append((done, total)))
    assert told == [(COUNT, COUNT)]
    assert path.read_bytes() == text
    content = json.loads(text)
    assert (content["occhand"]["frame"], content["occhand"]["mean"], content["occhand"]["dataset"]) == ("opencv", mean, "a-name")

    again = open_annotations(family, tmp_path, split, HANDS).index
    for name in ("keys", "images", "sides", "size", "official_index", "official_length"):
        assert np.array_equal(getattr(again, name), getattr(first, name)), name
    for name in ("K", "joints_cam", "joints_img", "bbox_xyxy", "pose", "betas", "translation"):
        assert np.abs(getattr(again, name) - getattr(first, name)).max() < 1e-6, name


@pytest.mark.parametrize(
    ("name", "split", "family"),
    [
        ("ho3d_v2", "train", "ho3d"),
        ("ho3d_v3", "evaluation", "ho3d"),
        ("dexycb", "s0_train", "dexycb"),
        ("dexycb", "s0_test_left", "dexycb"),
    ],
)
def test_raw_data_and_the_file_made_from_them_give_the_same(name, split, family, fake_copy):
    raw = create_dataset(name, fake_copy(name), split)
    poses = write_annotations(raw, family, annotations_path(family, raw.root, split), "included", {})
    assert poses == (len(raw) if (family, split) == ("ho3d", "train") else 0)
    again = create_dataset(f"{family}_annotations", raw.root, split)
    for field in ("keys", "images", "sides", "size", "official_index", "official_length"):
        assert np.array_equal(getattr(again.index, field), getattr(raw.index, field)), field
    for field in ("K", "joints_cam", "joints_img", "bbox_xyxy", "pose", "betas", "translation"):
        there, here = getattr(raw.index, field), getattr(again.index, field)
        assert np.array_equal(np.isnan(there), np.isnan(here)), field
        assert np.nanmax(np.abs(there - here), initial=0) < 1e-4, field
    assert np.array_equal(raw[1].image, again[1].image)


@pytest.mark.parametrize("mean", ["included", "excluded"])
def test_dexycb_with_the_users_mano_of_both_sides(mean, fake_copy, tmp_path):
    for side in ("right", "left"):
        convert_mano(write_mano(tmp_path / f"MANO_{side}.pkl", mano_content(load_parameters("open", side))))
    root = fake_copy("dexycb")
    written = rebuild_annotations("dexycb", root, "s0_val", mean=mean)
    assert (written.hands, written.poses) == (24, 24)
    raw = create_dataset("dexycb", root, "s0_val", converted_mano())
    again = create_dataset("dexycb_annotations", root, "s0_val", converted_mano())
    for field in ("pose", "betas", "translation"):
        assert np.abs(getattr(raw.index, field) - getattr(again.index, field)).max() < 1e-6, field
    without = create_dataset("dexycb_annotations", root, "s0_val")
    assert np.isnan(without.index.pose).any() == (mean == "excluded")


def test_what_is_unknown_is_left_out_of_the_file(tmp_path, caplog):
    index = AnnotationIndex.blank(["SM1/0000"], ["evaluation/SM1/rgb/0000.png"], (480, 640))
    index.K[:] = np.array([[600, 0, 320], [0, 600, 240], [0, 0, 1]])
    index.joints_cam[0, 0] = (0.01, 0.02, 0.5)
    index.bbox_xyxy[:] = (1, 2, 30, 40)
    path = tmp_path / "evaluation.json"
    assert write_annotations(IndexedDataset("ho3d_v2", tmp_path, "evaluation", index), "ho3d", path, "excluded", {}) == 0
    (annotation,) = json.loads(path.read_text())["annotations"]
    assert annotation == {
        "id": 0,
        "image_id": 0,
        "hand_type": "right",
        "cam_param": {"focal": [600.0, 600.0], "princpt": [320.0, 240.0]},
        "mano_param": None,
        "root_joint_cam": [0.01, 0.02, 0.5],
        "bbox": [1.0, 2.0, 29.0, 38.0],
    }
    assert read_annotations("ho3d", path, "evaluation", {}).bbox_xyxy.tolist() == [[1, 2, 30, 40]]
    assert not caplog.text


def test_taking_the_mean_out_needs_mano(truth, tmp_path):
    index = read_annotations("ho3d", write(tmp_path / "released.json", released(truth, "ho3d", HANDGCAT_V3)), "train", {})
    with pytest.raises(DataError, match="needs your MANO of each side"):
        write_annotations(IndexedDataset("ho3d_v3", tmp_path, "train", index), "ho3d", tmp_path / "new.json", "excluded", {})
    assert not (tmp_path / "new.json").exists()


@pytest.mark.parametrize("content", ['{"images": [], "annotations": []}', "broken", ""])
def test_files_of_others_are_not_replaced(content, truth, tmp_path):
    index = read_annotations("ho3d", write(tmp_path / "released.json", released(truth, "ho3d")), "train", HANDS)
    path = tmp_path / "HO3D_train_data.json"
    path.write_text(content)
    with pytest.raises(DataError, match="left alone"):
        write_annotations(IndexedDataset("ho3d_v2", tmp_path, "train", index), "ho3d", path, "included", HANDS)
    assert path.read_text() == content


def test_pictures_lie_where_the_released_folders_have_them(truth, tmp_path):
    content = released(truth, "ho3d")
    write(tmp_path / "annotations" / "HO3D_train_data.json", content)
    picture = tmp_path / "train" / "MC1" / "rgb" / "0003.png"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (640, 480), (1, 2, 3)).save(picture)
    for root in (tmp_path, tmp_path / "annotations" / "HO3D_train_data.json"):
        dataset = open_annotations("ho3d", root, "train", HANDS)
        assert dataset[3].image[0, 0].tolist() == [1, 2, 3]
        assert dataset[3].joints_cam.shape == (21, 3)
        with pytest.raises(DataError, match=r"MC1/0004: no picture at .*train/MC1/rgb/0004.png"):
            dataset[4]


def test_no_file_says_how_to_make_one(tmp_path):
    with pytest.raises(DataError, match=r"No HO3D_train_data.json in .*occhand convert annotations"):
        find_annotations("ho3d", tmp_path, "train")


def header(**changes):
    content = {"dataset": "ho3d_v2", "split": "train", "frame": "opencv", "mean": "included", "official_length": 12, "written_by": "1"}
    return {**content, "version": 1, **changes}


def _with(path, value):
    """A change of the released content: the value at a path of keys."""

    def change(content):
        place = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


BAD = {
    "another version": (_with(["occhand"], header(version=2)), "occhand: version 2, this occhand reads 1"),
    "a version of before the first": (_with(["occhand"], header(version=0)), "occhand: version 0, this occhand reads 1"),
    "no version": (_with(["occhand"], {}), "occhand: no 'version'"),
    "a header that is none": (_with(["occhand"], "yes"), "occhand: "),
    "an unknown frame": (_with(["occhand"], header(frame="pytorch3d")), "occhand: a frame, mean or official_length that is none"),
    "an unknown mean": (_with(["occhand"], header(mean="halved")), "occhand: a frame, mean or official_length that is none"),
    "half a place": (_with(["occhand"], header(official_length=12.5)), "occhand: a frame, mean or official_length that is none"),
    "a huge length": (_with(["occhand"], header(official_length=10**12)), "occhand: a frame, mean or official_length that is none"),
    "another split": (_with(["occhand"], header(split="evaluation")), "it is of ho3d_v2 evaluation, expected train"),
    "places beyond the list": (_with(["occhand"], header(official_length=5)), "the ids of annotations are no rising places in a list of 5"),
    "a place just beyond the list": (_with(["occhand"], header(official_length=11)), "the ids of .* no rising places in a list of 11"),
    "a place twice": (_with(["annotations", 1, "id"], 0), "the ids of annotations are no rising places in a list of 12"),
    "a place before the list": (_with(["annotations", 0, "id"], -1), "the ids of annotations are no rising places in a list of 12"),
    "no annotations": (_with(["annotations"], []), "it has no annotations"),
    "a picture outside": (_with(["images", 2, "file_name"], "../../secret.png"), r"images\[2\]: file_name is '../../secret.png'"),
    "a picture of another set": (_with(["images", 0, "file_name"], "a/b/color_000000.jpg"), r"images\[0\]: file_name is"),
    "no name": (_with(["images", 0], {"id": 0, "width": 1, "height": 1}), r"images\[0\]: no 'file_name'"),
    "a huge picture": (_with(["images", 1, "width"], 10**9), r"images\[1\]: a picture of 1000000000 x 480"),
    "a picture without width": (_with(["images", 1, "width"], 0), r"images\[1\]: a picture of 0 x 480"),
    "a picture without end": (_with(["images", 1, "width"], float("inf")), r"images\[1\]: cannot convert"),
    "a picture twice": (_with(["images", 1, "id"], 0), r"images\[1\]: id 0 comes twice"),
    "a picture that is none": (_with(["annotations", 4, "image_id"], 99), r"annotations\[4\]: image_id 99 is of none of the 12 images"),
    "too few joints": (
        _with(["annotations", 1, "joints_coord_cam"], [[0.0, 0.0, 1.0]] * 20),
        r"annotations\[1\]: joints_coord_cam is no array",
    ),
    "far too many": (_with(["annotations", 1, "joints_coord_cam"], [[0.0] * 3] * 5000), r"annotations\[1\]: joints_coord_cam is no array"),
    "text for numbers": (_with(["annotations", 1, "mano_param", "pose"], ["x"] * 48), r"annotations\[1\]: could not convert"),
    "not a number": (_with(["annotations", 1, "mano_param", "pose"], [float("nan")] * 48), r"annotations\[1\]: pose is no array"),
    "a number too large": (_with(["annotations", 1, "id"], 10**30), r"annotations\[1\]: "),
    "no joints": (_with(["annotations", 1, "joints_coord_cam"], None), r"annotations\[1\]: no joints_coord_cam and no root_joint_cam"),
    "behind the camera": (
        _with(["annotations", 1, "joints_coord_cam"], [[0.0, 0.0, -1.0]] * 21),
        r"annotations\[1\]: joints behind the camera",
    ),
    "on the camera": (_with(["annotations", 1, "joints_coord_cam", 7, 2], 0.0), r"annotations\[1\]: joints behind the camera"),
    "no camera": (_with(["annotations", 1, "cam_param"], None), r"annotations\[1\]: "),
    "no focal length": (_with(["annotations", 1, "cam_param", "focal"], [0, 0]), r"annotations\[1\]: a camera without positive"),
    "half a focal length": (_with(["annotations", 1, "cam_param", "focal"], [600, 0]), r"annotations\[1\]: a camera without positive"),
    "half a camera": (_with(["annotations", 1, "cam_param"], {"focal": [600, 600]}), r"annotations\[1\]: "),
    "a third hand": (_with(["annotations", 1, "hand_type"], "both"), r"annotations\[1\]: hand_type 'both'"),
    "a list in the list": (_with(["annotations", 1], []), r"annotations\[1\]: "),
}


@pytest.mark.parametrize("name", BAD)
def test_names_what_is_wrong(name, truth, tmp_path):
    change, problem = BAD[name]
    content = {"occhand": header(), **released(truth, "ho3d")}
    change(content)
    path = write(tmp_path / "HO3D_train_data.json", content)
    with pytest.raises(DataError, match=f"HO3D_train_data.json cannot be used: {problem}") as caught:
        read_annotations("ho3d", path, "train", HANDS)
    assert str(caught.value).endswith("'occhand convert annotations'.")
    assert len(str(caught.value)) < 700


def test_lists_without_end_are_refused(truth, tmp_path, monkeypatch):
    content = released(truth, "ho3d")
    monkeypatch.setattr(annotations, "MAX_ENTRIES", COUNT)
    for name in ("images", "annotations"):
        path = write(tmp_path / "HO3D_train_data.json", content)
        assert len(read_annotations("ho3d", path, "train", HANDS)) == COUNT
        path = write(path, content | {name: [*content[name], content[name][0] | {"id": COUNT}]})
        with pytest.raises(DataError, match=rf"{name}\[12\]: more than 12 entries"):
            read_annotations("ho3d", path, "train", HANDS)


def test_another_encoding_than_the_header_says_is_refused(truth, tmp_path):
    path = write(tmp_path / "HO3D_train_data.json", {"occhand": header(), **released(truth, "ho3d", HOUSE)})
    assert len(read_annotations("ho3d", path, "train", HANDS, encoding=HOUSE)) == COUNT
    with pytest.raises(DataError, match="its header says opencv with the mean included, not opencv with the mean excluded"):
        read_annotations("ho3d", path, "train", HANDS, encoding=HANDOCCNET)


@pytest.mark.parametrize("cut", [1, 100, 5000, -3])
def test_a_file_cut_short_is_named(cut, truth, tmp_path):
    path = write(tmp_path / "HO3D_train_data.json", released(truth, "ho3d"))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"HO3D_train_data.json cannot be used: .* at character"):
        read_annotations("ho3d", path, "train", HANDS)


def test_a_change_of_the_file_is_seen(truth, tmp_path):
    path = write(tmp_path / "annotations" / "HO3D_train_data.json", released(truth, "ho3d"))
    before = open_annotations("ho3d", tmp_path, "train", HANDS)
    content = released(truth, "ho3d")
    content["annotations"] = content["annotations"][:-1]
    write(path, content)
    assert (len(before), len(open_annotations("ho3d", tmp_path, "train", HANDS))) == (COUNT, COUNT - 1)


def test_what_is_kept_of_a_file_is_of_one_encoding_and_of_its_hands(truth, tmp_path):
    write(tmp_path / "HO3D_train_data.json", released(truth, "ho3d", HANDGCAT_V3))
    ways = (({}, HOUSE), ({}, HANDGCAT_V3), (HANDS, HANDGCAT_V3))
    first, second, third = (open_annotations("ho3d", tmp_path, "train", hands, encoding=encoding).index for hands, encoding in ways)
    assert np.abs(first.pose[:, :3] - second.pose[:, :3]).max() > 1
    assert np.isnan(second.translation).all()
    assert np.isfinite(third.translation).all()
