"""Hands in motion: synthetic clips tracked, estimated and smoothed as `occhand video` does, beside their ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from occhand.metrics.functional import pa_mpjpe
from occhand.metrics.temporal import acceleration_error, jitter, track_switches
from occhand.predictor import Predictor
from occhand.stress.curves import rounded
from occhand.stress.detections import SimulatedDetections, true_joints
from occhand.stress.subjects import EstimatorSubject
from occhand.stress.trial import NoiseModel
from occhand.synth.clips import CLIP_KINDS, FPS, Clip, ClipKind
from occhand.types import Camera
from occhand.video.frames import Frame
from occhand.video.measure import HandBatch, estimating_thread
from occhand.video.pose import pose_rows
from occhand.video.rows import HandRows
from occhand.video.smooth import SmoothConfig, mend_tracks
from occhand.video.track import HandTracker

CLIP_SEED = 11
CLIP_TITLES: dict[ClipKind, str] = {"occluder": "An object in front", "crossing": "Two hands cross"}
Version = Literal["raw", "smoothed"]
SMOOTHING: dict[Version, SmoothConfig] = {"raw": SmoothConfig(span=None), "smoothed": SmoothConfig()}
"""Short gaps are bridged in both, so that both are measured over the same frames."""


class MotionMeasure(NamedTuple):
    """What a figure means."""

    title: str
    unit: str
    alignment: str


MOTION_MEASURES = {
    "acceleration_error": MotionMeasure("Acceleration error", "m/s²", "none (camera frame)"),
    "acceleration_error_root": MotionMeasure("Acceleration error, root-relative", "m/s²", "wrist on wrist"),
    "jitter": MotionMeasure("Jitter", "m/s³", "none (camera frame)"),
    "pa_mpjpe": MotionMeasure("PA-MPJPE", "mm", "Procrustes (similarity, no reflection) on all joints"),
}


@dataclass(frozen=True)
class Motion:
    """How well one subject's hands move in one clip: each measure frame by frame, mean over the hands that are there; NaN without any."""

    acceleration_error: Float[np.ndarray, "frames"]
    acceleration_error_root: Float[np.ndarray, "frames"]
    jitter: Float[np.ndarray, "frames"]
    pa_mpjpe: Float[np.ndarray, "frames"]


@dataclass(frozen=True)
class ClipScores:
    """One clip's figures."""

    name: str
    kind: ClipKind
    seconds: float
    switches: int
    """How often a true hand changed its number."""
    found: float
    """Share of the hands and frames with a detection, 0 to 1."""
    bridged: int
    """Hands in frames without detection that were filled in."""
    hidden: Float[np.ndarray, "frames"]
    """Share of the joints behind something, of the hand of which most is hidden."""
    true_jitter: float
    """Of the clip's own motion, m/s³: what is left when nothing shakes."""
    motions: dict[str, dict[Version, Motion]]
    """By subject."""

    def mean(self, subject: str, version: Version, measure: str) -> float:
        """Of a subject's measure over the frames; NaN where no hand was found for long enough."""
        values = getattr(self.motions[subject][version], measure)
        return float(np.nanmean(values)) if not np.isnan(values).all() else np.nan

    def has_motion(self, subject: str) -> bool:
        """Whether a hand was found for long enough."""
        return all(np.isfinite(motion.acceleration_error).any() for motion in self.motions[subject].values())

    def record(self) -> dict[str, Any]:
        """For JSON."""
        facts = {"name": self.name, "kind": self.kind, "frames": len(self.hidden), "seconds": self.seconds}
        counts = {"switches": self.switches, "found": round(self.found, 4), "bridged": self.bridged, "hidden": float(self.hidden.mean())}
        subjects = {
            subject: {version: {name: rounded(self.mean(subject, version, name)) for name in MOTION_MEASURES} for version in SMOOTHING}
            for subject in self.motions
        }
        return {**facts, **counts, "true_jitter": self.true_jitter, "subjects": subjects}


def stress_clips(count: int, frames: int) -> list[Clip]:
    """The clips of a report, not drawn yet: `count` of every kind.

    Raises:
        ValueError: A negative number, or fewer than 10 frames, which say nothing of motion.
    """
    if count < 0 or frames < 10:
        raise ValueError(f"{count} clips of {frames} frames: expected 0 or more of at least 10, such as 4 of 300.")
    return [Clip(CLIP_SEED, number, kind, frames) for kind in CLIP_KINDS for number in range(count)]


def measure_clip(subjects: Sequence[EstimatorSubject], clip: Clip, noise: NoiseModel, seed: int) -> ClipScores:
    """Follow, estimate and smooth the hands of one clip, detections simulated.

    Args:
        subjects: The pictures are drawn only if one of them looks at them.
        clip: Its ground truth.
        noise: Of the detections; see `SimulatedDetections`.
        seed: Of the noise.
    """
    detections = SimulatedDetections(clip, noise, seed)
    truth, times = true_joints(detections.truth), np.arange(len(clip)) / FPS
    tracks, measured = _follow(subjects, clip, detections)
    motions: dict[str, dict[Version, Motion]] = {subject.name: {} for subject in subjects}
    for subject, rows in zip(subjects, measured, strict=True):
        for version, config in SMOOTHING.items():
            mended = mend_tracks(rows, np.arange(len(clip)), times, config)
            motions[subject.name][version] = _motion(times, _by_hand(mended, tracks, subject), truth)
    bridged = int(mended.is_bridged.sum())  # the same hands whoever poses them
    return ClipScores(
        name=clip.name,
        kind=clip.kind,
        seconds=len(clip) / FPS,
        switches=track_switches(tracks),
        found=float((tracks >= 0).mean()),
        bridged=bridged,
        hidden=np.array([max(hand.joints_by_other.mean() for hand in hands) for hands in detections.truth]),
        true_jitter=float(np.mean([jitter(times, truth[:, hand]).mean() for hand in range(truth.shape[1])])),
        motions=motions,
    )


def _follow(
    subjects: Sequence[EstimatorSubject], clip: Clip, detections: SimulatedDetections
) -> tuple[Int[np.ndarray, "frames hands"], list[HandRows]]:
    """Number of the track on each true hand, -1 for none, and the hands that each subject sees there."""
    tracker, camera = HandTracker(detections, detections), Camera(clip.K, clip.size, clip.size)
    tracks = np.full((len(clip), len(detections.truth[0])), -1)
    sees_image = any(subject.sees_image for subject in subjects)
    pictures = (frame.image for frame in clip) if sees_image else repeat(np.zeros((clip.size, clip.size, 3), np.uint8), len(clip))
    with estimating_thread() as worker:
        batches = [HandBatch(Predictor(subject.estimator), camera, worker) for subject in subjects]
        for index, picture in enumerate(pictures):
            detections.frame = index
            frame = Frame(index, index / FPS, picture)
            for track, hand in tracker.step(picture, frame.time):
                tracks[index, detections.whose(hand)] = track
                for batch in batches:
                    batch.add(frame, track, hand)
        return tracks, [batch.rows() for batch in batches]


def _by_hand(rows: HandRows, tracks: Int[np.ndarray, "frames hands"], subject: EstimatorSubject) -> Float[np.ndarray, "frames hands 21 3"]:
    """Joints of the true hands, metres, camera frame; NaN where there are none.

    A bridged row belongs to the hand that its track was last seen on.
    """
    joints = np.full((*tracks.shape, 21, 3), np.nan)
    owner: dict[int, int] = {}
    for frame, track, posed in zip(rows.frame, rows.track, pose_rows(rows, subject.estimator.hand).joints, strict=True):
        seen = np.flatnonzero(tracks[frame] == track)
        if len(seen):
            owner[int(track)] = int(seen[0])
        joints[frame, owner[int(track)]] = posed
    return joints


def _motion(
    times: Float[np.ndarray, "frames"],
    joints: Float[np.ndarray, "frames hands 21 3"],
    truth: Float[np.ndarray, "frames hands 21 3"],
) -> Motion:
    values: dict[str, list[np.ndarray]] = {name: [] for name in MOTION_MEASURES}
    for hand in range(joints.shape[1]):
        own, true = joints[:, hand], truth[:, hand]
        values["acceleration_error"].append(np.pad(acceleration_error(times, own, true), 1, constant_values=np.nan))
        root = acceleration_error(times, own - own[:, :1], true - true[:, :1])
        values["acceleration_error_root"].append(np.pad(root, 1, constant_values=np.nan))
        values["jitter"].append(np.pad(jitter(times, own), (1, 2), constant_values=np.nan))
        error = np.full(len(own), np.nan)
        there = np.isfinite(own[:, 0, 0])
        error[there] = 1e3 * pa_mpjpe(torch.from_numpy(own[there]), torch.from_numpy(true[there]), allow_reflection=False).numpy()
        values["pa_mpjpe"].append(error)
    return Motion(**{name: _nanmean(np.stack(rows)) for name, rows in values.items()})


def _nanmean(rows: Float[np.ndarray, "hands frames"]) -> Float[np.ndarray, "frames"]:
    known = ~np.isnan(rows)
    return np.where(known, rows, 0.0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)


def clips_record(clips: Sequence[ClipScores]) -> dict[str, Any]:
    """For JSON."""
    return {
        "detections": "simulated",
        "smoothing": {version: asdict(config) for version, config in SMOOTHING.items()},
        "measures": {name: measure._asdict() for name, measure in MOTION_MEASURES.items()},
        "each": [clip.record() for clip in clips],
    }


def verdict(clips: Sequence[ClipScores], subject: str) -> str:
    """What smoothing does to a subject's hands, and whether hands kept their numbers, in two sentences."""

    def means(measure: str) -> Float[np.ndarray, "clips 2"]:
        return np.array([[clip.mean(subject, version, measure) for version in SMOOTHING] for clip in clips])

    raw, smoothed = means("acceleration_error").T
    cost = means("pa_mpjpe") @ (-1.0, 1.0)
    crossing = [clip for clip in clips if clip.kind == "crossing"]
    kept = sum(clip.switches == 0 for clip in crossing)
    return (
        f"Smoothing lowers the acceleration error by {1 - np.nanmean(smoothed) / np.nanmean(raw):.0%} (in each of {len(clips)} clips by "
        f"{np.nanmin(1 - smoothed / raw):.0%} or more) and changes PA-MPJPE by {np.nanmean(cost):+.2f} mm ({np.nanmax(cost):+.2f} at the "
        f"worst). Crossing hands kept their numbers in {kept} of {len(crossing)} clips."
    )
