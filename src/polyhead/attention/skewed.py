"""Causal attention with a relative bias, in blocks of queries: never a matrix length x length.

For a block of b queries and the K keys up to its last one, Q E^T has a row for each query and a
column for each distance, the farthest first, and one column to spare. Written one after another and
read in rows of K from the (b-1)-th number on, these rows stand below the keys they belong to: the
"skew" of Huang et al. 2018 (section 3.4.1), as a view. What falls on later keys is meaningless, and
they are masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.attention.biases import Relative
from polyhead.attention.masks import Local

BLOCK = 64  # queries together: few enough for the cache, enough for full speed of the products
Block = tuple[int, int, int]
"""The first query and key of a block and the end of both: (start, low, end)."""


def attend(
    q: Tensor, k: Tensor, v: Tensor, relative: Relative, within: Local | None, *, scale: float
) -> Tensor:
    """values [B,H,T,D] of q, k, v [B,H,T,D] that all stand at positions 0 … T-1."""
    blocks = list(_blocks(q.shape[2], within))
    rows = relative.rows(max(end - low for _, low, end in blocks)).to(q.dtype)
    values: Tensor = _Skewed.apply(q, k, v, rows, scale, blocks)  # type: ignore[no-untyped-call]
    return values


def _blocks(length: int, within: Local | None) -> Iterator[Block]:
    width, before = (length, 0) if within is None else (within.width, within.before)
    for first in range(0, length, width):
        last = min(first + width, length)
        for start in range(first, last, BLOCK):
            yield start, max(0, first - before), min(start + BLOCK, last)


class _Skewed(torch.autograd.Function):
    """Weights exist for one block at a time, and are computed again for the gradient."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, rows: Tensor, scale: float, blocks: list[Block]
    ) -> Tensor:
        q, k, v = (q * scale).contiguous(), k.contiguous(), v.contiguous()
        values = torch.empty_like(v)
        for block in blocks:
            start, low, end = block
            values[:, :, start:end] = torch.matmul(_weights(q, k, rows, block), v[:, :, low:end])
        ctx.save_for_backward(q, k, v, rows, values)
        ctx.scale, ctx.blocks = scale, blocks
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, rows, values = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        drows = torch.zeros_like(rows)
        for block in ctx.blocks:
            start, low, end = block
            g, here = grad[:, :, start:end], q[:, :, start:end]
            weights = _weights(q, k, rows, block)
            dv[:, :, low:end] += torch.matmul(weights.transpose(-2, -1), g)
            # softmax: dlogits = weights * (dweights - sum of weights * dweights)
            inner = (g * values[:, :, start:end]).sum(dim=-1, keepdim=True)
            dlogits = torch.matmul(g, v[:, :, low:end].transpose(-2, -1))
            dlogits.sub_(inner).mul_(weights)
            del weights  # as large as the largest that follow
            dk[:, :, low:end] += torch.matmul(dlogits.transpose(-2, -1), here)
            dproducts = _by_head(_unskew(dlogits))
            near = slice(-dproducts.shape[-1], None)
            drows[:, near] += torch.matmul(dproducts.transpose(-2, -1), _by_head(here))
            d = torch.matmul(dproducts, rows[:, near]).view(q.shape[1], q.shape[0], end - start, -1)
            d = d.transpose(0, 1) + torch.matmul(dlogits, k[:, :, low:end])
            dq[:, :, start:end] = d.mul_(ctx.scale)
        return dq, dk, dv, drows, None, None


def _weights(q: Tensor, k: Tensor, rows: Tensor, block: Block) -> Tensor:
    """Weights [B,H,b,K] of a block of scaled queries."""
    start, low, end = block
    here, count = q[:, :, start:end], end - start
    logits = torch.matmul(here, k[:, :, low:end].transpose(-2, -1))
    near = rows[:, -(end - low) - 1 :]
    products = torch.matmul(_by_head(here), near.transpose(-2, -1))
    products = products.view(q.shape[1], q.shape[0], count, -1).transpose(0, 1)
    logits += _skew(products)
    future = torch.ones(count, count, dtype=torch.bool, device=q.device).triu_(1)
    logits[..., -count:].masked_fill_(future, float("-inf"))
    return torch.softmax(logits, dim=-1)


def _by_head(x: Tensor) -> Tensor:
    """[B,H,b,..] -> [H,B*b,..]: the vectors of distances are the same for all rows."""
    return x.transpose(0, 1).flatten(1, 2)


def _skew(products: Tensor) -> Tensor:
    """[B,H,b,K+1], a column for every distance, -> a view of it [B,H,b,K], one for every key."""
    count, keys = products.shape[2], products.shape[3] - 1
    flat = products.flatten(2)
    return flat.narrow(2, count - 1, count * keys).unflatten(2, (count, keys))


def _unskew(x: Tensor) -> Tensor:
    """The way back, [B,H,b,K] -> [B,H,b,K+1], zeros where nothing was read."""
    count, keys = x.shape[2:]
    return F.pad(x.flatten(2), (count - 1, 1)).unflatten(2, (count, keys + 1))
