"""The report names what each figure is, shows the papers beside where that is fair, and cannot hide that it is partial."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from occhand.geometry.align import procrustes_align
from occhand.metrics.figures import ALL, BONE, NONE, OFFICIAL, PROPER, ROOT, Figure, Scored, benchmark_figures
from occhand.metrics.functional import align_official, align_scale_translation, f_score, relative_to
from occhand.metrics.papers import PAPER_ROWS, paper_rows
from occhand.metrics.protocols import ho3d_joints, mesh_scores
from occhand.metrics.report import EvaluationReport, SequenceErrors, WorstSample
from occhand.types import EvaluationProtocol

GENERATOR = torch.Generator().manual_seed(0)
TRUTH = 0.05 * torch.randn(4, 21, 3, generator=GENERATOR).double() + torch.tensor([0.0, 0.0, 0.6])
MESH = 0.05 * torch.randn(4, 778, 3, generator=GENERATOR) + torch.tensor([0.0, 0.0, 0.6])
SCORED = Scored(TRUTH + 0.01, TRUTH, 1.1 * MESH, MESH)


def make_report(data="ho3d_v2/evaluation", **changes) -> EvaluationReport:
    protocol = {"ho3d_v2": "ho3d", "dexycb": "dexycb", "fpha": "fpha"}[data.split("/")[0]]
    report = EvaluationReport(
        subject="mine",
        data=data,
        data_title="HO-3D v2 evaluation",
        protocol=protocol,
        hand="mano",
        figures=tuple(benchmark_figures(protocol, SCORED, "given")),
        samples=4,
        expected=4,
        papers=paper_rows(data),
        sequences=(SequenceErrors("SM1", 4, 20.0, 9.0),),
        worst=(WorstSample("SM1/0001", 12.0, 30.0, "worst/001.png"),),
    )
    return replace(report, **changes)


@pytest.mark.parametrize("protocol", get_args(EvaluationProtocol))
def test_every_figure_names_what_it_is(protocol):
    figures = benchmark_figures(protocol, SCORED, "own")
    assert len({figure.key for figure in figures}) == len(figures)
    for figure in figures:
        assert figure.title
        assert figure.alignment
        assert figure.samples == 4
        assert figure.subset == ALL
        assert figure.points in ("21 joints", "778 vertices")
    has_mesh = any(figure.points == "778 vertices" for figure in figures)
    assert has_mesh == (protocol in ("ho3d", "freihand", "open"))
    joints_only = benchmark_figures(protocol, Scored(SCORED.joints, TRUTH), "own")
    assert all(figure.points == "21 joints" for figure in joints_only)


def test_figures_are_the_protocols_numbers():
    figures = {figure.key: figure for figure in benchmark_figures("ho3d", SCORED, "given")}
    joints, mesh = ho3d_joints(SCORED.joints, TRUTH), mesh_scores(SCORED.vertices, MESH)
    assert figures["pa_mpjpe"].value == joints["procrustes"].mean_mm
    assert figures["st_mpjpe_auc"].value == joints["scale_translation"].auc
    assert figures["pa_f5"].value == mesh.f5_procrustes
    assert figures["f15"].value == mesh.f15
    assert figures["pa_mpvpe"].official == "mesh_al_mean3d"
    assert "wrist re-attached" in figures["mpjpe"].alignment


@pytest.mark.parametrize("protocol", get_args(EvaluationProtocol))
def test_a_mirrored_hand_is_forgiven_where_the_figure_says_official_alone(protocol):
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    figures = benchmark_figures(protocol, Scored(TRUTH * mirror, TRUTH, MESH * mirror, MESH))
    assert {figure.alignment for figure in figures} & {OFFICIAL, PROPER}
    for figure in figures:
        if figure.alignment == OFFICIAL:
            assert figure.value < 1e-3 if figure.unit == "mm" else figure.value > 0.99, figure
        else:
            assert figure.value > 10 if figure.unit == "mm" else figure.value < 0.95, figure


PLACED = {
    NONE: lambda p, t: (p, t),
    ROOT: lambda p, t: (relative_to(p), relative_to(t)),
    OFFICIAL: lambda p, t: (align_official(p, t), t),
    PROPER: lambda p, t: (procrustes_align(p, t), t),
    BONE: lambda p, t: (align_scale_translation(p, t), t),
}


def area(errors_mm):
    """Under the share of correct points over 0 to 50 mm, by trapezoids."""
    shares = (errors_mm.flatten() <= np.linspace(0, 50, 100)[:, None]).mean(axis=1)
    return (shares[1:] + shares[:-1]).mean() / 2


@pytest.mark.parametrize("protocol", get_args(EvaluationProtocol))
def test_every_figure_is_what_its_name_points_and_alignment_say(protocol):
    generator = torch.Generator().manual_seed(1)
    joints, vertices = (1.1 * points + 0.005 * torch.randn(points.shape, generator=generator).double() for points in (TRUTH, MESH.double()))
    figures = benchmark_figures(protocol, Scored(joints, TRUTH, vertices, MESH.double()))
    for figure in figures:
        pair = (joints, TRUTH) if figure.points == "21 joints" else (vertices, MESH.double())
        predicted, truth = PLACED[figure.alignment](*pair)
        errors = 1e3 * np.linalg.norm((predicted - truth).numpy(), axis=-1)
        measures = {
            "_auc": area(errors),
            "_median": np.median(errors, axis=0).mean(),
            "_pck20": (errors <= 20).mean(),
            **{f"f{limit}": f_score(predicted, truth, (limit / 1000,)).mean().item() for limit in (5, 15)},
        }
        named = [value for name, value in measures.items() if figure.key.removesuffix("_proper").endswith(name)]
        assert figure.value == pytest.approx(*named or [errors.mean()], abs=1e-6), figure


@pytest.mark.parametrize(("off", "share"), [(0.0199, 1.0), (0.0201, 1 / 21)])
def test_pck_of_the_open_protocol_is_at_20_mm(off, share):
    moved = TRUTH + off * torch.eye(3)[0] * (torch.arange(21) > 0)[:, None]
    figures = {figure.key: figure.value for figure in benchmark_figures("open", Scored(moved, TRUTH))}
    assert figures["root_mpjpe_pck20"] == pytest.approx(share)


def test_freihand_has_names_of_its_own_and_no_row_of_one_bone():
    figures = {figure.key: figure for figure in benchmark_figures("freihand", SCORED)}
    official = {figure.official for figure in figures.values() if figure.official}
    assert official == {
        *(f"{points}_{ending}" for points in ("xyz", "xyz_al", "mesh", "mesh_al") for ending in ("mean3d", "auc3d")),
        *(f"{score}_{limit}" for score in ("f_score", "f_al_score") for limit in (5, 15)),
    }
    ho3d = {figure.key: figure for figure in benchmark_figures("ho3d", SCORED)}
    assert {ho3d[key].official for key in ("pa_mpjpe", "st_mpjpe", "st_mpjpe_auc")} == {
        "xyz_procrustes_al_mean3d",
        "xyz_scale_trans_al_mean3d",
        "xyz_scale_trans_al_auc3d",
    }
    assert {key for key in ho3d if not key.startswith("st_mpjpe")} == set(figures)
    assert all(figure.value == ho3d[key].value for key, figure in figures.items())


@pytest.mark.parametrize("row", PAPER_ROWS, ids=lambda row: row.source)
def test_papers_rows_name_figures_that_their_benchmark_has(row):
    protocol = {"ho3d_v2": "ho3d", "ho3d_v3": "ho3d", "dexycb": "dexycb", "fpha": "fpha"}[row.data.split("/")[0]]
    units = {figure.key: figure.unit for figure in benchmark_figures(protocol, SCORED, "own")}
    for key, value in row.values.items():
        assert (value < 1) == (units[key] == "share")


PRINTED = {
    ("ho3d_v2/evaluation", "HandOccNet"): "mpjpe 24.9, pa_mpjpe 9.1, pa_mpvpe 8.8, pa_f5 56.4 %, pa_f15 96.3 %",
    ("ho3d_v2/evaluation", "HandGCAT"): "pa_mpjpe 8.7, pa_mpjpe_auc .826, pa_mpvpe 8.7, pa_mpvpe_auc .827, pa_f5 .584, pa_f15 .963",
    ("ho3d_v3/evaluation", "HandOccNet"): "pa_mpjpe 10.7",
    ("ho3d_v3/evaluation", "HandGCAT"): "pa_mpjpe 9.3, pa_mpjpe_auc .814, pa_mpvpe 9.1, pa_mpvpe_auc .818, pa_f5 .552, pa_f15 .956",
    ("dexycb/s0_test", "Spurr et al."): "root_mpjpe 17.34, pa_mpjpe 6.83",
    ("dexycb/s0_test", "HandOccNet"): "root_mpjpe 14.04, pa_mpjpe_proper 5.80",
    ("dexycb/s0_test", "HandGCAT"): "root_mpjpe 13.76, pa_mpjpe_proper 5.60",
    ("fpha/action_test", "HandOccNet"): "pa_mpjpe 10.8",
}
"""Copied from the papers' tables once more."""


def test_papers_rows_are_the_printed_ones():
    printed = {}
    for row, cells in PRINTED.items():
        words = [cell.split() for cell in cells.split(", ")]
        printed[row] = {key: float(number) / (100 if percent else 1) for key, number, *percent in words}
    assert {(row.data, row.method): row.values for row in PAPER_ROWS} == {row: pytest.approx(values) for row, values in printed.items()}
    for row in PAPER_ROWS:  # below 50 mm area and mean error say the same
        for points in ("pa_mpjpe", "pa_mpvpe"):
            if f"{points}_auc" in row.values:
                assert row.values[f"{points}_auc"] == pytest.approx(1 - row.values[points] / 50, abs=2e-3)


def test_a_whole_evaluation_stands_beside_the_papers():
    page = make_report().markdown()
    assert "Whole split: 4 of 4 samples." in page
    assert "| HandOccNet | 24.9 mm | 9.1 mm |  | 8.8 mm |  | 0.564 |" in page
    assert "HandGCAT, Table I." in page
    assert "0.584" in page
    assert "| SM1/0001 | 12.00 mm | 30.00 mm | [picture](worst/001.png) |" in page
    assert "PARTIAL" not in page
    record = make_report().record()
    assert record["partial"] is False
    assert {figure["key"] for figure in record["figures"]} >= {"pa_mpjpe", "pa_f5"}
    assert "HandOccNet, Table 5" in make_report().summary()


def test_a_partial_evaluation_says_so_everywhere():
    report = make_report(samples=3)
    record, page, lines = report.record(), report.markdown(), report.summary().splitlines()
    assert "figures" not in record
    assert record["partial_figures"]
    assert record["status"].startswith("PARTIAL EVALUATION: 3 of 4")
    assert page.startswith("# PARTIAL: ")
    assert f"\n**{report.status}**\n" in page
    assert "| HandOccNet |" not in page
    assert "Not comparable: only a part of the split was scored" in page
    assert all(line.endswith("PARTIAL") for line in lines if " mm  " in line)
    assert not any("Table" in line for line in lines)


def test_notes_settings_and_warnings_stand_in_every_form():
    report = make_report(notes=("Mind the gap.",), settings={"crop": "x1.5"}, warnings=("Upside down.",), left_out=(("a", "b"),))
    page, record = report.markdown(), report.record()
    assert "## Notes\n\n- Mind the gap.\n" in page
    assert "## How\n\n- crop: x1.5\n" in page
    assert "Suspicious: Upside down." in report.summary().splitlines()
    assert (record["notes"], record["settings"], record["warnings"]) == (["Mind the gap."], {"crop": "x1.5"}, ["Upside down."])
    assert record["samples"] == {"scored": 4, "expected": 4, "left_out": 1}


def test_a_file_of_predictions_stands_beside_the_papers_too():
    assert make_report(hand="").record()["comparable_with_papers"]


def test_long_lists_are_cut_on_the_page_alone():
    sequences = tuple(SequenceErrors(f"S|{k}", 1000 * k, 2.0, 1.0) for k in range(23))
    report = make_report(sequences=sequences)
    page = report.markdown()
    assert "| S/19 | 19,000 | 1.00 mm | 2.00 mm |\n\n... and 3 more, in the JSON." in page
    assert "S/20" not in page
    assert len(report.record()["sequences"]) == 23
    shown = page.partition("## Figures")[2].partition("## ")[0]
    assert all(f"| {figure.title} | {figure} |" in shown for figure in report.figures)


def test_the_open_hand_and_suspicious_predictions_are_no_match_for_the_papers():
    page = make_report(hand="open", warnings=("The joints seem to be in OpenGL axes.",)).markdown()
    assert "the hand is the open one, not MANO and the predictions are suspicious" in page
    assert "**Suspicious predictions, scored all the same:** The joints seem to be in OpenGL axes." in page
    assert "| HandOccNet |" not in page


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hand": "open"}, "the hand is the open one, not MANO"),
        ({"warnings": ("The joints seem to be in OpenGL axes.",)}, "the predictions are suspicious"),
        ({"samples": 3}, "only a part of the split was scored"),
    ],
)
def test_each_reason_alone_keeps_the_papers_away(changes, reason):
    report = make_report(**changes)
    assert not report.record()["comparable_with_papers"]
    assert f"Not comparable: {reason}. " in report.markdown()
    assert "Table" not in report.summary()


def test_without_a_figure_there_is_nothing_to_compare():
    report = make_report(figures=(), samples=0)
    assert "Beside the papers" not in report.markdown()
    assert "No sample has a truth here: nothing to score." in report.summary()


def test_what_was_left_out_is_named():
    report = make_report(samples=3, left_out=(("SM1/0002", "its picture is missing"),))
    assert "| SM1/0002 | its picture is missing |" in report.markdown()
    assert report.record()["left_out"] == [{"key": "SM1/0002", "reason": "its picture is missing"}]
    assert "1 samples were left out, the first is SM1/0002" in report.summary()


def test_an_unknown_figure_lists_those_there_are():
    assert isinstance(make_report().figure("pa_mpjpe"), Figure)
    with pytest.raises(KeyError, match="No figure 'pa'"):
        make_report().figure("pa")


def test_a_figure_is_of_its_stratum_and_keeps_nine_digits():
    half = tuple(benchmark_figures("ho3d", SCORED._replace(joints=TRUTH + 0.02), subset="half"))
    report = make_report(figures=(*half, *make_report().figures))
    assert report.figure("mpjpe").value == pytest.approx(10 * 3**0.5)
    assert report.figure("mpjpe", "half").value == pytest.approx(20 * 3**0.5)
    strata = report.markdown().partition("## Figures by stratum")[2]
    assert "| half | 4 | 34.64 mm |" in strata
    assert "median" not in strata
    assert replace(half[0], value=0.12345678912).record()["value"] == 0.123456789


@pytest.mark.parametrize(
    ("data", "variant"), [("ho3d_v2/evaluation", "official"), ("dexycb/s0_test", "proper"), ("fpha/action_test", "proper")]
)
def test_single_samples_name_their_variant(data, variant):
    report = make_report(data)
    assert f"| sequence | samples | PA-MPJPE ({variant}) | MPJPE root-relative |" in report.markdown()
    assert f"| sample | PA-MPJPE ({variant}) | MPJPE root-relative | picture |" in report.markdown()
    assert variant in report.record()["listed_alignment"]
