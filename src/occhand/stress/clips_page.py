"""The part of the page that shows hands in motion."""

from __future__ import annotations

from html import escape

import numpy as np

from occhand.plot import Figure
from occhand.stress.clips import CLIP_TITLES, MOTION_MEASURES, SMOOTHING, ClipScores, Version, verdict
from occhand.stress.table import StressResult
from occhand.synth.clips import CLIP_KINDS


def clips_section(result: StressResult, charts: dict[str, Figure]) -> str:
    """Empty without clips."""
    if not result.clips:
        return ""
    pictures = "".join(f"<div>{charts[name].svg()}</div>" for name in (f"motion_{kind}" for kind in CLIP_KINDS) if name in charts)
    alignments = "; ".join(f"{measure.title}: {measure.alignment}" for measure in MOTION_MEASURES.values())
    return (
        f"<h2>In motion</h2><p><span class='badge'>synthetic clips</span>{escape(verdict(result.clips, result.name))} "
        f"Detections are simulated, see below.</p><div class='two'>{pictures}</div>{_motion_table(result)}"
        f'<p class="key">Means over frames and clips, least and largest clip in small print. The true hands have jitter too, '
        "as the lower table says; a hand that never bends shakes little, so read these beside PA-MPJPE. "
        f"Alignment. {escape(alignments)}.</p>{_facts_table(result)}"
    )


def _motion_table(result: StressResult) -> str:
    """A row for each kind of clip, subject and version."""
    head = "".join(f"<th>{escape(measure.title)}, {measure.unit}</th>" for measure in MOTION_MEASURES.values())
    rows = []
    for kind in CLIP_KINDS:
        clips = [clip for clip in result.clips if clip.kind == kind]
        for subject in clips[0].motions if clips else ():
            for version in SMOOTHING:
                cells = "".join(_cell(clips, subject, version, measure) for measure in MOTION_MEASURES)
                rows.append(f"<tr><td>{CLIP_TITLES[kind]}</td><td>{escape(subject)}</td><td>{version}</td>{cells}</tr>")
    return f'<div class="scroll"><table><tr><th>clips</th><th>hands of</th><th></th>{head}</tr>{"".join(rows)}</table></div>'


def _cell(clips: list[ClipScores], subject: str, version: Version, measure: str) -> str:
    values = np.array([clip.mean(subject, version, measure) for clip in clips])
    values = values[~np.isnan(values)]
    digits = 0 if measure == "jitter" else 1
    if not len(values):
        return "<td>–</td>"
    spread = f"<small>{values.min():.{digits}f}–{values.max():.{digits}f}</small>" if len(values) > 1 else ""
    return f"<td>{values.mean():.{digits}f}{spread}</td>"


def _facts_table(result: StressResult) -> str:
    """What happened in each clip, whoever posed the hands."""
    titles = ("clip", "seconds", "joints hidden, %", "hands found, %", "hands bridged", "track switches", "jitter of the truth, m/s³")
    head = "".join(f"<th>{title}</th>" for title in titles)
    rows = []
    for clip in result.clips:
        cells = (f"{clip.seconds:.1f}", f"{100 * clip.hidden.mean():.0f}", f"{100 * clip.found:.0f}", clip.bridged, clip.switches)
        columns = "".join(f"<td>{cell}</td>" for cell in (*cells, f"{clip.true_jitter:.0f}"))
        rows.append(f"<tr><td>{escape(clip.name)}</td>{columns}</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
