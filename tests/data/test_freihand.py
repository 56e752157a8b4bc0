"""FreiHAND against its manifest, and what is wrong with copies of it."""

import json
import shutil

import numpy as np
import pytest
import torch

from occhand.data import freihand
from occhand.data.datasets import create_dataset
from occhand.data.freihand import mano_placement
from occhand.data.index import sequence_of
from occhand.data.record import DataError

TIPS = [744, 320, 443, 555, 672]


def open_split(root, split, *hand):
    return create_dataset("freihand", root, split, *hand)


def expected_samples(manifest):
    """Colour version by colour version, as the pictures are numbered."""
    for version in range(len(manifest[0]["images"])):
        for entry in manifest:
            yield entry["images"][version], entry


@pytest.mark.parametrize(("split", "part"), [("train", "training"), ("evaluation", "evaluation")])
def test_samples_are_those_of_the_manifest(split, part, fake_root, fake_manifest):
    dataset = open_split(fake_root("freihand"), split)
    expected = expected_samples(fake_manifest("freihand")[part])
    for sample, image, (path, entry) in zip(dataset, dataset.index.images, expected, strict=True):
        assert image == path
        assert sample.side == "right"
        np.testing.assert_allclose(sample.K, entry["K"], atol=1e-3)
        np.testing.assert_allclose(sample.joints_cam, entry["joints_cam"], atol=1e-5)
        np.testing.assert_allclose(sample.joints_img, entry["uv"], atol=1e-3)
        np.testing.assert_allclose(sample.bbox_xyxy, np.concatenate([np.min(entry["uv"], 0), np.max(entry["uv"], 0)]), atol=1e-3)
        np.testing.assert_allclose(sample.vertices_cam[TIPS], sample.joints_cam[4::4], atol=1e-6)
        assert sample.image.shape == (224, 224, 3)
        assert sample.betas.shape == (10,)
        assert sample.pose is None


def test_sequences_are_the_colour_versions(fake_root):
    dataset = open_split(fake_root("freihand"), "train")
    assert [sequence_of(key) for key in dataset.index.keys.tolist()[::4]] == ["gs", "hom", "sample", "auto"]
    assert dataset.index.keys[5] == "hom/00032561"
    assert len(dataset.index.vertices_cam) == 4


@pytest.mark.parametrize("split", ["train", "evaluation"])
def test_pose_and_place_with_the_mano_mean(split, fake_root, mano_like):
    """The layer's middle knuckle lies where FreiHAND's own numbers put it, which in the made-up tree is where it is."""
    assert open_split(fake_root("freihand"), split)[0].pose is None
    for sample in open_split(fake_root("freihand"), split, mano_like):
        pose, betas = torch.from_numpy(sample.pose).float(), torch.from_numpy(sample.betas).float()
        placed = mano_like(mano_like.rotations_from_axis_angle(pose), betas).joints.numpy() + sample.translation
        np.testing.assert_allclose(placed[9], sample.joints_cam[9], atol=1e-6)
        without_mean = torch.cat([pose[:3], pose[3:] - mano_like.hands_mean])
        assert (without_mean[3:].abs() < 0.61).all()  # the tree draws fingers from -0.6 to 0.6


def test_the_middle_knuckle_is_seen_at_its_pixel(mano_like):
    """At ((u - cx), (v - cy), (fx + fy) / 2) / s."""
    K = np.array([[[400.0, 0, 100], [0, 500, 120], [0, 0, 1]]])
    mano = np.random.default_rng(0).normal(0, 0.5, (1, 61))
    mano[0, 58:] = (130, 75, 900)
    pose, translation = mano_placement(mano, K, mano_like)
    rotations = mano_like.rotations_from_axis_angle(torch.from_numpy(pose).float())
    knuckle = mano_like(rotations, torch.from_numpy(mano[:, 48:58]).float()).joints[0, 9].numpy() + translation[0]
    np.testing.assert_allclose(knuckle, (30 / 900, -45 / 900, 450 / 900), atol=1e-6)


def test_without_the_hand_a_warning_says_what_is_unknown(fake_root, caplog):
    open_split(fake_root("freihand"), "train")
    assert "without the right MANO hand no pose is known" in caplog.text


def test_evaluation_before_its_truth_was_released(fake_copy):
    root = fake_copy("freihand")
    assert open_split(root, "evaluation")[0].vertices_cam is not None
    for name in ("xyz", "verts", "mano"):
        (root / f"evaluation_{name}.json").unlink()
    sample = open_split(root, "evaluation")[0]
    assert np.isnan(sample.joints_cam).all()
    assert sample.vertices_cam is None
    assert sample.betas is None
    assert sample.bbox_xyxy.tolist() == [0, 0, 223, 223]


def test_missing_pictures_are_left_out(fake_copy):
    root = fake_copy("freihand")
    assert len(open_split(root, "train")) == 16
    (root / "training" / "rgb" / "00032561.jpg").unlink()
    dataset = open_split(root, "train")
    assert [key for key, _ in dataset.left_out] == ["hom/00032561"]
    assert len(dataset) == 15
    by_key = {sample.key: sample for sample in dataset}
    np.testing.assert_array_equal(by_key["auto/00097681"].vertices_cam, by_key["gs/00000001"].vertices_cam)


def test_lists_that_do_not_belong_together_are_refused(fake_copy, monkeypatch):
    root = fake_copy("freihand")
    with monkeypatch.context() as patch:
        patch.setattr(freihand, "UNIQUE_SAMPLES", 3)
        with pytest.raises(DataError, match=r"training_K\.json has 4 entries, expected 3 at most"):
            open_split(root, "train")
    path = root / "training_xyz.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps(rows * 2))
    with pytest.raises(DataError, match=r"training_xyz\.json has 8 entries, training_K\.json has 4\. Unpack"):
        open_split(root, "train")
    path.write_text(json.dumps(rows)[:-40])
    with pytest.raises(DataError, match=r"training_xyz\.json .*expected a list of N x 21 x 3 finite numbers|is no list of N x 21 x 3"):
        open_split(root, "train")
    path.unlink()
    with pytest.raises(DataError, match=r"No file .*training_xyz\.json"):
        open_split(root, "train")
    mano = root / "evaluation_mano.json"
    mano.write_text(json.dumps([row[0] for row in json.loads(mano.read_text())]))
    with pytest.raises(DataError, match=r"evaluation_mano\.json holds 183 numbers in 4 lists.*N x 1 x 61"):
        open_split(root, "evaluation")
    shutil.rmtree(root / "evaluation")
    with pytest.raises(DataError, match="is not FreiHAND v2: no evaluation; found"):
        open_split(root, "evaluation")


def test_empty_lists_are_no_data_set(fake_copy):
    root = fake_copy("freihand")
    for name in ("K", "xyz", "verts", "mano"):
        (root / f"evaluation_{name}.json").write_text("[]")
    with pytest.raises(DataError, match=r"freihand evaluation in .*: no sample is left; its lists are empty\. Is it the whole data set"):
        open_split(root, "evaluation")
