"""From hands with boxes and 2D joints to posed hands in the camera frame: the fit alone, or a network with or without it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from occhand.detect import DetectedHand, Keypoints2D
from occhand.fit import fit_hand, refine_hand, solve_translation
from occhand.geometry.camera import mirror_intrinsics
from occhand.geometry.crop import crop_image, crop_matrix, square_bbox, transform_points
from occhand.hand.hand_layer import HandLayer
from occhand.hand.skeleton import JOINT_NAMES
from occhand.models.config import HandGCATConfig
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.inspection import inspect
from occhand.runtimes.network import ReadyNetwork
from occhand.runtimes.onnx_graph import network_digest
from occhand.types import Camera, ModelInput, ModelOutput

BOX_EXPANSION = 1.5
"""A box around the joints, enlarged as the released networks' test boxes are (HO-3D, DexYCB)."""


@dataclass(frozen=True)
class HandView:
    """One hand as a right hand: what shows a left one is mirrored left to right, pixels, camera and joints alike."""

    picture: UInt8[np.ndarray, "height width 3"]
    K: Float[np.ndarray, "3 3"]
    bbox_xyxy: Float[np.ndarray, "4"]
    keypoints: Keypoints2D | None
    square_xyxy: Float[np.ndarray, "4"] | None = None
    """What a network is shown of the picture, where a benchmark says; None: the square around the box, enlarged."""

    @classmethod
    def of(cls, picture: UInt8[np.ndarray, "height width 3"], hand: DetectedHand, camera: Camera) -> HandView:
        if hand.side == "right":
            return cls(picture, camera.K, hand.bbox_xyxy, hand.keypoints)
        x1, y1, x2, y2 = hand.bbox_xyxy
        last = picture.shape[1] - 1.0
        K = mirror_intrinsics(torch.from_numpy(camera.K), picture.shape[1]).numpy()
        return cls(
            picture[:, ::-1], K, np.array([last - x2, y1, last - x1, y2]), hand.keypoints and hand.keypoints.mirrored(picture.shape[1])
        )


class Estimate(NamedTuple):
    """Right hands in the camera frame, metres, and the 2D joints that they rest on, pixels."""

    rotations: Float[Tensor, "B 16 3 3"]
    betas: Float[Tensor, "B 10"]
    translation: Float[Tensor, "B 3"]
    """What added to the hand layer's output gives the camera frame."""
    vertices: Float[Tensor, "B 778 3"]
    joints: Float[Tensor, "B 21 3"]
    keypoints: list[Keypoints2D]
    description: str
    """What made it, and which cues it used beside the 2D joints."""


@runtime_checkable
class Estimator(Protocol):
    """Poses right hands."""

    hand: HandLayer
    needs_keypoints: bool
    """Whether every view must come with 2D joints."""

    def __call__(self, views: Sequence[HandView]) -> Estimate: ...


class FitEstimator:
    """The hand model fitted to the 2D joints; nothing in it is learned from images."""

    needs_keypoints = True

    def __init__(self, hand: HandLayer) -> None:
        self.hand = hand

    def __call__(self, views: Sequence[HandView]) -> Estimate:
        keypoints = [view.keypoints for view in views if view.keypoints is not None]
        cues = [points.joints_world for points in keypoints if points.joints_world is not None]
        has_cue = len(cues) == len(views)
        fit = fit_hand(self.hand, *_evidence(views, keypoints), joints_world=_batch(cues) if has_cue else None)
        description = "fit to 2D joints" + (", with MediaPipe's world joints as a weak cue for depth" if has_cue else "")
        return Estimate(*fit[:5], keypoints, description)


class NetworkEstimator:
    """HandOccNet or HandGCAT on the crop of each hand, then placed in the camera frame.

    Args:
        model: In evaluation mode; or one made ready for a runtime.
        refine: Move the network's hand towards the 2D joints by a few steps of the fit. Without it, the network's own 2D joints place
            its hand and nothing else changes, as in the released demo.
        joints_model: A HandOccNet whose 2D joints HandGCAT takes, as in its paper; None: those that come with the views.
        plain: The network that a ready one was made from: it is looked into, and goes to another device in its place.
    """

    def __init__(
        self,
        model: HandOccNet | HandGCAT | ReadyNetwork,
        refine: bool = True,
        joints_model: HandOccNet | ReadyNetwork | None = None,
        plain: HandOccNet | HandGCAT | None = None,
    ) -> None:
        self.hand, self._model, self._refine, self._joints_model = model.hand, model, refine, joints_model
        self._plain = model if plain is None and not isinstance(model, ReadyNetwork) else plain
        self.needs_keypoints = isinstance(model.config, HandGCATConfig) and joints_model is None

    @torch.no_grad()
    def __call__(self, views: Sequence[HandView]) -> Estimate:
        inputs, crop_from_img, given = self._prepare(views)
        output = _run(self._model, inputs)
        rotations = self.hand.rotations_from_axis_angle(output.pose, self._model.config.flat_hand_mean)
        own = _joints_img(output, crop_from_img, self._model.config.input_size)
        keypoints = [points or its_own for points, its_own in zip(given, _as_keypoints(own), strict=True)]
        if self._refine:
            fit = refine_hand(self.hand, rotations, output.betas, *_evidence(views, keypoints))
            return Estimate(*fit[:5], keypoints, self.description)
        translation = solve_translation(output.joints, own, _batch(view.K for view in views))
        vertices, joints = output.vertices + translation[:, None], output.joints + translation[:, None]
        return Estimate(rotations, output.betas, translation, vertices, joints, keypoints, self.description)

    @property
    def description(self) -> str:
        """The network, and what places its hand."""
        name = self._model.title if isinstance(self._model, ReadyNetwork) else type(self._model).__name__
        return f"{name}, {'refined by the fit to 2D joints' if self._refine else 'placed by its own 2D joints'}"

    @property
    def has_joints_model(self) -> bool:
        """Whether the 2D joints come from a HandOccNet of its own."""
        return self._joints_model is not None

    def to(self, device: str | torch.device) -> NetworkEstimator:
        """Run the networks on this device; the hand stays on the CPU, where hands are placed.

        Raises:
            ValueError: Networks made ready for a runtime, which run on the CPU, and no plain one to take their place.
        """
        self.hand = copy.deepcopy(self.hand).to("cpu")
        if torch.device(device).type != "cpu":
            if self._plain is None or isinstance(self._joints_model, ReadyNetwork):
                raise ValueError(f"An exported network runs on the CPU, not on {device}. Name the weights that it was exported from.")
            self._model = self._plain
        for model in (self._model, self._joints_model):
            if isinstance(model, HandOccNet | HandGCAT):
                model.to(device)
        return self

    def identity(self) -> str:
        """A digest of all that decides what it says of a picture: networks, weights, hand, refinement, what runs them."""
        digest = hashlib.sha256(f"{self._refine}".encode())
        digest.update(self.hand.v_template.cpu().numpy().tobytes())
        for model in (self._model, self._joints_model):
            if isinstance(model, ReadyNetwork):
                digest.update(f"{model.digest} {model.runtime} {model.precision}".encode())
            elif model is not None:
                digest.update(f"{network_digest(model)} {next(model.parameters()).device.type}".encode())
        return digest.hexdigest()

    @torch.no_grad()
    def look_inside(self, view: HandView) -> tuple[UInt8[np.ndarray, "size size 3"], dict[str, Float[np.ndarray, "_ _"]]]:
        """The crop of a hand, and the network's maps over it by name: HandOccNet's Figures 4 and 7, and the same of HandGCAT."""
        if self._plain is None:
            raise ValueError("An exported network has no maps to show. Name the weights that it was exported from.")
        inputs, _, _ = self._prepare([view])
        inside = inspect(self._plain, inputs)
        maps = {} if inside.necessity is None else {"necessity": inside.necessity}
        maps |= {f"norm: {name}": norm for name, norm in inside.feature_norms.items()}
        if inside.necessity is not None:
            wrist, tip = (inside.output.joints_crop[0, JOINT_NAMES.index(name)].clamp(0, 0.999).tolist() for name in ("wrist", "index4"))
            maps["FIT from the wrist"] = inside.correlation_from(*wrist)
            maps["FIT from the index tip"] = inside.correlation_from(*tip)
        else:
            maps |= {f"attention: {name}": weights.mean(1) for name, weights in inside.attention.items()}
        crop = (255 * inputs.image[0].permute(1, 2, 0)).round().clamp(0, 255).byte().numpy()
        return crop, {name: values[0].double().numpy() for name, values in maps.items()}

    def _prepare(self, views: Sequence[HandView]) -> tuple[ModelInput, Float[Tensor, "B 3 3"], list[Keypoints2D | None]]:
        """The network's input, where its crops come from, and the 2D joints that stand in the result where there are any."""
        size = self._model.config.input_size
        image, crop_from_img = _cut_crops(views, size)
        keypoints = [view.keypoints for view in views]
        if self._joints_model is not None:
            their_size = self._joints_model.config.input_size
            their_image, their_crop_from_img = _cut_crops(views, their_size)
            own = _joints_img(_run(self._joints_model, ModelInput(their_image)), their_crop_from_img, their_size)
            keypoints = list(_as_keypoints(own))
        joints_crop = None
        if isinstance(self._model.config, HandGCATConfig):
            joints_crop = transform_points(crop_from_img, _batch(points.joints_img for points in keypoints if points is not None)) / size
        return ModelInput(image, joints_crop), crop_from_img, keypoints


def _run(model: HandOccNet | HandGCAT | ReadyNetwork, inputs: ModelInput) -> ModelOutput:
    """The network's output on the CPU, wherever the network is; placing and fitting a few hands is quicker there."""
    if isinstance(model, ReadyNetwork):
        return model(inputs)
    device = next(model.parameters()).device
    image, joints_crop = inputs
    output = model(ModelInput(image.to(device), None if joints_crop is None else joints_crop.to(device)))
    return output._replace(**{name: value.cpu() for name, value in output._asdict().items() if value is not None})


def _cut_crops(views: Sequence[HandView], size: int) -> tuple[Float[Tensor, "B 3 size size"], Float[Tensor, "B 3 3"]]:
    """Square crops around the boxes, RGB 0..1, and their `crop_from_img`."""
    crops, matrices = [], []
    for view in views:
        height, width = view.picture.shape[:2]
        box = None if view.square_xyxy is None else torch.from_numpy(view.square_xyxy)
        if box is None:
            box = square_bbox(torch.from_numpy(view.bbox_xyxy), height, width, BOX_EXPANSION)
        if not bool(box.isfinite().all()):
            raise ValueError(f"The hand's box {view.bbox_xyxy.round(1).tolist()} lies outside of the image. Give a box inside it.")
        # Only the part around the box is made a float image; a margin keeps the interpolation at its border as it was.
        left, top = (max(0, int(value) - 2) for value in box[:2])
        right, bottom = int(box[2]) + 3, int(box[3]) + 3
        part = torch.from_numpy(np.ascontiguousarray(view.picture[top:bottom, left:right])).permute(2, 0, 1).float()
        crop_from_img = crop_matrix(box, size)
        img_from_part = torch.tensor([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]], dtype=torch.float64)
        crops.append(crop_image(part[None], (crop_from_img @ img_from_part)[None], size) / 255)
        matrices.append(crop_from_img)
    return torch.cat(crops), torch.stack(matrices).float()


def _joints_img(output: ModelOutput, crop_from_img: Float[Tensor, "B 3 3"], size: int) -> Float[Tensor, "B 21 2"]:
    return transform_points(torch.linalg.inv(crop_from_img), output.joints_crop * size)


def _as_keypoints(joints_img: Float[Tensor, "B 21 2"]) -> Iterable[Keypoints2D]:
    return (Keypoints2D(joints.double().numpy(), np.ones(len(JOINT_NAMES)), "handoccnet") for joints in joints_img)


def _evidence(
    views: Sequence[HandView], keypoints: Sequence[Keypoints2D]
) -> tuple[Float[Tensor, "B 21 2"], Float[Tensor, "B 3 3"], Float[Tensor, "B 21"]]:
    """Joints, intrinsics and weights, as the fit takes them."""
    return (
        _batch(points.joints_img for points in keypoints),
        _batch(view.K for view in views),
        _batch(points.weights for points in keypoints),
    )


def _batch(arrays: Iterable[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(list(arrays))).float()
