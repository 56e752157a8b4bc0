"""FPHA against the manifest of a made-up tree, its protocols, its fits, and what can be wrong on disk."""

import os
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from occhand.data import fpha
from occhand.data.datasets import create_dataset
from occhand.data.fpha import UNSEEN_OBJECT_ACTIONS, open_fpha, part_of, read_action_lists
from occhand.data.record import DataError
from occhand.data_check import check_dataset
from occhand.evaluate import open_benchmark
from tests.fixtures.stick_hand import MARKS, project

SALT = "Subject_1/put_salt/1"
ACTIONS = (
    *("charge_cell_phone", "clean_glasses", "close_juice_bottle", "close_liquid_soap", "close_milk", "close_peanut_butter", "drink_mug"),
    *("flip_pages", "flip_sponge", "give_card", "give_coin", "handshake", "high_five", "light_candle", "open_juice_bottle", "open_letter"),
    *("open_liquid_soap", "open_milk", "open_peanut_butter", "open_soda_can", "open_wallet", "pour_juice_bottle", "pour_liquid_soap"),
    *("pour_milk", "pour_wine", "prick", "put_salt", "put_sugar", "put_tea_bag", "read_letter", "receive_coin", "scoop_spoon"),
    *("scratch_sponge", "sprinkle", "squeeze_paper", "squeeze_sponge", "stir", "take_letter_from_enveloppe", "tear_paper", "toast_wine"),
    *("unfold_glasses", "use_calculator", "use_flash", "wash_sponge", "write"),
)
"""All 45 of the data set."""


def frames_of(manifest, sequence):
    return [entry for part in ("train", "test") for entry in manifest[part] if f"/{sequence}/" in entry["image"]]


def assert_agrees(index, entries, reduction=1):
    joints_cam, K = (np.array([entry[name] for entry in entries]) for name in ("joints_cam", "K"))
    uv = np.array([entry["uv"] for entry in entries]) / reduction
    np.testing.assert_allclose(index.joints_cam, joints_cam, atol=1e-5)
    np.testing.assert_allclose(index.K, K / np.array([[reduction], [reduction], [1]]), atol=1e-3)
    np.testing.assert_allclose(index.joints_img, uv, atol=1e-3)
    np.testing.assert_allclose(index.bbox_xyxy, np.concatenate([uv.min(1), uv.max(1)], axis=1), atol=1e-3)
    assert (index.sides == "right").all()


@pytest.mark.parametrize("part", ["train", "test"])
def test_agrees_with_manifest(fake_root, fake_manifest, part):
    entries = fake_manifest("fpha")[part]
    dataset = create_dataset("fpha", fake_root("fpha"), f"action_{part}")
    index = dataset.index
    assert index.images.tolist() == [entry["image"] for entry in entries]
    assert index.official_index.tolist() == list(range(index.official_length))
    assert_agrees(index, entries)
    assert not dataset.left_out
    sample = dataset[0]
    assert (sample.pose, sample.betas, sample.translation) == (None, None, None)
    for joint, colour in MARKS.items():
        x, y = np.rint(sample.joints_img[joint]).astype(int)
        np.testing.assert_allclose(sample.image[y, x].astype(int), colour, atol=60)


def test_subject_and_objects_take_the_sequences_of_both_lists(fake_root):
    sequences = {}
    for split in fpha.SPLITS:
        index = open_fpha(fake_root("fpha"), split, {}).index
        sequences[split] = sorted({key.rpartition("/")[0] for key in index.keys.tolist()})
    assert sequences["subject_train"] == ["Subject_1/put_salt/1", "Subject_1/put_salt/3", "Subject_3/open_juice_bottle/2"]
    assert sequences["subject_test"] == sequences["objects_test"] == ["Subject_2/charge_cell_phone/1"]
    assert all("Subject_2/close_milk/4" not in found for found in sequences.values())
    keys = open_fpha(fake_root("fpha"), "subject_train", {}).index.keys.tolist()
    in_order = list(dict.fromkeys(key.rpartition("/")[0] for key in keys))
    assert in_order == ["Subject_1/put_salt/1", "Subject_3/open_juice_bottle/2", "Subject_1/put_salt/3"]  # of the training list first


def test_subjects_of_the_subject_protocol():
    parts = [part_of(f"Subject_{number}/put_salt/1", "subject") for number in range(1, 7)]
    assert parts == ["train", "test", "train", "train", "test", "test"]


def test_actions_of_the_objects_protocol():
    assert set(ACTIONS) > UNSEEN_OBJECT_ACTIONS
    assert len(ACTIONS) == 45
    for word in ("peanut_butter", "milk", "tea_bag", "liquid_soap", "flash", "paper", "calculator", "phone", "coin", "card"):
        found = [action for action in ACTIONS if word in action]
        assert found
        assert {part_of(f"Subject_1/{action}/1", "objects") for action in found} == {"test"}
    assert part_of("Subject_2/toast_wine/1", "objects") == "train"
    assert part_of("Subject_1/pour_wine/1", "objects") == "test"


def test_quarter_size_pictures(fake_copy, fake_manifest):
    root = fake_copy("fpha")
    for path in sorted((root / "Video_files").rglob("*.jpeg")):
        smaller = root / "Video_files_480" / path.relative_to(root / "Video_files")
        smaller.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as opened:
            opened.resize((480, 270), Image.Resampling.BOX).save(smaller, quality=95, subsampling=0)
    assert open_fpha(root, "action_test", {})[0].image.shape == (1080, 1920, 3)
    shutil.rmtree(root / "Video_files")
    dataset = open_fpha(root, "action_test", {})
    assert_agrees(dataset.index, fake_manifest("fpha")["test"], reduction=4)
    sample = dataset[0]
    assert sample.image.shape == (270, 480, 3)
    for joint, colour in MARKS.items():
        x, y = np.rint(sample.joints_img[joint]).astype(int)
        np.testing.assert_allclose(sample.image[y, x].astype(int), colour, atol=60)


def test_joints_project_as_the_authors_say(fake_root, fake_manifest):
    """The world to camera matrix and K, once more by hand: a line of the file, its third group of numbers is the knuckle of the index."""
    numbers = (fake_root("fpha") / "Hand_pose_annotation_v1" / SALT / "skeleton.txt").read_text().splitlines()[0].split()
    knuckle = np.array([*map(float, numbers[7:10]), 1.0])
    R = [[0.999988496304, -0.00468848412856, 0.000982563360594], [0.00469115935266, 0.999985218048, -0.00273845880292]]
    R.append([-0.000969709653873, 0.00274303671904, 0.99999576807])
    expected = np.c_[R, [25.7, 1.22, 3.902]] @ knuckle / 1000
    index = open_fpha(fake_root("fpha"), "action_train", {}).index
    np.testing.assert_allclose(index.joints_cam[0, 5], expected, atol=1e-9)
    np.testing.assert_allclose(index.joints_img[0], project(index.joints_cam[0], fpha.K), atol=1e-9)


def fits(rng, frames):
    return {
        f"{frame:06d}.pkl": {"fullpose": rng.normal(0, 1, 48), "trans": rng.normal(0, 1, 3), "shape": rng.normal(0, 1, 10), "x": 3}
        for frame in frames
    }


def test_fits_give_pose_shape_and_translation(fake_copy, caplog):
    root = fake_copy("fpha")
    without = open_fpha(root, "action_train", {})
    assert "no fhbhands_fits" in caplog.text
    folder = root / "fhbhands_fits" / SALT
    folder.mkdir(parents=True)
    given = fits(np.random.default_rng(0), [0, 2, 3])
    (folder / "pkls.pkl").write_bytes(pickle.dumps(given, protocol=2))
    dataset = open_fpha(root, "action_train", {})
    assert dataset.index.keys.tolist() == without.index.keys.tolist()
    for frame in (0, 2, 3):
        sample, fit = dataset[frame], given[f"{frame:06d}.pkl"]
        np.testing.assert_array_equal(sample.pose, fit["fullpose"])
        np.testing.assert_array_equal(sample.betas, fit["shape"])
        np.testing.assert_array_equal(sample.translation, fit["trans"])
    assert dataset[1].pose is None
    assert dataset[4].pose is None


class Malice:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("damage", ["hostile", "cut", "shape", "missing", "no dict", "huge"])
def test_broken_fits_leave_joints_only(fake_copy, tmp_path, caplog, damage):
    root = fake_copy("fpha")
    folder = root / "fhbhands_fits" / SALT
    folder.mkdir(parents=True)
    content = fits(np.random.default_rng(0), [0, 1])
    fit = content["000001.pkl"]
    if damage == "shape":
        fit["fullpose"] = np.zeros(45)
    elif damage == "missing":
        del fit["trans"]
    elif damage == "hostile":
        fit["shape"] = Malice(tmp_path / "run")
    elif damage == "no dict":
        content["000001.pkl"] = 7
    data = pickle.dumps(content)
    (folder / "pkls.pkl").write_bytes(data[:-40] if damage == "cut" else data)
    if damage == "huge":
        os.truncate(folder / "pkls.pkl", (1 << 26) + 1)
    dataset = open_fpha(root, "action_train", {})
    assert len(dataset) == 7
    assert dataset[0].pose is None
    assert f"pkls.pkl is not used ({'of 67,108,865 bytes' if damage == 'huge' else ''}" in caplog.text
    assert not (tmp_path / "run").exists()


def test_broken_recordings_are_left_out(fake_copy, fake_manifest):
    root = fake_copy("fpha")
    skeletons = root / "Hand_pose_annotation_v1"
    (skeletons / "Subject_1/put_salt/3/skeleton.txt").write_text("")
    path = skeletons / SALT / "skeleton.txt"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[2] + lines[3])
    (root / "Video_files" / SALT / "color" / "color_0003.jpeg").unlink()
    path = skeletons / "Subject_3/open_juice_bottle/2/skeleton.txt"
    path.write_text(path.read_text()[:-300])

    train = open_fpha(root, "action_train", {})
    assert train.index.keys.tolist() == [f"{SALT}/0000", f"{SALT}/0002"]
    assert train.index.official_index.tolist() == [0, 2]
    assert train.index.official_length == 7
    reasons = dict(train.left_out)
    assert "has no line for this frame" in reasons[f"{SALT}/0001"]
    assert "color_0003.jpeg is missing. Copy" in reasons[f"{SALT}/0003"]
    assert "not of 64 finite numbers" in reasons["Subject_3/open_juice_bottle/2/0000"]
    test = open_fpha(root, "action_test", {})
    assert_agrees(test.index, frames_of(fake_manifest("fpha"), "Subject_2/charge_cell_phone/1"))
    assert test.index.official_index.tolist() == [3, 4, 5]  # after the three frames of the empty skeleton
    shutil.rmtree(root / "Video_files" / "Subject_2")
    with pytest.raises(DataError, match="no sample is left"):
        open_fpha(root, "action_test", {})


def test_a_skeleton_of_anything_but_numbers_is_left_out_whole(fake_copy):
    root = fake_copy("fpha")
    path = root / "Hand_pose_annotation_v1" / SALT / "skeleton.txt"
    whole = path.read_bytes()
    path.write_bytes(b"\n" + whole.replace(b"\n", b" \r\n\r\n"))
    assert len(open_fpha(root, "action_train", {})) == 7
    for data, size, reason in (
        (whole + b"4" + 63 * b" nan" + b"\n", None, "not of 64 finite numbers"),
        (whole + b"4" + 62 * b" 1" + b"\n", None, "not of 64 finite numbers"),
        (whole + b"\xff", None, "cannot be read (it is no text)"),
        (whole, (1 << 26) + 1, "has 67,108,865 bytes, expected less"),
    ):
        path.write_bytes(data)
        os.truncate(path, size or len(data))
        dataset = open_fpha(root, "action_train", {})
        assert dataset.index.official_index.tolist() == [4, 5, 6]
        assert [key for key, _ in dataset.left_out] == [f"{SALT}/{number:04d}" for number in range(4)]
        assert all(reason in why for _, why in dataset.left_out)


def test_a_change_of_any_part_is_seen(fake_copy):
    root, told = fake_copy("fpha"), []
    assert len(open_fpha(root, "action_train", {}, lambda done, total: told.append((done, total)))) == 7
    assert told == [(4, 7), (7, 7)]
    (root / "Video_files" / SALT / "color" / "color_0001.jpeg").unlink()
    assert len(open_fpha(root, "action_train", {})) == 6
    lengths = root / "Subjects_info" / "Subject_1_info.txt"
    lengths.write_text(lengths.read_text().replace(" 1 4\n", " 1 3\n"))  # shorter than the skeleton
    keys = open_fpha(root, "action_train", {}).index.keys.tolist()
    assert keys[:3] == [f"{SALT}/0000", f"{SALT}/0002", "Subject_3/open_juice_bottle/2/0000"]
    path = root / "data_split_action_recognition.txt"
    path.write_text(path.read_text().replace("Subject_3/open_juice_bottle/2 16\n", ""))
    assert open_fpha(root, "action_train", {}).index.keys.tolist() == keys[:2]


def test_frames_after_the_end_of_a_skeleton_are_no_samples(fake_copy, tmp_path):
    """Some skeletons are empty or short as published: a copy with all of its files is whole."""
    root = fake_copy("fpha")
    skeletons = root / "Hand_pose_annotation_v1"
    whole = len(open_fpha(root, "action_test", {}))
    (skeletons / "Subject_1/put_salt/3/skeleton.txt").write_text("")
    path = skeletons / "Subject_2/charge_cell_phone/1/skeleton.txt"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    benchmark, dataset = open_benchmark("fpha", root, "action_test")
    assert dataset.left_out == ()
    assert benchmark.expected_samples(dataset) == len(dataset) == len(lines) - 1 < whole
    (split,) = check_dataset("fpha", root, ["action_test"], tmp_path / "sheet.png").splits
    assert (split.state, split.missing) == ("whole", 0)
    path.unlink()
    with pytest.raises(DataError, match=r"no sample is left; Subject_2/charge_cell_phone/1/0000: .* cannot be read"):
        open_fpha(root, "action_test", {})


def test_wrong_root(fake_root, fake_copy):
    with pytest.raises(DataError, match=r"is not FPHA.*It seems to be .*FPHA"):
        open_fpha(fake_root("fpha").parent, "action_test", {})
    root = fake_copy("fpha")
    (root / "Hand_pose_annotation_v1").rename(root / "Hand_pose_annotation_v1_1")
    assert len(open_fpha(root, "action_test", {})) == 6
    (root / "Subjects_info" / "Subject_2_info.txt").unlink()
    with pytest.raises(DataError, match=r"Subject_2_info\.txt cannot be read \(No such file.*Copy"):
        open_fpha(root, "action_test", {})
    shutil.rmtree(root / "Video_files")
    with pytest.raises(DataError, match=r"has no Video_files or Video_files_480\. Unpack"):
        open_fpha(root, "action_test", {})


def test_length_of_a_sequence_is_unknown(fake_copy):
    root = fake_copy("fpha")
    path = root / "Subjects_info" / "Subject_1_info.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if " 3 3" not in line))
    with pytest.raises(DataError, match=r"does not tell the length of Subject_1/put_salt/3 \(1 are missing\)"):
        open_fpha(root, "subject_train", {})
    text = path.read_text()
    for line in ("put_salt three 4", "put_salt 3 100000"):
        path.write_text(f"{text}{line}\n")
        with pytest.raises(DataError, match=f"'{line}'; expected action, repetition and number of frames"):
            open_fpha(root, "subject_train", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Training 1\nSubject_1/use_flash/3 24\nTest 3\nSubject_1/use_flash/4 24\n", "lists 1 test sequences and announces 3"),
        ("Training 1\n../../etc/1 24\nTest 1\nSubject_1/use_flash/4 24\n", r"line 2: '../../etc/1 24'; expected 'Training 600'"),
        ("Training 1\nSubject_1/use_flash/3/../../1 24\nTest 1\nSubject_1/use_flash/4 24\n", "line 2"),
        ("Training 1\nSubject_7/use_flash/3 24\nTest 1\nSubject_1/use_flash/4 24\n", "line 2"),
        ("Subject_1/use_flash/3 24\n", "line 1"),
        ("", "lists 0 train sequences"),
    ],
)
def test_broken_lists(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_action_lists(tmp_path / "list.txt")


def test_a_discarded_sequence_may_be_absent_from_the_list(tmp_path):
    (tmp_path / "list.txt").write_text("Training 2\nSubject_1/use_flash/3 24\n\nTest 1\nSubject_6/use_flash/4 24\n")
    assert read_action_lists(tmp_path / "list.txt") == {"train": ["Subject_1/use_flash/3"], "test": ["Subject_6/use_flash/4"]}
