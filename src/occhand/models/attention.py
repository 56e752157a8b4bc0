"""The pieces that FIT, SET and CAT are built from. How a map becomes tokens is theirs: pixels in HandOccNet, channels in HandGCAT."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from occhand.models.config import Embedding


class Attention(nn.Module):
    """softmax(q kᵀ / √d) v in each head, d being the width of a head; no weights of its own."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(
        self,
        query: Float[Tensor, "B queries features"],
        key: Float[Tensor, "B keys features"],
        value: Float[Tensor, "B keys features"],
        gate: Float[Tensor, "B heads queries 1"] | None = None,
    ) -> Float[Tensor, "B queries features"]:
        """Attend; `gate` scales what each query receives, per head."""
        q, k, v = (split_heads(tokens, self.heads) for tokens in (query, key, value))
        received = scaled_dot_product_attention(q, k, v)
        if gate is not None:
            received = gate * received
        return received.transpose(1, 2).flatten(2)


def split_heads(tokens: Float[Tensor, "B tokens features"], heads: int) -> Float[Tensor, "B heads tokens width"]:
    """Features in equal runs, one per head."""
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)


class PositionEmbedding(nn.Module):
    """A learned map E that tells places apart, added to a map X before or after its projection: P(X + E), P(X) + E or P(X)."""

    def __init__(self, channels: int, size: int, place: Embedding) -> None:
        super().__init__()
        self.place = place
        if place != "none":
            self.weight = nn.Parameter(torch.empty(1, channels, size, size))

    def forward(self, x: Float[Tensor, "B C h w"], project: nn.Module) -> Float[Tensor, "B C h w"]:
        """The projected map with its places marked."""
        if self.place == "before_projection":
            return project(x + self.weight)
        if self.place == "after_projection":
            return project(x) + self.weight
        return project(x)


class FeedForward(nn.Module):
    """Two linear layers on each token, four times as wide between."""

    def __init__(self, features: int, activation: Literal["gelu", "none"] = "gelu") -> None:
        super().__init__()
        self.widen = nn.Linear(features, 4 * features)
        self.activation = nn.GELU() if activation == "gelu" else nn.Identity()
        self.narrow = nn.Linear(4 * features, features)

    def forward(self, tokens: Float[Tensor, "B tokens features"]) -> Float[Tensor, "B tokens features"]:
        """Transform each token by itself."""
        return self.narrow(self.activation(self.widen(tokens)))
