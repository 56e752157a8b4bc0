"""The page on the networks names every preset and every switch."""

from pathlib import Path

import pytest

from occhand.models.config import HandGCATConfig, HandOccNetConfig
from occhand.models.presets import PRESETS, list_models

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
SIZES = {"map_size", "channels", "trunk", "trunk_width", "hourglass_depth", "encoder_levels", "head_widths", "cat_heads"}
IN_THE_TABLE_OF_PRESETS = {"fit", "set", "fit_attention", "fit_residual", "set_modules", "kgc_layers", "cat_blocks"}
START = {"initialisation", "embedding_std"}


def test_every_preset_is_on_the_page():
    assert [name for name in PRESETS if f"| `{name}` |" not in PAGE] == []


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model.name)
def test_sizes_on_the_page_are_those_counted(model):
    row = f"{model.input_size} | {model.parameters / 1e6:.1f} | {model.gmacs:.1f} |"
    assert f"| `{model.name}` |" in "".join(line for line in PAGE.splitlines() if line.endswith(row))


def test_every_switch_is_on_the_page():
    fields = set(HandOccNetConfig.__dataclass_fields__) | set(HandGCATConfig.__dataclass_fields__)
    assert [name for name in fields - SIZES - IN_THE_TABLE_OF_PRESETS - START if f"`{name}" not in PAGE] == []
