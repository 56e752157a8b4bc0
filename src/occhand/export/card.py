"""The card of an exported network, for machines and for people: what goes in, what comes out, in which units, how exact."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from occhand.export.parity import Parity
from occhand.hand.skeleton import JOINT_NAMES
from occhand.models.config import config_to_json, family_of
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
    "joint_sigma": "how far off each joint may be",
    "joint_visibility": "how likely each joint is seen, 0..1",
    "joint_depth": "how deep the picture shows each joint, along z from the joints' mean, metres",
    "joint_depth_sigma": "standard deviation of that depth, metres",
}

_AXES = {
    "egocentric": "of the camera",
    "allocentric": "of a camera at the same place that looks at the middle of the crop",
}


def write_card(made: Path, info: GraphInfo, parity: Parity, about: dict[str, Any]) -> None:
    """Write `NAME.json` and `NAME.md` beside an exported network."""
    size = info.config.input_size
    shapes = {"image": ["batch", 3, size, size], "given_joints_crop": ["batch", 21, 2]}
    card = {
        "file": made.name,
        **about,
        "network": family_of(info.config),
        "network_digest": info.digest,
        "hand": info.hand,
        "precision": info.precision,
        "opset": OPSET,
        "inputs": {name: {"shape": shapes[name], "type": "float32", "is": _MEANING[name]} for name in graph_input_names(info.config)},
        "outputs": {
            name: {"type": "float32", "is": _MEANING.get(name, "").format(axes=_AXES[info.config.orientation])} for name in info.outputs
        },
        "joint_order": list(JOINT_NAMES),
        "difference_to_pytorch_fp32": asdict(parity),
        "occhand": info.version,
        "config": config_to_json(info.config),
    }
    made.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    made.with_suffix(".md").write_text(_as_markdown(card))


def _as_markdown(card: dict[str, Any]) -> str:
    lines = [
        f"# {card['file']}",
        "",
        f"{card['network']} in {card['precision']}, with the {card['hand']} hand inside. ONNX opset {card['opset']}, any batch. "
        f"Made by occhand {card['occhand']}.",
        "",
    ]
    lines += [f"{title}: {text}." for title, text in card["origin"].items()]
    if card["hand"] == "mano":
        lines.append("The file holds arrays of MANO; MANO's licence applies to it.")
    for kind in ("inputs", "outputs"):
        lines += ["", f"| {kind[:-1]} | is |", "|---|---|"]
        lines += [f"| `{name}` {tuple(field.get('shape', ())) or ''} | {field['is']} |" for name, field in card[kind].items()]
    difference = card["difference_to_pytorch_fp32"]
    lines += [
        "",
        f"Against PyTorch in fp32, over {difference['crops']} crops: vertices {difference['vertices_mean_mm']:.3g} mm on average, "
        f"{difference['vertices_max_mm']:.3g} mm at most; aligned joints {difference['joints_aligned_mean_mm']:.3g} mm on average.",
        "",
        f"SHA-256 of the file: `{card['sha256']}`",
    ]
    return "\n".join(lines) + "\n"
