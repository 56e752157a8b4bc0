"""Which charts a report has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from occhand.plot import Figure
from occhand.stress.charts import count_chart, family_chart, motion_chart, occlusion_chart
from occhand.stress.clips import CLIP_TITLES, Version
from occhand.stress.curves import Curve
from occhand.stress.families import FAMILIES
from occhand.stress.scores import MEASURES
from occhand.stress.summary import Report

_MAIN, _FIT, _MEAN_POSE = "#1f5fbf", "#d9730d", "#7b818c"
_VISIBLE, _HIDDEN = "#0e8f7e", "#c43d3d"
_OCCLUDERS = {"object": "#1f5fbf", "sleeve": "#7a4fb5", "second hand": "#c43d3d", "picture border": "#d9730d", "nothing": "#0e8f7e"}
_SHARES = {"f15": "#7a4fb5", "f5": "#1f5fbf", "pck_2d": "#0e8f7e"}
_VERSIONS: dict[Version, str] = {"raw": "#d9730d", "smoothed": "#1f5fbf"}
_HEADLINE_SIZE = (1124.0, 400.0)


def subject_colours(subjects: Sequence[str]) -> dict[str, str]:
    """The one under test stands first; a fit that is a baseline comes second, the mean pose last."""
    return dict.fromkeys(subjects, _FIT) | {subjects[-1]: _MEAN_POSE, subjects[0]: _MAIN}


def draw_figures(report: Report) -> dict[str, Figure]:
    """By name; those over the measured occlusion only where the data has it."""
    result = report.result
    charts = _occlusion_charts(report) if len(report.curves[result.name]["pa_mpjpe"].median) > 1 else {}
    colours = subject_colours(result.subjects)
    mean_pose = report.strata[result.subjects[-1]][-1].measures["pa_mpjpe"].median
    for name, by_subject in report.families.items():
        levels = [level for level, _, _ in next(iter(by_subject.values()))]
        rows = {subject: ([measures["pa_mpjpe"] for _, _, measures in row], colours[subject]) for subject, row in by_subject.items()}
        charts[f"family_{name}"] = family_chart(FAMILIES[name], levels, rows, mean_pose)
    for kind, title in CLIP_TITLES.items():
        first = next((clip for clip in result.clips if clip.kind == kind), None)
        if first is not None and first.has_motion(result.name):
            charts[f"motion_{kind}"] = motion_chart(f"{title}: {result.name}", first, result.name, _VERSIONS)
    return charts


def _occlusion_charts(report: Report) -> dict[str, Figure]:
    result, subject = report.result, report.result.name
    base, own = result.base[subject], report.curves[subject]
    colours = subject_colours(result.subjects)
    facts = f"{'synthetic ' if result.is_rendered else ''}n = {result.hands}"
    main = f"PA-MPJPE, mm · aligned on all joints, no reflection · {facts}"

    def by_subject(measure: str) -> dict[str, tuple[Curve, str]]:
        return _drawable({name: (report.curves[name][measure], colour) for name, colour in colours.items()})

    dots = (base.ratio, base.column("pa_mpjpe"))
    charts = {"occlusion": occlusion_chart("All joints", f"{main} · dots: {subject}", by_subject("pa_mpjpe"), _HEADLINE_SIZE, dots)}
    parts = {"hidden joints": (own["pa_mpjpe_hidden"], _HIDDEN), "visible joints": (own["pa_mpjpe_visible"], _VISIBLE)}
    if split := _drawable(parts):
        charts["visible_hidden"] = occlusion_chart(f"Visible and hidden joints: {subject}", main, split)
    if groups := _drawable({name: (report.occluders[name], colour) for name, colour in _OCCLUDERS.items() if name in report.occluders}):
        charts["occluders"] = occlusion_chart(f"By what hides most joints: {subject}", main, groups)
    root_title = f"MPJPE, mm · wrist on wrist · {facts}"
    charts["root_relative"] = occlusion_chart("Direction and size count too", root_title, by_subject("root_relative_mpjpe"))
    if meshes := by_subject("pa_mpvpe"):
        charts["mesh"] = occlusion_chart("The whole surface", f"PA-MPVPE, mm · aligned on all vertices · {facts}", meshes)
    if shares := _drawable({MEASURES[key].title: (own[key], colour) for key, colour in _SHARES.items()}):
        shares_title = f"% · F: aligned on all vertices, PCK: in the image · {facts}"
        charts["shares"] = occlusion_chart(f"Shares that are right: {subject}", shares_title, shares, has_tail=False)
    charts["hands"] = count_chart(base.ratio, np.array(base.hidden_shares))
    return charts


def _drawable(curves: dict[str, tuple[Curve, str]]) -> dict[str, tuple[Curve, str]]:
    return {name: pair for name, pair in curves.items() if len(pair[0].median) > 1}
