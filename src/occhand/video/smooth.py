"""Tracks made whole and smooth: gaps of a few frames bridged and marked, jitter of pose, shape and place taken out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from occhand.geometry.motion import interpolate_rotations, reach, smooth_rotations, smooth_vectors
from occhand.video.rows import HandRows, join_rows

_BRIDGED_WEIGHT = 0.05
"""Trust in a bridged hand beside one that was seen."""
_LEAST_CONFIDENCE = 0.05


@dataclass(frozen=True)
class SmoothConfig:
    """How tracks are mended. A live display would lag `look_ahead` seconds behind."""

    span: float | None = 0.2
    """Seconds around a moment over which pose, shape and place are fitted; None leaves them as measured."""
    bridge: float = 0.5
    """Seconds without detection that are bridged at most; 0 bridges nothing."""

    def __post_init__(self) -> None:
        if not 0 <= self.bridge <= 10 or (self.span is not None and not 0 < self.span <= 5):
            raise ValueError(f"bridge {self.bridge:g} s and span {self.span} s: expected 0 to 10, and more than 0, at most 5, or None.")

    @property
    def look_ahead(self) -> float:
        """Seconds before and after a moment whose measurements have a say in what is written for it."""
        return self.bridge + (0.0 if self.span is None else reach(self.span))


def mend_tracks(rows: HandRows, frames: Int[np.ndarray, "frames"], times: Float[np.ndarray, "frames"], config: SmoothConfig) -> HandRows:
    """Bridge and smooth each track by itself.

    Args:
        rows: As measured. What lies within `look_ahead` of them in time must be among them for the result to be final.
        frames: Numbers of all frames, with hands or without.
        times: Of these frames, seconds.
        config: What to do.
    """
    mended = []
    for track in np.unique(rows.track):
        own = bridge_gaps(rows.select(rows.track == track), frames, times, config.bridge)
        mended.append(own if config.span is None else smooth_track(own, config.span))
    return join_rows(mended).sorted()


def bridge_gaps(track: HandRows, frames: Int[np.ndarray, "frames"], times: Float[np.ndarray, "frames"], limit: float) -> HandRows:
    """One track with rows, marked, for the frames of gaps of up to `limit` seconds: between both ends the pose turns the shortest way."""
    parts = [track]
    for row in np.flatnonzero(np.diff(track.frame) > 1):
        before, after = track.time[row], track.time[row + 1]
        missing = np.flatnonzero((frames > track.frame[row]) & (frames < track.frame[row + 1]))
        if after - before > limit or not len(missing):
            continue
        share = (times[missing] - before) / max(after - before, 1e-9)
        ends = track.select(np.array([row, row + 1]))
        mix = share[:, None]
        parts.append(
            HandRows(
                frame=frames[missing],
                time=times[missing],
                track=np.full(len(missing), track.track[row]),
                is_left=np.full(len(missing), track.is_left[row]),
                rotations=interpolate_rotations(ends.rotations[0], ends.rotations[1], share),
                betas=(1 - mix) * ends.betas[0] + mix * ends.betas[1],
                translation=(1 - mix) * ends.translation[0] + mix * ends.translation[1],
                confidence=np.zeros(len(missing)),
                joint_confidence=np.zeros((len(missing), 21)),
                joint_sigma=np.full((len(missing), 21), np.nan),
                joint_visibility=np.full((len(missing), 21), np.nan),
                is_bridged=np.full(len(missing), True),
            )
        )
    return join_rows(parts).sorted()


def smooth_track(track: HandRows, span: float) -> HandRows:
    """One track without jitter; unsure measurements count less, bridged ones hardly."""
    weights = np.where(track.is_bridged, _BRIDGED_WEIGHT, np.maximum(track.confidence, _LEAST_CONFIDENCE))
    return replace(
        track,
        rotations=smooth_rotations(track.time, track.rotations, weights, span),
        betas=smooth_vectors(track.time, track.betas, weights, span),
        translation=smooth_vectors(track.time, track.translation, weights, span),
    )
