"""Errors of motion: how much a predicted hand shakes, and how often its number changes. Metres, seconds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def accelerations(
    times: Float[np.ndarray, "frames"], joints: Float[np.ndarray, "frames joints 3"]
) -> Float[np.ndarray, "frames-2 joints 3"]:
    """Second differences over uneven times, m/s^2, at all frames but the first and the last; NaN beside a frame that is NaN."""
    before, after = np.diff(times)[:-1, None, None], np.diff(times)[1:, None, None]
    steps = np.diff(joints, axis=0)
    return 2 * (steps[1:] / after - steps[:-1] / before) / (before + after)


def acceleration_error(
    times: Float[np.ndarray, "frames"], predicted: Float[np.ndarray, "frames joints 3"], target: Float[np.ndarray, "frames joints 3"]
) -> Float[np.ndarray, "frames-2"]:
    """Mean over joints of the distance between predicted and true accelerations, m/s^2 (Kanazawa et al., CVPR 2019, over real time).

    Give both in the camera frame, or both relative to the wrist.
    """
    return np.linalg.norm(accelerations(times, predicted) - accelerations(times, target), axis=-1).mean(-1)


def jitter(times: Float[np.ndarray, "frames"], joints: Float[np.ndarray, "frames joints 3"]) -> Float[np.ndarray, "frames-3"]:
    """Mean over joints of the size of the third derivative, m/s^3 (Yi et al., CVPR 2021); needs no truth, and fast motion has it too."""
    # The third divided difference, times 3!: exact for a cubic over uneven times too.
    return 3 * np.linalg.norm(np.diff(accelerations(times, joints), axis=0), axis=-1).mean(-1) / (times[3:] - times[:-3])


def track_switches(tracks: Int[np.ndarray, "frames hands"]) -> int:
    """How often the number of a true hand changes, over all hands.

    Args:
        tracks: Number of the track on each true hand in each frame; -1 where there is none, which is no change by itself.
    """
    switches = 0
    for column in tracks.T:
        seen = column[column >= 0]
        switches += int((np.diff(seen) != 0).sum())
    return switches
