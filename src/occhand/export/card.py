"""The card of an exported network, for machines and for people: what goes in, what comes out, in which units, how exact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from occhand.export.parity import Parity
from occhand.hand.skeleton import JOINT_NAMES
from occhand.models.config import ModelConfig, config_to_json, family_of
from occhand.runtimes.onnx_graph import OPSET, GraphInfo, graph_input_names

_MEANING = {
    "image": "square crop around a right hand (mirror left ones), RGB, 0..1",
    "joints_crop": "2D joints, 0..1 over the crop (0 its left or top edge)",
    "given_joints_crop": "2D joints of a detector, 0..1 over the crop (0 its left or top edge)",
    "vertices": "mesh, metres, hand frame: axes {axes} (x right, y down, z forward), the wrist where the hand layer puts it",
    "joints": "21 joints, metres, same frame",
    "rotations": "of the 16 MANO joints relative to their parents, root first, without the mean pose where the model adds it",
    "betas": "shape, standard deviations",
    "pose": "the rotations as axis-angle, radians",
    "transforms": "global transform of the 16 MANO joints, metres",
    "heatmaps": "a distribution over the crop per joint",
    "joint_sigma": "how far off each joint may be: standard deviation along each axis, metres",
    "joint_visibility": "how likely each joint is seen, 0..1",
    "joint_depth": "how deep the picture shows each joint, along z from the joints' mean, metres",
    "joint_depth_sigma": "standard deviation of that depth, metres",
}
_SHAPES = {
    "joints_crop": (21, 2),
    "given_joints_crop": (21, 2),
    "vertices": (778, 3),
    "joints": (21, 3),
    "rotations": (16, 3, 3),
    "betas": (10,),
    "pose": (48,),
    "transforms": (16, 4, 4),
    **{f"joint_{kind}": (21,) for kind in ("sigma", "visibility", "depth", "depth_sigma")},
}
"""Of one crop; those of the picture and the heat maps depend on the config."""

_AXES = {
    "egocentric": "of the camera",
    "allocentric": "of a camera at the same place that looks at the middle of the crop",
}


def write_card(made: Path, info: GraphInfo, parity: Parity, about: dict[str, Any]) -> None:
    """Write a card beside an exported network, under its whole name and `.json` or `.md`: `net.onnx.json` beside `net.onnx`."""
    card = {
        "file": made.name,
        **about,
        "network": family_of(info.config),
        "network_digest": info.digest,
        "hand": info.hand,
        "precision": info.precision,
        **({"opset": OPSET} if made.suffix == ".onnx" else {}),
        "inputs": _described(graph_input_names(info.config), info.config),
        "outputs": _described(info.outputs, info.config),
        "joint_order": list(JOINT_NAMES),
        "difference_to_pytorch_fp32": asdict(parity),
        "occhand": info.version,
        "config": config_to_json(info.config),
    }
    made.with_name(f"{made.name}.json").write_text(json.dumps(card, indent=2) + "\n")
    made.with_name(f"{made.name}.md").write_text(_as_markdown(card))


def _described(names: Sequence[str], config: ModelConfig) -> dict[str, dict[str, Any]]:
    shapes = _SHAPES | {"image": (3, config.input_size, config.input_size), "heatmaps": (21, config.map_size, config.map_size)}
    axes = _AXES[config.orientation]
    return {name: {"shape": ["batch", *shapes[name]], "type": "float32", "is": _MEANING[name].format(axes=axes)} for name in names}


def _as_markdown(card: dict[str, Any]) -> str:
    form = f"ONNX opset {card['opset']}" if "opset" in card else "OpenVINO"
    lines = [
        f"# {card['file']}",
        "",
        f"{card['network']} in {card['precision']}, with the {card['hand']} hand inside. {form}, any batch. "
        f"Made by occhand {card['occhand']}.",
        "",
    ]
    lines += [f"- {title}: {text}." for title, text in card["origin"].items()]
    if card["hand"] == "mano":
        lines.append("- The file holds arrays of MANO; MANO's licence applies to it.")
    for kind in ("inputs", "outputs"):
        lines += ["", f"| {kind[:-1]} | is |", "|---|---|"]
        lines += [f"| `{name}` {' x '.join(map(str, field['shape']))} | {field['is']} |" for name, field in card[kind].items()]
    difference = card["difference_to_pytorch_fp32"]
    lines += [
        "",
        f"Against PyTorch in fp32, over {difference['crops']} crops: vertices {difference['vertices_mean_mm']:.3g} mm on average, "
        f"{difference['vertices_max_mm']:.3g} mm at most; aligned joints {difference['joints_aligned_mean_mm']:.3g} mm on average.",
        "",
        *(f"SHA-256 of {name}: `{digest}`" for name, digest in card["sha256"].items()),
    ]
    return "\n".join(lines) + "\n"
