"""Masks: predicates over positions, never over tensor shapes.

A position counts a sequence's tokens from 0; position -1 is an empty slot (padding), which no mask
allows, as a key or as a query. Masks are small frozen values, combined with `&` and `|`; `prepare`
turns one into tensors once per forward pass, shared by all layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
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
class Local(Mask):
    """A query sees its own block, 0 … width-1, width … 2 width-1, …, and `before` positions before.

    With Causal, the 1-D local attention of the Image Transformer (Parmar et al. 2018, section
    3.2.1: l_q is the width, l_m is `before`); with before = width that of the Music Transformer
    (Huang et al. 2018, section 3.5).
    """

    width: int
    before: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.before < 0:
            raise ValueError(f"{self}: a block has a position at least, and no fewer than 0 before")

    @property
    def whole(self) -> int:
        """The positions from 0 on that see all that stands before them."""
        return (self.before // self.width + 1) * self.width

    def allows(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        start = q_positions // self.width * self.width
        return (k_positions >= start - self.before) & (k_positions < start + self.width)


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
    allowed, or what makes it, called when somebody needs it; q_positions [B,Q]; k_positions [B,K].
    What a fast evaluation may rely on: everything is allowed; or, queries and keys both standing
    at 0 … Q-1, the causal triangle, or the causal triangle `within` a local mask.
    """

    def __init__(
        self,
        matrix: Tensor | Callable[[], Tensor],
        q_positions: Tensor,
        k_positions: Tensor,
        *,
        everything: bool | None = None,
        triangle: bool = False,
        within: Local | None = None,
    ):
        self._matrix = matrix
        self.q_positions = q_positions
        self.k_positions = k_positions
        self.triangle = triangle
        self.within = within
        self.everything = _looks(self.matrix.all) if everything is None else everything
        self._additive: dict[torch.dtype, tuple[Tensor, Tensor | None]] = {}

    @property
    def matrix(self) -> Tensor:
        """Who sees whom, bool [B,1,Q,K]; made at the first look."""
        if not isinstance(self._matrix, Tensor):
            self._matrix = self._matrix()
        return self._matrix

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
    def from_the_start(
        cls, length: int, device: torch.device, within: Local | None = None
    ) -> Allowed:
        """Causal, and within a local mask, over rows that all stand at 0 … length-1.

        Only here do queries and keys span the same positions for certain, so that a kernel's own
        idea of "causal" is ours. Rows padded at their end may come, too: no token sees what follows
        it. Nothing of size length x length is made.
        """
        positions = torch.arange(length, device=device)[None]
        if within is not None and length <= within.whole:
            within = None
        mask = Causal() if within is None else Causal() & within
        return cls(
            lambda: mask.prepare(positions, positions).matrix,
            positions,
            positions,
            everything=bool(length == 1),  # a symbol, while a graph is exported
            triangle=within is None and bool(length > 1),
            within=within,
        )

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
            self._additive[dtype] = (bias, None if _looks(lambda: ~empty.any()) else empty)
        return self._additive[dtype]


def _looks(condition: Callable[[], Tensor]) -> bool:
    """Whether it is seen to hold; a graph that is exported for any input must not look."""
    return not torch.compiler.is_exporting() and bool(condition())


def positions_of(lengths: Tensor, width: int) -> Tensor:
    """Positions of right-padded rows: lengths [B] -> [B,width], 0 … length-1, then -1."""
    positions = torch.arange(width, device=lengths.device).expand(len(lengths), width)
    return positions.masked_fill(positions >= lengths[:, None], EMPTY)
