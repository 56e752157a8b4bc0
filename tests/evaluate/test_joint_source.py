"""2D joints by annotation and from files: where they lie, in which order, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand.evaluate import JointSource
from occhand.geometry.crop import crop_matrix, transform_points
from occhand.hand.skeleton import HO3D_FROM_HOUSE


def annotated(benchmark, dataset):
    """The true joints as the released file would hold them: 0..1 over each test crop, mirrored for left hands, house order."""
    rows = []
    for sample in dataset:
        view = benchmark.view(sample)
        joints = sample.joints_img * (-1, 1) + (sample.image.shape[1] - 1, 0) if sample.side == "left" else sample.joints_img
        rows.append(transform_points(crop_matrix(torch.from_numpy(view.square_xyxy), 256), torch.from_numpy(joints).double()).numpy() / 256)
    return np.stack(rows)


@pytest.fixture
def write(tmp_path):
    def write(joints):
        path = tmp_path / "kypt_eval.json"
        path.write_text(json.dumps(joints if isinstance(joints, dict) else np.asarray(joints).tolist()))
        return path

    return write


def test_a_file_puts_joints_where_the_annotation_has_them(opened, write):
    benchmark, dataset = opened("dexycb")
    path = write(annotated(benchmark, dataset))
    source, truth = JointSource.file(path, "house", len(dataset)), JointSource.annotation()
    source.check(dataset, benchmark)
    for place in (0, len(dataset) - 1):  # a right and a left hand
        sample = dataset[place]
        view = benchmark.view(sample)
        np.testing.assert_allclose(source(sample, place, view).joints_img, truth(sample, place, view).joints_img, atol=1e-6)
        assert source(sample, place, view).source == "file"
    assert {dataset[0].side, dataset[len(dataset) - 1].side} == {"left", "right"}


def test_ho3d_order_is_read_when_named_and_recognised_when_not(opened, write):
    benchmark, dataset = opened("freihand")
    joints = annotated(benchmark, dataset) + np.random.default_rng(0).normal(0, 0.01, (len(dataset), 21, 2))
    path = write(joints[:, list(HO3D_FROM_HOUSE)])
    named = JointSource.file(path, "ho3d", len(dataset))
    named.check(dataset, benchmark)
    np.testing.assert_allclose(named.joints_crop, joints)
    with pytest.raises(ValueError, match=r"Name their order: --joints-order ho3d"):
        JointSource.file(path, "house", len(dataset)).check(dataset, benchmark)
    with pytest.raises(ValueError, match=r"Name their order: --joints-order house"):
        JointSource.file(write(joints), "ho3d", len(dataset)).check(dataset, benchmark)


def test_joints_of_other_samples_are_refused(opened, write):
    benchmark, dataset = opened("dexycb")
    joints = annotated(benchmark, dataset)
    for others in (1 - joints, joints + np.array([0.15, 0.0])):
        with pytest.raises(ValueError, match="those of other samples"):
            JointSource.file(write(others), "house", len(dataset)).check(dataset, benchmark)
    JointSource.file(write(joints + np.array([0.05, 0.0])), "house", len(dataset)).check(dataset, benchmark)


def test_joints_are_held_against_the_samples_that_say_where_theirs_are(opened, write):
    """All over the data set, each against its own."""
    benchmark, dataset = opened("dexycb")
    sample, (joints, *_) = dataset[0], annotated(benchmark, [dataset[0]])
    unknown = replace(sample, joints_img=np.full((21, 2), np.nan))
    JointSource.file(write([1 - joints, joints]), "house", 2).check([unknown, sample], benchmark)
    with pytest.raises(ValueError, match="those of other samples"):
        JointSource.file(write([joints] * 3 + [1 - joints] * 5), "house", 8).check([sample] * 8, benchmark)
    JointSource.file(write([1 - joints]), "house", 1).check([unknown], benchmark)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda joints: joints[:2], r"holds \(2, 21, 2\), expected \(3, 21, 2\)"),
        (lambda joints: joints[:, :20], r"\(3, 20, 2\)"),
        (lambda joints: 256 * joints, r"expected 0\.\.1 of the crop"),
        (lambda joints: np.where(joints < 2, np.nan, joints), "entry 0 has joints that are not finite"),
        (lambda joints: {"a": 1}, "no list of 21"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(spoil, message, write):
    path = write(spoil(np.random.default_rng(0).uniform(0.2, 0.8, (3, 21, 2))))
    with pytest.raises(ValueError, match=message) as caught:
        JointSource.named(str(path), "house", 3)
    assert "kypt_eval.json" in str(caught.value)


def test_noise_is_the_samples_own(opened):
    benchmark, dataset = opened("dexycb")
    source = JointSource.named("noise", "house", len(dataset))
    assert "annotation plus normal noise of 0.01 of the crop (seed 0)" in source.description  # as in HandGCAT's training
    assert JointSource.named("annotation", "house", len(dataset)).sigma == 0
    sample = dataset[5]
    view = benchmark.view(sample)
    noise = source(sample, 5, view).joints_img - JointSource.annotation()(sample, 5, view).joints_img
    side = view.square_xyxy[2] - view.square_xyxy[0]
    assert 0.5 * 0.01 < noise.std() / side < 2 * 0.01
    np.testing.assert_array_equal(source(sample, 99, view).joints_img, source(sample, 5, view).joints_img)
    unlike = source(replace(sample, key="another"), 5, view).joints_img
    assert np.abs(unlike - source(sample, 5, view).joints_img).max() > 0.01 * side
    other_seed = JointSource.annotation(0.01, seed=1)(sample, 5, view).joints_img
    assert np.abs(other_seed - source(sample, 5, view).joints_img).max() > 0.01 * side
    with pytest.raises(ValueError, match="0 or more"):
        JointSource.annotation(-1.0)
    with pytest.raises(FileNotFoundError, match="No 2D joints at"):
        JointSource.named("none.json", "house", 3)
