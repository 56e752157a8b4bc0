"""Training crops against the released pre-processing, and pictures that move with their labels."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand.data.augment import RELEASED, Augmentation, Jitter, JitterRange
from occhand.data.transforms import CropForTraining, TrainingCrop, cut_crop, look_at_middle, mirror_sample
from occhand.geometry.camera import project
from occhand.geometry.crop import joints_bbox, square_bbox
from occhand.hand.hand_layer import load_hand
from occhand.models.orientation import in_camera_axes
from occhand.models.presets import find_preset
from occhand.recipes import RECIPES
from occhand.training_data import RunOptions, open_training
from occhand.types import HandSample, ModelOutput
from tests.data.samples import assert_same, make_sample
from tests.golden.networks import golden_recipe
from tests.golden.networks.compare import excess

GOLDEN = np.load("tests/golden/networks/preprocess_cv5.npz")
EVERYTHING = Augmentation(cutout=0.4, spectrum=0.4, low_light=0.1, blur=0.3, noise=0.3, jpeg=0.3)


def released_generators(seed):
    return np.random.RandomState(seed).standard_normal, random.Random(seed).random


def released_sample(item):
    """An item of the released data list; the picture's 640x480 float pixels are whole numbers."""
    (fx, fy), (cx, cy) = item["cam_param"]["focal"], item["cam_param"]["princpt"]
    return HandSample(
        key="released",
        image=golden_recipe.test_image().astype(np.uint8),
        K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float64),
        side=item["hand_type"],
        joints_cam=item["joints_coord_cam"].astype(np.float64),
        joints_img=item["joints_coord_img"][:, :2].astype(np.float64),
        bbox_xyxy=np.zeros(4),
        pose=item["mano_pose"].astype(np.float64),
        betas=item["mano_shape"].astype(np.float64),
    )


def test_draws_agree_with_the_release():
    normal, uniform = released_generators(7)
    drawn = [JitterRange().draw(normal, uniform) for _ in range(16)]
    rows = np.array([(jitter.scale, np.rad2deg(jitter.rotation), *jitter.colour) for jitter in drawn])
    np.testing.assert_allclose(rows, GOLDEN["pre/aug_draws"], atol=1e-12)


@pytest.mark.parametrize("dataset", ["HO3D", "DEX_YCB"])
@pytest.mark.parametrize("number", [0, 1])
def test_training_items_agree_with_the_release(dataset, number):
    sample = released_sample(golden_recipe.dataset_items()[number])
    if dataset == "HO3D":  # all of its hands are right ones, whatever the made-up item says
        sample = HandSample(**{**vars(sample), "side": "right"})
    crop = cut_crop(sample, JitterRange().draw(*released_generators(3 + number)))
    box = square_bbox(joints_bbox(torch.from_numpy(sample.joints_img), 1.5), 480, 640)
    mine = {
        "bbox": torch.cat([box[:2], box[2:] - box[:2]]),
        "img_sub": crop.image[:, 5::50, 7::50],
        "img_sum": crop.image.double().sum(),
        "joints_img": crop.joints_crop,
        "joints_coord_cam": crop.joints_cam - crop.joints_cam[0],
        "mano_pose": crop.pose,
        "mano_shape": crop.betas,
    }
    for name, value in mine.items():
        golden = GOLDEN[f"ds/{dataset}/{number}/{name}"]
        tolerance = 0.02 / 255 / golden.max() / 5e-5 if name == "img_sub" else 1.0  # another exact resampler comes within 0.02 grey levels
        assert excess(name, golden, value) <= tolerance, name


def posed_sample(index):
    """A made-up sample whose pose really gives its joints."""
    sample = make_sample(5, index)
    hand = load_hand("open", sample.side, "freihand")  # manopth's left middle tip is another vertex
    posed = hand(hand.rotations_from_axis_angle(torch.from_numpy(sample.pose).float()), torch.from_numpy(sample.betas).float())
    joints = posed.joints.double().numpy() + np.array([0.1, 0.0, 0.7])
    joints_img = project(torch.from_numpy(joints), torch.from_numpy(sample.K)).numpy()
    return HandSample(**{**vars(sample), "joints_cam": joints, "joints_img": joints_img})


@pytest.mark.parametrize("index", [0, 1])
def test_crop_camera_and_pose_agree(index):
    """The crop's camera puts its 3D joints on its 2D joints, and its pose gives them: after mirror, scale and turn."""
    crop = cut_crop(posed_sample(index), Jitter(1.2, 0.5, (1.0, 1.0, 1.0)), size=64)
    torch.testing.assert_close(project(crop.joints_cam, crop.K), crop.joints_crop * 64, atol=1e-3, rtol=0)
    assert abs(crop.K[1, 0]) < 1e-4
    assert abs(crop.K[0, 1]) < 1e-4
    hand = load_hand("open", tip_set="freihand")
    joints = hand(hand.rotations_from_axis_angle(crop.pose), crop.betas).joints
    torch.testing.assert_close(joints - joints[0], crop.joints_cam - crop.joints_cam[0], atol=1e-5, rtol=0)
    assert bool(crop.is_mirrored) == (index == 1)


@pytest.mark.parametrize("index", [0, 1])
def test_a_camera_that_looks_at_the_middle_sees_the_same_crop(index):
    """Its axis goes through the middle, what it sees is where it was, pose and joints turn alike; its hands are what networks whose
    orientation is allocentric give."""
    crop = cut_crop(posed_sample(index), Jitter(1.2, 0.5, (1.0, 1.0, 1.0)), size=64)
    seen = look_at_middle(crop, 64)
    torch.testing.assert_close(project(seen.joints_cam, seen.K), crop.joints_crop * 64, atol=1e-3, rtol=0)
    torch.testing.assert_close(project(torch.tensor([[0.0, 0.0, 1.0]]), seen.K), torch.full((1, 2), 32.0), atol=1e-3, rtol=0)
    assert (seen.joints_cam - crop.joints_cam).abs().max() > 0.01
    hand = load_hand("open", tip_set="freihand")
    rotations, betas = hand.rotations_from_axis_angle(seen.pose[None]), crop.betas[None]
    posed = hand(rotations, betas)
    torch.testing.assert_close(posed.joints[0] - posed.joints[0, 0], seen.joints_cam - seen.joints_cam[0], atol=1e-5, rtol=0)
    nothing = torch.zeros(1)
    output = ModelOutput(posed.vertices, posed.joints, nothing, rotations, betas, seen.pose[None], posed.transforms, nothing)
    config = replace(find_preset("handgcat-open-s").config, input_size=64, map_size=8)
    turned = in_camera_axes(output, config, crop.K[None])
    truth = hand(hand.rotations_from_axis_angle(crop.pose[None]), betas)
    for name in ("vertices", "joints", "transforms"):
        torch.testing.assert_close(getattr(turned, name), getattr(truth, name), atol=1e-5, rtol=0)
    torch.testing.assert_close(hand.rotations_from_axis_angle(turned.pose), turned.rotations, atol=1e-5, rtol=0)
    assert in_camera_axes(output, replace(config, orientation="egocentric"), crop.K[None]) is output


def test_batches_are_looked_at_as_single_crops_are():
    crops = [cut_crop(posed_sample(index), Jitter(), size=64) for index in range(2)]
    batch = look_at_middle(TrainingCrop(*map(torch.stack, zip(*crops, strict=True))), 64)
    for place, crop in enumerate(crops):
        for name, value in look_at_middle(crop, 64)._asdict().items():
            torch.testing.assert_close(getattr(batch, name)[place], value)


@pytest.mark.parametrize(("recipe", "is_allocentric"), [("handgcat-open-s", True), ("handoccnet-ho3d-v2", False)])
def test_crops_stand_as_their_network_puts_them(recipe, is_allocentric):
    crops = open_training(RECIPES[recipe], "open-val", RunOptions(samples=1))
    crop, rng = crops[0], np.random.default_rng([0, 0, 0])
    jitter = crops.transform.augmentation.jitter.draw(rng.standard_normal, rng.random)
    plain = cut_crop(crops.samples[0], jitter, crops.transform.size)
    expected = look_at_middle(plain, crops.transform.size) if is_allocentric else plain
    for name in ("joints_cam", "K", "pose"):
        torch.testing.assert_close(getattr(crop, name), getattr(expected, name))


def test_mirrored_twice_is_itself():
    sample = make_sample(0, 1)
    mirrored = mirror_sample(sample)
    assert mirrored.side == "right"
    np.testing.assert_allclose(project(torch.from_numpy(mirrored.joints_cam), torch.from_numpy(mirrored.K)), mirrored.joints_img, atol=1e-9)
    np.testing.assert_allclose(mirrored.bbox_xyxy, [*mirrored.joints_img.min(0), *mirrored.joints_img.max(0)], atol=1e-9)
    for name in ("vertices_cam", "translation"):
        np.testing.assert_array_equal(getattr(mirrored, name), getattr(sample, name) * np.float32([-1, 1, 1]))
    for name in ("labels", "depth"):
        np.testing.assert_array_equal(getattr(mirrored.occlusion, name), getattr(sample.occlusion, name)[:, ::-1])
    again = mirror_sample(mirrored)
    for name in ("K", "joints_img", "bbox_xyxy"):  # W - 1 - (W - 1 - u) rounds
        np.testing.assert_allclose(getattr(again, name), getattr(sample, name), atol=1e-9)
        again = HandSample(**{**vars(again), name: getattr(sample, name)})
    assert_same(again, sample)


def test_a_hand_outside_the_picture_gives_all_of_the_picture():
    sample = make_sample(0, 0)
    crop = cut_crop(HandSample(**{**vars(sample), "joints_img": sample.joints_img + 1000}), Jitter(), size=32)
    assert crop.image.mean() > 0.4


def test_a_hand_outside_a_wide_picture_gives_its_whole_width():
    sample, image = make_sample(0, 0), np.zeros((32, 64, 3), np.uint8)
    image[:, 48:] = 255
    crop = cut_crop(HandSample(**{**vars(sample), "image": image, "joints_img": sample.joints_img + 1000}), Jitter(), size=64)
    assert crop.image[:, 32, 52:60].mean() > 0.99


def test_what_hides_a_joint_does_not_matter():
    sample = make_sample(0, 0)
    hidden = sample.occlusion.joints_by_self | sample.occlusion.joints_by_other
    np.testing.assert_array_equal(cut_crop(sample, Jitter(), size=32).joints_visible, ~hidden)


def test_a_sample_without_pose_is_refused():
    with pytest.raises(ValueError, match="0-000000 has no pose"):
        cut_crop(HandSample(**{**vars(make_sample(0, 0)), "pose": None}), Jitter())


def test_same_random_state_same_crop():
    others = [make_sample(9, 0, size=20).image]
    transform = CropForTraining(48, EVERYTHING)
    first, second = (transform(make_sample(0, 2), np.random.default_rng(4), others) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one, two)
    plain = CropForTraining(48, RELEASED)(make_sample(0, 2), np.random.default_rng(4))
    assert torch.equal(plain.joints_crop, first.joints_crop)
    assert not torch.equal(plain.image, first.image)
    assert torch.utils.data.default_collate([first, second]).image.shape == (2, 3, 48, 48)


def test_shares_are_checked():
    with pytest.raises(ValueError, match="jpeg of 2"):
        Augmentation(jpeg=2.0)
    with pytest.raises(ValueError, match="needs other pictures"):
        CropForTraining(48, EVERYTHING)(make_sample(0, 0), np.random.default_rng(0))
