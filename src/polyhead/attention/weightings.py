"""From logits to weights: what is not allowed gets none, and the rest sums to one."""

from __future__ import annotations

import torch
from torch import Tensor


def softmax(logits: Tensor, allowed: Tensor) -> Tensor:
    """Soft attention: logits [B,H,Q,K], allowed broadcastable bool -> weights; empty rows are 0."""
    weights = torch.softmax(logits.masked_fill(~allowed, float("-inf")), dim=-1)
    return weights.masked_fill(~allowed.any(dim=-1, keepdim=True), 0.0)
