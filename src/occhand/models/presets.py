"""Every network by name: the released ones, the papers' text, each row of their ablation tables, and our small ones.

A variant is one line, the difference from its base. Rows that only the text describes are built as `config.py` says.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from occhand.hand.hand_layer import HandLayer, load_hand
from occhand.models.config import HandGCATConfig, HandOccNetConfig, ModelConfig
from occhand.models.cost import Cost, config_digest, count_cost, known_costs
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import HandOccNet
from occhand.models.initialise import initialise


@dataclass(frozen=True)
class Preset:
    """A named network."""

    config: ModelConfig
    table: str
    """The table row or text that it stands for."""


_HANDOCCNET = HandOccNetConfig()
_HANDOCCNET_PAPER = HandOccNetConfig(
    input_size=512,
    necessity="three_conv",
    heads=1,
    embedding="none",
    mlp_activation="none",
    fit_depth=1,
    gate_pooling="mean",
    fit_fusion="sum",
    set_depth=1,
    set_residual="query",
    encoder_input="concat_features_heatmaps",
    encoder_channels=512,  # 512 x 2 x 2 is the text's vector of 2048; how it gets there is assumed
    encoder_blocks_per_level=1,
    pose_output="axis_angle",
    joints_from="regressor",
)
_HANDGCAT = HandGCATConfig()
_HANDGCAT_PAPER = HandGCATConfig(
    kgc_order=2,
    kgc_graph="bones",
    kgc_laplacian="rescaled",
    kgc_activation="relu",
    cat_order="simultaneous",
    cat_embedding="after_projection",
    cat_residual="query",
    cat_mlp="plain",
    cat_output="conv",
)
_SMALL: dict[str, Any] = {
    "input_size": 128,
    "map_size": 16,
    "channels": 64,
    "trunk": "resnet18",
    "trunk_width": 32,
    "pyramid_finest": "c3",
    "hourglass_depth": 3,
    "encoder_channels": 64,
    "encoder_levels": 3,
    "head_widths": (512, 256),
    "lifter": "feedback",
    "lifter_turns": 4,
    "joint_heads": True,
    "initialisation": "rest_pose",
    "embedding_std": 0.02,
    "flat_hand_mean": True,
    "orientation": "allocentric",
}
_SMALL_HANDGCAT: dict[str, Any] = _SMALL | {"kgc_splat": True, "inputs_may_miss": True, "kgc_layers": 3}
_LIFTED: dict[str, Any] = {name: _SMALL[name] for name in ("lifter", "lifter_turns", "joint_heads", "flat_hand_mean", "orientation")}
_OPEN: dict[str, Any] = _LIFTED | {name: _SMALL[name] for name in ("initialisation", "embedding_std")}
"""What training on generated hands adds to the released networks at their own size."""

PRESETS: dict[str, Preset] = {
    "handoccnet": Preset(_HANDOCCNET, "HandOccNet as released; Table 1 FIT + SET, 2 softmax + sigmoid, 3 none, 4 SET"),
    "handoccnet-paper": Preset(_HANDOCCNET_PAPER, "HandOccNet as its text says"),
    "handoccnet-paper-256": Preset(replace(_HANDOCCNET_PAPER, input_size=256), "HandOccNet as its text says, at the released input size"),
    "handoccnet-identity": Preset(replace(_HANDOCCNET, fit="identity", set="identity"), "HandOccNet Table 1, identity"),
    "handoccnet-residual-blocks": Preset(
        replace(_HANDOCCNET, fit="residual_blocks", set="residual_blocks"), "HandOccNet Table 1, residual blocks"
    ),
    "handoccnet-fit-only": Preset(replace(_HANDOCCNET, set="identity"), "HandOccNet Table 1, FIT only; Table 4, identity"),
    "handoccnet-set-only": Preset(replace(_HANDOCCNET, fit="identity"), "HandOccNet Table 1, SET only"),
    "handoccnet-softmax": Preset(replace(_HANDOCCNET, fit_attention="softmax"), "HandOccNet Table 2, softmax only"),
    "handoccnet-softmax-softmax": Preset(replace(_HANDOCCNET, fit_attention="softmax_softmax"), "HandOccNet Table 2, softmax + softmax"),
    "handoccnet-residual-q-soft": Preset(replace(_HANDOCCNET, fit_residual="q_soft"), "HandOccNet Table 3, residual with q_soft"),
    "handoccnet-residual-q-sig": Preset(replace(_HANDOCCNET, fit_residual="q_sig"), "HandOccNet Table 3, residual with q_sig"),
    "handoccnet-set-residual-blocks": Preset(replace(_HANDOCCNET, set="residual_blocks"), "HandOccNet Table 4, residual blocks"),
    "handoccnet-two-sets": Preset(replace(_HANDOCCNET, set_modules=2), "HandOccNet Table 4, two SETs"),
    "handgcat": Preset(_HANDGCAT, "HandGCAT as released; Table IV four layers, V two CAT blocks"),
    "handgcat-paper": Preset(_HANDGCAT_PAPER, "HandGCAT as its text says"),
    "handgcat-graph": Preset(replace(_HANDGCAT, kgc_order=2), "none: HandGCAT with neighbours really mixed"),
    "handgcat-kgc-mlp": Preset(replace(_HANDGCAT, kgc="mlp"), "HandGCAT Table IV, MLP"),
    "handgcat-kgc-1": Preset(replace(_HANDGCAT, kgc_layers=1), "HandGCAT Table IV, one layer"),
    "handgcat-kgc-2": Preset(replace(_HANDGCAT, kgc_layers=2), "HandGCAT Table IV, two layers"),
    "handgcat-kgc-3": Preset(replace(_HANDGCAT, kgc_layers=3), "HandGCAT Table IV, three layers"),
    "handgcat-kgc-5": Preset(replace(_HANDGCAT, kgc_layers=5), "HandGCAT Table IV, five layers"),
    "handgcat-plain-transformers": Preset(replace(_HANDGCAT, cat_order="image_only"), "HandGCAT Table V, two plain transformers"),
    "handgcat-cat-1": Preset(replace(_HANDGCAT, cat_blocks=1), "HandGCAT Table V, one CAT block"),
    "handgcat-cat-3": Preset(replace(_HANDGCAT, cat_blocks=3), "HandGCAT Table V, three CAT blocks"),
    "handoccnet-open-s": Preset(
        replace(_HANDOCCNET, **_SMALL, fit_depth=1, set_depth=1),
        "none: ours, narrow, for synthetic training; attention as deep as the text says",
    ),
    "handgcat-open-s": Preset(replace(_HANDGCAT, **_SMALL_HANDGCAT), "none: ours, narrow, for synthetic training"),
    "handoccnet-open": Preset(replace(_HANDOCCNET, **_OPEN), "none: ours, as released but for what synthetic training adds"),
    "handgcat-open": Preset(
        replace(_HANDGCAT, **_OPEN, kgc_splat=True, inputs_may_miss=True), "none: ours, as released but for what synthetic training adds"
    ),
}


_NARROW: dict[str, Any] = {name: value for name, value in _SMALL.items() if name not in _LIFTED} | {
    "input_size": 64,
    "map_size": 8,
    "hourglass_depth": 2,
    "encoder_levels": 2,
}
"""What makes a preset small and leaves its switches alone; half the small open models' side, so that a table's rows fit a processor."""
_TWIN = "-s"


def find_preset(name: str) -> Preset:
    """The preset of that name; with `-s` added its narrow twin: the same switches in a small network, for ablations.

    Raises:
        ValueError: Unknown; the message lists the near ones.
    """
    if name not in PRESETS and name.endswith(_TWIN) and name[: -len(_TWIN)] in PRESETS:
        whole = PRESETS[name[: -len(_TWIN)]]
        return Preset(replace(whole.config, **_NARROW), f"the narrow twin of {whole.table}")
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=4, cutoff=0.4) or [key for key in PRESETS if key in ("handoccnet", "handgcat")]
        raise ValueError(f"Unknown model {name!r}; near: {', '.join(near)}. 'occhand models' lists all.")
    return PRESETS[name]


def create_model(name: str, hand: HandLayer | None = None) -> HandOccNet | HandGCAT:
    """An untrained network by name, in training mode.

    Args:
        name: A key of `PRESETS`.
        hand: Turns its pose and shape into a mesh; None takes the open hand. Its arrays are never saved with the weights.

    Raises:
        ValueError: Unknown name; the message lists the near ones.
    """
    return build_model(find_preset(name).config, hand)


def build_model(config: ModelConfig, hand: HandLayer | None = None) -> HandOccNet | HandGCAT:
    """An untrained network of any config, in training mode; `hand` as in `create_model`."""
    model = _assemble(config, load_hand("open") if hand is None else hand)
    initialise(model, config)
    return model


def _assemble(config: ModelConfig, hand: HandLayer) -> HandOccNet | HandGCAT:
    if isinstance(config, HandGCATConfig):
        return HandGCAT(config, hand)
    if isinstance(config, HandOccNetConfig):
        return HandOccNet(config, hand)
    raise ValueError(f"{type(config).__name__} describes no network; expected HandOccNetConfig or HandGCATConfig.")


@dataclass(frozen=True)
class ModelInfo:
    """What `occhand models` says of a preset."""

    name: str
    table: str
    input_size: int
    parameters: int
    gmacs: float
    """As `occhand.models.cost.Cost`'s."""


def list_models() -> tuple[ModelInfo, ...]:
    """Every preset with its size and cost; a preset that is not in the file of costs is counted, without making weights."""
    return tuple(
        ModelInfo(name, preset.table, preset.config.input_size, cost.parameters, cost.gmacs)
        for name, preset in PRESETS.items()
        for cost in [known_costs().get(config_digest(preset.config)) or count_preset(name)]
    )


@cache
def count_preset(name: str) -> Cost:
    """The cost of a preset, counted; takes a second."""
    with torch.device("meta"):
        model = _assemble(PRESETS[name].config, load_hand("open")).to("meta")
    return count_cost(model)
