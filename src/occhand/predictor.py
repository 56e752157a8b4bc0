"""How an image becomes hand meshes: find the hands, mirror left ones, fit the hand model, mirror back."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from occhand.detect import DetectedHand, Detector, Keypointer, check_boxes, hands_from_joints
from occhand.detect.mediapipe import MediaPipeHands
from occhand.fit import HandFit, fit_hand
from occhand.geometry.camera import mirror_intrinsics
from occhand.geometry.rotation import mirror_rotation
from occhand.hand.assets import load_parameters
from occhand.hand.hand_layer import HandLayer
from occhand.hand.parameters import HandParameters
from occhand.image_io import load_image
from occhand.result import HandMesh
from occhand.types import Camera, Side

ESTIMATORS = ("fit",)
"""Names that `Predictor.from_pretrained` knows. `fit`: the hand model is fitted to the 2D joints; nothing is learned."""

_log = logging.getLogger(__name__)

ImageLike = str | os.PathLike[str] | UInt8[np.ndarray, "height width 3"]


class Predictor:
    """Images in, hand meshes out.

    Args:
        hand: The right hand model; left hands are fitted as its mirror image.
        detector: Finds hands with their joints where the caller gives neither; None: MediaPipe, opened at the first need.
        keypointer: Finds the joints inside a given box; None: MediaPipe, likewise.
    """

    def __init__(self, hand: HandParameters, detector: Detector | None = None, keypointer: Keypointer | None = None) -> None:
        self.parameters = hand
        self.hand = HandLayer(hand)
        self._faces = {"right": hand.faces, "left": hand.mirrored().faces}
        self._detector, self._keypointer = detector, keypointer

    @classmethod
    def from_pretrained(cls, name: str = "fit", hand: str | os.PathLike[str] = "open") -> Predictor:
        """A predictor by the name of its estimator.

        Args:
            name: One of `ESTIMATORS`.
            hand: `open` (ours), `mano` (yours, converted before) or a MANO_RIGHT.pkl.

        Raises:
            ValueError: Unknown name.
            FileNotFoundError: The hand file is missing.
        """
        if name not in ESTIMATORS:
            near = difflib.get_close_matches(name, ESTIMATORS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Unknown estimator {name!r}; choose one of {', '.join(ESTIMATORS)}.{hint}")
        return cls(load_parameters(hand, "right"))

    def __call__(
        self,
        image: ImageLike,
        *,
        boxes: Float[np.ndarray, "hands 4"] | None = None,
        sides: Sequence[Side | None] | None = None,
        keypoints: Float[np.ndarray, "hands 21 2"] | Sequence[DetectedHand] | None = None,
        K: Float[np.ndarray, "3 3"] | None = None,
    ) -> list[HandMesh]:
        """Reconstruct every hand in an image.

        Args:
            image: A file, or uint8 RGB.
            boxes: (x1, y1, x2, y2) in pixels where the hands are known; joints are then sought inside, enlarged.
            sides: `right`, `left` or None (unknown) for each box; needed for each hand of `keypoints`.
            keypoints: The 21 joints in pixels, house order, where they are known; NaN marks an unknown joint. Or hands with their
                joints, as `occhand.detect.read_keypoints` gives them.
            K: Intrinsics in pixels; without them a camera is assumed, and distance is a guess.

        Returns:
            One mesh per hand found, best first; in the order given for given boxes (a box without a hand is left out) and joints.

        Raises:
            ValueError: Something given does not fit the image, or is no picture at all.
            ImportError: Nothing was given and the detector is not installed.
        """
        picture = image if isinstance(image, np.ndarray) else load_image(image)
        camera = self.camera(picture, K)
        if keypoints is None:
            found: Sequence[DetectedHand] = self.find_hands(picture, boxes, sides)
        elif isinstance(keypoints, np.ndarray):
            found = hands_from_joints(keypoints, sides, boxes)
        else:
            found = keypoints
        return self.estimate(found, camera)

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
        """Hands with their 2D joints: all that the detector sees, or those inside the given boxes."""
        if boxes is None:
            hands = self.detector.detect(picture)
            return [hand for hand in (self._with_joints(picture, hand) for hand in hands) if hand is not None]
        boxes = check_boxes(boxes, *picture.shape[:2])
        if sides is not None and len(sides) != len(boxes):
            raise ValueError(f"{len(boxes)} boxes, but {len(sides)} sides. Give one side per box; None where it is not known.")
        found = []
        for box, side in zip(boxes, sides or [None] * len(boxes), strict=True):
            seen = self.keypointer.find_joints(picture, box, side)
            if seen is None:
                _log.warning("No hand seen in box %s", ",".join(f"{value:g}" for value in box))
            else:
                found.append(DetectedHand(box, seen[0], seen[1].score, seen[1], bbox_source="given"))
        return found

    def _with_joints(self, picture: UInt8[np.ndarray, "height width 3"], hand: DetectedHand) -> DetectedHand | None:
        """The hand with its joints, for detectors that find boxes only."""
        if hand.keypoints is not None:
            return hand
        seen = self.keypointer.find_joints(picture, hand.bbox_xyxy, hand.side)
        return None if seen is None else replace(hand, keypoints=seen[1])

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

    def estimate(self, found: Sequence[DetectedHand], camera: Camera) -> list[HandMesh]:
        """Fit the hand model to the 2D joints of all hands at once."""
        if not found:
            return []
        # The hand model is a right hand: what a left one shows is mirrored before the fit, and the mesh after it.
        views = [_RightView.of(hand, camera) for hand in found]
        cues = [view.joints_world for view in views if view.joints_world is not None]
        world = _batch(cues) if len(cues) == len(views) else None
        fit = fit_hand(
            self.hand,
            joints_img=_batch(view.joints_img for view in views),
            K=_batch(view.K for view in views),
            weights=_batch(view.weights for view in views),
            joints_world=world,
        )
        estimator = "fit to 2D joints" if world is None else "fit to 2D joints, with MediaPipe's world joints as a weak cue for depth"
        return [self._to_mesh(hand, camera, fit, k, estimator) for k, hand in enumerate(found)]

    def _to_mesh(self, found: DetectedHand, camera: Camera, fit: HandFit, k: int, estimator: str) -> HandMesh:
        """Row `k` of a fit, mirrored back for a left hand."""
        is_left = found.side == "left"
        mirror = np.array([-1.0 if is_left else 1.0, 1.0, 1.0])
        rotations = mirror_rotation(fit.rotations[k]) if is_left else fit.rotations[k]
        keypoints = found.keypoints
        assert keypoints is not None
        return HandMesh(
            vertices=fit.vertices[k].double().numpy() * mirror,
            joints=fit.joints[k].double().numpy() * mirror,
            faces=self._faces[found.side],
            side=found.side,
            rotations=rotations.double().numpy(),
            betas=fit.betas[k].double().numpy(),
            translation=fit.translation[k].double().numpy() * mirror,
            camera=camera,
            bbox_xyxy=found.bbox_xyxy,
            bbox_source=found.bbox_source,
            keypoints=keypoints.joints_img,
            keypoint_weights=keypoints.weights,
            keypoint_source=keypoints.source,
            score=found.score,
            reprojection_error_px=float(fit.error_px[k][torch.from_numpy(keypoints.weights > 0)].mean()),
            estimator=estimator,
            hand_model=self.hand.name,
        )


class _RightView(NamedTuple):
    """A hand's 2D joints as the mirror shows them if it is a left hand, as they are if it is a right one."""

    joints_img: np.ndarray
    weights: np.ndarray
    K: np.ndarray
    joints_world: np.ndarray | None

    @classmethod
    def of(cls, hand: DetectedHand, camera: Camera) -> _RightView:
        points = hand.keypoints
        assert points is not None
        if hand.side == "right":
            return cls(points.joints_img, points.weights, camera.K, points.joints_world)
        joints_img = points.joints_img * (-1.0, 1.0) + (camera.width - 1.0, 0.0)
        K = mirror_intrinsics(torch.from_numpy(camera.K), camera.width).numpy()
        world = None if points.joints_world is None else points.joints_world * (-1.0, 1.0, 1.0)
        return cls(joints_img, points.weights, K, world)


def _batch(arrays: Iterable[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(list(arrays))).float()
