"""Where autocast must not reach."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(features: Tensor) -> AbstractContextManager[object]:
    """Leave autocast, if it is on: bf16 has steps of a millimetre or two at the length of a hand."""
    kind = features.device.type
    is_on = kind != "meta" and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if is_on else nullcontext()
