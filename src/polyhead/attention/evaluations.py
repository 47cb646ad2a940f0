"""Fast evaluations of scaled-dot softmax attention; each is tested equal to the definition.

`attend` picks one: torch's fused kernel, or explicit products where they are the faster of the two
on a CPU: training on short keys in bf16 (the fused kernel's backward), and a decoding step of many
rows (the fused kernel takes one row and head at a time). Rows that stand at 0, 1, 2, … have two
more: `windows` for local attention, `skewed` for a relative bias. When a tap listens, the plain
definition runs for that layer alone and the weights are heard. What attends is an `Attending`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.attention import core, skewed, tap, windows
from polyhead.attention.biases import Relative
from polyhead.attention.masks import Allowed
from polyhead.attention.scores import Dot

_explicit_below = 0
# A decoding step: up to so many queries a row (beams are further queries), from so many rows on.
_STEP_QUERIES, _STEP_ROWS = 8, 16
# torch.softmax leaves its vectors for rows shorter than one, and is then 3 times slower than this.
_VECTOR = 16


def use_explicit_below(keys: int) -> None:
    """Train by explicit products below this many keys (a machine's choice; 0: never)."""
    global _explicit_below  # noqa: PLW0603 - one machine, one choice, made at start
    _explicit_below = keys


class Attending(nn.Module):
    """A module that attends: in `products`, or in the dtype that it is given."""

    products: torch.dtype | None = None

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        allowed: Allowed,
        *,
        scale: float,
        relative: Relative | None = None,
        name: str = "",
    ) -> Tensor:
        """`attend`, below: values [B,H,Q,D], of q's dtype."""
        own = q.dtype
        q, k, v = (x.to(self.products or own) for x in (q, k, v))
        return attend(q, k, v, allowed, scale=scale, relative=relative, name=name).to(own)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    allowed: Allowed,
    *,
    scale: float,
    relative: Relative | None = None,
    name: str = "",
) -> Tensor:
    """values [B,H,Q,D] of q [B,H,Q,D], k [B,H,K,D], v [B,H,K,D] under a prepared mask."""
    in_order = allowed.triangle or allowed.within is not None
    listening = tap.listening(name)
    if listening or (relative is not None and not in_order):
        biases = () if relative is None else (relative,)
        values, weights = core.attend(q * scale, k, v, allowed, score=Dot(), biases=biases)
        if listening:
            tap.hear(name, weights)
        return values
    if relative is not None:
        return skewed.attend(q, k, v, relative, allowed.within, scale=scale)
    if allowed.within is not None:
        return windows.attend(q, k, v, allowed.within, scale=scale)
    if q.requires_grad:
        by_products = k.shape[-2] < _explicit_below
    else:
        by_products = q.shape[-2] <= _STEP_QUERIES and q.shape[0] >= _STEP_ROWS and q.is_cpu
    evaluate = explicit if by_products else fused
    return evaluate(q, k, v, allowed, scale=scale)


def fused(q: Tensor, k: Tensor, v: Tensor, allowed: Allowed, *, scale: float) -> Tensor:
    """By torch's scaled_dot_product_attention, which never keeps the weights."""
    if allowed.everything or allowed.triangle:
        return F.scaled_dot_product_attention(q, k, v, scale=scale, is_causal=allowed.triangle)
    bias, empty = allowed.additive(q.dtype)
    values = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    return values if empty is None else values.masked_fill(empty, 0.0)


def explicit(q: Tensor, k: Tensor, v: Tensor, allowed: Allowed, *, scale: float) -> Tensor:
    """By two batched products and a softmax, the weights kept for the backward pass."""
    logits = torch.matmul(q * scale, k.transpose(-2, -1))
    if allowed.everything:
        return torch.matmul(_softmax(logits), v)
    bias, empty = allowed.additive(q.dtype)
    values = torch.matmul(_softmax(logits.add_(bias)), v)
    return values if empty is None else values.masked_fill(empty, 0.0)


def _softmax(logits: Tensor) -> Tensor:
    if logits.shape[-1] >= _VECTOR or logits.requires_grad:
        return torch.softmax(logits, dim=-1)
    weights = (logits - logits.amax(dim=-1, keepdim=True)).exp_()
    return weights.div_(weights.sum(dim=-1, keepdim=True))
