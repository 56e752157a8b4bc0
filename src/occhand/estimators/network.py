"""HandOccNet or HandGCAT as an estimator: crops in, hands placed in the camera frame by 2D joints, or refined by the fit to them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from occhand.data.joint_errors import FixedErrors
from occhand.detect import Keypoints2D
from occhand.estimators.estimate import Estimate, Evidence, HandView, KeypointNeed, stack_floats
from occhand.fit import refine_hand, solve_translation
from occhand.geometry.crop import crop_image, crop_matrix, square_bbox, transform_points
from occhand.hand.skeleton import JOINT_NAMES
from occhand.models.config import HandGCATConfig
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.inspection import inspect
from occhand.models.orientation import in_camera_axes
from occhand.runtimes.choice import check_device
from occhand.runtimes.network import ReadyNetwork
from occhand.runtimes.onnx_graph import network_digest
from occhand.types import KeypointSource, ModelInput, ModelOutput

BOX_EXPANSION = 1.5
"""A box around the joints, enlarged as the released networks' test boxes are (HO-3D, DexYCB)."""
_TRUST_IN_HIDDEN = (FixedErrors.visible / FixedErrors.hidden) ** 2
"""Weight of a 2D joint that is surely hidden beside one that is surely seen: inverse variances of the errors that detectors are taken to
make, 2 % and 6 % of the hand's box, here as everywhere (`docs/stress.md`)."""
_SOURCES: dict[KeypointSource, str] = {
    "given": "the given 2D joints",
    "file": "the given 2D joints",
    "mediapipe": "MediaPipe's 2D joints",
    "handoccnet": "HandOccNet's 2D joints",
}


class NetworkEstimator:
    """HandOccNet or HandGCAT on the crop of each hand, then placed in the camera frame.

    The 2D joints that place a hand, or that the fit moves it towards, are those that came with its view; without any, the network's own.
    Where the network says how likely each is seen, joints that it holds for hidden count less.

    Args:
        model: In evaluation mode; or one made ready for a runtime.
        refine: Move the network's hand towards the 2D joints by a few steps of the fit. False: they place the hand, and nothing else
            changes. None: hands are refined unless the joints are the network's own, which tell the fit nothing that its hand does not.
        joints_model: A HandOccNet whose 2D joints HandGCAT takes, as in its paper; None: those that come with the views.
        plain: The network that a ready one was made from: it is looked into, and goes to another device in its place.
        name: How descriptions call the network; None: as its paper does.
        joints_plain: As `plain`, of `joints_model`.
    """

    def __init__(
        self,
        model: HandOccNet | HandGCAT | ReadyNetwork,
        refine: bool | None = None,
        joints_model: HandOccNet | HandGCAT | ReadyNetwork | None = None,
        plain: HandOccNet | HandGCAT | None = None,
        name: str | None = None,
        joints_plain: HandOccNet | HandGCAT | None = None,
    ) -> None:
        self.hand, self._model, self._refine, self._joints_model = model.hand, model, refine, joints_model
        self._joints_plain = joints_plain
        self._plain = model if plain is None and not isinstance(model, ReadyNetwork) else plain
        self.keypoint_need: KeypointNeed = "required" if isinstance(model.config, HandGCATConfig) and joints_model is None else "none"
        self.name = name or (model.title if isinstance(model, ReadyNetwork) else type(model).__name__)

    @torch.no_grad()
    def __call__(self, views: Sequence[HandView]) -> Estimate:
        inputs, crop_from_img, given = self._prepare(views)
        output = _run(self._model, inputs)
        own = _as_keypoints(_joints_img(output, crop_from_img, self._model.config.input_size))
        keypoints = [points or its_own for points, its_own in zip(given, own, strict=True)]
        evidence = Evidence.of(views, keypoints)
        output = in_camera_axes(output, self._model.config, crop_from_img @ evidence.K)
        if output.joint_visibility is not None:
            evidence = evidence._replace(weights=trust_seen(evidence.weights, output.joint_visibility))
        is_refined = torch.tensor([points is not None if self._refine is None else self._refine for points in given])
        return Estimate(
            *self._place(output, evidence, is_refined),
            keypoints,
            [self._describe(points, bool(refined)) for points, refined in zip(given, is_refined, strict=True)],
            output.joint_sigma,
            output.joint_visibility,
        )

    def _place(
        self, output: ModelOutput, evidence: Evidence, is_refined: Bool[Tensor, "B"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Rotations, betas, translation, vertices and joints, camera frame."""
        rotations = self.hand.rotations_from_axis_angle(output.pose, self._model.config.flat_hand_mean)
        translation = solve_translation(output.joints, *evidence)
        vertices, joints = output.vertices + translation[:, None], output.joints + translation[:, None]
        hands = rotations, output.betas.clone(), translation, vertices, joints
        if is_refined.any():
            joints_img, K, weights = (part[is_refined] for part in evidence)
            fit = refine_hand(self.hand, rotations[is_refined], output.betas[is_refined], joints_img, K, weights)
            for values, refined in zip(hands, fit[:5], strict=True):
                values[is_refined] = refined
        return hands

    def _describe(self, given: Keypoints2D | None, is_refined: bool) -> str:
        joints = "its own 2D joints" if given is None else _SOURCES[given.source]
        unknown = 0 if given is None else int((given.weights == 0).sum())
        filled = f"; {unknown} unknown joints shown to it at the mean of the known" if unknown and self._fills_in else ""
        return f"{self.name}, {'refined by the fit to' if is_refined else 'placed by'} {joints}{filled}"

    @property
    def _fills_in(self) -> bool:
        """Whether the network takes 2D joints, and all of them."""
        config = self._model.config
        return isinstance(config, HandGCATConfig) and not config.inputs_may_miss

    @property
    def description(self) -> str:
        """The network, and what places its hands."""
        placed = {
            True: "refined by the fit to 2D joints",
            False: "placed by 2D joints",
            None: "refined by the fit where 2D joints are given",
        }
        return f"{self.name}, {placed[self._refine]}"

    @property
    def has_joints_model(self) -> bool:
        """Whether the 2D joints come from a HandOccNet of its own."""
        return self._joints_model is not None

    def to(self, device: str | torch.device) -> NetworkEstimator:
        """Run the networks on this device; the hand stays on the CPU, where hands are placed.

        Raises:
            ValueError: No such device here; networks made ready for a runtime, which run on the CPU, and no plain one to take their place.
        """
        check_device(device)
        self.hand = copy.deepcopy(self.hand).to("cpu")
        if torch.device(device).type != "cpu":
            if self._plain is None or (isinstance(self._joints_model, ReadyNetwork) and self._joints_plain is None):
                raise ValueError(f"An exported network runs on the CPU, not on {device}. Name the weights that it was exported from.")
            self._model, self._joints_model = self._plain, self._joints_plain or self._joints_model
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

    @property
    def can_look_inside(self) -> bool:
        """Whether there are maps to show."""
        return self._plain is not None

    @torch.no_grad()
    def look_inside(self, view: HandView) -> tuple[UInt8[np.ndarray, "size size 3"], dict[str, Float[np.ndarray, "_ _"]]]:
        """The crop of a hand, and the network's maps over it by name: HandOccNet's Figures 4 and 7, and the same of HandGCAT."""
        if self._plain is None:
            raise ValueError("An exported network has no maps to show. Name the weights that it was exported from.")
        inputs, _, _ = self._prepare([view])
        inside = inspect(self._plain, _beside(self._plain, inputs))
        maps = {} if inside.necessity is None else {"necessity": inside.necessity}
        maps |= {f"norm: {name}": norm for name, norm in inside.feature_norms.items()}
        if inside.necessity is not None:
            wrist, tip = (inside.output.joints_crop[0, JOINT_NAMES.index(name)].clamp(0, 0.999).tolist() for name in ("wrist", "index4"))
            maps["FIT from the wrist"] = inside.correlation_from(*wrist)
            maps["FIT from the index tip"] = inside.correlation_from(*tip)
        else:
            maps |= {f"attention: {name}": weights.mean(1) for name, weights in inside.attention.items()}
        crop = (255 * inputs.image[0].permute(1, 2, 0)).round().clamp(0, 255).byte().numpy()
        return crop, {name: values[0].double().cpu().numpy() for name, values in maps.items()}

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
            known = [points for points in keypoints if points is not None]
            if len(known) < len(views):
                raise ValueError("HandGCAT takes 2D joints with every hand. Give them, or use a HandOccNet.")
            joints_crop = transform_points(crop_from_img, stack_floats(points.joints_img for points in known)) / size
            if self._model.config.inputs_may_miss:
                is_known = stack_floats(points.weights for points in known)[..., None] > 0
                joints_crop = torch.where(is_known, joints_crop, torch.nan)
        return ModelInput(image, joints_crop), crop_from_img, keypoints


def _run(model: HandOccNet | HandGCAT | ReadyNetwork, inputs: ModelInput) -> ModelOutput:
    """The network's output on the CPU, wherever the network is; placing and fitting a few hands is quicker there."""
    if isinstance(model, ReadyNetwork):
        return model(inputs)
    output = model(_beside(model, inputs))
    return output._replace(**{name: value.cpu() for name, value in output._asdict().items() if value is not None})


def _beside(model: HandOccNet | HandGCAT, inputs: ModelInput) -> ModelInput:
    """The input where the network is."""
    device = next(model.parameters()).device
    return ModelInput(inputs.image.to(device), None if inputs.joints_crop is None else inputs.joints_crop.to(device))


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


def trust_seen(weights: Float[Tensor, "B 21"], visibility: Float[Tensor, "B 21"]) -> Float[Tensor, "B 21"]:
    """Weights of 2D joints, less for those that a network holds for hidden."""
    return weights * (visibility + (1 - visibility) * _TRUST_IN_HIDDEN)
