"""Rows without their padding: what works token by token need not see the empty slots.

Only attention needs rectangles [B,T,…]. Linear layers, norms and dropout take the N filled slots
alone, as [N,…]: in a batch whose lengths differ, that is a tenth to a quarter less work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyhead.attention.masks import EMPTY


@dataclass(frozen=True)
class Packing:
    """Where the N filled slots of B rows stand: their indices [N] in the B*T slots.

    `source` [B*T] names a token for every slot, its own or, for an empty one, the last before it:
    nobody looks at an empty slot, so that what stands there need not be 0.
    """

    rows: int
    filled: Tensor
    source: Tensor

    @classmethod
    def of(cls, positions: Tensor) -> Packing | None:
        """The packing of positions [B,T]; None where no slot is empty, or the first one is.

        None, too, while a graph is exported, which must do for any positions.
        """
        there = positions.flatten() != EMPTY
        if torch.compiler.is_exporting() or bool(there.all()) or not bool(there[0]):
            return None
        return cls(len(positions), there.nonzero()[:, 0], there.cumsum(0) - 1)

    def pack(self, x: Tensor) -> Tensor:
        """[B,T,E] -> [N,E]."""
        packed: Tensor = _Pack.apply(x.flatten(0, 1), self.filled)  # type: ignore[no-untyped-call]
        return packed

    def spread(self, x: Tensor) -> Tensor:
        """[N,E] -> [B,T,E]; slots that are empty hold what must not be looked at."""
        spread: Tensor = _Spread.apply(x, self.source, self.filled)  # type: ignore[no-untyped-call]
        return spread.view(self.rows, -1, x.shape[-1])


class _Pack(torch.autograd.Function):
    """Filled slots only; no gradient comes to the others."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, filled: Tensor) -> Tensor:
        ctx.save_for_backward(filled)
        ctx.slots = len(x)
        return x.index_select(0, filled)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (filled,) = ctx.saved_tensors
        return grad.new_zeros(ctx.slots, grad.shape[1]).index_copy_(0, filled, grad), None


class _Spread(torch.autograd.Function):
    """Every slot filled; the gradient of what was empty is dropped, as nobody looked at it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, filled: Tensor) -> Tensor:
        ctx.save_for_backward(filled)
        return x.index_select(0, source)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (filled,) = ctx.saved_tensors
        return grad.index_select(0, filled), None, None


def alike(positions: Tensor, slots: int) -> Iterator[tuple[int, int, int]]:
    """Neighbouring rows of positions [B,K] in parts, so that little of a part is padding.

    Gives a part's first row, the row after its last, and its width: the slots up to the last filled
    one of its rows. A part has at most `slots` slots, padding included, or one row.
    """
    places = torch.arange(1, positions.shape[1] + 1, device=positions.device)
    widths: list[int] = ((positions != EMPTY) * places).amax(dim=1).clamp(min=1).tolist()
    start, widest = 0, 0
    for row, width in enumerate(widths):
        if row > start and (row + 1 - start) * max(widest, width) > slots:
            yield start, row, widest
            start, widest = row, 0
        widest = max(widest, width)
    yield start, len(widths), widest
