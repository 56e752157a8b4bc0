"""The papers' own rows, as printed, under the keys of our figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class PaperRow:
    """One printed result."""

    data: str
    """Data set and split, `name/split`."""
    method: str
    source: str
    values: dict[str, float] = field(hash=False)
    """By key of a `Figure`: millimetres, shares of 1."""
    remark: str = ""
    """What a reader must know who compares."""

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


PAPER_ROWS = (
    PaperRow(
        "ho3d_v2/evaluation",
        "HandOccNet",
        "HandOccNet, Table 5 (and S1)",
        {"mpjpe": 24.9, "pa_mpjpe": 9.1, "pa_mpvpe": 8.8, "pa_f5": 0.564, "pa_f15": 0.963},
        "24.9 is of Table S1: before Procrustes, with the given wrist re-attached. F-scores are printed in percent.",
    ),
    PaperRow(
        "ho3d_v2/evaluation",
        "HandGCAT",
        "HandGCAT, Table I",
        {"pa_mpjpe": 8.7, "pa_mpjpe_auc": 0.826, "pa_mpvpe": 8.7, "pa_mpvpe_auc": 0.827, "pa_f5": 0.584, "pa_f15": 0.963},
    ),
    PaperRow(
        "ho3d_v3/evaluation",
        "HandOccNet",
        "HandGCAT, Table II",
        {"pa_mpjpe": 10.7},
        "Not from HandOccNet's authors, who did not run v3; presumably a retraining.",
    ),
    PaperRow(
        "ho3d_v3/evaluation",
        "HandGCAT",
        "HandGCAT, Table II",
        {"pa_mpjpe": 9.3, "pa_mpjpe_auc": 0.814, "pa_mpvpe": 9.1, "pa_mpvpe_auc": 0.818, "pa_f5": 0.552, "pa_f15": 0.956},
    ),
    PaperRow(
        "dexycb/s0_test",
        "Spurr et al.",
        "DexYCB's own baseline",
        {"root_mpjpe": 17.34, "pa_mpjpe": 6.83},
        "Official alignment, both sides, 78,768 samples.",
    ),
    PaperRow("dexycb/s0_test", "HandOccNet", "HandOccNet, Table S2", {"root_mpjpe": 14.04, "pa_mpjpe_proper": 5.80}),
    PaperRow(
        "dexycb/s0_test",
        "HandGCAT",
        "HandGCAT, Table III",
        {"root_mpjpe": 13.76, "pa_mpjpe_proper": 5.60},
        "The text says right hands; the released code scores both sides.",
    ),
    PaperRow(
        "fpha/action_test",
        "HandOccNet",
        "HandOccNet, Table 6",
        {"pa_mpjpe": 10.8},
        "After Procrustes by the author's answer; which variant is not published. Older rows of that table follow other protocols.",
    ),
)


def paper_rows(data: str) -> tuple[PaperRow, ...]:
    """The rows of a data set and split, `name/split`."""
    return tuple(row for row in PAPER_ROWS if row.data == data)
