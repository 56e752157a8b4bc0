"""Records that cross layers.

House units everywhere: metres, pixels, radians, RGB. The camera frame is OpenCV's: x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float
from torch import Tensor

Side = Literal["right", "left"]
SIDES: tuple[Side, ...] = get_args(Side)

KeypointSource = Literal["given", "file", "mediapipe", "handoccnet"]
"""Who said where a hand or its joints are: the caller, a file, the detector, or HandOccNet's own 2D head."""

CameraSource = Literal["given", "assumed"]

EvaluationProtocol = Literal["ho3d", "freihand", "dexycb", "fpha", "open"]
"""Whose rules of scoring: HO-3D's, FreiHAND's and DexYCB's scripts; FPHA, which has none; ours for rendered hands."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera and where its numbers come from.

    Raises:
        ValueError: `K` is no pinhole matrix of this image.
    """

    K: np.ndarray
    """Intrinsics in pixels, 3x3: [[fx, s, cx], [0, fy, cy], [0, 0, 1]]."""
    height: int
    width: int
    source: CameraSource = "given"
    """`assumed`: a field of view was assumed, so depth and absolute position are guesses."""

    def __post_init__(self) -> None:
        K = np.asarray(self.K, dtype=np.float64)
        problem = None
        if K.shape != (3, 3):
            problem = f"shape {K.shape}, expected (3, 3)"
        elif not np.isfinite(K).all():
            problem = "a number that is not finite"
        elif not np.allclose(K[2], (0.0, 0.0, 1.0), atol=1e-9) or abs(K[1, 0]) > 1e-9:
            problem = "a last row other than 0 0 1, or a number below the diagonal"
        elif K[0, 0] <= 0 or K[1, 1] <= 0:
            problem = f"focal lengths {K[0, 0]:g}, {K[1, 1]:g}, expected positive pixels"
        elif self.height <= 0 or self.width <= 0:
            problem = f"an image of {self.height} x {self.width} pixels"
        if problem:
            raise ValueError(f"K is no pinhole camera: {problem}. Give fx,fy,cx,cy in pixels, or leave K out to have a camera assumed.")
        object.__setattr__(self, "K", K)

    @classmethod
    def assume(cls, height: int, width: int, diagonal_fov_deg: float = 60.0) -> Camera:
        """A centred camera with an assumed field of view over the image diagonal, marked `assumed`."""
        focal_px = 0.5 * float(np.hypot(height, width)) / np.tan(np.deg2rad(diagonal_fov_deg) / 2)
        K = np.array([[focal_px, 0.0, (width - 1) / 2], [0.0, focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]])
        return cls(K, height, width, source="assumed")


@dataclass(frozen=True)
class Occlusion:
    """What hides a hand, exactly; only rendered data can know it. Each array is aligned with the sample's joints, vertices or pixels, or
    empty where only joints were read."""

    joints_by_self: np.ndarray
    """(21,) bool: hidden behind another part of the same hand."""
    joints_by_other: np.ndarray
    """(21,) bool: hidden behind an object, an arm or another hand."""
    vertices_by_self: np.ndarray
    """(778,) bool."""
    vertices_by_other: np.ndarray
    """(778,) bool."""
    ratio: float
    """Share of the hand's pixels, were it alone and the image without border, that other things hide or the border cuts off; 0..1."""
    labels: np.ndarray
    """(H, W) uint8: 0 background, 1 hand, 2 object, 3 own forearm or sleeve, 4 another hand."""
    depth: np.ndarray
    """(H, W) float32: metres along z, inf in the background."""
    contacts: np.ndarray
    """(n,) int: vertices of the hand within 3 mm of the object's surface."""
    object_name: str
    """Empty where there is no object."""


@dataclass(frozen=True)
class HandSample:
    """One annotated hand in one full image; every data set yields these. Camera frame OpenCV, metres, pixels, house joint order."""

    key: str
    """Unique within its data set."""
    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    K: np.ndarray
    """(3, 3) pixels."""
    side: Side
    joints_cam: np.ndarray
    """(21, 3)."""
    joints_img: np.ndarray
    """(21, 2); may leave the image."""
    bbox_xyxy: np.ndarray
    """(4,) around the 2D joints, or as the data set gives it."""
    vertices_cam: np.ndarray | None = None
    """(778, 3)."""
    pose: np.ndarray | None = None
    """(48,) axis-angle, camera frame, mean pose included (`flat_hand_mean=True`)."""
    betas: np.ndarray | None = None
    """(10,)."""
    translation: np.ndarray | None = None
    """(3,) what added to the hand layer's output gives `vertices_cam`."""
    occlusion: Occlusion | None = None


class ModelInput(NamedTuple):
    """What a network takes. (A tuple, so that torch.export, data loaders and device moves see through it.)"""

    image: Float[Tensor, "B 3 H W"]
    """Square crops, RGB, 0..1. All black means no picture, for networks whose config says `inputs_may_miss`."""
    joints_crop: Float[Tensor, "B 21 2"] | None = None
    """2D joints given to HandGCAT, 0..1 over the crop, house order; never the training target. NaN marks a joint that is not known, for
    networks whose config says `inputs_may_miss`."""


class ModelOutput(NamedTuple):
    """What a network gives, in the hand layer's frame: axes of the camera, the wrist where the layer puts it; metres. A network whose
    `orientation` is `allocentric` has the axes of a camera that looks at the middle of the crop."""

    vertices: Float[Tensor, "B 778 3"]
    joints: Float[Tensor, "B 21 3"]
    """House order."""
    joints_crop: Float[Tensor, "B 21 2"]
    """2D joints, 0..1 over the crop."""
    rotations: Float[Tensor, "B 16 3 3"]
    """Of each MANO joint relative to its parent, the root first, **without** the hand's mean pose where the model adds it."""
    betas: Float[Tensor, "B 10"]
    pose: Float[Tensor, "B 48"]
    """The same rotations as axis-angle, radians."""
    transforms: Float[Tensor, "B 16 4 4"]
    """Global transform of each MANO joint; the translation is the posed joint."""
    heatmaps: Float[Tensor, "B 21 h w"]
    """A distribution over the crop per joint."""
    joint_sigma: Float[Tensor, "B 21"] | None = None
    """How far off each joint may be: standard deviation along each axis, metres, where truth and output have the same mean joint. None
    for networks that do not say."""
    joint_visibility: Float[Tensor, "B 21"] | None = None
    """Probability that nothing hides the joint, 0..1. None for networks that do not say."""
    joint_depth: Float[Tensor, "B 21"] | None = None
    """How deep the picture itself shows each joint: along z from the mean of the 21, metres; evidence for the hand, whose own joints may
    differ. None for networks that do not say."""
    joint_depth_sigma: Float[Tensor, "B 21"] | None = None
    """Standard deviation of that, metres."""


class ModelTarget(NamedTuple):
    """What a network is trained towards."""

    pose: Float[Tensor, "B 48"]
    """Axis-angle per MANO joint, radians, with the model's meaning of zero (`flat_hand_mean`)."""
    betas: Float[Tensor, "B 10"]
    joints_crop: Float[Tensor, "B 21 2"]
    """2D joints, 0..1 over the crop, without noise."""
