"""Both released networks, as slow as they were published, against every runtime here: same weights, in turns, one run.

python benchmarks/inference.py --networks handoccnet handgcat --batches 1 8 --threads 1 2 --rounds 10

`floor` is the time that the fused network's products alone would take at the rate of PyTorch's product of two 1024 x 1024 matrices in fp32;
`share` is how much of a variant's time that is: above 1 where a precision is quicker than fp32.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path

import torch
from released_twin import as_released
from torch.utils.flop_counter import FlopCounterMode

from occhand.bench import in_turns
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.presets import create_model
from occhand.runtimes.choice import processor_precisions
from occhand.runtimes.network import load_exported, make_ready
from occhand.runtimes.onnx_graph import example_input
from occhand.types import ModelInput


def gmacs(model: HandOccNet | HandGCAT) -> float:
    """Multiply-accumulates of the fused network for one crop, in units of 1e9."""
    fused = copy.deepcopy(model.fuse()).to("meta")
    image, joints_crop = example_input(model.config, 1)
    inputs = ModelInput(image.to("meta"), None if joints_crop is None else joints_crop.to("meta"))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        fused(inputs)
    return counter.get_total_flops() / 2e9


def gmacs_per_second(size: int = 1024, rounds: int = 30) -> float:
    """The quickest of some products of two matrices in fp32."""
    a, b, seconds = torch.rand(size, size), torch.rand(size, size), []
    for _ in range(rounds):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    return size**3 / 1e9 / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["handoccnet", "handgcat"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="also wait for PyTorch's compiler")
    parser.add_argument("--int8", type=Path, help="a folder with NETWORK-int8.xml (or .onnx), made by 'occhand export'")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kinds = [("torch", "fp32"), ("torch", "bf16"), ("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")]
    kinds = [kind for kind in kinds if kind[1] in processor_precisions()]
    kinds += [("compile", "fp32")] if options.compile else []
    rows = []
    for name in options.networks:
        torch.manual_seed(0)
        model = create_model(name).eval()
        for threads in options.threads:
            torch.set_num_threads(threads)
            floor_ms = 1e3 * gmacs(model) / gmacs_per_second()
            print(f"{name:10} {threads} threads: floor {floor_ms:.0f} ms a crop")
            variants = {"released": as_released(copy.deepcopy(model)), "plain": model}
            variants |= {" ".join(kind): make_ready(model, *kind).run for kind in kinds}
            if options.int8:
                for runtime, suffix in (("onnx", "onnx"), ("openvino", "xml")):
                    if (file := options.int8 / f"{name}-int8.{suffix}").exists():
                        variants[f"{runtime} int8"] = load_exported(file, runtime).run
            for batch in options.batches:
                timings = in_turns(variants, example_input(model.config, batch), threads, options.rounds)
                for t in timings:
                    share = batch * floor_ms / t.p50_ms
                    rows.append({"network": name, "floor_ms": floor_ms} | t.__dict__)
                    print(
                        f"{name:10} batch {batch}, {threads} threads  {t.variant:14} p50 {t.p50_ms:8.1f} ms  min {t.min_ms:8.1f} ms  "
                        f"ratio {t.ratio:5.2f} by the clock, {t.cpu_ratio:5.2f} by processor time, share {share:.2f}",
                        flush=True,
                    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
