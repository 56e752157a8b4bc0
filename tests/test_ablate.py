"""Ablation tables: every row has a narrow network, rows are trained alike and kept, and the result says its budget."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from occhand.ablate import TABLES, Budget, RowResult, Table, ablate, row_recipe
from occhand.models.presets import PRESETS, find_preset
from occhand.recipes import ReleasedLoss
from tests.training_child import write_data

BUDGET = Budget(samples=4, epochs=1.0, seeds=2, batch=2, val_samples=2, workers=0)


def test_every_row_is_a_preset_with_a_narrow_twin():
    presets = {preset for table in TABLES.values() for preset in table.rows.values()}
    assert presets <= set(PRESETS)
    assert len({find_preset(f"{preset}-s").config for preset in presets}) == len(presets)
    assert {find_preset(row_recipe(preset, BUDGET).model).config.input_size for preset in presets} == {64}


def test_every_row_is_what_it_is_called():
    configs = {name: {row: find_preset(preset).config for row, preset in table.rows.items()} for name, table in TABLES.items()}
    switches = {row: (config.fit, config.set) for row, config in configs["handoccnet-1"].items()}
    assert switches["FIT only"][1] == switches["SET only"][0] == switches["identity"][0] == switches["identity"][1] == "identity"
    assert "identity" not in (switches["FIT only"][0], switches["SET only"][1], *switches["FIT + SET"])
    assert {row: config.fit_residual for row, config in configs["handoccnet-3"].items()} == {row: row for row in configs["handoccnet-3"]}
    assert {row: config.set_modules for row, config in configs["handoccnet-4"].items() if "SET" in row} == {"two SETs": 2, "SET": 1}
    layers = {row: config.kgc_layers for row, config in configs["handgcat-4"].items() if row != "MLP"}
    assert layers == {f"{k} layers": k for k in range(1, 6)}
    blocks = {row: config.cat_blocks for row, config in configs["handgcat-5"].items() if "block" in row}
    assert blocks == {"1 block": 1, "2 blocks": 2, "3 blocks": 3}


def test_rows_are_trained_alike_by_the_released_loss():
    recipe = row_recipe("handgcat", replace(BUDGET, epochs=0.5))
    assert (recipe.model, recipe.epochs, recipe.batch, recipe.ema) == ("handgcat-s", 0.5, 2, None)
    assert recipe.loss == ReleasedLoss()


def test_a_table_is_trained_written_and_not_trained_twice(tmp_path, monkeypatch):
    data = tmp_path / "data"
    write_data(data / "open-val", 4, first=100)
    write_data(data / "open-train")
    monkeypatch.setitem(TABLES, "tiny", Table("Tiny", {"identity": "handoccnet-identity"}))
    first = ablate("tiny", str(data / "open-train"), tmp_path / "out", BUDGET)
    (row,) = json.loads((tmp_path / "out" / "ablation.json").read_text())["rows"]
    assert row["pa_mpjpe_mm"] == list(first[0].pa_mpjpe_mm)
    assert all(0 < error < 200 for error in row["pa_mpjpe_mm"])
    assert row["pa_mpjpe_mm"][0] != row["pa_mpjpe_mm"][1]
    page = (tmp_path / "out" / "ablation.md").read_text()
    assert "4 generated hands, 1 epochs, 2 seeds" in page
    assert f"{first[0].pa_mpjpe_mm[0]:.2f}" in page

    monkeypatch.setattr("occhand.train.training_step", None)
    assert ablate("tiny", str(data / "open-train"), tmp_path / "out", BUDGET) == first
    with pytest.raises(ValueError, match="epochs"):
        ablate("tiny", str(data / "open-train"), tmp_path / "out", replace(BUDGET, epochs=2.0))


def test_less_data_than_the_budget_is_refused(tmp_path):
    write_data(tmp_path / "open-val", 4, first=100)
    data = write_data(tmp_path / "open-train")
    with pytest.raises(ValueError, match="hold 16 hands to train on and 2 to validate on, the budget asks for 500 and 2"):
        ablate("handoccnet-1", str(data), tmp_path / "out", replace(BUDGET, samples=500))
    with pytest.raises(ValueError, match="hold 4 hands to train on and 4 to validate on, the budget asks for 4 and 5"):
        ablate("handoccnet-1", str(data), tmp_path / "out", replace(BUDGET, val_samples=5))
    assert not (tmp_path / "out").exists()


def test_the_papers_figure_stands_beside_the_whole_network_alone():
    known = {(row, preset) for table in TABLES.values() for row, preset in table.rows.items() if RowResult(row, preset, (1.0,)).paper_mm}
    assert {preset for _, preset in known} == {"handoccnet", "handgcat"}
    assert RowResult("SET", "handoccnet", (12.0,)).cells[-1] == "9.1"
    assert RowResult("4 layers", "handgcat", (12.0,)).cells[-1] == "8.7"
    assert RowResult("SET only", "handoccnet-set-only", (12.0,)).cells[-1] == "not here"


def test_intervals_are_student_ts():
    assert RowResult("a", "b", (10.0, 12.0)).interval == pytest.approx(12.71, abs=0.01)
    assert RowResult("a", "b", (10.0,)).interval is None
    for n in range(2, 11):
        errors = np.random.default_rng(n).normal(10, 1, n)
        low, high = scipy.stats.t.interval(0.95, n - 1, errors.mean(), scipy.stats.sem(errors))
        assert RowResult("a", "b", tuple(errors)).interval == pytest.approx((high - low) / 2, rel=2e-3)


def test_what_cannot_be_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="near: handoccnet-1"):
        ablate("handoccnet_1", "open-train", tmp_path)
    with pytest.raises(ValueError, match="at least one"):
        ablate("handoccnet-1", "open-train", tmp_path, Budget(seeds=0))
