"""What bf16 and int8 change: joints against the same network in fp32, and against the truth, on hands of `open-test`.

python benchmarks/precision.py --model handgcat-open-s --samples 256                   # a network that comes with the package, or a file
python benchmarks/precision.py --model handgcat-open-s --given hidden-missing          # its 2D joints as a detector may give them
python benchmarks/precision.py --model handgcat --samples 16 --calibration 16          # full size: the made-up weights of the golden tests

Where the processor has no instructions for a precision, its row is left out, but for ONNX Runtime's int8: there `int8 in floats` runs the
same graph without joining its operations, so that every rounding is done and each product is computed in floating point.

Weights that were never trained let rounding grow from layer to layer while pictures hardly move the hand: `spread` is how far apart the
fp32 network's own answers to two pictures are, the measure to hold a change against.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from occhand.data.augment import Jitter
from occhand.data.joint_errors import DetectorErrors, FixedErrors
from occhand.data.transforms import cut_crop
from occhand.export.int8 import calibration_crops, quantise
from occhand.export.write import export_network
from occhand.metrics.functional import pa_mpjpe
from occhand.models.checkpoint import BUNDLED, load_released
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.pretrained import load_weights
from occhand.runtimes.choice import processor_precisions
from occhand.runtimes.network import load_exported, make_ready
from occhand.runtimes.onnx_graph import graph_info, graph_input_names, input_names, to_onnx
from occhand.synth.dataset import load_split
from occhand.types import ModelInput, ModelOutput

sys.path.insert(0, str(Path(__file__).parents[1]))
golden_recipe = importlib.import_module("tests.golden.networks.golden_recipe")

GIVEN = {
    "exact": None,
    "noisy": FixedErrors(),
    "hidden-missing": FixedErrors(0.02, 0.02, missing="hidden"),
    "none": DetectorErrors(none=1.0),
    "as-in-training": DetectorErrors(),
}


def network(name: str) -> HandOccNet | HandGCAT:
    if name in golden_recipe.NETS:
        return load_released({"epoch": 0, "network": golden_recipe.state_dict_torch(name)}).eval()
    return load_weights(name)


def runs(model: HandOccNet | HandGCAT, calibration: list[ModelInput], folder: str) -> dict[str, Callable[[ModelInput], ModelOutput]]:
    """What this processor can run, by name."""
    able = processor_precisions()
    found = {"openvino fp32": make_ready(model, "openvino").run}
    if "bf16" in able:
        found["openvino bf16"] = make_ready(model, "openvino", "bf16").run
    if "int8" not in able:
        return found | {"onnx int8 in floats": int8_in_floats(model, calibration, Path(folder, "int8.onnx"))}
    for runtime, suffix in (("openvino", "xml"), ("onnx", "onnx")):
        made = export_network(model, Path(folder, f"int8.{suffix}"), "int8", calibration).files[0]
        found[f"{runtime} int8"] = load_exported(made, runtime, hand=model.hand).run
    return found


def int8_in_floats(model: HandOccNet | HandGCAT, calibration: list[ModelInput], path: Path) -> Callable[[ModelInput], ModelOutput]:
    import onnx
    import onnxruntime

    info = graph_info(model, "int8")
    onnx.save(to_onnx(model, info), path)
    quantise(path, info, calibration[: -(len(calibration) // 4)], "onnx")  # as in an export
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = dict(zip(graph_input_names(model.config), input_names(model.config), strict=True))

    def run(inputs: ModelInput) -> ModelOutput:
        values = session.run(None, {theirs: getattr(inputs, name).numpy() for theirs, name in names.items()})
        return ModelOutput(**{name: torch.from_numpy(value) for name, value in zip(info.outputs, values, strict=True)})

    return run


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=BUNDLED[0])
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--calibration", type=int, default=128, help="crops of open-val; a quarter of them judges the export")
    parser.add_argument("--given", choices=GIVEN, default="exact", help="the 2D joints of a network that takes them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = network(options.model)
    errors, generator = GIVEN[options.given], torch.Generator().manual_seed(0)
    takes_joints = "joints_crop" in input_names(model.config)
    split = load_split("open-test")
    inputs, truth = [], []
    for k in range(options.samples):
        crop = cut_crop(split[k], Jitter(), model.config.input_size, needs_pose=False)
        joints_crop = crop.joints_crop if errors is None else errors(crop, generator)
        inputs.append(ModelInput(crop.image[None], joints_crop[None] if takes_joints else None))
        truth.append(crop.joints_cam)  # of the right hand that the network is shown
    expected = torch.cat([model(some).joints for some in inputs])
    spread = 1e3 * pa_mpjpe(expected, expected.roll(1, 0)).mean().item()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for variant, run in runs(model, calibration_crops("open-val", options.calibration, model.config), folder).items():
            mine = torch.cat([run(some).joints for some in inputs])
            change = 1e3 * pa_mpjpe(mine, expected)
            to_truth = [1e3 * pa_mpjpe(joints, torch.stack(truth)).mean().item() for joints in (expected, mine)]
            rows.append({"variant": variant, "to_fp32_mm": change.mean().item(), "to_fp32_p95_mm": float(np.percentile(change, 95))})
            rows[-1] |= {"pa_mpjpe_fp32_mm": to_truth[0], "pa_mpjpe_mm": to_truth[1], "spread_mm": spread}
            print(
                f"{options.model:18} {variant:20} PA-MPJPE to fp32 {rows[-1]['to_fp32_mm']:.3f} mm (95 % within "
                f"{rows[-1]['to_fp32_p95_mm']:.3f}), spread {spread:.1f}; to the truth {to_truth[0]:.3f} -> {to_truth[1]:.3f} mm",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
