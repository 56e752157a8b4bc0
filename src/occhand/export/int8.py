"""Eight-bit weights and activations, with ranges chosen on crops of hands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from occhand.data.augment import Jitter
from occhand.data.datasets import create_dataset
from occhand.data.transforms import cut_crop
from occhand.models.config import ModelConfig
from occhand.runtimes.choice import Runtime
from occhand.runtimes.onnx_graph import METADATA_KEY, GraphInfo, exact_nodes, graph_input_names, input_names
from occhand.synth.dataset import SPLITS, load_split
from occhand.types import ModelInput

_NARROW = 32
"""Layers with fewer channels on one side stay in floating point: the stem, the necessity map, heat maps. They cost little and err most."""


def calibration_crops(data: str, count: int, config: ModelConfig) -> list[ModelInput]:
    """Crops of the first hands of a synthetic split (`open-val`), or of a folder of shards, as the network takes them.

    Raises:
        ValueError: No such split or folder, or nothing in it.
    """
    samples = load_split(data) if data in SPLITS else create_dataset("folder", data)
    crops = [cut_crop(samples[k], Jitter(), config.input_size, needs_pose=False) for k in range(min(count, len(samples)))]
    if not crops:
        raise ValueError(f"{data} has no hands to calibrate on. Name a synthetic split ({', '.join(SPLITS)}) or a folder of shards.")
    takes_joints = "joints_crop" in input_names(config)
    return [ModelInput(crop.image[None], crop.joints_crop[None] if takes_joints else None) for crop in crops]


def quantise(graph: Path, info: GraphInfo, calibration: Sequence[ModelInput], runtime: Runtime) -> None:
    """Exchange an ONNX file for its int8 form: wide convolutions and products with weights; the hand, its head and attention stay.

    ONNX Runtime takes eight-bit convolutions only where what comes out of them is rounded at once. OpenVINO rounds after the activation,
    which is nearer to the network and leaves no conversions between layers.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = graph.with_name(f"prepared-{graph.name}")
    quant_pre_process(graph, prepared, skip_symbolic_shape=True)
    proto = onnx.load(prepared)
    quantize_static(
        proto,
        graph,
        _Crops(calibration, dict(zip(input_names(info.config), graph_input_names(info.config), strict=True))),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        nodes_to_quantize=_wide_nodes(proto),
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={
            "CalibMovingAverage": True,
            "OpTypesToExcludeOutputQuantization": ["Conv", "MatMul"] if runtime == "openvino" else [],
        },
    )
    prepared.unlink()
    made = onnx.load(graph)
    if not any(entry.key == METADATA_KEY for entry in made.metadata_props):
        entry = made.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, info.to_json()
        onnx.save(made, graph)


def _wide_nodes(proto: Any) -> list[str]:
    """Names of the nodes whose arithmetic is worth eight bits."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in [*proto.graph.value_info, *proto.graph.input]}
    chosen, exact = [], {node.name for node in exact_nodes(proto.graph)}
    for node in proto.graph.node:
        if node.name in exact:
            continue
        if node.op_type == "Conv" and min(weights.get(node.input[1], (0,))[:2]) >= _NARROW:
            chosen.append(node.name)
        elif node.op_type == "MatMul":
            constant = [name for name in node.input if name in weights]
            other = [name for name in node.input if name not in weights]
            # Tokens times weights; not the gate's sums (two dimensions) or its narrow products, and not attention.
            is_wide = len(constant) == 1 and min(weights[constant[0]], default=0) >= _NARROW and ranks.get(other[0]) == 3
            if is_wide and ranks.get(node.output[0]) == 3 and not _is_narrow(proto, node.output[0]):
                chosen.append(node.name)
    return chosen


def _is_narrow(proto: Any, name: str) -> bool:
    """Whether a product has only a few columns."""
    shape = next(value.type.tensor_type.shape.dim for value in proto.graph.value_info if value.name == name)
    return 0 < shape[-1].dim_value < _NARROW


class _Crops:
    """Crops one by one, as ONNX Runtime's calibration asks for them."""

    def __init__(self, crops: Sequence[ModelInput], names: dict[str, str]) -> None:
        arrays = [{theirs: getattr(crop, name).numpy() for name, theirs in names.items()} for crop in crops]
        self._left: Iterator[dict[str, np.ndarray]] = iter(arrays)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next crop's arrays by input name; None at the end."""
        return next(self._left, None)
