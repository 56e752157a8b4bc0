"""How an image becomes hand meshes: find the hands, mirror left ones, estimate each as a right hand, mirror the meshes back."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from occhand.detect import DetectedHand, Detector, Keypointer, Keypoints2D, check_boxes, check_hands, check_side, hands_from_joints
from occhand.detect.mediapipe import MediaPipeHands
from occhand.estimators import DefaultEstimator, Estimate, Estimator, HandView, NetworkEstimator
from occhand.geometry.rotation import mirror_rotation
from occhand.hand.hand_layer import HandLayer
from occhand.image_io import load_image
from occhand.pretrained import DEFAULT_MODEL, load_estimator
from occhand.result import HandMesh
from occhand.runtimes.choice import Precision, RuntimeChoice
from occhand.types import Camera, Side

_log = logging.getLogger(__name__)


class Predictor:
    """Images in, hand meshes out.

    Args:
        estimator: Poses right hands; left hands are shown to it in a mirror.
        detector: Finds hands with their joints where the caller gives neither; None: MediaPipe, opened at the first need.
        keypointer: Finds the joints inside a given box; None: MediaPipe, likewise.
    """

    def __init__(self, estimator: Estimator, detector: Detector | None = None, keypointer: Keypointer | None = None) -> None:
        self.estimator = estimator
        self._detector, self._keypointer = detector, keypointer

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = DEFAULT_MODEL,
        hand: str | os.PathLike[str] | None = None,
        refine: bool | None = None,
        joints_from: str | os.PathLike[str] | None = None,
        runtime: RuntimeChoice | None = None,
        precision: Precision | None = None,
    ) -> Predictor:
        """A predictor by the name of its estimator or a file of weights.

        Args:
            name: `auto`: `handgcat-open-s` for hands whose 2D joints are given or found, `handoccnet-open-s` for hands in a box where
                none can be had (both ours, trained on generated hands). Or one of these two by name; `fit` (the hand model fitted to 2D
                joints, nothing learned); a `.safetensors` file of ours; a snapshot of the authors of HandOccNet or HandGCAT
                (`.pth.tar`); a network that `occhand export` wrote (`.onnx`, `.xml`).
            hand: `open` (ours), `mano` (yours, converted before) or a MANO_RIGHT.pkl; None: the one that the weights name or hold, the
                open hand for the fit.
            refine: Let the fit move a network's hand towards the 2D joints; None: unless these are the network's own. Not for `fit` itself.
            joints_from: Weights of a HandOccNet whose 2D joints HandGCAT takes; None: the detector's, or those given.
            runtime: What runs the networks: `torch`, `compile`, `onnx`, `openvino`, or `auto`, the quickest there is. None: PyTorch
                for weights, `auto` for an exported network.
            precision: `fp32`, `bf16` or `int8`, where runtime and processor have it; None: fp32, or an exported network's own.

        Raises:
            ValueError: Unknown name; files that hold something else; options that do not go together.
            FileNotFoundError: Missing weights or hand file.
            ImportError: The runtime is not installed.
        """
        return cls(load_estimator(name, hand, refine, joints_from, runtime, precision))

    def __call__(
        self,
        image: str | os.PathLike[str] | np.ndarray,
        *,
        boxes: Float[np.ndarray, "hands 4"] | None = None,
        sides: Sequence[Side | None] | None = None,
        keypoints: np.ndarray | Sequence[Any] | None = None,
        K: Float[np.ndarray, "3 3"] | None = None,
    ) -> list[HandMesh]:
        """Reconstruct every hand in an image.

        Args:
            image: A file, or uint8 RGB.
            boxes: (x1, y1, x2, y2) in pixels where the hands are known; joints are then sought inside, enlarged.
            sides: `right`, `left` or None (unknown) for each box; needed for each hand of `keypoints` that is an array. Not by themselves.
            keypoints: (hands, 21, 2) joints in pixels, house order, where they are known; NaN marks an unknown joint. Or hands with
                their joints, as `occhand.detect.read_keypoints` gives them.
            K: Intrinsics in pixels; without them a camera is assumed, and distance is a guess.

        Returns:
            One mesh per hand found, best first; in the order given for given boxes (a box without a hand is left out) and joints.

        Raises:
            ValueError: Something given does not fit the image, or is no picture at all.
            ImportError: Nothing was given and the detector is not installed.
        """
        picture = _as_picture(image)
        camera = self.camera(picture, K)
        if keypoints is None:
            found: Sequence[DetectedHand] = self.find_hands(picture, boxes, sides)
        else:
            found = hands_from_joints(keypoints, sides, boxes)
            check_hands(found, *picture.shape[:2])
        return self.reconstruct([picture] * len(found), found, camera)

    def reconstruct(
        self, pictures: Sequence[UInt8[np.ndarray, "height width 3"]], hands: Sequence[DetectedHand], camera: Camera
    ) -> list[HandMesh]:
        """Hands that were found, all in one batch.

        Args:
            pictures: The picture of each hand; they may differ, as the frames of a video do, but not in size.
            hands: With 2D joints where the estimator needs them.
            camera: Of all pictures.
        """
        if not hands:
            return []
        estimate = self.estimator([HandView.of(picture, hand, camera) for picture, hand in zip(pictures, hands, strict=True)])
        return [self._to_mesh(hand, camera, estimate, k) for k, hand in enumerate(hands)]

    @staticmethod
    def camera(picture: UInt8[np.ndarray, "height width 3"], K: Float[np.ndarray, "3 3"] | None = None) -> Camera:
        """The camera that a picture is taken to come from: the given one, or an assumed one."""
        height, width = picture.shape[:2]
        return Camera.assume(height, width) if K is None else Camera(K, height, width)

    def find_hands(
        self,
        picture: UInt8[np.ndarray, "height width 3"],
        boxes: Float[np.ndarray, "hands 4"] | None = None,
        sides: Sequence[Side | None] | None = None,
    ) -> list[DetectedHand]:
        """Hands with what the estimator needs: all that the detector sees, or those inside the given boxes.

        A box with its side is a hand even where no joints are found in it, or where there is no detector to look, if the estimator can
        do without them.
        """
        if boxes is None and sides is not None:
            raise ValueError("Sides were given without the hands that they are of. Give a box or joints for each, or leave sides out.")
        if boxes is None:
            hands = self.detector.detect(picture)
            return [hand for hand in (self._with_joints(picture, hand) for hand in hands) if hand is not None]
        boxes = check_boxes(boxes, *picture.shape[:2])
        sides = [None] * len(boxes) if sides is None else [None if side is None else check_side(side) for side in sides]
        if len(sides) != len(boxes):
            raise ValueError(f"{len(boxes)} boxes, but {len(sides)} sides. Give one side per box; None where it is not known.")
        keypointer = self._keypointer_for(sides)
        found = []
        for box, side in zip(boxes, sides, strict=True):
            is_sought = side is None or self.estimator.keypoint_need != "none"
            seen = keypointer.find_joints(picture, box, side) if keypointer is not None and is_sought else None
            if seen is not None:
                found.append(DetectedHand(box, seen[0], seen[1].score, seen[1], bbox_source="given"))
            elif side is not None and self.estimator.keypoint_need != "required":
                found.append(DetectedHand(box, side, 1.0, bbox_source="given"))
            else:
                _log.warning("No hand seen in box %s", ",".join(f"{value:g}" for value in box))
        return found

    def _keypointer_for(self, sides: Sequence[Side | None]) -> Keypointer | None:
        """What finds joints in boxes, where that is needed; where it only would help, None if it is not installed."""
        need, all_known = self.estimator.keypoint_need, None not in sides
        if need == "none" and all_known:
            return None
        try:
            return self.keypointer
        except (ImportError, FileNotFoundError) as error:
            if need == "required" or not all_known:
                raise
            _log.warning("No 2D joints are sought, so the hands come from pixels alone. %s", error)
            return None

    def look_inside(
        self, picture: UInt8[np.ndarray, "height width 3"], hand: HandMesh
    ) -> tuple[UInt8[np.ndarray, "size size 3"], dict[str, Float[np.ndarray, "_ _"]]]:
        """The crop that the network saw of a hand found in the picture, and its maps over it by name; a left hand's is mirrored.

        Raises:
            ValueError: The estimator is no network.
        """
        if not isinstance(self.estimator, NetworkEstimator | DefaultEstimator):
            raise ValueError("The fit has no maps to show. Name a network, or no model at all.")
        is_own = hand.keypoint_source == "handoccnet"  # found by a network itself, which finds them again
        points = None if is_own else Keypoints2D(hand.keypoints, hand.keypoint_weights, hand.keypoint_source)
        found = DetectedHand(hand.bbox_xyxy, hand.side, hand.score, points, hand.bbox_source)
        return self.estimator.look_inside(HandView.of(picture, found, hand.camera))

    def load_detector(self) -> None:
        """Start the detector now, not at the first image, so that what it lacks is said at once.

        Raises:
            ImportError: The extra `detect` is not installed.
            FileNotFoundError: Its model file can be neither found nor fetched.
        """
        if self._detector is None or self._keypointer is None:
            mediapipe = MediaPipeHands.load()
            self._detector, self._keypointer = self._detector or mediapipe, self._keypointer or mediapipe

    @property
    def detector(self) -> Detector:
        self.load_detector()
        assert self._detector is not None
        return self._detector

    @property
    def keypointer(self) -> Keypointer:
        self.load_detector()
        assert self._keypointer is not None
        return self._keypointer

    def _with_joints(self, picture: UInt8[np.ndarray, "height width 3"], hand: DetectedHand) -> DetectedHand | None:
        """The hand with its joints, for detectors that find boxes only."""
        if hand.keypoints is not None or self.estimator.keypoint_need == "none":
            return hand
        seen = self.keypointer.find_joints(picture, hand.bbox_xyxy, hand.side)
        if seen is not None:
            return replace(hand, keypoints=seen[1])
        return hand if self.estimator.keypoint_need == "preferred" else None

    def _to_mesh(self, found: DetectedHand, camera: Camera, estimate: Estimate, k: int) -> HandMesh:
        """Row `k` of an estimate, mirrored back for a left hand."""
        layer: HandLayer = self.estimator.hand
        faces, rotations, keypoints = layer.faces.numpy(), estimate.rotations[k], estimate.keypoints[k]
        mirror = np.ones(3)
        if found.side == "left":
            mirror = np.array([-1.0, 1.0, 1.0])
            faces, rotations, keypoints = np.ascontiguousarray(faces[:, ::-1]), mirror_rotation(rotations), keypoints.mirrored(camera.width)
        return HandMesh(
            vertices=estimate.vertices[k].double().numpy() * mirror,
            joints=estimate.joints[k].double().numpy() * mirror,
            faces=faces,
            side=found.side,
            rotations=rotations.double().numpy(),
            betas=estimate.betas[k].double().numpy(),
            translation=estimate.translation[k].double().numpy() * mirror,
            camera=camera,
            bbox_xyxy=found.bbox_xyxy,
            bbox_source=found.bbox_source,
            keypoints=keypoints.joints_img,
            keypoint_weights=keypoints.weights,
            keypoint_source=keypoints.source,
            score=found.score,
            estimator=estimate.descriptions[k],
            hand_model=layer.name,
            joint_sigma=None if estimate.joint_sigma is None else estimate.joint_sigma[k].double().numpy(),
            joint_visibility=None if estimate.joint_visibility is None else estimate.joint_visibility[k].double().numpy(),
        )


def _as_picture(image: str | os.PathLike[str] | np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    if isinstance(image, str | os.PathLike):
        return load_image(image)
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        found = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"The image is {found}, expected a file or a uint8 array of height x width x 3, RGB.")
    return image
