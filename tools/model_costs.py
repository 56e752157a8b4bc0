"""`python -m tools.model_costs` counts weights and multiply-accumulates of every preset and writes them into the package."""

from __future__ import annotations

import json
from dataclasses import asdict

from occhand.models.cost import COSTS, config_digest
from occhand.models.presets import PRESETS, count_preset

if __name__ == "__main__":
    costs = {config_digest(preset.config): {"network": name} | asdict(count_preset(name)) for name, preset in PRESETS.items()}
    COSTS.write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")
