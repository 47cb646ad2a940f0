"""Fast evaluations of scaled-dot softmax attention; each is tested equal to the definition.

`attend` picks one: torch's fused kernel, or explicit products where training on short keys makes
the fused kernel's backward the slower of the two (bf16 on CPU). When a tap listens, the plain
definition runs for that layer alone and the weights are heard.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.attention import core, tap
from polyhead.attention.masks import Allowed
from polyhead.attention.scores import Dot

_explicit_below = 0


def use_explicit_below(keys: int) -> None:
    """Train by explicit products below this many keys (a machine's choice; 0: never)."""
    global _explicit_below  # noqa: PLW0603 - one machine, one choice, made at start
    _explicit_below = keys


def attend(
    q: Tensor, k: Tensor, v: Tensor, allowed: Allowed, *, scale: float, name: str = ""
) -> Tensor:
    """values [B,H,Q,D] of q [B,H,Q,D], k [B,H,K,D], v [B,H,K,D] under a prepared mask."""
    if tap.listening(name):
        values, weights = core.attend(q, k, v, allowed, score=Dot(scale))
        tap.hear(name, weights)
        return values
    if k.shape[-2] < _explicit_below and q.requires_grad:
        return explicit(q, k, v, allowed, scale=scale)
    return fused(q, k, v, allowed, scale=scale)


def fused(q: Tensor, k: Tensor, v: Tensor, allowed: Allowed, *, scale: float) -> Tensor:
    """By torch's scaled_dot_product_attention, which never keeps the weights."""
    if allowed.everything:
        return F.scaled_dot_product_attention(q, k, v, scale=scale)
    bias, empty = allowed.additive(q.dtype)
    values = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    return values if empty is None else values.masked_fill(empty, 0.0)


def explicit(q: Tensor, k: Tensor, v: Tensor, allowed: Allowed, *, scale: float) -> Tensor:
    """By two batched products and a softmax, the weights kept for the backward pass."""
    logits = torch.matmul(q * scale, k.transpose(-2, -1))
    if allowed.everything:
        return torch.matmul(torch.softmax(logits, dim=-1), v)
    bias, empty = allowed.additive(q.dtype)
    values = torch.matmul(torch.softmax(logits + bias, dim=-1), v)
    return values if empty is None else values.masked_fill(empty, 0.0)
