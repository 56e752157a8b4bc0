"""Pictures and numbers of the data card."""

from __future__ import annotations

import re
from pathlib import Path

from occhand.image_io import save_image
from occhand.render.gallery import contact_sheet
from occhand.synth.dataset import load_split
from tools.open_data.chart import draw_charts
from tools.open_data.measure import measure, panels, table
from tools.open_data.scan import scan

TABLE = re.compile(r"(?<=<!-- statistics -->\n).*?(?=\n<!-- end of statistics -->)", re.DOTALL)
SHEET_SAMPLES, SHEET_COLUMNS, SHEET_CELL = 64, 8, 192


def write_statistics(split: str, count: int, workers: int, out: Path) -> None:
    """Measure the first `count` samples of a split: a table on the screen and on the page, charts, a sheet of the first of open-val."""
    dataset = load_split(split)
    indices = dataset.indices[:count]
    measured = [numbers for _, numbers in scan(dataset.seed, indices, dataset.size, workers, measure)]
    print(f"{dataset}\n\n{table(measured)}")
    _put_table(out / "open-data.md", table(measured))
    save_image(draw_charts(panels(measured)), out / "open-data-statistics.png")
    natural = load_split("open-val")  # with the generator's own share of each occlusion
    first = [natural[place].image for place in range(SHEET_SAMPLES)]
    save_image(contact_sheet(first, columns=SHEET_COLUMNS, cell=SHEET_CELL), out / "open-data.webp")


def _put_table(page: Path, rows: str) -> None:
    if page.exists():
        page.write_text(TABLE.sub(lambda _: rows, page.read_text()))
