"""A few rendered hands, some behind a bar, and an estimator that knows the truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from occhand.estimators import Estimate
from occhand.hand.hand_layer import load_hand
from occhand.hand.prior import load_prior
from occhand.render.raster import rasterize
from occhand.synth.pose import PoseSampler
from occhand.types import HandSample, Occlusion

SIZE = 96
COUNT = 30


def make_sample(hand, k: int, posed_vertices, posed_joints) -> HandSample:
    """Hand `k`, every second one left, hidden from the left up to a share that grows with k."""
    mirror = np.array([1.0 - 2 * (k % 2), 1.0, 1.0])
    place = np.array([0.0, 0.0, 0.5])
    middle = posed_joints.mean(0)
    vertices, joints = ((points - middle) * mirror + place for points in (posed_vertices, posed_joints))
    K = np.array([[190.0, 0.0, (SIZE - 1) / 2], [0.0, 190.0, (SIZE - 1) / 2], [0.0, 0.0, 1.0]])
    homogeneous = joints @ K.T
    joints_img = homogeneous[:, :2] / homogeneous[:, 2:]
    seen = rasterize(vertices, hand.faces.numpy(), K, SIZE, SIZE)
    mask = seen.face_ids >= 0
    edge = np.quantile(np.nonzero(mask)[1], 0.8 * k / COUNT)
    bar = np.arange(SIZE)[None, :] < np.full((SIZE, 1), edge if k else -1.0)
    labels = np.where(bar, 2, mask).astype(np.uint8)
    image = np.where(labels[..., None] == 1, (200, 150, 130), (60, 70, 80)).astype(np.uint8)
    by_other = joints_img[:, 0] < edge if k else np.zeros(21, bool)
    occlusion = Occlusion(
        joints_by_self=np.zeros(21, bool),
        joints_by_other=by_other,
        vertices_by_self=np.zeros(778, bool),
        vertices_by_other=np.zeros(778, bool),
        ratio=float((mask & bar).sum() / mask.sum()),
        labels=labels,
        depth=seen.depth,
        contacts=np.zeros(0, np.int64),
        object_name="bar",
    )
    box = np.concatenate([joints_img.min(0), joints_img.max(0)])
    side = "left" if k % 2 else "right"
    return HandSample(f"hand-{k:02d}", image, K, side, joints, joints_img, box, vertices_cam=vertices, occlusion=occlusion)


@pytest.fixture(scope="session")
def hand():
    return load_hand()


@pytest.fixture(scope="session")
def samples(hand) -> list[HandSample]:
    prior = load_prior()
    angles = torch.from_numpy(PoseSampler.load().sample_batch(np.random.default_rng(5), COUNT))
    posed = hand(prior.rotations(prior.active(angles)), torch.zeros(COUNT, 10))
    return [make_sample(hand, k, posed.vertices[k].double().numpy(), posed.joints[k].double().numpy()) for k in range(COUNT)]


@pytest.fixture(scope="session")
def unannotated(samples) -> list[HandSample]:
    """The same as real data: nobody knows what is hidden, and there are no meshes."""
    return [replace(sample, occlusion=None, vertices_cam=None) for sample in samples]


class Oracle:
    """Knows every hand by its picture, and is off by 10 mm at every joint that its picture does not show."""

    keypoint_need = "required"
    blur = 0.0
    """Metres added to every joint."""

    def __init__(self, hand, samples) -> None:
        self.hand = hand
        self._truth = {}
        for sample in samples:
            sign = np.array([-1.0 if sample.side == "left" else 1.0, 1.0, 1.0])
            picture = sample.image[:, ::-1] if sample.side == "left" else sample.image
            hidden = sample.occlusion.joints_by_other
            self._truth[picture.tobytes()] = (sample.joints_cam * sign, sample.vertices_cam * sign, hidden)

    def __call__(self, views) -> Estimate:
        rows = [self._truth[np.ascontiguousarray(view.picture).tobytes()] for view in views]
        joints = torch.from_numpy(np.stack([joints + 0.01 * hidden[:, None] * (0.0, 1.0, 0.0) + self.blur for joints, _, hidden in rows]))
        vertices = torch.from_numpy(np.stack([vertices for _, vertices, _ in rows]))
        B = len(rows)
        rotations = torch.eye(3).expand(B, 16, 3, 3)
        points = [view.keypoints for view in views]
        return Estimate(rotations, torch.zeros(B, 10), torch.zeros(B, 3), vertices.float(), joints.float(), points, ["oracle"] * B)


@pytest.fixture
def oracle(hand, samples) -> Oracle:
    return Oracle(hand, samples)
