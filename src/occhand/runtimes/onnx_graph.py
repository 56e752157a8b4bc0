"""A network as an ONNX graph: crop in, mesh out, any batch, the hand layer inside, and in its metadata what it is."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from occhand import __version__
from occhand.broken_files import BROKEN_JSON
from occhand.models.config import HandGCATConfig, ModelConfig, config_from_json, config_to_json
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.runtimes.choice import Precision
from occhand.types import ModelInput, ModelOutput

OPSET = 20
"""The version of ONNX's operators: the first with GELU in the form that the networks use."""
METADATA_KEY = "occhand"
EXACT_FROM = "exact_from_"
"""Begins the names of the tensors from which a graph is to be computed in fp32, whatever the precision of what comes before."""
_ROUNDED = (
    *(f"network.regressor.heatmap_head.{part}" for part in ("hourglass", "refine", "project", "score")),
    "network.regressor.encoder.levels.0",
)
"""What may be rounded of the regressor, by how names begin: most of its products. Heat maps, the rest of the encoder, rotations and hand
may not; their rounding is the mesh's."""
_FORM = 1
"""Of our metadata and of the names of inputs and outputs; a file of another form is refused."""


@dataclass(frozen=True)
class GraphInfo:
    """What an exported file says of its network."""

    config: ModelConfig
    hand: str
    """Name of the hand inside: `open` or `mano`."""
    precision: Precision
    outputs: tuple[str, ...]
    """Fields of `ModelOutput`, in order."""
    digest: str
    """Of the weights, the config and the hand; see `network_digest`."""
    version: str
    """Of this package, when the file was written."""

    def to_json(self) -> str:
        """For the metadata of a file."""
        return json.dumps({"form": _FORM} | self.__dict__ | {"config": config_to_json(self.config)})

    @classmethod
    def from_json(cls, text: str | None, where: Path) -> GraphInfo:
        """What `to_json` gave.

        Raises:
            ValueError: Nothing, or of another form.
        """
        if text is None:
            raise ValueError(f"{where} was not exported by occhand: it does not say which network it holds. Run 'occhand export'.")
        try:
            values: dict[str, Any] = dict(json.loads(text))
            form = values.pop("form")
            if form != _FORM:
                raise ValueError(f"its form is {form}, this version reads {_FORM}")
            config, outputs = config_from_json(values.pop("config")), tuple(values.pop("outputs"))
            if not all(isinstance(value, str) for value in values.values()):
                raise TypeError("an entry of the wrong type")
            if unknown := [name for name in outputs if name not in ModelOutput._fields]:
                raise ValueError(f"its output {unknown[0]!r} is unknown")
            return cls(config=config, outputs=outputs, **values)
        except BROKEN_JSON as error:
            raise ValueError(f"{where} was exported by another version of occhand ({error}). Export the weights again.") from error


def input_names(config: ModelConfig) -> tuple[str, ...]:
    """The fields of `ModelInput` that a network reads."""
    return ("image", "joints_crop") if isinstance(config, HandGCATConfig) else ("image",)


def graph_input_names(config: ModelConfig) -> tuple[str, ...]:
    """Their names in a graph, where an output is called `joints_crop` too."""
    return tuple({"joints_crop": "given_joints_crop"}.get(name, name) for name in input_names(config))


def example_input(config: ModelConfig, batch: int, seed: int = 0) -> ModelInput:
    """Smooth random pictures and joints of the right sizes, a third of these missing where they may: to trace and to compare networks."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 8, 8, generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=(config.input_size,) * 2, mode="bicubic").clamp(0, 1)
    if not isinstance(config, HandGCATConfig):
        return ModelInput(image)
    joints = 0.2 + 0.6 * torch.rand(batch, 21, 2, generator=generator)
    if config.inputs_may_miss:
        joints = torch.where(torch.rand(batch, 21, 1, generator=generator) < 1 / 3, torch.nan, joints)
    return ModelInput(image, joints)


def network_digest(model: HandOccNet | HandGCAT) -> str:
    """A digest of all that decides a plain network's output."""
    digest = hashlib.sha256(json.dumps(config_to_json(model.config)).encode())
    for name, value in (*model.hand.named_buffers(), *model.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def graph_info(model: HandOccNet | HandGCAT, precision: Precision = "fp32") -> GraphInfo:
    """What the exported file of a plain network says of it."""
    with torch.no_grad():
        output = model(example_input(model.config, 1))
    names = tuple(name for name, value in output._asdict().items() if value is not None)
    return GraphInfo(model.config, model.hand.name, precision, names, network_digest(model), __version__)


def to_onnx(model: HandOccNet | HandGCAT, info: GraphInfo) -> Any:
    """The fused network as an `onnx.ModelProto`; takes half a minute for a network of full size.

    Args:
        model: Plain, in evaluation mode, on the CPU.
        info: What to write into its metadata.
    """
    from onnx_ir.passes import common
    from onnxscript import optimizer

    example = example_input(model.config, 2)
    batch = {0: torch.export.Dim("batch", min=1, max=4096)}
    shapes = ModelInput(batch, None if example.joints_crop is None else batch)  # type: ignore[arg-type]
    network = _Graph(model.fuse(), info.outputs)
    with torch.no_grad(), _quiet():
        exported = torch.export.export(network, tuple(example), dynamic_shapes=tuple(shapes))
        program = torch.onnx.export(
            exported,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph_input_names(model.config)),
            output_names=list(info.outputs),
            optimize=False,  # its search for patterns takes half of the time, and the runtimes do it themselves
            verbose=False,
        )
        assert program is not None
        optimizer.inline(program.model)
        optimizer.fold_constants(program.model)
        for tidy in (common.RemoveUnusedNodesPass(), common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)):
            tidy(program.model)
    proto = program.model_proto
    _name_exact_inputs(proto.graph)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, info.to_json()
    return proto


def exact_nodes(graph: Any) -> list[Any]:
    """The nodes of a graph of `to_onnx` that come after the tensors `EXACT_FROM`."""
    known, nodes = set[str](), []
    for node in graph.node:
        if any(name in known or name.startswith(EXACT_FROM) for name in node.input):
            known.update(node.output)
            nodes.append(node)
    return nodes


def _name_exact_inputs(graph: Any) -> None:
    exact, rest = list[Any](), set[str]()
    for node in graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"), "['', '']")
        scope = (ast.literal_eval(scopes) or [""])[-2:][0]
        if f"{scope}.".startswith("network.regressor.") and not scope.startswith(_ROUNDED):
            exact.append(node)
        else:
            rest.update(node.output)
    numbers = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == 1}  # float32: not sizes
    crossing = dict.fromkeys(name for node in exact for name in node.input if name in rest & numbers)
    new = {name: f"{EXACT_FROM}{k}" for k, name in enumerate(crossing)}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    for value in graph.value_info:
        value.name = new.get(value.name, value.name)


class _Graph(torch.nn.Module):
    """The outputs that are there, as a plain tuple."""

    def __init__(self, network: torch.nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.outputs = network, outputs

    def forward(self, image: torch.Tensor, joints_crop: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        output: ModelOutput = self.network(ModelInput(image, joints_crop))
        return tuple(getattr(output, name) for name in self.outputs)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages that we do not use."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)
