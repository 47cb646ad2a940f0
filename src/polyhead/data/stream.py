"""Documents as one stream of tokens, cut into blocks for a language model.

The stream is END doc END doc END …: the end of one document is what the next one starts from, as
with GPT-2's <|endoftext|>. A block at offset o reads the tokens o … o+T-1 and predicts those at
o+1 … o+T.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyhead.data.batching import Plan
from polyhead.data.documents import Documents


@dataclass(frozen=True)
class BlockBatch:
    """B blocks: tokens and the labels they predict, [B,T].

    positions and documents, [B,T], are there where no document may see another; None else.
    """

    inputs: Tensor
    labels: Tensor
    positions: Tensor | None
    documents: Tensor | None
    indices: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        """Every label counts."""
        return self.labels.numel()

    def describe(self) -> str:
        """How large it is."""
        rows, length = self.labels.shape
        return f"{rows} blocks of {length} tokens"


@dataclass(frozen=True)
class Stream:
    """A stream of tokens; an example's index is the offset where its block begins."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]  # of each document's START token in `ids`
    documents: Documents
    context: int
    apart: bool  # whether positions and masks restart at every document
    end_id: int

    @classmethod
    def of(
        cls,
        rows: list[NDArray[np.int32]],
        documents: Documents,
        *,
        end_id: int,
        context: int,
        apart: bool,
    ) -> Stream:
        """The stream of documents as ids, one row each."""
        end = np.array([end_id], np.int32)
        parts = [part for row in rows for part in (end, row)]
        sizes = np.array([len(row) + 1 for row in rows], np.int64)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return cls(np.concatenate([*parts, end]), starts, documents, context, apart, end_id)

    @property
    def predicted(self) -> int:
        """Tokens that are predicted: all but the first."""
        return len(self.ids) - 1

    @property
    def length(self) -> int:
        """Tokens of a block: the context, or less where the whole stream is shorter."""
        return min(self.context, self.predicted)

    def __len__(self) -> int:
        return self.predicted // self.length

    def first(self, count: int) -> Stream:
        """The stream's beginning, in which so many tokens are predicted."""
        ids = self.ids[: count + 1]
        return replace(self, ids=ids, starts=self.starts[self.starts < len(ids)])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokens and how they are read."""
        how = f"{self.context} {self.apart} ".encode()
        return hashlib.sha256(how + self.ids.tobytes()).hexdigest()

    def where(self, index: int) -> str:
        """The document in which a block begins."""
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        place = self.documents.places[number]
        return f"{place}, token {index - int(self.starts[number]) + 1}"

    def slots(self, indices: NDArray[np.int64]) -> int:
        """Tokens that a model computes for these blocks."""
        return len(indices) * self.length

    def batch(self, indices: NDArray[np.int64]) -> BlockBatch:
        """The blocks that begin at these offsets."""
        return self.windows(indices, self.length)

    def windows(self, offsets: NDArray[np.int64], length: int) -> BlockBatch:
        """Blocks of any length."""
        both = torch.from_numpy(self.ids[offsets[:, None] + np.arange(length + 1)].astype(np.int64))
        inputs, labels = both[:, :-1], both[:, 1:]
        if not self.apart:
            return BlockBatch(inputs, labels, None, None, offsets)
        places = torch.arange(length)
        begins = inputs == self.end_id
        latest = torch.where(begins, places, 0).cummax(dim=1).values
        return BlockBatch(inputs, labels, places - latest, begins.cumsum(dim=1), offsets)

    def plan(self, *, batch_tokens: int, seed: int, epoch: int, shifted: bool) -> Plan:
        """The batches of an epoch: all whole blocks, in random order.

        `shifted` cuts each epoch's blocks at another offset, so that in time every token is
        predicted from contexts of every length.
        """
        random = np.random.default_rng([seed, epoch])
        room = self.predicted - self.length
        first = int(random.integers(0, min(self.length, room + 1))) if shifted else 0
        offsets = random.permutation(np.arange(first, room + 1, self.length))
        rows = max(1, batch_tokens // self.length)
        return [offsets[i : i + rows] for i in range(0, len(offsets), rows)]
