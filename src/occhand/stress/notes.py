"""What a reader of a report must know so as not to be misled."""

from __future__ import annotations

import numpy as np

from occhand.metrics.figures import other_hand_note
from occhand.stress.clips import SMOOTHING
from occhand.stress.detections import CARRIED_NOISE, MISSED_HIDDEN
from occhand.stress.scores import MEASURES
from occhand.stress.table import StressResult
from occhand.stress.trial import NoiseModel


def honest_notes(
    result: StressResult,
    noise: NoiseModel,
    draws: int,
    sees_image: bool,
    can_be_perturbed: bool,
    own_hand: str | None = None,
    data_hand: str | None = None,
) -> list[str]:
    """Whole sentences, the weightiest first.

    Args:
        result: Of the whole run.
        noise: Assumed of the 2D joints.
        draws: Of the bootstrap.
        sees_image: Whether the subject under test looks at the picture.
        can_be_perturbed: Whether it could be asked about changed pictures.
        own_hand: Hand model of the subject, where it is known.
        data_hand: Hand model of the true vertices, where it is known.
    """
    notes = [
        f"Assumed, not measured: every estimator that takes 2D joints is given the annotated ones plus normal noise of {noise.visible:.0%} "
        f"of the hand's box where a joint is seen and {noise.hidden:.0%} where it is hidden, and is not told which. A real detector may do "
        "better or worse. Boxes come from the annotation.",
        "PA means aligned by a proper similarity (no reflection), joints and vertices each by a fit of their own; visible and hidden "
        "joints are aligned together. The official scripts of HO-3D and FreiHAND allow reflections: these figures are not theirs.",
        f"Intervals are 95 % percentile bootstrap intervals over hands ({draws} draws). They say nothing about hands unlike these.",
        "The mean pose turns, moves and grows to fit the 2D joints but does not bend: an error near its own says that the pose "
        "was not seen.",
    ]
    if result.is_rendered:
        notes.insert(
            0,
            "Synthetic data: rendered hands. If they come from the open hand, the fit's own hand model and pose limits made them, which "
            "favours the fit and the mean pose; real hands are harder.",
        )
    else:
        notes.append(
            "This data does not say which joints are hidden: all inside the picture count as visible, and occlusion is measured for the "
            "perturbations alone, over an outline made from the skeleton."
        )
    notes.append(
        "Hidden joints are those behind anything, the hand itself included, or outside of the picture; the measured occlusion leaves the "
        "hand itself out. So a hand with 0 % occlusion has hidden joints too."
    )
    if not can_be_perturbed:
        notes.append(f"{result.name} was read from a file: it is measured on the samples as they are; perturbations show the fit alone.")
    elif not sees_image:
        notes.append(
            f"{result.name} does not look at the picture: blur, low light and the box cannot change it and were not run. What a "
            "perturbation hides reaches it through the noise of the 2D joints alone."
        )
    if result.clips:
        notes.append(
            f"Clips: synthetic hands in motion, and no detector looked at them. Detections are the truth plus normal noise of "
            f"{noise.visible:.0%} of the hand's box, {noise.hidden:.0%} where something else hides the joint, {CARRIED_NOISE:.0%} of it "
            f"carried over from frame to frame (AR(1)); a hand is missed when more than {MISSED_HIDDEN:.0%} of its joints are hidden, and "
            "its side is always right. Numbers of tracks, bridges and smoothing are those of 'occhand video'; raw and smoothed both have "
            f"gaps of up to {SMOOTHING['raw'].bridge:g} s bridged. A real detector errs in other ways, and more."
        )
    base = result.base[result.name]
    has_meshes = not np.isnan(base.column("pa_mpvpe")).all()
    if has_meshes and own_hand is not None and data_hand is not None and own_hand != data_hand:
        notes.insert(0, other_hand_note(own_hand, data_hand))
    missing = [measure.title for name, measure in MEASURES.items() if np.isnan(base.column(name)).all()]
    if missing:
        notes.append(f"Not available here: {', '.join(missing)}.")
    return notes
