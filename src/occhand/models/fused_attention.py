"""FIT, SET, CAT and KGC for inference: one product for all projections of one input, position embeddings as constants.

P(X + E) = W X + (W E + b), and what is in brackets depends on no image. So the projections of one input, for all blocks that read it,
are one matrix product and one sum with a constant map. Tokens stay tokens between blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv1d

from occhand.models.attention import PositionEmbedding
from occhand.models.config import HandGCATConfig
from occhand.models.handgcat import CATBlock, ChannelTransformer
from occhand.models.handoccnet import FIT, SET, FITBlock, SETBlock, as_map, pixels

Projection = tuple[nn.Conv2d, PositionEmbedding | None]
"""A 1x1 convolution and the embedding of its input."""


class PixelProjections(nn.Module):
    """Several projections of the same map, as tokens: pixels are rows."""

    weight: Tensor
    constant: Tensor

    def __init__(self, projections: Sequence[Projection]) -> None:
        super().__init__()
        self.widths = [projection.out_channels for projection, _ in projections]
        self.register_buffer("weight", torch.cat([_matrix(projection) for projection, _ in projections]))
        constants = [pixels(_constant(*projection))[0] for projection in projections]
        size = max(len(constant) for constant in constants)
        self.register_buffer("constant", torch.cat([constant.expand(size, -1) for constant in constants], dim=1))

    def forward(self, tokens: Float[Tensor, "B pixels C"]) -> tuple[Tensor, ...]:
        """Each projection, B x pixels x its width."""
        return (tokens @ self.weight.mT + self.constant).split(self.widths, dim=-1)


class FusedFIT(nn.Module):
    """FIT; keys, values and pooled gate keys of all blocks are made at once, as they all come from the primary feature."""

    def __init__(self, fit: FIT) -> None:
        super().__init__()
        blocks: list[FITBlock] = list(fit.blocks)  # type: ignore[arg-type]
        self.keys = PixelProjections([pair for block in blocks for pair in _key_and_value(block)])
        self.blocks = nn.ModuleList(FusedFITBlock(block) for block in blocks)
        self.fusion = fit.fusion
        if self.fusion == "convolutions":
            self.fuse, self.shortcut = fit.fuse, fit.shortcut

    def forward(self, primary: Float[Tensor, "B C h w"], secondary: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The primary feature together with what was injected into the secondary one."""
        seen, hidden = pixels(primary), pixels(secondary)
        keys, total = self.keys(seen), seen.sum(1)
        for k, block in enumerate(self.blocks):
            hidden = block(hidden, keys[2 * k], keys[2 * k + 1], total)
        injected = as_map(hidden, primary)
        if self.fusion == "sum":
            return primary + injected
        both = torch.cat([primary, injected], dim=1)
        return self.fuse(both) + self.shortcut(both)


class FusedFITBlock(nn.Module):
    """A block of FIT on tokens."""

    def __init__(self, block: FITBlock) -> None:
        super().__init__()
        self.attention, self.residual = block.attention, block.residual
        projections: list[Projection] = [_query(block)]
        if self.residual == "q_sig":
            projections.append((block.encode_gate_query, block.query_position))
        self.queries = PixelProjections(projections)
        self.gate = KeySumGate(block) if block.has_gate else None
        self.norm, self.mlp = block.norm, block.mlp

    def forward(
        self,
        query: Float[Tensor, "B pixels C"],
        key: Float[Tensor, "B pixels C"],
        value: Float[Tensor, "B pixels C"],
        key_total: Float[Tensor, "B C"],
    ) -> Float[Tensor, "B pixels C"]:
        """What the query pixels receive; `key_total` is the sum of the key map's pixels."""
        projected = self.queries(query)
        gate = None if self.gate is None else self.gate(query, key_total)
        h = self.attention(projected[0], key, value, gate)
        if self.residual != "none":
            h = h + projected[-1]
        return h + self.mlp(self.norm(h))


class KeySumGate(nn.Module):
    """FIT's gate without its queries and keys: the logit of a pixel is linear in it, and in the sum of the key pixels.

    sum_j q_i . k_j = q_i . sum_j k_j with q_i = W_q x_i + c_i and sum_j k_j = W_k sum_j y_j + constant. Hence logit_i = x_i . u + c_i . s
    with s the summed key of a head and u = W_q^T s, two products as narrow as there are heads.
    """

    key_weight: Tensor
    key_constant: Tensor
    query_weight: Tensor
    query_constant: Tensor
    head_of_channel: Tensor

    def __init__(self, block: FITBlock) -> None:
        super().__init__()
        heads, gate = block.attention.heads, block.gate
        channels = block.encode_gate_key.out_channels
        scale = (channels // heads) ** -0.5
        self.squash, self.takes_mean = gate.squash, gate.pooling == "mean"
        key_map = pixels(_constant(block.encode_gate_key, block.key_position))[0]
        self.register_buffer("key_weight", scale * _matrix(block.encode_gate_key))
        self.register_buffer("key_constant", scale * key_map.double().mean(0).to(key_map.dtype))
        self.register_buffer("query_weight", _matrix(block.encode_gate_query))
        self.register_buffer("query_constant", pixels(_constant(block.encode_gate_query, block.query_position))[0])
        head = torch.arange(channels).div(channels // heads, rounding_mode="floor")
        self.register_buffer("head_of_channel", (head[:, None] == torch.arange(heads)).to(key_map))

    def forward(self, query: Float[Tensor, "B pixels C"], key_total: Float[Tensor, "B C"]) -> Float[Tensor, "B heads pixels 1"]:
        """The gate of every head and query pixel."""
        count = query.shape[1]  # of the key map too: both have the network's map size
        pooled = key_total @ self.key_weight.mT + count * self.key_constant
        if self.takes_mean:
            pooled = pooled / count
        by_head = pooled[:, :, None] * self.head_of_channel
        logits = query @ (self.query_weight.mT @ by_head) + self.query_constant @ by_head
        return self.squash(logits.mT[..., None])


class FusedSET(nn.Module):
    """SET; with fixed keys, those of all blocks and the first query come from one product."""

    def __init__(self, part: SET) -> None:
        super().__init__()
        blocks: list[SETBlock] = list(part.blocks)  # type: ignore[arg-type]
        self.has_fixed_keys = part.keys == "fixed"
        shared = blocks if self.has_fixed_keys else blocks[:1]
        self.first = PixelProjections([_query(blocks[0]), *(pair for block in shared for pair in _key_and_value(block))])
        later = [[_query(block)] if self.has_fixed_keys else [_query(block), *_key_and_value(block)] for block in blocks[1:]]
        self.later = nn.ModuleList(PixelProjections(projections) for projections in later)
        self.blocks = nn.ModuleList(FusedSETBlock(block) for block in blocks)

    def forward(self, injected: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The refined feature."""
        refined = pixels(injected)
        query, *keys = self.first(refined)
        for k, block in enumerate(self.blocks):
            if k:
                query, *own = self.later[k - 1](refined)
                keys = own or keys[2:]
            refined = block(refined, query, keys[0], keys[1])
        return as_map(refined, injected)


class FusedSETBlock(nn.Module):
    """A block of SET on tokens."""

    def __init__(self, block: SETBlock) -> None:
        super().__init__()
        self.attention, self.residual = block.attention, block.residual
        self.norm, self.mlp = block.norm, block.mlp

    def forward(
        self,
        x: Float[Tensor, "B pixels C"],
        query: Float[Tensor, "B pixels C"],
        key: Float[Tensor, "B pixels C"],
        value: Float[Tensor, "B pixels C"],
    ) -> Float[Tensor, "B pixels C"]:
        """The tokens `x`, enhanced by those that key and value come from."""
        h = (x if self.residual == "input" else query) + self.attention(query, key, value)
        return h + self.mlp(self.norm(h))


class ChannelProjections(nn.Module):
    """Several projections of the same map, whose tokens are channels: channels are rows."""

    weight: Tensor
    constant: Tensor

    def __init__(self, projections: Sequence[Projection]) -> None:
        super().__init__()
        self.counts = [projection.out_channels for projection, _ in projections]
        self.register_buffer("weight", torch.cat([_matrix(projection) for projection, _ in projections]))
        constants = [_constant(*projection)[0].flatten(1) for projection in projections]
        size = max(constant.shape[1] for constant in constants)
        self.register_buffer("constant", torch.cat([constant.expand(-1, size) for constant in constants]))

    def forward(self, maps: Float[Tensor, "B C pixels"]) -> tuple[Tensor, ...]:
        """Each projection, B x its channels x pixels."""
        return (conv1d(maps, self.weight[..., None]) + self.constant).split(self.counts, dim=1)


def fuse_channel_transformers(block: CATBlock) -> None:
    """Exchange the transformers of a CAT block for their fused form."""
    block.image_from_pose = FusedChannelTransformer(block.image_from_pose)  # type: ignore[assignment]
    if block.order != "image_only":
        block.pose_from_image = FusedChannelTransformer(block.pose_from_image)  # type: ignore[assignment]


class FusedChannelTransformer(nn.Module):
    """CAT's transformer; key and value are one product."""

    def __init__(self, plain: ChannelTransformer) -> None:
        super().__init__()
        self.query = ChannelProjections([(plain.encode_query, plain.query_position)])
        self.key_and_value = ChannelProjections([(plain.encode_key, plain.key_position), (plain.encode_value, None)])
        self.attention, self.residual, self.mlp_form = plain.attention, plain.residual, plain.mlp_form
        self.mlp = plain.mlp
        if self.mlp_form == "norm_residual":
            self.norm = plain.norm

    def forward(self, query: Float[Tensor, "B queries h w"], key: Float[Tensor, "B keys h w"]) -> Float[Tensor, "B queries h w"]:
        """The query maps, updated from the key maps."""
        tokens = query.flatten(2)
        (q,) = self.query(tokens)
        k, v = self.key_and_value(key.flatten(2))
        h = (tokens if self.residual == "input" else q) + self.attention(q, k, v)
        updated = h + self.mlp(self.norm(h)) if self.mlp_form == "norm_residual" else self.mlp(h)
        return updated.unflatten(2, query.shape[-2:])


def is_affine(config: HandGCATConfig) -> bool:
    """Whether KGC's layers are one affine map of each joint by itself in evaluation: nothing curved, no neighbours."""
    return config.kgc == "graph" and config.kgc_activation == "none" and config.kgc_order == 1


@torch.no_grad()
def joined(layers: Sequence[nn.Linear]) -> nn.Linear:
    """One linear layer for several in a row; computed in float64."""
    weight, bias = layers[0].weight.double(), layers[0].bias.double()
    for layer in layers[1:]:
        weight, bias = layer.weight.double() @ weight, layer.weight.double() @ bias + layer.bias.double()
    one = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    dtype = layers[0].weight.dtype
    one.weight, one.bias = nn.Parameter(weight.to(dtype)), nn.Parameter(bias.to(dtype))
    return one


def _query(block: FITBlock | SETBlock) -> Projection:
    return block.encode_query, block.query_position


def _key_and_value(block: FITBlock | SETBlock) -> tuple[Projection, Projection]:
    return (block.encode_key, block.key_position), (block.encode_value, None)


def _matrix(projection: nn.Conv2d) -> Float[Tensor, "channels_out channels_in"]:
    return projection.weight.detach()[:, :, 0, 0]


@torch.no_grad()
def _constant(projection: nn.Conv2d, position: PositionEmbedding | None) -> Float[Tensor, "1 channels_out _ _"]:
    """What a projection adds to W X: its bias, and the embedding's part where there is one; computed in float64."""
    assert projection.bias is not None
    bias = projection.bias.view(1, -1, 1, 1)
    if position is None or position.place == "none":
        return bias
    embedding = position.weight.double()
    if position.place == "before_projection":
        embedding = torch.einsum("oc,bchw->bohw", _matrix(projection).double(), embedding)
    return (embedding + bias).to(bias.dtype)
