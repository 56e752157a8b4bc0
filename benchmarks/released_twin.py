"""The released networks as slow as they were published, for comparison: the same numbers, with the work that their authors' code does.

Ours by description: a layer whose result is thrown away, attention as whole matrices with a gate on each of them, gate logits as the row
sums of another matrix, a convolution before its pooling, embeddings and batch norms as they are, memory channels-first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from occhand.models.attention import Attention, split_heads
from occhand.models.backbone import FeaturePyramid
from occhand.models.handgcat import HandGCAT
from occhand.models.handoccnet import Gate, HandOccNet


class ReleasedPyramid(nn.Module):
    """The feature pyramid with the 3x3 convolution on p3 that nothing reads."""

    def __init__(self, pyramid: FeaturePyramid) -> None:
        super().__init__()
        self.pyramid = pyramid
        channels = pyramid.top.out_channels
        self.smooth2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, c2: Tensor, c3: Tensor, c4: Tensor, c5: Tensor) -> Tensor:
        pyramid = self.pyramid
        p4 = interpolate(pyramid.top(c5), size=c4.shape[-2:], mode="bilinear") + pyramid.lateral4(c4)
        p3 = interpolate(p4, size=c3.shape[-2:], mode="bilinear") + pyramid.lateral3(c3)
        p2 = interpolate(p3, size=c2.shape[-2:], mode="bilinear") + pyramid.lateral2(c2)
        self.smooth2(p3)
        return p2


class ReleasedAttention(nn.Module):
    """Softmax weights as a matrix, multiplied by the gate before they meet the values."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads = attention.heads

    def forward(self, query: Tensor, key: Tensor, value: Tensor, gate: Tensor | None = None) -> Tensor:
        q, k, v = (split_heads(tokens, self.heads) for tokens in (query, key, value))
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
        if gate is not None:
            weights = weights * gate
        return (weights @ v).transpose(1, 2).flatten(2)


class ReleasedGate(nn.Module):
    """The correlation of all pixels with all pixels, then its row sums."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.heads = gate.heads

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        q, k = split_heads(query, self.heads), split_heads(key, self.heads)
        return torch.sigmoid((q @ k.mT * q.shape[-1] ** -0.5).sum(-1, keepdim=True))


def as_released(model: HandOccNet | HandGCAT) -> HandOccNet | HandGCAT:
    """Exchange the parts of a plain released network for their slow twins, in place; outputs stay the same."""
    model.trunk.pyramid = ReleasedPyramid(model.trunk.pyramid)  # type: ignore[assignment]
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Attention):
                setattr(module, name, ReleasedAttention(child))
            elif isinstance(child, Gate):
                setattr(module, name, ReleasedGate(child))
    return model
