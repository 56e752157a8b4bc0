"""The report as one HTML page that needs nothing else: charts as SVG, pictures inside."""

from __future__ import annotations

from html import escape

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

import occhand
from occhand.geometry.camera import project
from occhand.image_io import data_url
from occhand.plot import Figure
from occhand.render.draw import draw_joints, overlay
from occhand.render.shade import PALETTE, Mesh
from occhand.stress.clips_page import clips_section
from occhand.stress.curves import Summary
from occhand.stress.families import FAMILIES, Family
from occhand.stress.figures import subject_colours
from occhand.stress.scores import MEASURES, mirror_left
from occhand.stress.summary import Report
from occhand.stress.table import WorstHand
from occhand.stress.trial import Trial

_PICTURE, _THUMBNAIL = 232, 84
_MARGIN = 0.18
"""Around the hand's box in a picture, in boxes."""
_BEYOND = (236, 238, 242)
"""Where a crop leaves its picture."""

_STYLE = """
:root{--ink:#20242b;--muted:#6b7280;--line:#e3e6eb;--accent:#1f5fbf;--soft:#f6f7f9}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 28px 80px}
h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:20px;margin:52px 0 4px;letter-spacing:-.005em}
p{max-width:78ch;margin:6px 0 14px}.lead{color:var(--muted);margin-bottom:22px;max-width:none}
.badge{display:inline-block;padding:2px 10px;border-radius:99px;background:#fff3e0;color:#9a4d00}
.badge{font-size:13px;font-weight:600;margin-right:8px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(205px,1fr));gap:12px;margin:22px 0 8px}
.tile{background:var(--soft);border-radius:10px;padding:14px 16px}
.tile b{display:block;font-size:21px;line-height:1.35;font-weight:650;white-space:nowrap}
.tile span{color:var(--muted);font-size:13px;line-height:1.35;display:block}
svg{max-width:100%;height:auto;font-family:inherit;display:block}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:26px;margin-top:26px}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr));gap:22px;margin-top:14px}
.panel{border:1px solid var(--line);border-radius:10px;padding:14px 14px 8px}
.panel h3{font-size:15px;margin:0 0 8px}
.strip{display:flex;gap:5px;margin-bottom:10px}.strip img{width:calc(20% - 4px);height:auto;border-radius:4px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px;margin:10px 0 6px;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{padding:6px 12px;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
th{font-weight:600;color:var(--muted);vertical-align:bottom;white-space:normal;min-width:78px}
tr.all td{font-weight:600;border-top:2px solid #cfd4dc}td small{color:var(--muted);font-size:11.5px;display:block;font-weight:400}
.worst{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr));gap:18px;margin-top:14px}
figure{margin:0}figure div{display:flex;gap:4px}figure img{width:calc(50% - 2px);height:auto;border-radius:6px}
figcaption{font-size:12.5px;color:var(--muted);margin-top:4px;overflow-wrap:anywhere}
.key{font-size:13px;color:var(--muted)}ul.notes{max-width:84ch;padding-left:20px}ul.notes li{margin:7px 0}
footer{margin-top:56px;padding-top:14px;border-top:1px solid var(--line);color:var(--muted);font-size:13px}
"""


def page(report: Report, charts: dict[str, Figure]) -> str:
    """The whole document."""
    result = report.result
    kind = "rendered, synthetic hands with exact occlusion" if result.is_rendered else "hands; occlusion not annotated"
    badge = '<span class="badge">synthetic data</span>' if result.is_rendered else ""
    title = f"Occlusion stress: {result.name}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{badge}{escape(result.data_name)} · {result.hands} {kind} · {result.perturbed} of them perturbed</p>',
        _tiles(report),
        _main_charts(charts),
        _strata_table(report),
        _subjects_table(report),
        _families(report, charts),
        clips_section(report.result, charts),
        _worst(report),
        "<h2>How to read this</h2><ul class='notes'>" + "".join(f"<li>{escape(note)}</li>" for note in result.notes) + "</ul>",
        f"<footer>OccHand {occhand.__version__}. All figures, with intervals and hand by hand, are in stress.json.</footer>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{"".join(parts)}</main></body></html>\n'


def _tiles(report: Report) -> str:
    """The figures to remember."""
    result = report.result
    everything = report.strata[result.name][-1].measures
    curve = report.curves[result.name]["pa_mpjpe"]
    flip = report.flips.get(result.name)
    tiles = [(_mm(everything["pa_mpjpe"].median), f"median PA-MPJPE over all hands; 90th percentile {_mm(everything['pa_mpjpe'].tail)}")]
    if everything["pa_mpjpe_hidden"].count:
        hidden, visible = everything["pa_mpjpe_hidden"].median, everything["pa_mpjpe_visible"].median
        tiles.append((f"{_plain(visible)} → {_mm(hidden)}", "visible joints → hidden joints, median PA-MPJPE"))
    if len(curve.median) > 1:
        low, high = 100 * curve.occlusion[0], 100 * curve.occlusion[-1]
        if curve.area is not None:
            tiles.append((_mm(curve.area), f"area under the error-occlusion curve over its width, {low:.0f} to {high:.0f} %"))
        doubled = "not reached" if curve.doubled_at is None else f"{100 * curve.doubled_at:.0f} %"
        tiles.append((doubled, f"occlusion at which the median doubles, from {_mm(float(curve.median[0]))} at {low:.0f} %"))
    if flip and flip.median is not None:
        tiles.append(
            (f"{flip.median:.2f} mm", f"median difference to the mirrored-back prediction of the mirrored picture, n = {flip.count}")
        )
    return (
        '<div class="tiles">' + "".join(f'<div class="tile"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in tiles) + "</div>"
    )


def _main_charts(charts: dict[str, Figure]) -> str:
    if "occlusion" not in charts:
        return "<p>The data holds no measured occlusion, or too little of it for a curve; the perturbations below bring their own.</p>"
    names = ("visible_hidden", "occluders", "root_relative", "mesh", "shares", "hands")
    others = "".join(f"<div>{charts[name].svg()}</div>" for name in names if name in charts)
    key = '<p class="key">Lines: running median; bands: its 95 % bootstrap interval; dashed: 90th percentile.</p>'
    return f"<h2>Error against occlusion</h2>{key}{charts['occlusion'].svg()}<div class='two'>{others}</div>"


def _strata_table(report: Report) -> str:
    """The subject under test, by occlusion."""
    head = "".join(f"<th>{escape(measure.title)}, {measure.unit}</th>" for measure in MEASURES.values())
    rows = []
    for stratum in report.strata[report.result.name]:
        cells = "".join(f"<td>{_with_interval(summary)}</td>" for summary in stratum.measures.values())
        count, hidden = stratum.measures["pa_mpjpe"].count, f"{100 * stratum.hidden_share:.0f}"
        mark = ' class="all"' if stratum.name == "all" else ""
        rows.append(f"<tr{mark}><td>{stratum.name}</td><td>{count}</td><td>{hidden}</td>{cells}</tr>")
    titles: dict[str, list[str]] = {}
    for measure in MEASURES.values():
        titles.setdefault(measure.alignment, []).append(measure.title)
    alignments = "; ".join(f"{', '.join(names)}: {alignment}" for alignment, names in titles.items())
    return (
        f"<h2>{escape(report.result.name)} by occlusion</h2><p>Medians over hands, 95 % intervals in small print.</p>"
        f'<div class="scroll"><table><tr><th>occlusion</th><th>hands</th><th>hidden joints, %</th>{head}</tr>{"".join(rows)}</table></div>'
        f'<p class="key">Alignment. {escape(alignments)}.</p>'
    )


def _subjects_table(report: Report) -> str:
    """The subject beside its baselines."""
    subjects = report.result.subjects
    names = [stratum.name for stratum in report.strata[subjects[0]]]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for subject in subjects:
        cells = "".join(
            f"<td>{_plain(stratum.measures['pa_mpjpe'].median)}<small>p90 {_plain(stratum.measures['pa_mpjpe'].tail)}</small></td>"
            for stratum in report.strata[subject]
        )
        curve = report.curves[subject]["pa_mpjpe"]
        doubled = "not reached" if curve.doubled_at is None else f"{100 * curve.doubled_at:.0f} %"
        extra = f"<td>{_plain(curve.area)}</td><td>{doubled if len(curve.median) else '–'}</td>"
        root = report.strata[subject][-1].measures["root_relative_mpjpe"].median
        rows.append(f"<tr><td>{escape(subject)}</td>{cells}{extra}<td>{_plain(root)}</td></tr>")
    more = "<th>area under<br>the curve, mm</th><th>doubles at</th><th>root-relative<br>MPJPE, all, mm</th>"
    return (
        "<h2>Beside the baselines</h2><p>Median PA-MPJPE in mm by occlusion, 90th percentile in small print.</p>"
        f'<div class="scroll"><table><tr><th></th>{head}{more}</tr>{"".join(rows)}</table></div>'
    )


def _families(report: Report, charts: dict[str, Figure]) -> str:
    panels = []
    for name in report.families:
        pictures = "".join(_img(_example(trial, FAMILIES[name], report.seed), _THUMBNAIL) for trial in report.result.examples[name])
        chart = charts[f"family_{name}"].svg()
        panels.append(f'<div class="panel"><h3>{escape(FAMILIES[name].title)}</h3><div class="strip">{pictures}</div>{chart}</div>')
    if not panels:
        return ""
    shown = {subject for by_subject in report.families.values() for subject in by_subject}
    colours = {subject: colour for subject, colour in subject_colours(report.result.subjects).items() if subject in shown}
    names = ", ".join(f"<b style='color:{colour}'>{escape(subject)}</b>" for subject, colour in colours.items())
    return (
        f"<h2>Made harder on purpose</h2><p>{names}. Line: median, band: its 95 % interval, dashed: 90th percentile; "
        f"grey dots: the mean pose's median; upright: unperturbed. Pictures: one hand at each level.</p>"
        f'<div class="panels">{"".join(panels)}</div>'
    )


def _worst(report: Report) -> str:
    figures = []
    for hand in report.result.worst:
        sample = hand.trial.sample
        ratio = "occlusion unknown" if np.isnan(hand.trial.ratio) else f"{hand.trial.ratio:.0%} occluded"
        occluder = report.result.base[report.result.name].occluders[report.result.base[report.result.name].keys.index(sample.key)]
        by = f" by {occluder}" if occluder not in ("", "nothing") else ""
        caption = f"{sample.key} · {sample.side} · {ratio}{by} · PA-MPJPE {hand.pa_mpjpe_mm:.1f} mm"
        pictures = "".join(_img(picture, _PICTURE) for picture in _look(hand, report.result.faces))
        figures.append(f"<figure><div>{pictures}</div><figcaption>{escape(caption)}</figcaption></figure>")
    if not figures:
        return ""
    return (
        f"<h2>Worst hands of {escape(report.result.name)}</h2>"
        "<p>Left: the true skeleton, hidden joints as rings. Right: the prediction.</p>"
        f'<div class="worst">{"".join(figures)}</div>'
    )


def _look(hand: WorstHand, faces: np.ndarray) -> list[UInt8[np.ndarray, "size size 3"]]:
    """Truth and prediction over the picture."""
    sample = hand.trial.sample
    truth = draw_joints(hand.trial.image, sample.joints_img.astype(np.float64), hand.trial.is_hidden)
    if hand.predicted.vertices is not None:
        vertices = mirror_left(hand.predicted.vertices[0].double().numpy(), sample.side)
        faces = np.ascontiguousarray(faces[:, ::-1]) if sample.side == "left" else faces
        prediction = overlay(hand.trial.image, [Mesh(vertices, faces, PALETTE[0])], sample.K.astype(np.float64), alpha=0.82)
    else:
        joints = mirror_left(hand.predicted.joints[0].double().numpy(), sample.side)
        prediction = draw_joints(hand.trial.image, project(joints, sample.K.astype(np.float64)))
    return [_crop(picture, hand.trial, _PICTURE) for picture in (truth, prediction)]


def _example(trial: Trial, family: Family, seed: int) -> UInt8[np.ndarray, "size size 3"]:
    """A perturbed hand, with what was changed made visible."""
    picture = trial.image
    if family.shows == "joints":
        picture = draw_joints(picture, trial.keypoints(seed), trial.is_hidden)
    if family.shows == "box":
        canvas = Image.fromarray(picture)
        ImageDraw.Draw(canvas).rectangle(trial.bbox_xyxy.tolist(), outline=(255, 210, 60), width=max(2, round(0.012 * trial.box_side)))
        picture = np.array(canvas)
    return _crop(picture, trial, _THUMBNAIL)


def _crop(image: np.ndarray, trial: Trial, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The hand and some of its surroundings, at twice the size for sharp screens."""
    low, high = trial.sample.joints_img.min(0), trial.sample.joints_img.max(0)
    centre, half = (low + high) / 2, (0.5 + _MARGIN) * trial.box_side
    box = (centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half)
    cut = Image.fromarray(image).transform((2 * size, 2 * size), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC, fillcolor=_BEYOND)
    return np.array(cut)


def _img(picture: np.ndarray, size: int) -> str:
    return f'<img alt="" width="{size}" height="{size}" src="{data_url(picture, quality=82)}">'


def _with_interval(summary: Summary) -> str:
    if summary.median is None:
        return "–"
    interval = summary.median_interval
    small = f"<small>{interval[0]:.1f}–{interval[1]:.1f}</small>" if interval else "<small>few hands</small>"
    return f"{summary.median:.1f}{small}"


def _mm(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} mm"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
