"""The pages on the networks: their code runs, and they name every preset and every switch."""

import re
from pathlib import Path

import pytest

from occhand.models.config import HandGCATConfig, HandOccNetConfig
from occhand.models.presets import PRESETS

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = [
    pytest.param(block, id=f"{page}-{k}")
    for page in ("models.md", "extending.md")
    for k, block in enumerate(re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_code_runs(block):
    exec(compile(block, "docs", "exec"), {})


def test_every_preset_and_switch_is_on_the_page():
    page = (DOCS / "models.md").read_text()
    assert [name for name in PRESETS if f"| `{name}` |" not in page] == []
    sizes = {"map_size", "channels", "trunk", "trunk_width", "hourglass_depth", "encoder_levels", "head_widths", "cat_heads"}
    table_rows = {"fit", "set", "fit_attention", "fit_residual", "set_modules", "kgc_layers", "cat_blocks"}
    start = {"initialisation", "embedding_std"}
    fields = set(HandOccNetConfig.__dataclass_fields__) | set(HandGCATConfig.__dataclass_fields__)
    assert [name for name in fields - sizes - table_rows - start if f"`{name}" not in page] == []
