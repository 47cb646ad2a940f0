"""Token ids of many sentence pairs, packed, and the batches made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyhead.attention.masks import positions_of


class Ragged:
    """Rows of different lengths in one array: 4 bytes a token, however many rows."""

    def __init__(self, rows: Sequence[Sequence[int]]):
        self.lengths: NDArray[np.int64] = np.fromiter((len(r) for r in rows), np.int64, len(rows))
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.values: NDArray[np.int32] = np.fromiter(
            (token for row in rows for token in row), np.int32, int(self.starts[-1])
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.values[self.starts[index] : self.starts[index + 1]]

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        """The rows of all parts, one after the other."""
        return cls._of(
            np.concatenate([np.zeros(0, np.int64), *(part.lengths for part in parts)]),
            np.concatenate([np.zeros(0, np.int32), *(part.values for part in parts)]),
        )

    @classmethod
    def _of(cls, lengths: NDArray[np.int64], values: NDArray[np.int32]) -> Ragged:
        made = cls([])
        made.lengths, made.values = lengths, values
        made.starts = np.concatenate([[0], np.cumsum(lengths)])
        return made

    def take(self, keep: NDArray[np.int64]) -> Ragged:
        """The rows at these indices."""
        taken = self._of(self.lengths[keep], self.values[:0])
        moved = np.repeat(self.starts[keep] - taken.starts[:-1], taken.lengths)
        taken.values = self.values[moved + np.arange(len(moved))]
        return taken

    def cut(self, limit: int, end: int) -> Ragged:
        """No row longer than this; a cut one ends with `end`."""
        if not len(self) or self.lengths.max() <= limit:
            return self
        rows = (self[i] for i in range(len(self)))
        return Ragged([r if len(r) <= limit else [*r[: limit - 1], end] for r in rows])  # type: ignore[misc]

    def padded(self, indices: Sequence[int], fill: int) -> tuple[Tensor, Tensor]:
        """Rows as one tensor [B,max length], right-padded, and their lengths [B]."""
        lengths = self.lengths[indices]
        width = int(lengths.max())
        block = np.full((len(indices), width), fill, np.int64)
        block[np.arange(width) < lengths[:, None]] = np.concatenate([self[i] for i in indices])
        return torch.from_numpy(block), torch.from_numpy(lengths)


@dataclass(frozen=True)
class PairBatch:
    """Teacher-forcing tensors of B pairs; positions are -1 in padding.

    source [B,S] ends with `</s>`; inputs [B,T] start with `<pad>`; labels [B,T] end with `</s>`.
    """

    source: Tensor
    source_positions: Tensor
    inputs: Tensor
    positions: Tensor
    labels: Tensor
    indices: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        """Target tokens that count, padding left out."""
        return int((self.positions >= 0).sum())

    def describe(self) -> str:
        """How large it is."""
        rows, length = self.labels.shape
        return f"{rows} pairs of {self.source.shape[1]} source and {length} target tokens"


@dataclass
class PairExamples:
    """Sources and targets as ids, each ending with `</s>`."""

    sources: Ragged
    targets: Ragged
    source_pad: int
    target_pad: int

    def __len__(self) -> int:
        return len(self.sources)

    def batch(self, indices: NDArray[np.int64]) -> PairBatch:
        """The batch of these examples, in this order."""
        source, source_lengths = self.sources.padded(indices.tolist(), self.source_pad)
        labels, lengths = self.targets.padded(indices.tolist(), self.target_pad)
        positions = positions_of(lengths, labels.shape[1])
        inputs = torch.full_like(labels, self.target_pad)
        inputs[:, 1:] = labels[:, :-1]
        inputs.masked_fill_(positions < 0, self.target_pad)
        return PairBatch(
            source,
            positions_of(source_lengths, source.shape[1]),
            inputs,
            positions,
            labels,
            indices,
        )
