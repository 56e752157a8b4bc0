"""Ten shape components: overall size, then nine of hands brought to one size.

Hands are sampled by drawing the factors of `HandShape`; the template's vertices follow bone by bone and are projected onto each new
surface, so they keep their meaning. A sample is divided by its size (its least-squares scale to the template about the wrist): what is
left is square to the template, so size and form are separate components by construction, and a size is drawn independently of the form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from occhand.hand.skeleton import MANO_FINGERS, NUM_BETAS
from tools.open_hand.anatomy import FIRST_JOINT, HandShape, joints16, skeleton, tips, unit
from tools.open_hand.field import hand_field

SAMPLES = 320
HAND_LENGTH_SD_MM = 11.0
"""Wrist to middle fingertip, over adults (ACOPLA95, quoted second-hand: 183 +- 10 mm men, 166 +- 8 mm women)."""


@dataclass(frozen=True)
class ShapeSpace:
    """Shape components and what they were learnt from, mm, build frame."""

    components: Float[np.ndarray, "v 3 10"]
    """Displacement per standard deviation."""
    explained: float
    """Share of the variance of all samples, size included, that the ten components hold."""
    explained_form: float
    """Share of the variance of form, size apart, that components 2 to 10 hold."""
    vertices: Float[np.ndarray, "samples v 3"]
    joints: Float[np.ndarray, "samples 16 3"]
    shapes: tuple[HandShape, ...]
    betas: Float[np.ndarray, "samples 10"]
    """Coordinates of the samples."""


def sample_shape(draw: Float[np.ndarray, "35"]) -> HandShape:
    """A hand from standard normal numbers; the spreads are our choice.

    With size, a bone's length has an SD of 7.4 %; Buryanov and Kotiuk found 7 to 16 %.
    """
    common_length = 1 + 0.035 * draw[0]
    stout = 0.07 * draw[1]
    finger_length = common_length * (1 + 0.02 * draw[2:7])
    finger_length[MANO_FINGERS.index("thumb")] *= 1 + 0.02 * draw[7]
    return HandShape(
        finger_length=finger_length,
        segment_length=1 + 0.022 * draw[8:23].reshape(5, 3),
        finger_breadth=(1 + stout) * (1 + 0.018 * draw[23:28]),
        tip_breadth=1 + 0.04 * draw[28],
        palm_length=1 + 0.03 * draw[29],
        palm_breadth=1 + 0.045 * draw[30] + 0.25 * stout,
        palm_depth=1 + 0.05 * draw[31] + 0.4 * stout,
        thenar=1 + 0.06 * draw[32] + 0.3 * stout,
        hypothenar=1 + 0.06 * draw[33] + 0.3 * stout,
    )


def _turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes unit vector a to b."""
    v = np.cross(a, b)
    K = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + K + K @ K / (1 + a @ b)


def _followed(points: np.ndarray, weights: np.ndarray, mean: HandShape, shape: HandShape) -> np.ndarray:
    """The template's vertices moved with their bones to another shape, blended by the skin weights; not yet on its surface."""
    before, after = skeleton(mean), skeleton(shape)

    def anchors(chains: dict[str, np.ndarray], depth: float) -> np.ndarray:
        return np.stack([np.zeros(3), np.array([0, 0, 20 * depth]), *(chains[f][0] for f in MANO_FINGERS)])

    homogeneous = np.concatenate([anchors(before, 1.0), np.ones((7, 1))], axis=1)
    palm = np.linalg.lstsq(homogeneous, anchors(after, shape.palm_depth), rcond=None)[0]
    out = weights[:, :1] * (np.concatenate([points, np.ones((len(points), 1))], axis=1) @ palm)
    for i, finger in enumerate(MANO_FINGERS):
        for k in range(3):
            old, new = (chains[finger][k + 1] - chains[finger][k] for chains in (before, after))
            old_unit, new_unit = unit(old), unit(new)
            offset = points - before[finger][k]
            along = offset @ old_unit
            around = (offset - along[:, None] * old_unit) @ _turn(old_unit, new_unit).T
            stretch = np.linalg.norm(new) / np.linalg.norm(old)
            moved = after[finger][k] + (along * stretch)[:, None] * new_unit + shape.finger_breadth[i] * around
            joint = FIRST_JOINT[finger] + k
            out += weights[:, joint : joint + 1] * moved
    return out


def fit_template(
    points: Float[np.ndarray, "v 3"], weights: Float[np.ndarray, "v 16"], on_loop: Float[np.ndarray, "v"], shape: HandShape
) -> Float[np.ndarray, "v 3"]:
    """The template on the surface of another hand shape, mm."""
    moved = _followed(points, weights, HandShape(), shape)
    loop = on_loop == 1
    moved[loop, 0] = points[loop, 0]
    return hand_field(shape).project(moved, 4, in_plane=on_loop)


def learn_shape_space(
    points: Float[np.ndarray, "v 3"], weights: Float[np.ndarray, "v 16"], on_loop: Float[np.ndarray, "v"], seed: int = 0
) -> ShapeSpace:
    """Sample hands and find the ten components."""
    rng = np.random.default_rng(seed)
    half = rng.standard_normal((SAMPLES // 2, 35))
    shapes = tuple(sample_shape(np.clip(draw, -2.5, 2.5)) for draw in np.concatenate([half, -half]))
    vertices = np.stack([fit_template(points, weights, on_loop, shape) for shape in shapes])
    size = (vertices * points).sum((1, 2)) / (points**2).sum()
    form = vertices / size[:, None, None]
    form_joints = np.stack([joints16(shape) for shape in shapes]) / size[:, None, None]
    # PCA about the template, not about the samples' mean: the template lies on its surface and zero betas mean it.
    flat = (form - points).reshape(SAMPLES, -1)
    _, spread, directions = np.linalg.svd(flat, full_matrices=False)
    variance = spread**2 / SAMPLES
    deviations = np.sqrt(variance[: NUM_BETAS - 1])
    forms = (directions[: NUM_BETAS - 1] * deviations[:, None]).reshape(NUM_BETAS - 1, -1, 3)

    middle_tip = int(np.linalg.norm(points - tips(HandShape())[1], axis=1).argmin())
    length_gain = forms[:, middle_tip] @ unit(points[middle_tip])
    size_sd = np.sqrt(HAND_LENGTH_SD_MM**2 - (length_gain**2).sum()) / np.linalg.norm(points[middle_tip])
    signs = np.sign((forms * points).sum((1, 2)) + 1e3 * _breadth_gain(forms, points, weights))
    components = np.concatenate([size_sd * points[None], forms * signs[:, None, None]])
    form_betas = flat @ directions[: NUM_BETAS - 1].T / deviations * signs
    # A size for each sample, uncorrelated with its form.
    design = np.concatenate([np.ones((SAMPLES, 1)), form_betas], axis=1)
    drawn = rng.standard_normal((SAMPLES, 1))
    drawn -= design @ np.linalg.lstsq(design, drawn, rcond=None)[0]
    betas = np.concatenate([drawn / drawn.std(), form_betas], axis=1)
    scale = (1 + size_sd * betas[:, 0])[:, None, None]
    size_variance = size_sd**2 * (points**2).sum()
    explained = (size_variance + variance[: NUM_BETAS - 1].sum()) / (size_variance + variance.sum())
    explained_form = variance[: NUM_BETAS - 1].sum() / variance.sum()
    return ShapeSpace(
        components.transpose(1, 2, 0), float(explained), float(explained_form), form * scale, form_joints * scale, shapes, betas
    )


def _breadth_gain(forms: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How much each component thickens the hand: settles its sign (positive is stouter)."""
    from_axis = points * np.array([0.0, 1.0, 1.0])
    return (forms * from_axis / np.linalg.norm(from_axis, axis=1, keepdims=True)).sum(2).mean(1)


def joint_regressor(template: Float[np.ndarray, "v 3"], space: ShapeSpace) -> Float[np.ndarray, "16 v"]:
    """Non-negative weights that sum to 1 and give each joint of the sampled hands from nearby vertices."""
    regressor = np.zeros((16, len(template)))
    mean_joints = joints16(HandShape())
    for j in range(16):
        distance = np.linalg.norm(template - mean_joints[j], axis=1)
        support = np.argsort(distance, kind="stable")[: 60 if j == 0 else 26]
        known = space.vertices[::4, support].transpose(0, 2, 1).reshape(-1, len(support))
        wanted = space.joints[::4, j].reshape(-1)
        rows = np.concatenate([known, np.full((1, len(support)), 1e4), 0.2 * np.eye(len(support))])
        found, _ = nnls(rows, np.concatenate([wanted, [1e4], np.zeros(len(support))]))
        regressor[j, support] = found / found.sum()
    return regressor
