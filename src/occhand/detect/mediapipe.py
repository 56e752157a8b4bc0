"""Hands by MediaPipe: found in the whole image and in tiles of it, or sought inside a box that is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8

from occhand.detect.detector import DetectedHand, Keypoints2D
from occhand.detect.landmarker import Landmarker, aim_at_window, open_landmarker, report_presence, require_mediapipe
from occhand.detect.landmarker_file import find_landmarker_file
from occhand.detect.modes import Reading, group, overlap, suppress
from occhand.detect.window import Window, WindowCutter, around_box, around_hand, tiles, whole_image
from occhand.types import Side

FIND_SIZE = 384
"""Pixels of a window in which palms are sought; MediaPipe's palm network sees 192 of them, the landmark network a part."""
READ_SIZE = 224
"""Input of MediaPipe's landmark network."""
TILE_FRACTIONS = (1.0, 0.66, 0.45)
"""Tiles, as parts of the image's shorter side."""
MIN_PALM_SCORE = 0.3
MIN_PRESENCE = 0.5
"""Below, what the palm network found is no hand."""
MIN_SCORE = 0.6
"""Below, what was found is as often a finger taken for a hand."""
MIN_PRESENCE_IN_BOX = 0.2
"""Lower, since whoever gives a box says that there is a hand."""
MIN_OVERLAP_WITH_BOX = 0.2
SEARCH_ANGLES = tuple(float(angle) for angle in np.deg2rad(range(0, 360, 45)))
SEARCH_STARTS = 32
MIN_START_PRESENCE = 0.05
MIN_SEARCH_SUPPORT = 2
"""A lone answer of the search is chance: on 14 pictures without hands (scikit-image's) every false one was alone."""
BOX_SCALES = (1.2, 1.6, 2.2)
BOX_ANGLES = tuple(float(angle) for angle in np.deg2rad(range(0, 360, 30)))
SETTLE_STEPS = 2
OUTSIDE_WEIGHT = 0.2
"""Of joints that MediaPipe places outside of the image: it extrapolates them."""
MAX_COPIES = 2
"""Of the networks, which use one thread and 150 MB each: a photograph's search then stays within 1.2 GB in all."""

Item = TypeVar("Item")
Found = TypeVar("Found")


class Networks(NamedTuple):
    """What looks at windows."""

    find: Landmarker
    """Palm and landmark network."""
    presence: Landmarker
    """Landmark network in the given window, with presence as its score (`aim_at_window`, `report_presence`)."""

    def look(self, cutter: WindowCutter, window: Window) -> Reading:
        """What the landmark network reads in a window."""
        (hand,) = self.presence(cutter.cut(window, READ_SIZE))
        world = hand.joints_world.copy()
        world[:, :2] = world[:, :2] @ window.rotation.T
        return Reading(window, window.to_image(hand.joints), world, hand.right_score)


class MediaPipeHands:
    """Detector and keypointer on MediaPipe's hand landmarker. Deterministic; one image at a time.

    A hand is found by the palm network in the whole image or in overlapping tiles, then read by the landmark network in the window that
    MediaPipe's tracking would take next, twice, so that the joints do not depend on where the hand was found. Scores are the landmark
    network's presence times its trust in the side. MediaPipe gives no confidence per joint: weights are 1, or `OUTSIDE_WEIGHT` outside
    of the image.

    Where the palm network sees nothing at all (gloves, hands half hidden by what they hold), the landmark network alone is tried on every
    tile in eight directions; that takes a few seconds.

    Args:
        copies: Of the networks; they share the windows of an image between them, each on a thread of its own.
        read: Landmark network in the given window, with the hand's side as its score.
        tile_fractions: Sizes of the tiles; none searches the whole image only: a tenth of the time, and small hands are missed.
    """

    def __init__(self, copies: Sequence[Networks], read: Landmarker, tile_fractions: tuple[float, ...] = TILE_FRACTIONS) -> None:
        self._copies, self._read, self._tile_fractions = copies, read, tile_fractions

    @classmethod
    def load(
        cls,
        task_file: str | os.PathLike[str] | None = None,
        tile_fractions: tuple[float, ...] = TILE_FRACTIONS,
        copies: int | None = None,
    ) -> MediaPipeHands:
        """Start the networks.

        Args:
            task_file: MediaPipe's `hand_landmarker.task`; None looks where `find_landmarker_file` says.
            tile_fractions: As in the class.
            copies: Of the networks, 150 MB each; None: two where PyTorch has more than one thread.

        Raises:
            ImportError: The extra is not installed.
            FileNotFoundError: No such file, and it can be neither downloaded nor made.
            ValueError: The file is no hand landmarker.
        """
        require_mediapipe()
        task = find_landmarker_file(task_file).read_bytes()
        aimed = aim_at_window(task)
        with_presence = report_presence(aimed)
        networks = [
            Networks(
                find=open_landmarker(task, max_hands=8, min_score=MIN_PALM_SCORE),
                presence=open_landmarker(with_presence, max_hands=1, min_score=0.0),
            )
            for _ in range(copies or min(MAX_COPIES, torch.get_num_threads()))
        ]
        return cls(networks, open_landmarker(aimed, max_hands=1, min_score=0.0), tile_fractions)

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedHand]:
        """All hands of an RGB image, best score first."""
        hands = self.glance(image) or self._find_by_search(WindowCutter(image), image.shape[:2], self._tiles(image))
        return sorted(hands, key=lambda hand: -hand.score)

    def glance(self, image: UInt8[np.ndarray, "height width 3"]) -> list[DetectedHand]:
        """Hands that the palm network sees, best score first."""
        windows = [whole_image(*image.shape[:2]), *self._tiles(image)]
        return sorted(self._find_by_palms(WindowCutter(image), image.shape[:2], windows), key=lambda hand: -hand.score)

    def find_joints(
        self, image: UInt8[np.ndarray, "height width 3"], bbox_xyxy: Float[np.ndarray, "4"], side: Side | None = None
    ) -> tuple[Side, Keypoints2D] | None:
        """The joints of the hand in the box and its side, which is `side` where that is given; None when no hand is seen there.

        Every direction of the hand and several sizes are tried and followed until they settle. The answer is taken that looks most like
        a hand, of that side, in that box, and on which most starts settle.
        """
        cutter = WindowCutter(image)
        boxes = (around_box(bbox_xyxy, scale, angle) for scale in BOX_SCALES for angle in BOX_ANGLES)
        starts = self._spread(lambda networks, window: networks.look(cutter, window), boxes)
        best: tuple[float, Side, Reading] | None = None
        for mode in group(self._settle(cutter, (around_hand(start.joints_img) for start in starts))):
            shared = overlap(mode.reading.bbox_xyxy, bbox_xyxy)
            if mode.reading.presence < MIN_PRESENCE_IN_BOX or shared < MIN_OVERLAP_WITH_BOX:
                continue
            right = self._right_score(cutter, mode.reading.window)
            seen: Side = side or _side(right)
            score = mode.trust * shared * (right if seen == "right" else 1 - right)
            if best is None or score > best[0]:
                best = score, seen, mode.reading
        if best is None:
            return None
        _, seen, reading = best
        return seen, _keypoints(reading, reading.presence, image.shape[:2])

    def follow(self, image: UInt8[np.ndarray, "height width 3"], joints_img: Float[np.ndarray, "21 2"]) -> Keypoints2D | None:
        """The joints of the hand expected at `joints_img`, by one look in the window around them; None when no hand is seen there."""
        reading = self._copies[0].look(WindowCutter(image), around_hand(joints_img))
        return None if reading.presence < MIN_PRESENCE else _keypoints(reading, reading.presence, image.shape[:2])

    def _tiles(self, image: np.ndarray) -> list[Window]:
        height, width = image.shape[:2]
        return [tile for fraction in self._tile_fractions for tile in tiles(height, width, fraction)]

    def _find_by_palms(self, cutter: WindowCutter, size: tuple[int, ...], windows: Sequence[Window]) -> list[DetectedHand]:
        seen = self._spread(lambda networks, window: networks.find(cutter.cut(window, FIND_SIZE)), windows)
        found = [window.to_image(hand.joints) for window, hands in zip(windows, seen, strict=True) for hand in hands]
        readings = self._settle(cutter, (around_hand(joints_img) for joints_img in found))
        modes = suppress(group(reading for reading in readings if reading.presence >= MIN_PRESENCE))
        hands = [self._to_hand(cutter, mode.reading, size) for mode in modes]
        return [hand for hand in hands if hand.score >= MIN_SCORE]

    def _find_by_search(self, cutter: WindowCutter, size: tuple[int, ...], windows: Iterable[Window]) -> list[DetectedHand]:
        turned = (replace(window, angle=angle) for window in windows for angle in SEARCH_ANGLES)
        looks = self._spread(lambda networks, window: networks.look(cutter, window), turned)
        starts = sorted(looks, key=lambda start: -start.presence)[:SEARCH_STARTS]
        likely = (around_hand(start.joints_img) for start in starts if start.presence >= MIN_START_PRESENCE)
        modes = suppress(group(self._settle(cutter, likely)))
        return [
            self._to_hand(cutter, mode.reading, size)
            for mode in modes
            if mode.reading.presence >= MIN_PRESENCE and mode.support >= MIN_SEARCH_SUPPORT
        ]

    def _settle(self, cutter: WindowCutter, windows: Iterable[Window]) -> list[Reading]:
        """Look, move the window to what was seen, look again."""

        def settle(networks: Networks, window: Window) -> Reading:
            for _ in range(SETTLE_STEPS):
                reading = networks.look(cutter, window)
                window = around_hand(reading.joints_img)
            return reading

        return self._spread(settle, windows)

    def _spread(self, task: Callable[[Networks, Item], Found], items: Iterable[Item]) -> list[Found]:
        """What a task makes of each item, in their order; whichever copy of the networks is free takes the next one."""
        if len(self._copies) == 1:
            return [task(self._copies[0], item) for item in items]
        free: SimpleQueue[Networks] = SimpleQueue()
        for networks in self._copies:
            free.put(networks)

        def run(item: Item) -> Found:
            networks = free.get()
            try:
                return task(networks, item)
            finally:
                free.put(networks)

        with ThreadPoolExecutor(len(self._copies), "occhand-detect") as threads:
            return list(threads.map(run, items))

    def _right_score(self, cutter: WindowCutter, window: Window) -> float:
        (hand,) = self._read(cutter.cut(window, READ_SIZE))
        return hand.right_score

    def _to_hand(self, cutter: WindowCutter, reading: Reading, size: tuple[int, ...]) -> DetectedHand:
        right = self._right_score(cutter, reading.window)
        score = reading.presence * max(right, 1 - right)
        return DetectedHand(reading.bbox_xyxy, _side(right), score, _keypoints(reading, score, size))


def _side(right_score: float) -> Side:
    return "right" if right_score >= 0.5 else "left"


def _keypoints(reading: Reading, score: float, size: tuple[int, ...]) -> Keypoints2D:
    height, width = size
    last_pixel = np.array([width, height]) - 0.5
    is_inside = ((reading.joints_img >= -0.5) & (reading.joints_img <= last_pixel)).all(axis=1)
    return Keypoints2D(reading.joints_img, np.where(is_inside, 1.0, OUTSIDE_WEIGHT), "mediapipe", score, reading.joints_world)
