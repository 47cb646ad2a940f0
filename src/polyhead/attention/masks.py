"""Masks: predicates over positions, never over tensor shapes.

A position counts a sequence's tokens from 0; position -1 is an empty slot (padding), which no mask
allows, as a key or as a query. Masks are small frozen values, combined with `&` and `|`; `prepare`
turns one into tensors once per forward pass, shared by all layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

EMPTY = -1


class Mask(ABC):
    """A predicate: may the query at q_position see the key at k_position?"""

    @abstractmethod
    def allows(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        """q_positions [B,Q,1], k_positions [B,1,K] -> bool [B,Q,K] (broadcast)."""

    def __and__(self, other: Mask) -> Mask:
        return Both(self, other)

    def __or__(self, other: Mask) -> Mask:
        return Either(self, other)

    def prepare(self, q_positions: Tensor, k_positions: Tensor) -> Allowed:
        """Tensors of this mask for queries [B,Q] and keys [B,K] at these positions."""
        q, k = q_positions[:, :, None], k_positions[:, None, :]
        matrix = self.allows(q, k) & (q != EMPTY) & (k != EMPTY)
        return Allowed(matrix[:, None], q_positions, k_positions)


@dataclass(frozen=True)
class Everything(Mask):
    """Every filled slot sees every filled slot (encoders, encoder-decoder attention)."""

    def allows(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        return torch.ones_like(q_positions != k_positions)


@dataclass(frozen=True)
class Causal(Mask):
    """A query sees keys at its own position and before (decoders)."""

    def allows(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        return k_positions <= q_positions


@dataclass(frozen=True)
class Near(Mask):
    """A query sees keys at most `window` positions away (Luong et al. 2015, section 3.2).

    Its position need not be whole: it may be a centre that was predicted.
    """

    window: int

    def allows(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        return (k_positions - q_positions).abs() <= self.window


@dataclass(frozen=True)
class SameSpan(Mask):
    """A query sees keys of its own span: 0 … width-1, width … 2 width-1, and so on.

    With the tokens of document d at positions d width + i, no document sees another.
    """

    width: int

    def allows(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        return q_positions // self.width == k_positions // self.width


@dataclass(frozen=True)
class Both(Mask):
    first: Mask
    second: Mask

    def allows(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        return self.first.allows(q_positions, k_positions) & self.second.allows(
            q_positions, k_positions
        )


@dataclass(frozen=True)
class Either(Mask):
    first: Mask
    second: Mask

    def allows(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        return self.first.allows(q_positions, k_positions) | self.second.allows(
            q_positions, k_positions
        )


class Allowed:
    """A mask made into tensors: what every evaluation of one forward pass shares.

    matrix: bool [B,1,Q,K] (or Q = 1 where all queries see the same), True where attention is
    allowed; q_positions [B,Q]; k_positions [B,K].
    """

    def __init__(
        self,
        matrix: Tensor,
        q_positions: Tensor,
        k_positions: Tensor,
        *,
        everything: bool = False,
        triangle: bool = False,
    ):
        self.matrix = matrix
        self.q_positions = q_positions
        self.k_positions = k_positions
        self.triangle = triangle and matrix.shape[-1] > 1
        self.everything = everything or (not self.triangle and bool(matrix.all()))
        self._additive: dict[torch.dtype, tuple[Tensor, Tensor | None]] = {}

    @classmethod
    def keys(cls, k_positions: Tensor) -> Allowed:
        """Every query sees every filled key: k_positions [B,K] -> matrix [B,1,1,K].

        The mask of encoders and of encoder-decoder attention. Queries in empty slots are not
        zeroed: nobody reads what they compute.
        """
        filled = k_positions != EMPTY
        return cls(filled[:, None, None], torch.zeros_like(k_positions[:, :1]), k_positions)

    @classmethod
    def whole(cls, q_positions: Tensor, k_positions: Tensor) -> Allowed:
        """Every query sees every key, known without looking: a decoding step without padding."""
        matrix = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=q_positions.device)
        return cls(matrix, q_positions, k_positions, everything=True)

    @classmethod
    def from_the_start(cls, length: int, device: torch.device) -> Allowed:
        """Causal over rows without padding that all stand at 0 … length-1: one triangle for all.

        Only here do queries and keys span the same positions for certain, so that a kernel's own
        idea of "causal" is ours.
        """
        positions = torch.arange(length, device=device)[None]
        matrix = Causal().allows(positions[:, :, None], positions[:, None, :])
        return cls(matrix[:, None], positions, positions, triangle=True)

    def additive(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """(0 where allowed and -inf elsewhere [B,1,Q,K]; rows with nothing allowed [B,1,Q,1]).

        Those empty rows are left at 0, so that no softmax divides by zero: whoever evaluates sets
        their values to zero. They are None where there are none.
        """
        if dtype not in self._additive:
            barred = ~self.matrix
            empty = barred.all(dim=-1, keepdim=True)
            bias = torch.zeros(self.matrix.shape, dtype=dtype, device=self.matrix.device)
            bias.masked_fill_(barred & ~empty, float("-inf"))
            self._additive[dtype] = (bias, empty if bool(empty.any()) else None)
        return self._additive[dtype]


def positions_of(lengths: Tensor, width: int) -> Tensor:
    """Positions of right-padded rows: lengths [B] -> [B,width], 0 … length-1, then -1."""
    positions = torch.arange(width, device=lengths.device).expand(len(lengths), width)
    return positions.masked_fill(positions >= lengths[:, None], EMPTY)


def by_width(positions: Tensor, slots: int) -> Iterator[tuple[Tensor, int]]:
    """Rows of positions [B,K] in groups of similar width, so that little of a group is padding.

    Gives the rows [b] of each group, and its width: the slots up to the last filled one of them.
    A group has at most `slots` slots, padding included, or one row.
    """
    places = torch.arange(1, positions.shape[1] + 1, device=positions.device)
    ordered, rows = ((positions != EMPTY) * places).amax(dim=1).sort()
    widths: list[int] = ordered.tolist()
    start = 0
    for end in range(1, len(widths) + 1):
        if end == len(widths) or (end + 1 - start) * widths[end] > slots:
            yield rows[start:end], max(1, widths[end - 1])
            start = end
