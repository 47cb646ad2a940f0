"""Causal attention within local blocks: its cost grows with the length, not with its square.

Keys and values are seen through overlapping views, a window for each block of queries, and one call
of torch's fused kernel evaluates all windows under one small mask. Nothing is copied to make them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.attention.masks import Local


def attend(q: Tensor, k: Tensor, v: Tensor, local: Local, *, scale: float) -> Tensor:
    """values [B,H,T,D] of q, k, v [B,H,T,D] that all stand at positions 0 … T-1.

    The first blocks see all that is before them: one causal triangle. Of the others each sees a
    window of before + width keys, the last of which are its own; a block cut short by the end of
    the sequence is a window of its own.
    """
    k, v = k.contiguous(), v.contiguous()  # so that rows and heads of a view are one dimension
    length, width = q.shape[2], local.width
    start = min(local.whole, length)
    end = start + (length - start) // width * width
    first = F.scaled_dot_product_attention(
        q[:, :, :start], k[:, :, :start], v[:, :, :start], is_causal=True, scale=scale
    )
    parts = [first]
    for low, high, each in ((start, end, width), (end, length, length - end)):
        if low < high:
            blocks = q[:, :, low:high].reshape(-1, (high - low) // each, each, q.shape[3])
            seen = slice(low - local.before, high)
            values = F.scaled_dot_product_attention(
                blocks,
                _windows(k[:, :, seen], local.before + each, each),
                _windows(v[:, :, seen], local.before + each, each),
                attn_mask=_mask(each, local.before, q),
                scale=scale,
            )
            parts.append(values.reshape(first.shape[0], first.shape[1], high - low, -1))
    return torch.cat(parts, dim=2)


def _mask(width: int, before: int, like: Tensor) -> Tensor:
    """0 where the i-th query of a block sees the j-th key of its window, j <= before + i; -inf."""
    future = torch.ones(width, before + width, dtype=torch.bool, device=like.device)
    return like.new_zeros(future.shape).masked_fill_(future.triu(before + 1), float("-inf"))


def _windows(x: Tensor, size: int, step: int) -> Tensor:
    """x [B,H,T,D] -> its windows [B*H,n,size,D], one every `step` slots."""
    windows: Tensor = _Windows.apply(x, size, step)  # type: ignore[no-untyped-call]
    return windows.flatten(0, 1)


class _Windows(torch.autograd.Function):
    """Overlapping views, whose gradients are added in a few passes over whole blocks.

    (torch's own backward of `unfold` adds them number by number, which takes as long as the
    attention itself.)
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, step: int) -> Tensor:
        ctx.shape, ctx.size, ctx.step = x.shape, size, step
        return x.unfold(2, size, step).transpose(-2, -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        dx = grad.new_zeros(ctx.shape)
        for first in range(0, ctx.size, ctx.step):
            part = grad[:, :, :, first : first + ctx.step]
            slots = (part.shape[2] - 1) * ctx.step + part.shape[3]
            apart = dx[:, :, first : first + slots].unfold(2, part.shape[3], ctx.step)
            apart.transpose(-2, -1).add_(part)
        return dx, None, None
