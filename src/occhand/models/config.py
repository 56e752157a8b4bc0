"""Every switch of the two networks.

The defaults are what the authors released, also where it looks odd; `docs/models.md` sets each switch beside what the papers say.
A variant is `replace(base, field=...)` (see `presets.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

Family = Literal["handoccnet", "handgcat"]
Embedding = Literal["before_projection", "after_projection", "none"]

_LARGEST = 4096
"""Bound on every size in a config: one from a damaged file is refused instead of filling the memory."""


@dataclass(frozen=True)
class ModelConfig:
    """What both networks share: the trunk before, and the regressor after, their own modules.

    Raises:
        ValueError: A value outside its choices, or sizes that do not fit together.
    """

    input_size: int = 256
    """Side of the square input crop, pixels. HandOccNet's text says 512."""
    map_size: int = 32
    """Side of the feature map that the network's own modules work on."""
    channels: int = 256
    """Channels of that feature map."""

    trunk: Literal["resnet50", "resnet18"] = "resnet50"
    """The residual network, with torchvision's key names."""
    trunk_width: int = 64
    """Channels of its stem; the stages have 1, 2, 4 and 8 times as many (times 4 more in a ResNet-50)."""
    trunk_activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    """Released: LeakyReLU(0.01), although the ImageNet weights it starts from were trained under ReLU."""
    pyramid_finest: Literal["c2", "c3"] = "c2"
    """The finest stage in the feature pyramid. `c3` (ours) leaves out the costly quarter-size maps where `map_size` needs no more."""
    image_normalisation: Literal["none", "imagenet"] = "none"
    """Released: none; the ImageNet weights meet values of 0..1 without mean and deviation taken out."""

    hourglass_depth: int = 4
    """Halvings inside the hourglass."""
    encoder_input: Literal["sum_hourglass_heatmaps", "concat_features_heatmaps"] = "sum_hourglass_heatmaps"
    """Released: projections of the hourglass feature and the heat maps are summed. Paper: the refined feature and the heat maps are
    concatenated."""
    encoder_channels: int = 256
    """Its width. HandOccNet's text has a vector of 2048, which 512 would give."""
    encoder_levels: int = 4
    """Halvings of the map on its way to a vector."""
    encoder_blocks_per_level: int = 2
    """Residual blocks before each halving. HandOccNet's text: four blocks in all, hence 1."""
    head_widths: tuple[int, int] = (1024, 512)
    """Hidden layers between the vector and the hand parameters."""
    pose_output: Literal["rotation_6d", "axis_angle"] = "rotation_6d"
    """Released: six numbers per joint. HandOccNet's text: theta of 48 numbers."""
    flat_hand_mean: bool = False
    """Whether pose zero is the flat hand (HandGCAT) or the hand's mean pose (HandOccNet), as in the weights' training data."""
    orientation: Literal["egocentric", "allocentric"] = "egocentric"
    """Released: hands stand in the camera's axes. `allocentric` (ours): in those of a camera that looks at the middle of the crop, since
    a crop does not show where in the picture it was cut (Kundu et al., 3D-RCNN, CVPR 2018, Section 3.3)."""
    joints_from: Literal["chain", "regressor"] = "chain"
    """Released: the 16 posed joints of the kinematic chain. HandOccNet's text: joint regressor times mesh. Five tip vertices in both."""

    lifter: Literal["none", "feedback"] = "none"
    """`feedback` (ours): 2D joints alone give a hand, in steps that see how far it still is from them; what the paper's head says turns
    its joints further."""
    lifter_width: int = 512
    """Of its layers."""
    lifter_steps: int = 5
    """Times that the hand is turned."""
    lifter_turns: Literal[1, 4] = 1
    """4: outside of training the hand is lifted from all quarter turns of the crop, and what they say of it is averaged."""
    joint_heads: bool = False
    """Whether the network also says how likely each joint is seen, and how far off it may be (ours)."""

    initialisation: Literal["released", "rest_pose"] = "released"
    """`released`: N(0, 0.001) for convolutions and N(0, 0.01) for linear layers after the trunk. `rest_pose`: PyTorch's own, and a pose
    head that starts at the rest pose (ours, for training from scratch)."""
    embedding_std: float = 1.0
    """Deviation of the learned position embeddings at the start."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            _check_value(name, kind, getattr(self, name))
        if self.input_size % (self.pyramid_stride * self.map_size):
            raise ValueError(f"input_size {self.input_size} is no multiple of {self.pyramid_stride} * map_size ({self.map_size}).")
        if self.lifter != "none" and (self.pose_output != "rotation_6d" or not self.flat_hand_mean):
            raise ValueError("A lifter needs pose_output 'rotation_6d' and flat_hand_mean true, since it gives rotations.")
        for name in ("hourglass_depth", "encoder_levels"):
            if self.map_size % 2 ** getattr(self, name):
                raise ValueError(f"{name} {getattr(self, name)} halves a map of {self.map_size} pixels too often.")

    @property
    def pyramid_stride(self) -> int:
        """Pixels of the crop per pixel of the pyramid's finest map."""
        return 4 if self.pyramid_finest == "c2" else 8

    @property
    def rotation_numbers(self) -> int:
        """Numbers that the pose head gives per joint."""
        return 6 if self.pose_output == "rotation_6d" else 3

    @property
    def encoded_numbers(self) -> int:
        """Length of the encoder's vector."""
        return self.encoder_channels * (self.map_size // 2**self.encoder_levels) ** 2


@dataclass(frozen=True)
class HandOccNetConfig(ModelConfig):
    """HandOccNet: necessity map, feature injecting transformer (FIT), self-enhancing transformer (SET)."""

    necessity: Literal["max_mean_conv", "three_conv"] = "max_mean_conv"
    """Released: one 7x7 convolution on the channel-wise maximum and mean, with batch norm (the spatial gate of CBAM).
    Paper: three convolutions; their kernels (3x3) and widths (a quarter of the channels) are assumed."""

    heads: int = 4
    """Attention heads, each scaled by its own width. Paper: one, scaled by sqrt(256)."""
    embedding: Embedding = "before_projection"
    """Learned map added to query and key. Paper: none."""
    mlp_activation: Literal["gelu", "none"] = "gelu"
    """Paper's pseudo-code: none."""

    fit: Literal["transformer", "residual_blocks", "identity"] = "transformer"
    """`residual_blocks`, `identity`: what stands in its place in Table 1."""
    fit_depth: int = 2
    """Blocks of FIT. Paper: 1."""
    fit_attention: Literal["softmax_sigmoid", "softmax_softmax", "softmax"] = "softmax_sigmoid"
    """What gates the injected feature (Table 2): a sigmoid; a softmax over the query pixels (how the second correlation of the
    softmax + softmax row is pooled is assumed); nothing."""
    gate_pooling: Literal["sum", "mean"] = "sum"
    """The gate's logits are pooled over the keys. Released: the **sum** of 1024, so the sigmoid is all but a step. Paper: their mean."""
    fit_residual: Literal["none", "q_soft", "q_sig"] = "none"
    """The query that is added to the injected feature (Table 3)."""
    fit_fusion: Literal["convolutions", "sum"] = "convolutions"
    """Released: primary and injected feature are concatenated and pass two 3x3 convolutions with a 1x1 shortcut. Paper: their sum."""

    set: Literal["transformer", "residual_blocks", "identity"] = "transformer"
    """`residual_blocks`, `identity`: what stands in its place in Tables 1 and 4."""
    set_modules: int = 1
    """SETs in a row, each with the last one's output as its keys (Table 4: two are worse)."""
    set_depth: int = 2
    """Blocks of one SET. Paper: 1."""
    set_keys: Literal["fixed", "updated"] = "fixed"
    """Released: every block takes keys and values from the output of FIT, so from the second block on it is no self-attention."""
    set_residual: Literal["input", "query"] = "input"
    """Released: the block's input is added. Paper: the projected query."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels % self.heads:
            raise ValueError(f"{self.channels} channels do not split into {self.heads} heads.")
        if self.fit_residual == "q_sig" and self.fit_attention == "softmax":
            raise ValueError("fit_residual 'q_sig' needs a gate: choose fit_attention 'softmax_sigmoid' or 'softmax_softmax'.")


@dataclass(frozen=True)
class HandGCATConfig(ModelConfig):
    """HandGCAT: knowledge-guided graph convolution (KGC), cross-attention transformer (CAT)."""

    flat_hand_mean: bool = True
    """Here pose zero is the flat hand."""

    kgc: Literal["graph", "mlp"] = "graph"
    """`mlp`: linear layers with ReLU per joint, the row that the graph is compared with in Table IV (its form is assumed)."""
    kgc_layers: int = 4
    """Table IV has 1 to 5."""
    kgc_order: int = 1
    """Order K of the Chebyshev polynomials. Released: 1, which is T_0 = I alone: **no joint sees its neighbours**. From 2 on they mix."""
    kgc_graph: Literal["bones_and_levels", "bones"] = "bones_and_levels"
    """Edges, used from order 2 on. Released (unused): bones, the same joint of neighbouring fingers, and loops. Paper: the skeleton."""
    kgc_laplacian: Literal["normalised", "rescaled"] = "normalised"
    """Paper: rescaled to -1..1, the range of the polynomials. Released (unused): not rescaled."""
    kgc_activation: Literal["none", "relu"] = "none"
    """Between layers. Released: none, so in evaluation KGC is one affine map. `relu` for the paper's is assumed."""

    kgc_splat: bool = False
    """Whether each joint's map gets a bump at the joint (ours): KGC's maps tell its place by their values everywhere, not by a place."""
    inputs_may_miss: bool = False
    """Whether the network was trained to do without some 2D joints (NaN) and without the picture (a black crop) (ours)."""

    cat_blocks: int = 2
    """Table V has 1 to 3."""
    cat_order: Literal["sequential", "simultaneous", "image_only"] = "sequential"
    """Released: image from pose, then pose from the **updated** image. Paper (Eq. 3): both at once. `image_only`: the plain transformers
    of Table V, which leave the pose as it is (assumed)."""
    cat_embedding: Embedding = "before_projection"
    """Learned map added to query and key. Paper: after the projection."""
    cat_heads: int = 4
    """Tokens are **channels**, so a head is a band of rows of the map."""
    cat_residual: Literal["input", "query"] = "input"
    """Released: the block's input is added. Paper: the projected query."""
    cat_mlp: Literal["norm_residual", "plain"] = "norm_residual"
    """Released: h + MLP(LN(h)). Paper: MLP(h)."""
    cat_output: Literal["conv_norm_relu", "conv"] = "conv_norm_relu"
    """Paper: a 1x1 convolution alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.map_size**2 % self.cat_heads:
            raise ValueError(f"A map of {self.map_size} x {self.map_size} does not split into {self.cat_heads} heads.")


CONFIGS: dict[Family, type[ModelConfig]] = {"handoccnet": HandOccNetConfig, "handgcat": HandGCATConfig}


def family_of(config: ModelConfig) -> Family:
    """The network that a config describes."""
    return next(family for family, kind in CONFIGS.items() if isinstance(config, kind))


def config_to_json(config: ModelConfig) -> dict[str, Any]:
    """Plain values, the family first; `config_from_json` takes them back."""
    return {"family": family_of(config)} | {field.name: getattr(config, field.name) for field in fields(config)}


def config_from_json(values: dict[str, Any]) -> ModelConfig:
    """A config from plain values.

    Raises:
        ValueError: Unknown family or field, a value outside its choices.
    """
    given = dict(values)
    kind: Any = CONFIGS.get(given.pop("family", None))
    if kind is None:
        raise ValueError(f"Unknown network family {values.get('family')!r}; expected one of {', '.join(CONFIGS)}.")
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(given) - known):
        raise ValueError(f"Unknown model settings {', '.join(unknown[:5])}: made by a newer version? Known: {', '.join(sorted(known))}.")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _check_value(name: str, kind: Any, value: Any) -> None:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{name} is {value!r}; choose one of {', '.join(map(str, get_args(kind)))}.")
    elif kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}; expected true or false.")
    elif kind is float:
        if not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ValueError(f"{name} is {value!r}; expected a number of at least 0.")
    else:
        sizes = value if kind is not int and isinstance(value, tuple) else (value,)
        if len(sizes) != (1 if kind is int else len(get_args(kind))) or not all(type(v) is int and 1 <= v <= _LARGEST for v in sizes):
            raise ValueError(
                f"{name} is {value!r}; expected {'whole numbers' if kind is not int else 'a whole number'} of 1 to {_LARGEST}."
            )
