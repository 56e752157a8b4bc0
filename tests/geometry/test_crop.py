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
