"""Where a root-relative hand stands in the camera frame."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

_POLISHING_STEPS = 2
"""Gauss-Newton steps from the linear solution; with 2 % noise a third one moves the error by less than 1e-6 of itself."""


def solve_translation(
    joints_root: Float[Tensor, "*batch joints 3"],
    joints_img: Float[Tensor, "*batch joints 2"],
    K: Float[Tensor, "*batch 3 3"],
    weights: Float[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch 3"]:
    """Place a root-relative hand in the camera frame.

    Weighted linear least squares on x = (X + tx) / (Z + tz), exact without noise; then Gauss-Newton on the weighted squared
    reprojection error in pixels, whose minimum it reaches. Needs metric joints: a hand of unknown size leaves depth unknown. A hand posed
    so unlike its 2D joints that it would fit best behind the camera is set where it is as large as they are. Differentiable.

    Args:
        joints_root: Metres, OpenCV axes, relative to the wrist.
        joints_img: Pixels in the image that `K` describes (not the crop).
        K: Pinhole intrinsics, pixels; skew is used.
        weights: Of each joint's squared error, non-negative; 0 leaves a joint out. All ones if None.

    Returns:
        Wrist position, metres, camera frame.

    Raises:
        ValueError: Fewer than 2 joints (with a weight), or a non-positive focal length.
    """
    if weights is None:
        weights = torch.ones_like(joints_img[..., 0])
    if ((weights > 0).sum(-1) < 2).any():
        raise ValueError("Placing a hand needs at least 2 joints with a positive weight. Give more 2D joints, or leave this hand out.")
    if (K.diagonal(dim1=-2, dim2=-1)[..., :2] <= 0).any():
        raise ValueError("K has a focal length that is not positive. Give fx and fy in pixels.")

    joints_img = torch.where(weights[..., None] > 0, joints_img, 0)  # what is left out may be NaN, which no weight of 0 takes away
    weights = (weights / weights.sum(-1, keepdim=True))[..., None]
    translation = best = _solve_linear(joints_root, joints_img, K, weights)
    is_before = (joints_root[..., 2] + translation[..., 2:]).amin(-1, keepdim=True) > 0
    best_cost = torch.full_like(translation[..., 0], torch.inf)
    for step_index in range(_POLISHING_STEPS + 1):
        error, jacobian = _reproject(joints_root, translation, joints_img, K)
        cost = (weights * error * error).sum((-2, -1))
        # From hopeless joints a full step may overshoot, so the best place seen is returned.
        is_better = cost < best_cost
        best = torch.where(is_better[..., None], translation, best)
        best_cost = torch.where(is_better, cost, best_cost)
        if step_index < _POLISHING_STEPS:
            weighted = (weights[..., None] * jacobian).flatten(-3, -2)
            gradient = weighted.mT @ error.flatten(-2)[..., None]
            step = torch.linalg.solve_ex(weighted.mT @ jacobian.flatten(-3, -2), gradient).result
            translation = translation - step.squeeze(-1)
    return torch.where(is_before, best, _place_by_size(joints_root, joints_img, K, weights))


def _solve_linear(
    joints_root: Float[Tensor, "*batch joints 3"],
    joints_img: Float[Tensor, "*batch joints 2"],
    K: Float[Tensor, "*batch 3 3"],
    weights: Float[Tensor, "*batch joints 1"],
) -> Float[Tensor, "*batch 3"]:
    """Least squares on t_xy - ray tz = ray Z - XY; weights sum to one. Centring takes t_xy out, which leaves one unknown."""
    y = (joints_img[..., 1] - K[..., 1, 2, None]) / K[..., 1, 1, None]
    x = (joints_img[..., 0] - K[..., 0, 2, None] - K[..., 0, 1, None] * y) / K[..., 0, 0, None]
    rays = torch.stack([x, y], dim=-1)
    target = rays * joints_root[..., 2:] - joints_root[..., :2]
    mean_ray = (weights * rays).sum(-2, keepdim=True)
    mean_target = (weights * target).sum(-2, keepdim=True)
    centred = weights * (rays - mean_ray)
    depth = -(centred * (target - mean_target)).sum((-2, -1)) / (centred * (rays - mean_ray)).sum((-2, -1))
    return torch.cat([mean_target.squeeze(-2) + depth[..., None] * mean_ray.squeeze(-2), depth[..., None]], dim=-1)


def _place_by_size(
    joints_root: Float[Tensor, "*batch joints 3"],
    joints_img: Float[Tensor, "*batch joints 2"],
    K: Float[Tensor, "*batch 3 3"],
    weights: Float[Tensor, "*batch joints 1"],
) -> Float[Tensor, "*batch 3"]:
    """Where the joints' mean lies on the ray to their mean in the image, and their spread across has the size that it has there."""
    rays = (torch.linalg.inv(K)[..., None, :, :] @ pad(joints_img, (0, 1), value=1.0)[..., None]).squeeze(-1)
    mean_ray, mean_joint = (weights * rays).sum(-2), (weights * joints_root).sum(-2)
    spread_img = (weights * (rays - mean_ray[..., None, :]).square()).sum((-2, -1)).sqrt()
    spread = (weights * (joints_root - mean_joint[..., None, :])[..., :2].square()).sum((-2, -1)).sqrt()
    return mean_ray * (spread / spread_img)[..., None] - mean_joint


def _reproject(
    joints_root: Float[Tensor, "*batch joints 3"],
    translation: Float[Tensor, "*batch 3"],
    joints_img: Float[Tensor, "*batch joints 2"],
    K: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch joints 2"], Float[Tensor, "*batch joints 2 3"]]:
    """Reprojection error in pixels, and its derivative by the translation."""
    joints_cam = joints_root + translation[..., None, :]
    inverse_depth = 1 / joints_cam[..., 2:]
    focal = K[..., None, :2, :2]
    relative = (focal @ (joints_cam[..., :2] * inverse_depth)[..., None]).squeeze(-1)
    error = relative + K[..., None, :2, 2] - joints_img
    jacobian = torch.cat([focal.expand(*relative.shape, 2), -relative[..., None]], dim=-1) * inverse_depth[..., None]
    return error, jacobian
