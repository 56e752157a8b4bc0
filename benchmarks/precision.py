"""What bf16 and int8 change: joints against the same network in fp32, and against the truth, on hands of `open-test`.

python benchmarks/precision.py --model handgcat-open-s --samples 256                   # a network that comes with the package, or a file
python benchmarks/precision.py --model handgcat --samples 16 --calibration 16          # full size: the made-up weights of the golden tests

Weights that were never trained let rounding grow from layer to layer while pictures hardly move the hand: `spread` is how far apart the
fp32 network's own answers to two pictures are, the measure to hold a change against.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from occhand.data.augment import Jitter
from occhand.data.transforms import cut_crop
from occhand.export.int8 import calibration_crops
from occhand.export.write import export_network
from occhand.metrics.functional import pa_mpjpe
from occhand.models.checkpoint import BUNDLED, load_released
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.pretrained import load_weights
from occhand.runtimes.network import load_exported, make_ready
from occhand.runtimes.onnx_graph import input_names
from occhand.synth.dataset import load_split
from occhand.types import ModelInput

sys.path.insert(0, str(Path(__file__).parents[1]))
golden_recipe = importlib.import_module("tests.golden.networks.golden_recipe")


def network(name: str) -> HandOccNet | HandGCAT:
    if name in golden_recipe.NETS:
        return load_released({"epoch": 0, "network": golden_recipe.state_dict_torch(name)}).eval()
    return load_weights(name)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=BUNDLED[0])
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--calibration", type=int, default=128, help="crops of open-val; a quarter of them judges the export")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = network(options.model)
    split = load_split("open-test")
    inputs, truth = [], []
    for k in range(options.samples):
        crop = cut_crop(split[k], Jitter(), model.config.input_size, needs_pose=False)
        inputs.append(ModelInput(crop.image[None], crop.joints_crop[None] if "joints_crop" in input_names(model.config) else None))
        truth.append(crop.joints_cam)  # of the right hand that the network is shown
    expected = torch.cat([model(some).joints for some in inputs])
    spread = 1e3 * pa_mpjpe(expected, expected.roll(1, 0)).mean().item()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        calibration = calibration_crops("open-val", options.calibration, model.config)
        ready = {"openvino fp32": make_ready(model, "openvino").run, "openvino bf16": make_ready(model, "openvino", "bf16").run}
        for runtime, suffix in (("openvino", "xml"), ("onnx", "onnx")):
            made = export_network(model, Path(folder, f"int8.{suffix}"), "int8", calibration).files[0]
            ready[f"{runtime} int8"] = load_exported(made, runtime, hand=model.hand).run
        for variant, run in ready.items():
            mine = torch.cat([run(some).joints for some in inputs])
            change = 1e3 * pa_mpjpe(mine, expected)
            errors = [1e3 * pa_mpjpe(joints, torch.stack(truth)).mean().item() for joints in (expected, mine)]
            rows.append({"variant": variant, "to_fp32_mm": change.mean().item(), "to_fp32_p95_mm": float(np.percentile(change, 95))})
            rows[-1] |= {"pa_mpjpe_fp32_mm": errors[0], "pa_mpjpe_mm": errors[1], "spread_mm": spread}
            print(
                f"{options.model:18} {variant:14} PA-MPJPE to fp32 {rows[-1]['to_fp32_mm']:.3f} mm (95 % within "
                f"{rows[-1]['to_fp32_p95_mm']:.3f}), spread {spread:.1f}; to the truth {errors[0]:.3f} -> {errors[1]:.3f} mm",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
