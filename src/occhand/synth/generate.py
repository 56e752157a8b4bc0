"""One synthetic sample: a picture of a hand, and everything that is true of it. Open this first to read how a sample is made."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from occhand.data.transforms import mirror_sample
from occhand.geometry.camera import project
from occhand.render.raster import covered_pixels, nearest_faces
from occhand.render.shadow import cast_shadows
from occhand.synth.background import draw_background
from occhand.synth.contacts import touching
from occhand.synth.hand_surface import load_surface
from occhand.synth.rotations import axis_angles
from occhand.synth.scene import OBJECT_LABEL, SCENE_SHARES, Scene, SceneKind, sample_scene
from occhand.synth.sensor import develop
from occhand.synth.shading import SAMPLES_FROM_IMG, light_scene
from occhand.synth.skin import skin_tiles
from occhand.synth.surfaces import Surfaces, seen_faces
from occhand.synth.visibility import HAND_LABEL, first_crossings, flesh_depth
from occhand.types import HandSample, Occlusion, Side

GENERATOR_VERSION = "1"
"""Changes whenever the same (seed, index) gives another sample."""

_SHADOW_RADIUS = 0.17
_GOLDEN_RATIO = 0.6180339887498949
_KIND_ENDS = np.cumsum(list(SCENE_SHARES.values()))


def generate_sample(seed: int, index: int, size: int = 256) -> HandSample:
    """Draw one hand, most often with something in the way.

    Args:
        seed: Names a data set.
        index: Of the sample in it; samples are independent of each other, so any number of workers gives the same.
        size: Height and width of the image, pixels.

    Raises:
        ValueError: A negative seed or index, or a size below 32.

    Example:
        >>> sample = generate_sample(seed=0, index=7, size=64)
        >>> sample.image.shape, sample.joints_cam.shape
        ((64, 64, 3), (21, 3))
    """
    if min(seed, index) < 0 or size < 32:
        raise ValueError(f"Seed {seed}, index {index} and size {size}: expected no negative number and at least 32 pixels.")
    rng = np.random.default_rng((seed, index))
    kind, side = _sample_kind(rng)
    tone = (_first_tone(seed) + index * _GOLDEN_RATIO) % 1.0  # spread evenly over any run of samples
    scene = sample_scene(rng, kind, side, tone, size)
    front = scene.surfaces.front()
    image, labels, depth = draw_scene(scene, front, draw_background(rng, size), rng)
    sample = _annotate(f"{seed}-{index:08d}", scene, image, _occlusion(scene, front, labels, depth))
    return mirror_sample(sample) if side == "left" else sample


@lru_cache(maxsize=16)
def _first_tone(seed: int) -> float:
    return float(np.random.default_rng(seed).random())


def _sample_kind(rng: np.random.Generator) -> tuple[SceneKind, Side]:
    place = min(int(_KIND_ENDS.searchsorted(rng.random())), len(_KIND_ENDS) - 1)
    return list(SCENE_SHARES)[place], "left" if rng.random() < 0.5 else "right"


@lru_cache(maxsize=1)
def _tiles() -> UInt8[np.ndarray, "faces points 5"]:
    surface = load_surface()
    return skin_tiles(surface.rest_fine, surface.subdivision.faces)


def draw_scene(
    scene: Scene, front: Surfaces, background: Float32[np.ndarray, "size size 3"], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The photograph, and label and depth at each pixel's centre.

    Args:
        scene: What stands before the camera.
        front: Its surfaces that the camera may see.
        background: Linear RGB; as large as the photograph.
        rng: Makes the camera's sensor; the same state gives the same sensor.
    """
    size, lighting = len(background), scene.lighting
    samples = nearest_faces(front.vertices_cam, front.faces, SAMPLES_FROM_IMG @ scene.K, 2 * size + 1, 2 * size + 1)
    ids = samples.face_ids[1::2, 1::2]
    with np.errstate(divide="ignore"):
        depth = (1.0 / samples.inverse_depth[1::2, 1::2]).astype(np.float32)
    labels = np.where(ids >= 0, front.labels[ids], 0).astype(np.uint8)
    middle = scene.hand.joints_cam.mean(0)
    lamp = lighting.directions[0]
    surfaces = scene.surfaces
    facing_lamp = seen_faces(surfaces.vertices_cam, surfaces.faces, surfaces.is_closed, middle + 20 * _SHADOW_RADIUS * lamp)
    casters = surfaces.faces.take(facing_lamp, axis=0)
    shadows = cast_shadows(surfaces.vertices_cam, casters, lamp, middle, _SHADOW_RADIUS, max(96, 3 * size // 4))
    light = light_scene(front, surfaces.normals(), samples, depth, scene.K, scene.materials, _tiles(), lighting, shadows, background)
    exposure = 0.75 / float(lighting.sky.mean() + 0.55 * lighting.intensities.mean(1).sum())
    return develop(light, exposure, rng), labels, depth


def _occlusion(scene: Scene, front: Surfaces, labels: UInt8[np.ndarray, "size size"], depth: Float[np.ndarray, "size size"]) -> Occlusion:
    """What hides the hand."""
    hand = scene.hand
    points, count = np.concatenate([hand.vertices_cam, hand.joints_cam]), len(hand.vertices_cam)
    own_vertex = np.concatenate([np.arange(count), np.full(21, -1)])
    by_hand, by_other = first_crossings(points, own_vertex, front.vertices_cam, front.faces, front.labels, scene.K)
    own_flesh = np.concatenate([np.zeros(count), flesh_depth()])
    by_self, by_other = by_hand < points[:, 2] - own_flesh, by_other < points[:, 2]
    contacts = np.zeros(0, dtype=np.int64)
    if scene.solid is not None:
        contacts = touching((hand.vertices_cam - scene.solid_t) @ scene.solid_R, scene.solid)
    alone = _pixels_alone(scene, front)
    return Occlusion(
        joints_by_self=by_self[count:],
        joints_by_other=by_other[count:],
        vertices_by_self=by_self[:count],
        vertices_by_other=by_other[:count],
        ratio=1.0 - float((labels == HAND_LABEL).sum()) / alone,
        labels=labels,
        depth=depth,
        contacts=contacts,
        object_name=scene.solid.name if scene.solid is not None and (labels == OBJECT_LABEL).any() else "",
    )


def _pixels_alone(scene: Scene, front: Surfaces) -> int:
    """Pixels that the hand would cover if it were alone and the image without border; its wrist counts as closed."""
    points = front.vertices_cam[: len(load_surface().rest_fine)]
    hand_faces = front.faces[: np.count_nonzero(front.labels == HAND_LABEL)]  # a scene's first
    return max(1, covered_pixels(points, np.concatenate([hand_faces, _wrist_lid()]), scene.K))


@lru_cache(maxsize=1)
def _wrist_lid() -> Int[np.ndarray, "faces 3"]:
    loop = load_surface().wrist_loop
    return np.stack([np.full(len(loop) - 2, loop[0]), loop[2:], loop[1:-1]], axis=1)


def _annotate(key: str, scene: Scene, image: np.ndarray, occlusion: Occlusion) -> HandSample:
    hand = scene.hand
    joints_img = project(hand.joints_cam, scene.K)
    return HandSample(
        key=key,
        image=image,
        K=scene.K,
        side="right",
        joints_cam=hand.joints_cam,
        joints_img=joints_img,
        bbox_xyxy=np.concatenate([joints_img.min(0), joints_img.max(0)]),
        vertices_cam=hand.vertices_cam,
        pose=axis_angles(hand.rotations).ravel(),
        betas=hand.betas,
        translation=hand.translation,
        occlusion=occlusion,
    )
