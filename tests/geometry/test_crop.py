"""Boxes and crops against the released pre-processing (OpenCV 5, exact bilinear)."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from occhand.geometry.crop import crop_image, crop_matrix, joints_bbox, square_bbox, transform_points
from tests.golden.networks import golden_recipe
from tests.golden.networks.compare import excess

GOLDEN = np.load(Path(golden_recipe.HERE, "preprocess_cv5.npz"))
XYWH = torch.tensor(golden_recipe.test_bboxes(), dtype=torch.float64)
BOXES = torch.cat([XYWH[:, :2], XYWH[:, :2] + XYWH[:, 2:]], dim=1)


def xywh(bbox_xyxy):
    return torch.cat([bbox_xyxy[..., :2], bbox_xyxy[..., 2:] - bbox_xyxy[..., :2]], dim=-1)


def same(name, mine):
    golden = GOLDEN[name]
    assert golden.shape == tuple(np.shape(mine))
    assert (np.isnan(golden) == np.isnan(np.asarray(mine))).all()
    return excess(name, golden, mine) <= 1


@pytest.mark.parametrize("expansion", ["1", "1.25", "1.5"])
def test_square_boxes_agree_with_the_release(expansion):
    assert same(f"pre/bbox_{expansion}", xywh(square_bbox(BOXES, 480, 640, float(expansion))))


def test_joint_box_agrees_with_the_release():
    assert same("pre/get_bbox", xywh(joints_bbox(torch.from_numpy(golden_recipe.test_joints2d()))))


def augmented_crops():
    """Every augmentation case with every valid box: (matrix, image), as the release flips first and then cuts."""
    boxes = square_bbox(BOXES, 480, 640, 1.5)
    boxes = boxes[~boxes.isnan().any(1)]
    image = torch.from_numpy(golden_recipe.test_image()).permute(2, 0, 1)
    for (scale, rotation_deg, flip), box in itertools.product(golden_recipe.AUG_CASES, boxes):
        if flip:
            box = torch.stack([639 - box[2], box[1], 639 - box[0], box[3]])
        yield crop_matrix(box, 256, scale, np.deg2rad(rotation_deg)), image.flip(-1) if flip else image


def test_crop_matrices_agree_with_the_release():
    matrices = torch.stack([matrix for matrix, _ in augmented_crops()])
    assert same("pre/trans", matrices[:, :2])
    has_area = matrices[:, 0, 0] != 0
    inverse = torch.linalg.inv(matrices[has_area])[:, :2]
    assert excess("pre/inv_trans", GOLDEN["pre/inv_trans"][has_area], inverse) <= 1


def test_patches_agree_with_the_release():
    patches = []
    for matrix, image in augmented_crops():
        is_empty = matrix[0, 0] == 0
        # The released sampler reads the zero matrix as its own inverse: every pixel shows the first pixel of the image.
        patch = image[:, :1, :1].expand(3, 256, 256) if is_empty else crop_image(image[None], matrix[None])[0]
        patches.append(patch.permute(1, 2, 0))
    patches = torch.stack(patches)
    assert same("pre/patch_sub", patches[:, 5::25, 7::25])
    rows = torch.arange(256.0).view(1, 256, 1, 1).double()
    wide = patches.double()
    sums = torch.stack([wide.sum((1, 2, 3)), wide.square().sum((1, 2, 3)), (wide * rows).sum((1, 2, 3))], dim=1)
    assert same("pre/patch_sums", sums)


def test_image_and_points_move_together():
    """A bright square at a joint is found at the moved joint."""
    image = torch.zeros(1, 1, 200, 300)
    joint = torch.tensor([[[120.0, 80.0]]])
    image[0, 0, 79:82, 119:122] = 1
    matrix = crop_matrix(torch.tensor([[60.0, 40.0, 180.0, 160.0]]), 128, 1.1, 0.7)
    crop = crop_image(image, matrix, 128)[0, 0]
    v, u = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    centroid = torch.stack([(u * crop).sum(), (v * crop).sum()]) / crop.sum()
    torch.testing.assert_close(centroid, transform_points(matrix, joint)[0, 0], atol=0.05, rtol=0)


def test_small_crops_see_every_pixel():
    """A pattern of single pixels becomes their mean, at the right place."""
    image = torch.zeros(1, 1, 512, 512)
    image[..., ::2, ::2] = 1.0
    image[..., 256:, 256:] += 1.0
    matrix = crop_matrix(torch.tensor([[0.0, 0.0, 512.0, 512.0]], dtype=torch.float64), 64)
    crop = crop_image(image, matrix, 64)[0, 0]
    torch.testing.assert_close(crop[2:30, 2:30], torch.full((28, 28), 0.25))
    torch.testing.assert_close(crop[35:62, 35:62], torch.full((27, 27), 1.25))


@pytest.mark.parametrize("size", [32, 64])
def test_small_crops_and_points_move_together(size):
    image = torch.zeros(1, 1, 400, 600, dtype=torch.float64)
    image[0, 0, 130:191, 210:271] = 1
    matrix = crop_matrix(torch.tensor([[100.0, 30.0, 360.0, 290.0]], dtype=torch.float64), size, 1.1, 0.7)
    crop = crop_image(image, matrix, size)[0, 0]
    v, u = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centroid = torch.stack([(u * crop).sum(), (v * crop).sum()]) / crop.sum()
    torch.testing.assert_close(centroid, transform_points(matrix, torch.tensor([[[240.0, 160.0]]]).double())[0, 0], atol=0.02, rtol=0)


def test_small_crops_see_the_last_pixels_too():
    image = torch.ones(1, 1, 519, 519)
    crop = crop_image(image, crop_matrix(torch.tensor([[0.0, 0.0, 519.0, 519.0]], dtype=torch.float64), 64), 64)
    assert (crop[..., 2:, 2:] > 0.9).all()


def test_a_small_crop_is_the_same_beside_one_that_is_shrunk_more():
    image = torch.rand(1, 1, 512, 512, generator=torch.Generator().manual_seed(0))
    matrices = crop_matrix(torch.tensor([[0.0, 0.0, 512.0, 512.0], [100.0, 90.0, 164.0, 154.0]], dtype=torch.float64), 64)
    torch.testing.assert_close(crop_image(image.expand(2, -1, -1, -1), matrices, 64)[1:], crop_image(image, matrices[1:], 64))


def test_crops_as_large_as_released_ones_leave_out_pixels():
    image = torch.zeros(1, 1, 512, 512)
    image[..., ::2, ::2] = 1.0
    crop = crop_image(image, crop_matrix(torch.tensor([[0.0, 0.0, 512.0, 512.0]], dtype=torch.float64), 128), 128)
    torch.testing.assert_close(crop, torch.ones_like(crop), atol=1e-3, rtol=0)


def test_a_turned_oblong_box_fills_the_crop():
    matrix = crop_matrix(torch.tensor([100.0, 50.0, 300.0, 150.0], dtype=torch.float64), 64, rotation=0.5)
    right, down = torch.tensor([[np.cos(0.5), np.sin(0.5)], [-np.sin(0.5), np.cos(0.5)]])
    moved = transform_points(matrix, torch.tensor([200.0, 100.0]).double() + torch.stack([100 * right, 50 * down]))
    torch.testing.assert_close(moved, torch.tensor([[64.0, 32.0], [32.0, 64.0]]).double())
