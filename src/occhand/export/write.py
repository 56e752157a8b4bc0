"""From a network to a file that needs no PyTorch: made, compared with the network, described, and only then put in its place."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occhand.data.shards import sha256_of
from occhand.export.card import write_card
from occhand.export.int8 import quantise
from occhand.export.parity import Parity, compare
from occhand.models.checkpoint import BUNDLED, bundled_weights, read_info
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.runtimes.choice import Precision, Runtime, resolve
from occhand.runtimes.network import load_exported
from occhand.runtimes.onnx_graph import METADATA_KEY, GraphInfo, example_input, graph_info, to_onnx
from occhand.types import ModelInput

_RUNTIME_OF: dict[str, Runtime] = {".onnx": "onnx", ".xml": "openvino"}


@dataclass(frozen=True)
class Exported:
    """What was written."""

    files: tuple[Path, ...]
    """The network first, its card as JSON and as Markdown last."""
    parity: Parity


def check_export(out: Path, precision: str) -> Precision:
    """Whether a file of this name and precision can be made here; to be asked before weights are read and samples rendered.

    Raises:
        ValueError: Unknown suffix or precision; a precision that the format or the processor has not.
        ImportError: The extra `export` is not installed.
    """
    if out.suffix not in _RUNTIME_OF:
        raise ValueError(f"{out.name} names no format; end it in .onnx (ONNX Runtime, OpenVINO and others) or .xml (OpenVINO).")
    return resolve(_RUNTIME_OF[out.suffix], precision)[1]


def export_network(
    model: HandOccNet | HandGCAT,
    out: Path,
    precision: Precision = "fp32",
    calibration: Sequence[ModelInput] = (),
    origin: Path | None = None,
) -> Exported:
    """Write a network with its card; nothing is left behind if anything fails.

    Args:
        model: Plain, in evaluation mode, on the CPU.
        out: `.onnx`, or `.xml` for OpenVINO (with a `.bin` beside it).
        precision: `bf16` changes no weight: it is what OpenVINO is told to compute in.
        calibration: Crops to choose the ranges of int8 from; the last quarter only judges the result.
        origin: The file of the weights, or the name of bundled ones; named in the card with what it says of itself.

    Raises:
        ValueError: As `check_export`; int8 without calibration; a result that is too far from the network.
        ImportError: The extra `export` is not installed.
    """
    precision = check_export(out, precision)
    if precision == "int8" and len(calibration) < 4:
        raise ValueError(f"int8 needs crops to choose its ranges from, and {len(calibration)} were given. Name data with hands in it.")
    held_out = max(1, len(calibration) // 4)
    info = graph_info(model, precision)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent) as beside:
        made = Path(beside) / out.name
        graph = made.with_suffix(".onnx")
        _save(to_onnx(model, info), graph)
        if precision == "int8":
            quantise(graph, info, calibration[:-held_out], _RUNTIME_OF[out.suffix])
        if out.suffix == ".xml":
            _convert_to_openvino(graph, made, info)
        judges = calibration[-held_out:] or [example_input(model.config, batch, seed=batch) for batch in (1, 3)]
        ready = load_exported(made, _RUNTIME_OF[out.suffix], precision, model.hand)
        parity = compare(model, ready, judges, precision)
        about = {"origin": _origin(origin), "sha256": {file.name: sha256_of(file) for file in sorted(made.parent.iterdir())}}
        write_card(made, info, parity, about)
        kinds = (out.suffix, ".bin", ".json", ".md")
        written = sorted(made.parent.iterdir(), key=lambda file: kinds.index(file.suffix))
        files = tuple(file.replace(out.parent / file.name) for file in written)
    return Exported(files, parity)


def _save(proto: Any, path: Path) -> None:
    import onnx

    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _convert_to_openvino(graph: Path, made: Path, info: GraphInfo) -> None:
    import openvino

    model = openvino.Core().read_model(graph)
    model.set_rt_info(info.to_json(), METADATA_KEY)
    openvino.save_model(model, made, compress_to_fp16=False)
    graph.unlink()


def _origin(path: Path | None) -> dict[str, str]:
    """What the file of the weights says of itself."""
    if path is None:
        return {}
    if str(path) in BUNDLED:
        path = bundled_weights(str(path))
    if path.suffix != ".safetensors":
        return {"file": path.name, "data": "a snapshot of the authors", "licence": "its authors' (research only)"}
    about = read_info(path)
    return {"file": path.name, "data": about.data, "licence": about.licence}
