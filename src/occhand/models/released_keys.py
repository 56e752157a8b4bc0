"""The names of weights in the authors' snapshots, and ours."""

from __future__ import annotations

from occhand.models.config import Family, HandGCATConfig, HandOccNetConfig, ModelConfig

DEAD: dict[Family, tuple[str, ...]] = {
    "handoccnet": ("backbone.smooth2.", "fitting_loss."),
    "handgcat": ("backbone.smooth2.", "backbone.attention_module."),
}
"""Layers whose result the release throws away or never asks for, and constants of its demo."""
GRID = ("regressor.hand_regHead.uu", "regressor.hand_regHead.vv")
"""Coordinates of the heat maps' cells, which we compute."""
HAND_PREFIX = "regressor.mano_regHead.mano_layer."
"""The MANO arrays that every snapshot carries."""

_TRUNK = {
    "backbone.layer0.0.": "trunk.resnet.conv1.",
    "backbone.layer0.1.": "trunk.resnet.bn1.",
    "backbone.layer1.0.": "trunk.resnet.layer1.",
    "backbone.layer2.0.": "trunk.resnet.layer2.",
    "backbone.layer3.0.": "trunk.resnet.layer3.",
    "backbone.layer4.0.": "trunk.resnet.layer4.",
    "backbone.toplayer.": "trunk.pyramid.top.",
    "backbone.latlayer1.": "trunk.pyramid.lateral4.",
    "backbone.latlayer2.": "trunk.pyramid.lateral3.",
    "backbone.latlayer3.": "trunk.pyramid.lateral2.",
    "backbone.smooth3.": "trunk.smooth.",
}
_REGRESSOR = {
    "regressor.hand_regHead.betas": "regressor.heatmap_head.sharpness",
    "regressor.hand_regHead.res.0.0.": "regressor.heatmap_head.refine.",
    "regressor.hand_regHead.fc.0.block.": "regressor.heatmap_head.project.",
    "regressor.hand_regHead.score.0.": "regressor.heatmap_head.score.",
    "regressor.hand_Encoder.heatmap_conv.": "regressor.encoder.encode_heatmaps.",
    "regressor.hand_Encoder.encoding_conv.": "regressor.encoder.encode_features.",
    "regressor.mano_regHead.mano_base_layer.": "regressor.mano_head.hidden.",
    "regressor.mano_regHead.pose_reg.": "regressor.mano_head.pose.",
    "regressor.mano_regHead.shape_reg.": "regressor.mano_head.shape.",
}
_ATTENTION = {
    "q_embedding": "query_position.weight",
    "k_embedding": "key_position.weight",
    "encode_query.": "encode_query.",
    "encode_key.": "encode_key.",
    "encode_value.": "encode_value.",
    "norm2.": "norm.",
    "mlp.fc1.": "mlp.widen.",
    "mlp.fc2.": "mlp.narrow.",
}
_GATE = {"encode_query2.": "encode_gate_query.", "encode_key2.": "encode_gate_key."}


def released_prefixes(config: ModelConfig) -> dict[str, str]:
    """Released prefix (or whole key) to ours, for every living weight of a released network."""
    table = _TRUNK | _REGRESSOR | _hourglass(config.hourglass_depth) | _encoder_blocks(config)
    if isinstance(config, HandOccNetConfig):
        table |= {
            "backbone.attention_module.spatial.conv.": "necessity.conv.",
            "backbone.attention_module.spatial.bn.": "necessity.bn.",
            "FIT.conv1.": "fit.fuse.",
            "FIT.conv2.0.": "fit.shortcut.",
        }
        for k in range(config.fit_depth):
            table |= _under(f"FIT.layers.{k}.", f"fit.blocks.{k}.", _ATTENTION | _GATE)
        for k in range(config.set_depth):
            table |= _under(f"SET.layers.{k}.", f"set.0.blocks.{k}.", _ATTENTION)
    if isinstance(config, HandGCATConfig):
        table |= {"CAT.fusion_conv.": "cat.fuse."}
        for k in range(config.kgc_layers):
            table |= {f"KGC.cl.{k}.": f"kgc.layers.{k}.linear.", f"KGC.bn.{k}.": f"kgc.layers.{k}.bn."}
        for k in range(config.cat_blocks):
            for theirs, ours in (("transformer1", "image_from_pose"), ("transformer2", "pose_from_image")):
                table |= _under(f"CAT.layers.{k}.{theirs}.layers.0.", f"cat.blocks.{k}.{ours}.", _ATTENTION)
    return table


def renamed(key: str, prefixes: dict[str, str]) -> str | None:
    """Our name for a released key; None where the table has none."""
    for theirs, ours in prefixes.items():
        if key == theirs or (theirs.endswith(".") and key.startswith(theirs)):
            return ours + key[len(theirs) :]
    return None


def _under(theirs: str, ours: str, table: dict[str, str]) -> dict[str, str]:
    return {theirs + a: ours + b for a, b in table.items()}


def _hourglass(depth: int) -> dict[str, str]:
    """Their list of levels, 0 being the innermost, to our nested modules."""
    table: dict[str, str] = {}
    for level in range(depth):
        ours = "regressor.heatmap_head.hourglass." + "inner." * (depth - 1 - level)
        nodes = ("skip", "down", "up") + ("inner",) * (level == 0)
        for k, node in enumerate(nodes):
            table[f"regressor.hand_regHead.hg.0.hg.{level}.{k}.0."] = f"{ours}{node}."
    return table


def _encoder_blocks(config: ModelConfig) -> dict[str, str]:
    """Their encoder counts its norms from no number at all (bn, bn1, bn2), ours from one."""
    table: dict[str, str] = {}
    per_level = config.encoder_blocks_per_level
    for k in range(config.encoder_levels * per_level):
        theirs, ours = f"regressor.hand_Encoder.reg.{k}.", f"regressor.encoder.levels.{k // per_level}.{k % per_level}."
        table |= _under(theirs, ours, {"bn.": "bn1.", "bn1.": "bn2.", "bn2.": "bn3."})
        table |= _under(theirs, ours, {f"conv{n}.": f"conv{n}." for n in (1, 2, 3)})
    return table
