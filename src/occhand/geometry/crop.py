"""Square crops: the released boxes, the released patch transform, exact bilinear sampling.

Facts and golden numbers come from the pre-processing of HandOccNet and HandGCAT, which agree. OpenCV before 5.0 rounds source
positions to 1/32 pixel; here, as in OpenCV 5, sampling is exact.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

_SMALLEST_RELEASED = 128
"""Crops of fewer pixels are those of our small networks alone."""


def joints_bbox(joints_img: Float[Tensor, "*batch joints 2"], expansion: float = 1.5) -> Float[Tensor, "*batch 4"]:
    """The box (x1, y1, x2, y2) around the joints, enlarged about its centre; it may leave the image."""
    low, high = joints_img.amin(-2), joints_img.amax(-2)
    centre, half = (low + high) / 2, (high - low) / 2 * expansion
    return torch.cat([centre - half, centre + half], dim=-1)


def square_bbox(bbox_xyxy: Float[Tensor, "*batch 4"], height: int, width: int, expansion: float = 1.0) -> Float[Tensor, "*batch 4"]:
    """The released square box: moved into the image, cut at its far borders, squared about its centre, enlarged.

    A box that starts left of or above the image is moved in, not cut, as released; the square itself may leave the image again.

    Args:
        bbox_xyxy: Boxes in pixels.
        height: Of the image, pixels.
        width: Of the image, pixels.
        expansion: 1.5 for a given HO-3D box at test time, 1.25 in the released demo, 1.0 in training.

    Returns:
        Square boxes; a row of NaN where the box has no area or lies right of or below the image.
    """
    low, size = bbox_xyxy[..., :2], bbox_xyxy[..., 2:] - bbox_xyxy[..., :2]
    last_pixel = bbox_xyxy.new_tensor([width - 1.0, height - 1.0])
    near = low.clamp_min(0)
    far = torch.minimum(last_pixel, near + (size - 1).clamp_min(0))
    is_empty = (size.prod(-1) <= 0) | (far < near).any(-1)
    centre, half = (near + far) / 2, (far - near).amax(-1, keepdim=True) * expansion / 2
    square = torch.cat([centre - half, centre + half], dim=-1)
    return torch.where(is_empty[..., None], torch.nan, square)


def crop_matrix(
    bbox_xyxy: Float[Tensor, "*batch 4"],
    size: int = 256,
    scale: float | Float[Tensor, "*batch"] = 1.0,
    rotation: float | Float[Tensor, "*batch"] = 0.0,
) -> Float[Tensor, "*batch 3 3"]:
    """`crop_from_img`: maps image pixels to pixels of a square crop.

    The centre of the box goes to (size / 2, size / 2), as released.

    Args:
        bbox_xyxy: What to cut out, pixels.
        size: Side of the crop, pixels.
        scale: Above 1 shows more around the box.
        rotation: Radians; the content of the crop turns by minus this angle (x towards y).

    Returns:
        The zero matrix for a box without area.
    """
    centre = (bbox_xyxy[..., :2] + bbox_xyxy[..., 2:]) / 2
    extent = (bbox_xyxy[..., 2:] - bbox_xyxy[..., :2]) * torch.as_tensor(scale, dtype=bbox_xyxy.dtype)[..., None]
    angle = torch.as_tensor(rotation, dtype=bbox_xyxy.dtype).expand(extent.shape[:-1])
    cosine, sine = angle.cos(), angle.sin()
    is_empty = (extent <= 0).any(-1)[..., None, None]
    zoom = size / torch.where(extent <= 0, torch.ones_like(extent), extent)
    turn = torch.stack([cosine, sine, -sine, cosine], dim=-1).unflatten(-1, (2, 2))
    linear = zoom[..., :, None] * turn
    offset = size / 2 - (linear @ centre[..., None]).squeeze(-1)
    top = torch.cat([linear, offset[..., None]], dim=-1)
    matrix = torch.cat([top, top.new_tensor([[0.0, 0.0, 1.0]]).expand(*top.shape[:-2], 1, 3)], dim=-2)
    return torch.where(is_empty, torch.zeros_like(matrix), matrix)


def transform_points(matrix: Float[Tensor, "*#batch 3 3"], points: Float[Tensor, "*batch points 2"]) -> Float[Tensor, "*batch points 2"]:
    """2D points moved by an affine 3x3 matrix such as `crop_from_img`."""
    return points @ matrix[..., :2, :2].mT + matrix[..., None, :2, 2]


def crop_image(
    image: Float[Tensor, "B C H W"], crop_from_img: Float[Tensor, "B 3 3"], size: int = 256
) -> Float[Tensor, "B C {size} {size}"]:
    """Cut crops out of images: exact bilinear, zeros outside the image, blending with them across its border.

    Of an image that is shrunk more than twice, bilinear sampling leaves out pixels, as released. Crops of fewer than 128 pixels, which no
    released network takes, are cut from an image that whole blocks of pixels were averaged in before.
    """
    if size < _SMALLEST_RELEASED:
        image, crop_from_img = _average_blocks(image, crop_from_img)
    height, width = image.shape[-2:]
    pixels = torch.arange(size, dtype=torch.float64)
    v, u = torch.meshgrid(pixels, pixels, indexing="ij")
    points = torch.stack([u, v], dim=-1).view(1, -1, 2)
    img_from_crop = torch.linalg.inv(crop_from_img.to(torch.float64))
    source = transform_points(img_from_crop, points.expand(len(image), -1, -1))
    # With align_corners the grid spans the centres of the first and the last pixel, -1 to 1.
    grid = source / source.new_tensor([(width - 1) / 2, (height - 1) / 2]) - 1
    return grid_sample(image, grid.to(image).view(-1, size, size, 2), mode="bilinear", padding_mode="zeros", align_corners=True)


def _average_blocks(image: Float[Tensor, "B C H W"], crop_from_img: Float[Tensor, "B 3 3"]) -> tuple[Tensor, Tensor]:
    """The image in blocks of as many pixels as the least shrunk crop allows, and its `crop_from_img`."""
    zoom = float(torch.linalg.det(crop_from_img[:, :2, :2].double()).abs().amax().sqrt())
    block = min(int(1 / max(zoom, 1e-6)), *image.shape[-2:])
    if block < 2:
        return image, crop_from_img
    middle = (block - 1) / 2
    img_from_blocks = torch.tensor([[block, 0, middle], [0, block, middle], [0, 0, 1]], dtype=crop_from_img.dtype)
    return avg_pool2d(image, block, ceil_mode=True), crop_from_img @ img_from_blocks.to(crop_from_img.device)
