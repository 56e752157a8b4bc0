"""A network ready to run, whatever runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from occhand import __version__
from occhand.files import atomic_path, cache_dir
from occhand.hand.hand_layer import HandLayer, load_hand_named_in
from occhand.models.config import ModelConfig, family_of
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.input_check import check_input
from occhand.runtimes.choice import Precision, Runtime, check_installed, processor_precisions, resolve
from occhand.runtimes.onnx_graph import (
    EXACT_FROM,
    METADATA_KEY,
    GraphInfo,
    graph_info,
    graph_input_names,
    input_names,
    network_digest,
    to_onnx,
)
from occhand.types import ModelInput, ModelOutput

_log = logging.getLogger(__name__)

_GRAPH_FORM = 5
"""Of graphs in the cache: goes up when the same network is traced to another graph, or its tensors get other names."""
EXPORTED_SUFFIXES = (".onnx", ".xml")
_FAMILY_TITLES = {"handoccnet": "HandOccNet", "handgcat": "HandGCAT"}


@dataclass(frozen=True)
class ReadyNetwork:
    """A network and what runs it. Called like a network; runs on the CPU."""

    config: ModelConfig
    hand: HandLayer
    runtime: Runtime
    precision: Precision
    digest: str
    """Of the network that it was made from."""
    run: Callable[[ModelInput], ModelOutput]

    def __call__(self, inputs: ModelInput) -> ModelOutput:
        """The hand in each crop; errors as the networks' own."""
        check_input(inputs, self.config, check_values=True)
        return self.run(inputs)

    @property
    def title(self) -> str:
        """The network's name, as its paper writes it."""
        return _FAMILY_TITLES[family_of(self.config)]


def make_ready(model: HandOccNet | HandGCAT, runtime: str = "torch", precision: str = "fp32") -> ReadyNetwork:
    """Prepare a network for a runtime.

    The ONNX graph that `onnx` and `openvino` run is made once per network and kept in the user's cache.

    Args:
        model: Plain, in evaluation mode.
        runtime: `torch`: the fused network. `compile`: the same through PyTorch's compiler, minutes at the first picture. `onnx`,
            `openvino`: the extra `export`. `auto`: the quickest that is installed.
        precision: `fp32`, or `bf16` where the processor has it. `int8` needs calibration, see `occhand export`.

    Raises:
        ValueError: Runtime and precision do not go together, or the processor lacks the precision.
        ImportError: The runtime is not installed.
    """
    chosen, exact = resolve(runtime, precision)
    if exact == "int8":
        raise ValueError(
            "int8 needs calibration: run 'occhand export WEIGHTS --precision int8' and name the file that it writes as the model."
        )
    digest = network_digest(model)
    if chosen in ("torch", "compile"):
        run = _torch_run(model, is_compiled=chosen == "compile", is_bf16=exact == "bf16")
    else:
        run = open_graph(_cached_graph(model, digest), graph_info(model), chosen, exact)
    return ReadyNetwork(model.config, model.hand, chosen, exact, digest, run)


def load_exported(path: Path, runtime: str = "auto", precision: str | None = None, hand: HandLayer | None = None) -> ReadyNetwork:
    """A network from a file that `occhand export` wrote.

    Args:
        path: `.onnx`, or OpenVINO's `.xml` with its `.bin` beside it.
        runtime: `onnx` or `openvino`; `auto` takes the quickest that reads the file.
        precision: None: the file's own.
        hand: Must be of the file's kind, as the mesh comes from the hand inside the file; None: the hand that it names.

    Raises:
        FileNotFoundError: No such file; or it holds MANO and MANO was not converted yet.
        ValueError: Not ours or of another version; another hand; a runtime that does not read it, or another precision than the file's.
        ImportError: The runtime is not installed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Exported network not found: {path}.")
    if path.suffix == ".xml" and runtime not in ("auto", "openvino"):
        raise ValueError(f"{path} is for OpenVINO; use --runtime openvino, or export the weights to a .onnx file.")
    if path.suffix == ".onnx" and runtime in ("torch", "compile"):
        raise ValueError(f"{path} is a graph, which runtime {runtime} does not run. Use --runtime onnx or openvino, or name the weights.")
    info = read_graph_info(path)
    wanted = precision or info.precision
    if (info.precision == "int8") != (wanted == "int8"):
        raise ValueError(f"{path} holds a network in {info.precision}, not {wanted}. Export the weights with --precision {wanted}.")
    chosen, exact = resolve("openvino" if path.suffix == ".xml" else runtime, wanted)
    if hand is None:
        hand = load_hand_named_in(path, info.hand)
    elif hand.name != info.hand:
        raise ValueError(f"{path} has the {info.hand} hand inside, not the {hand.name} one. Leave the hand out, or export again with it.")
    return ReadyNetwork(info.config, hand, chosen, exact, info.digest, open_graph(path, info, chosen, exact))


def read_graph_info(path: Path) -> GraphInfo:
    """What an exported file says of its network; errors as `load_exported`."""
    if path.suffix == ".xml":
        check_installed("openvino")
        import openvino

        try:
            model = openvino.Core().read_model(path)
        except RuntimeError as error:
            raise ValueError(f"{path} is no OpenVINO model that can be read ({str(error).splitlines()[-1].strip()}).") from error
        text = model.get_rt_info(METADATA_KEY).astype(str) if model.has_rt_info(METADATA_KEY) else None
    else:
        check_installed("onnx")
        import onnx
        from google.protobuf.message import DecodeError

        try:
            properties = onnx.load(path, load_external_data=False).metadata_props
        except (DecodeError, ValueError) as error:
            raise ValueError(f"{path} is no ONNX file that can be read ({error}).") from error
        text = next((entry.value for entry in properties if entry.key == METADATA_KEY), None)
    return GraphInfo.from_json(text, path)


def open_graph(path: Path, info: GraphInfo, runtime: Runtime, precision: Precision) -> Callable[[ModelInput], ModelOutput]:
    """An exported graph as a function of a network's input; as many threads as PyTorch has.

    Raises:
        ValueError: The runtime refuses the graph.
    """
    names = input_names(info.config)
    try:
        arrays = _onnx_session(path, graph_input_names(info.config)) if runtime == "onnx" else _openvino_session(path, precision)
    except Exception as error:  # the runtimes' own, which have no kind in common
        reason = " ".join(str(error).split())[-200:]
        raise ValueError(
            f"{path} cannot be run by {runtime} ({reason}). Export the weights again; a file in the cache may be deleted, it is made again."
        ) from error

    def run(inputs: ModelInput) -> ModelOutput:
        given = [np.ascontiguousarray(getattr(inputs, name).numpy(), dtype=np.float32) for name in names]
        return ModelOutput(**{name: torch.from_numpy(value) for name, value in zip(info.outputs, arrays(given), strict=True)})

    return run


Arrays = Callable[[list[np.ndarray]], list[np.ndarray]]


def _onnx_session(path: Path, names: tuple[str, ...]) -> Arrays:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # after a run: what a caller does next has the processor
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(None, dict(zip(names, given, strict=True)))


def _openvino_session(path: Path, precision: Precision) -> Arrays:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    if precision == "fp32" or "bf16" not in processor_precisions():
        return _openvino_run(core, model, "f32")
    crossing = _exact_inputs(model)
    if not crossing:
        return _openvino_run(core, model, "bf16")
    # In two: marks on single operations do not survive OpenVINO's own changes to the graph.
    coarse = _openvino_run(core, openvino.Model(crossing, model.get_parameters()), "bf16")
    exact = _openvino_run(core, _exact_part(core.read_model(path)), "f32")
    return lambda given: exact([*given, *coarse(given)])


def _exact_inputs(model: Any) -> list[Any]:
    """Where the exact part of an OpenVINO graph begins."""
    found = {name: output for node in model.get_ordered_ops() for output in node.outputs() for name in output.get_names()}
    return [found[name] for name in sorted(found) if name.startswith(EXACT_FROM)]


def _exact_part(model: Any) -> Any:
    """The graph from there on; its inputs are the network's, for the size of the batch and for given joints, and then those tensors."""
    import openvino

    inputs = []
    for output in _exact_inputs(model):
        readers = output.get_target_inputs()
        inputs.append(openvino.op.Parameter(output.get_element_type(), output.get_partial_shape()))
        for reader in readers:
            reader.replace_source_output(inputs[-1].output(0))
    return openvino.Model(model.get_results(), [*model.get_parameters(), *inputs])


def _openvino_run(core: Any, model: Any, hint: str) -> Arrays:
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def run(given: list[np.ndarray]) -> list[np.ndarray]:
        request.infer(given, share_inputs=True)
        return [request.get_output_tensor(k).data.copy() for k in range(len(compiled.outputs))]

    return run


def _torch_run(model: HandOccNet | HandGCAT, is_compiled: bool, is_bf16: bool) -> Callable[[ModelInput], ModelOutput]:
    fused: Callable[[ModelInput], ModelOutput] = model.fuse()
    if is_compiled:
        import torch._inductor.config as inductor

        inductor.freezing = True  # weights become constants, packed for the processor
        fused = torch.compile(fused)

    @torch.inference_mode()
    def run(inputs: ModelInput) -> ModelOutput:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            output = fused(inputs)
        return output._replace(**{name: value.float() for name, value in output._asdict().items() if isinstance(value, Tensor)})

    return run


def _cached_graph(model: HandOccNet | HandGCAT, digest: str) -> Path:
    path = cache_dir() / "graphs" / f"{digest[:32]}-{__version__}-{_GRAPH_FORM}.onnx"
    if not path.is_file():
        import onnx

        _log.warning("Converting the network for this runtime, once; it is kept in %s.", path.parent)
        proto = to_onnx(model, graph_info(model))
        with atomic_path(path) as temporary:
            onnx.save(proto, temporary)
    return path
