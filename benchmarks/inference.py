"""Both released networks, as slow as they were published, against every runtime here: same weights, in turns, one run.

python benchmarks/inference.py --networks handoccnet handgcat --batches 1 8 --threads 1 2 --rounds 10
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import torch
from released_twin import as_released

from occhand.bench import in_turns
from occhand.models.presets import create_model
from occhand.runtimes.network import load_exported, make_ready
from occhand.runtimes.onnx_graph import example_input


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["handoccnet", "handgcat"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="also wait for PyTorch's compiler")
    parser.add_argument("--int8", type=Path, help="a folder with NETWORK-int8.onnx, made by 'occhand export'")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kinds = [("torch", "fp32"), ("torch", "bf16"), ("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")]
    kinds += [("compile", "fp32")] if options.compile else []
    rows = []
    for name in options.networks:
        torch.manual_seed(0)
        model = create_model(name).eval()
        for threads in options.threads:
            torch.set_num_threads(threads)
            variants = {"released": as_released(copy.deepcopy(model)), "plain": model}
            variants |= {" ".join(kind): make_ready(model, *kind).run for kind in kinds}
            if options.int8:
                file = options.int8 / f"{name}-int8.onnx"
                variants |= {f"{runtime} int8": load_exported(file, runtime).run for runtime in ("onnx", "openvino")}
            for batch in options.batches:
                timings = in_turns(variants, example_input(model.config, batch), threads, options.rounds)
                for t in timings:
                    rows.append({"network": name} | t.__dict__)
                    print(
                        f"{name:10} batch {batch}, {threads} threads  {t.variant:14} p50 {t.p50_ms:8.1f} ms  min {t.min_ms:8.1f} ms  "
                        f"ratio {t.ratio:5.2f} by the clock, {t.cpu_ratio:5.2f} by processor time",
                        flush=True,
                    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
