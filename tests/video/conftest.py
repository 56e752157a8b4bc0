"""A moving hand whose frames carry their number, and a detector that knows the truth of each frame but for noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from occhand.detect import DetectedHand, Keypoints2D
from occhand.detect.modes import joint_distance
from occhand.estimators import Estimate, FitEstimator
from occhand.fit import solve_translation
from occhand.geometry.rotation import axis_angle_to_matrix
from occhand.hand.hand_layer import load_hand
from occhand.hand.prior import load_prior
from occhand.predictor import Predictor

HEIGHT, WIDTH, FOCAL = 96, 128, 110.0
K = np.array([[FOCAL, 0.0, (WIDTH - 1) / 2], [0.0, FOCAL, (HEIGHT - 1) / 2], [0.0, 0.0, 1.0]])
_BITS, _CELL = 12, 4


def stamp(picture: np.ndarray, number: int) -> np.ndarray:
    """Write a number into the top rows, as blocks that survive video coding."""
    for bit in range(_BITS):
        picture[:_CELL, bit * _CELL : (bit + 1) * _CELL] = 255 if number >> bit & 1 else 0
    return picture


def read_stamp(picture: np.ndarray) -> int:
    cells = picture[1 : _CELL - 1, : _BITS * _CELL].mean((0, 2)).reshape(_BITS, _CELL)[:, 1:-1].mean(1)
    return int(sum(1 << bit for bit in range(_BITS) if cells[bit] > 127))


@dataclass
class Truth:
    """Hands of each frame: side and joints in the camera frame; what is not there is not seen."""

    hands: list[list[tuple[str, np.ndarray]]]
    noise_px: float = 0.3

    def points(self, number: int) -> list[tuple[str, Keypoints2D]]:
        found = []
        for k, (side, joints) in enumerate(self.hands[number]):
            pixels = joints @ K.T
            noise = np.random.default_rng((number, k)).normal(0, self.noise_px, (21, 2))
            found.append((side, Keypoints2D(pixels[:, :2] / pixels[:, 2:] + noise, np.ones(21), "mediapipe", 0.9)))
        return found

    def detect(self, image):
        return [
            DetectedHand(np.concatenate([p.joints_img.min(0), p.joints_img.max(0)]), side, p.score, p)
            for side, p in self.points(read_stamp(image))
        ]

    def glance(self, image):
        return self.detect(image)

    def follow(self, image, joints_img):
        near = sorted((joint_distance(p.joints_img, joints_img), k, p) for k, (_, p) in enumerate(self.points(read_stamp(image))))
        return near[0][2] if near and near[0][0] < 0.6 else None

    def find_joints(self, image, bbox_xyxy, side):
        return None


def moving_hand(count: int, side: str = "right", x_from: float = -0.08, x_to: float = 0.08) -> list[tuple[str, np.ndarray]]:
    """A hand that closes, turns and crosses the picture at half a metre."""
    layer, prior = load_hand(), load_prior()
    share = torch.linspace(0, 1, count)
    closing = torch.linalg.eigh(prior.covariance).eigenvectors[:, -1] * prior.covariance.trace().sqrt() * 0.5
    rotations = prior.rotations(prior.clamp(prior.mean + torch.sin(6 * share)[:, None] * closing))
    rotations[:, 0] = axis_angle_to_matrix(torch.stack([0.4 * share, 1.57 + 0 * share, 0.5 * torch.sin(4 * share)], dim=1))
    joints = layer(rotations, torch.zeros(count, 10)).joints.double().numpy()
    joints -= joints.mean(1, keepdims=True)
    place = np.stack([np.linspace(x_from, x_to, count), 0.03 * np.sin(np.linspace(0, 5, count)), np.full(count, 0.5)], axis=1)
    mirror = np.array([-1.0, 1.0, 1.0]) if side == "left" else np.ones(3)
    return [(side, frame * mirror + at) for frame, at in zip(joints, place, strict=True)]


def frames_of(count: int) -> list[np.ndarray]:
    return [stamp(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), k) for k in range(count)]


def predictor_of(truth: Truth) -> Predictor:
    return Predictor(FitEstimator(load_hand()), truth, truth)


class FlatHands:
    """Puts a flat hand where the joints are: an estimate in no time, where its truth is not the question."""

    keypoint_need = "required"

    def __init__(self) -> None:
        self.hand = load_hand()

    def __call__(self, views) -> Estimate:
        rotations, betas = torch.eye(3).expand(len(views), 16, 3, 3), torch.zeros(len(views), 10)
        posed = self.hand(rotations, betas)
        pixels = torch.from_numpy(np.stack([view.keypoints.joints_img for view in views])).float()
        translation = solve_translation(posed.joints, pixels, torch.from_numpy(np.stack([view.K for view in views])).float())
        vertices, joints = posed.vertices + translation[:, None], posed.joints + translation[:, None]
        return Estimate(rotations, betas, translation, vertices, joints, [view.keypoints for view in views], ["flat"] * len(views))


def quick_predictor_of(truth: Truth) -> Predictor:
    return Predictor(FlatHands(), truth, truth)


@pytest.fixture(scope="session")
def one_hand() -> list[list[tuple[str, np.ndarray]]]:
    return [[hand] for hand in moving_hand(60)]
