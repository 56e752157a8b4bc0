"""HandOccNet (Park et al., CVPR 2022), in the order of its Figure 2.

The necessity map splits the image feature in two: the primary feature, where the hand is seen, and the secondary one, where it is
hidden. FIT injects primary information into hidden places, SET lets the result attend to itself, the regressor reads the hand from it.
Config fields name what differs between the paper and its released code; the defaults are the released code.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occhand.hand.hand_layer import HandLayer
from occhand.models.attention import Attention, FeedForward, PositionEmbedding, split_heads
from occhand.models.backbone import Trunk
from occhand.models.config import HandOccNetConfig
from occhand.models.hourglass import PreActivation
from occhand.models.input_check import check_input
from occhand.models.mano_head import Regressor
from occhand.types import ModelInput, ModelOutput


class HandOccNet(nn.Module):
    """One crop to one hand mesh, by way of what is hidden."""

    def __init__(self, config: HandOccNetConfig, hand: HandLayer) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config)
        self.necessity = MaxMeanConv() if config.necessity == "max_mean_conv" else ThreeConv(config.channels)
        self.fit = FIT(config) if config.fit == "transformer" else Replacement(config.fit, config.channels)
        sets = (SET(config) for _ in range(config.set_modules))
        self.set = nn.Sequential(*sets) if config.set == "transformer" else Replacement(config.set, config.channels)
        self.regressor = Regressor(config, hand)

    @property
    def hand(self) -> HandLayer:
        """The layer that makes the mesh."""
        return self.regressor.mano_head.hand

    def fuse(self) -> HandOccNet:
        """A copy for inference that does less work for the same numbers; see `occhand.models.fuse`."""
        from occhand.models.fuse import fuse  # it exchanges parts of this file

        return fuse(self)

    def forward(self, inputs: ModelInput) -> ModelOutput:
        """The hand in each crop.

        Raises:
            ValueError: Crops of another size, not 0..1, not finite, or none.
        """
        check_input(inputs, self.config, check_values=not self.training)
        features = self.trunk(inputs.image)
        necessity = torch.sigmoid(self.necessity(features))
        primary, secondary = features * necessity, features * (1 - necessity)
        injected = self.fit(primary, secondary)
        refined = self.set(injected)
        return self.regressor(refined, features)


class MaxMeanConv(nn.Module):
    """The released necessity map, before its sigmoid: a 7x7 convolution on the maximum and the mean over channels, then batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 1 h w"]:
        """Logits: how much of the hand is seen at each place."""
        summary = torch.cat([features.amax(1, keepdim=True), features.mean(1, keepdim=True)], dim=1)
        return self.bn(self.conv(summary))


class ThreeConv(nn.Sequential):
    """The paper's necessity map, before its sigmoid: three convolutions."""

    def __init__(self, channels: int) -> None:
        width = max(channels // 4, 1)
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 1, 3, padding=1),
        )


class FIT(nn.Module):
    """Feature injecting transformer: hidden places ask, seen places answer."""

    def __init__(self, config: HandOccNetConfig) -> None:
        super().__init__()
        c = config.channels
        self.blocks = nn.ModuleList(FITBlock(config) for _ in range(config.fit_depth))
        self.fusion = config.fit_fusion
        if self.fusion == "convolutions":
            self.fuse = nn.Sequential(nn.Conv2d(2 * c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1))
            self.shortcut = nn.Conv2d(2 * c, c, 1)

    def forward(self, primary: Float[Tensor, "B C h w"], secondary: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The primary feature together with what was injected into the secondary one."""
        injected = secondary
        for block in self.blocks:
            injected = block(query=injected, key=primary)
        if self.fusion == "sum":
            return primary + injected
        both = torch.cat([primary, injected], dim=1)
        return self.fuse(both) + self.shortcut(both)


class FITBlock(nn.Module):
    """Softmax attention finds what to inject, a sigmoid gate how much of it."""

    def __init__(self, config: HandOccNetConfig) -> None:
        super().__init__()
        c = config.channels
        self.query_position = PositionEmbedding(c, config.map_size, config.embedding)
        self.key_position = PositionEmbedding(c, config.map_size, config.embedding)
        self.encode_query, self.encode_key, self.encode_value = (nn.Conv2d(c, c, 1) for _ in range(3))
        self.has_gate = config.fit_attention != "softmax"
        if self.has_gate:
            self.encode_gate_query, self.encode_gate_key = (nn.Conv2d(c, c, 1) for _ in range(2))
            self.gate = Gate(config)
        self.attention = Attention(config.heads)
        self.residual = config.fit_residual
        self.norm = nn.LayerNorm(c)
        self.mlp = FeedForward(c, config.mlp_activation)

    def forward(self, query: Float[Tensor, "B C h w"], key: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """What the query map's pixels receive from the key map's."""
        q_soft = pixels(self.query_position(query, self.encode_query))
        k_soft = pixels(self.key_position(key, self.encode_key))
        gate = None
        if self.has_gate:
            q_sig = pixels(self.query_position(query, self.encode_gate_query))
            k_sig = pixels(self.key_position(key, self.encode_gate_key))
            gate = self.gate(q_sig, k_sig)
        h = self.attention(q_soft, k_soft, pixels(self.encode_value(key)), gate)
        if self.residual != "none":
            h = h + (q_soft if self.residual == "q_soft" else q_sig)
        return as_map(h + self.mlp(self.norm(h)), query)


class Gate(nn.Module):
    """How much each query pixel receives: its correlation with all key pixels, pooled and squashed, per head."""

    def __init__(self, config: HandOccNetConfig) -> None:
        super().__init__()
        self.heads, self.pooling = config.heads, config.gate_pooling
        # A softmax over queries has the mean 1 / pixels; how the paper scales it is unknown.
        self.squash = nn.Sigmoid() if config.fit_attention == "softmax_sigmoid" else nn.Softmax(dim=2)

    def forward(self, query: Float[Tensor, "B pixels C"], key: Float[Tensor, "B pixels C"]) -> Float[Tensor, "B heads pixels 1"]:
        """The gate of every head and query pixel."""
        q, k = split_heads(query, self.heads), split_heads(key, self.heads)
        # The pooled row of q kᵀ is q times the pooled k: the pixels x pixels matrix is not needed.
        pooled = k.sum(2, keepdim=True) if self.pooling == "sum" else k.mean(2, keepdim=True)
        return self.squash(q @ pooled.mT / q.shape[-1] ** 0.5)


class SET(nn.Module):
    """Self-enhancing transformer: every place attends to every other."""

    def __init__(self, config: HandOccNetConfig) -> None:
        super().__init__()
        self.keys = config.set_keys
        self.blocks = nn.ModuleList(SETBlock(config) for _ in range(config.set_depth))

    def forward(self, injected: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The refined feature."""
        refined = injected
        for block in self.blocks:
            refined = block(query=refined, key=injected if self.keys == "fixed" else refined)
        return refined


class SETBlock(nn.Module):
    """Softmax attention with a residual."""

    def __init__(self, config: HandOccNetConfig) -> None:
        super().__init__()
        c = config.channels
        self.query_position = PositionEmbedding(c, config.map_size, config.embedding)
        self.key_position = PositionEmbedding(c, config.map_size, config.embedding)
        self.encode_query, self.encode_key, self.encode_value = (nn.Conv2d(c, c, 1) for _ in range(3))
        self.attention = Attention(config.heads)
        self.residual = config.set_residual
        self.norm = nn.LayerNorm(c)
        self.mlp = FeedForward(c, config.mlp_activation)

    def forward(self, query: Float[Tensor, "B C h w"], key: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The query map, enhanced by the key map."""
        q = pixels(self.query_position(query, self.encode_query))
        k = pixels(self.key_position(key, self.encode_key))
        received = self.attention(q, k, pixels(self.encode_value(key)))
        h = (pixels(query) if self.residual == "input" else q) + received
        return as_map(h + self.mlp(self.norm(h)), query)


class Replacement(nn.Sequential):
    """What stands in the place of FIT or SET in Tables 1 and 4: two residual blocks (their number is assumed), or nothing."""

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__(*(PreActivation(channels) for _ in range(2 if kind == "residual_blocks" else 0)))

    def forward(self, *maps: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The sum of the maps, passed on; of the primary and secondary feature that is the feature itself."""
        return super().forward(sum(maps[1:], start=maps[0]))


def pixels(features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B pixels C"]:
    """A map's pixels as tokens."""
    return features.flatten(2).mT


def as_map(tokens: Float[Tensor, "B pixels C"], like: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
    """Tokens back as a map."""
    return tokens.mT.unflatten(2, like.shape[-2:])
