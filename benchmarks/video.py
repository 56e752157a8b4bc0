"""Speed and memory of `occhand video` on a long film of one or two hands, with detections that are known.

The film is grey but for its frame number, drawn as blocks; a stand-in for the detector reads the number and gives the true joints of a clip
of `occhand.synth.clips` with 2 % noise. So the time is that of decoding, tracking, estimating, smoothing, drawing and encoding, without a
detector's own (MediaPipe's look at one hand takes 5 to 10 ms more). Memory counts from frame 500 on.

Run: OMP_NUM_THREADS=2 python benchmarks/video.py [--frames 10000] [--model FILE] [--kind crossing]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from occhand.detect import DetectedHand, Keypoints2D
from occhand.detect.modes import joint_distance
from occhand.predictor import Predictor
from occhand.synth.clips import Clip
from occhand.video.encode import VideoWriter
from occhand.video.frames import open_video
from occhand.video.run import STAGES, VideoConfig, process_video

HEIGHT, WIDTH, FPS = 480, 640, 30
_BITS, _CELL = 16, 8
_NOISE = 0.02


class KnownHands:
    """Detector and follower that know a film made by `write_film`."""

    def __init__(self, clip: Clip) -> None:
        scale = HEIGHT / clip.size
        shift = np.array([(WIDTH - HEIGHT) / 2, 0.0])
        self._frames = [[(hand.side, hand.joints_img * scale + shift) for hand in hands] for _, hands in clip.truth()]
        self.K = np.diag([scale, scale, 1.0]) @ clip.K
        self.K[:2, 2] += shift

    def _points(self, image: np.ndarray) -> list[tuple[str, Keypoints2D]]:
        cells = image[1 : _CELL - 1, : _BITS * _CELL].mean((0, 2)).reshape(_BITS, _CELL)[:, 1:-1].mean(1)
        number = int(sum(1 << bit for bit in range(_BITS) if cells[bit] > 127))
        turn = number % (2 * len(self._frames))
        hands = self._frames[min(turn, 2 * len(self._frames) - 1 - turn)]  # there and back
        found = []
        for k, (side, joints_img) in enumerate(hands):
            noise = np.random.default_rng((number, k)).normal(0.0, _NOISE * float(np.ptp(joints_img, axis=0).max()), (21, 2))
            found.append((side, Keypoints2D(joints_img + noise, np.ones(21), "mediapipe", 0.9)))
        return found

    def detect(self, image: np.ndarray) -> list[DetectedHand]:
        return [
            DetectedHand(np.concatenate([points.joints_img.min(0), points.joints_img.max(0)]), side, points.score, points)
            for side, points in self._points(image)
        ]

    def follow(self, image: np.ndarray, joints_img: np.ndarray) -> Keypoints2D | None:
        near = sorted((joint_distance(points.joints_img, joints_img), k, points) for k, (_, points) in enumerate(self._points(image)))
        return near[0][2] if near and near[0][0] < 0.6 else None

    def find_joints(self, image: np.ndarray, bbox_xyxy: np.ndarray, side: str | None) -> None:
        return None


def write_film(path: Path, frames: int) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 96, np.uint8)
    with VideoWriter(path) as writer:
        for number in range(frames):
            for bit in range(_BITS):
                picture[:_CELL, bit * _CELL : (bit + 1) * _CELL] = 255 if number >> bit & 1 else 0
            writer.write(picture, number / FPS)


def resident_mib() -> float:
    """Memory of this process; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--model", default="fit")
    parser.add_argument("--kind", choices=("occluder", "crossing"), default="occluder")
    options = parser.parse_args()
    known = KnownHands(Clip(21, 0, options.kind, frames=300))
    predictor = Predictor(Predictor.from_pretrained(options.model).estimator, known, known)
    memory: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder, "film.mp4")
        write_film(film, options.frames)
        begin, cpu = time.perf_counter(), os.times()
        process_video(
            predictor,
            open_video(film),
            Path(folder, "out"),
            options.model,
            VideoConfig(known.K),
            lambda stage, done, total: memory[stage].append(resident_mib()),
        )
        seconds, used = time.perf_counter() - begin, os.times()
    work = used.user + used.system - cpu.user - cpu.system
    rate = f"{options.frames} frames in {seconds:.0f} s: {options.frames / seconds:.1f} a second"
    print(f"{rate}; {1e3 * work / options.frames:.1f} ms of processor time each")
    late = memory[STAGES[0]][500:] + memory[STAGES[1]]
    print(f"RSS {late[0]:.0f} MiB at frame 500, then from {min(late):.0f} to {max(late):.0f} in both passes")


if __name__ == "__main__":
    main()
