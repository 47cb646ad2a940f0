"""Blocks of text with some tokens masked, drawn anew in every epoch (Devlin et al. 2019, 3.1)."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyhead.data.batching import Plan
from polyhead.data.documents import Documents

MASKED, RANDOM = 0.8, 0.1  # of the chosen tokens; the rest stays as it is


@dataclass(frozen=True)
class MaskedBatch:
    """B rows: inputs [B,T] with masks in them, which places were chosen, and what stood there.

    chosen [B,T] is bool; labels [N] are the tokens at the chosen places, row by row. Of pairs of
    texts, positions [B,T] are -1 in padding, texts [B,T] are 1 in the second, and torn [B] is 0
    where the second text is what came after the first, 1 where it is of another document.
    """

    inputs: Tensor
    chosen: Tensor
    labels: Tensor
    indices: NDArray[np.int64]
    positions: Tensor | None = None
    texts: Tensor | None = None
    torn: Tensor | None = None

    @property
    def tokens(self) -> int:
        """Only what was chosen is predicted."""
        return len(self.labels)

    def describe(self) -> str:
        """How large it is."""
        rows, length = self.inputs.shape
        return f"{rows} blocks of {length} tokens"


@dataclass(frozen=True)
class Masking:
    """How tokens are masked, and the special ones that stand around a text."""

    begin: int
    end: int
    mask: int
    ordinary: NDArray[np.int64]  # what a token may be replaced with
    begins_word: NDArray[np.bool_]  # [V]: whether a token begins a word
    rate: float
    whole_words: bool

    def describe(self) -> str:
        """What changes the masks, for a fingerprint."""
        return f"{self.rate} {'words that fit' if self.whole_words else False}"

    def apply(
        self, text: NDArray[np.int64], random: np.random.Generator, seen: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(tokens [T] as the model sees them, which of them [T] it has to predict).

        `rate` of them are chosen, at least one; never the end of a text, nor any of the first
        `seen`. Whole words, if asked, are passed over where they would go beyond the rate, as in
        BERT's reference; where every word would, they are cut into parts that do not. Of the chosen
        80% become the mask, 10% any token, 10% stay, so that no token can be trusted.
        """
        picked = self._pick(text, random, seen)
        fate = random.random(len(text))
        others = random.choice(self.ordinary, len(text))
        hidden = np.where(fate < MASKED, self.mask, text)
        hidden = np.where((fate >= MASKED) & (fate < MASKED + RANDOM), others, hidden)
        return np.where(picked, hidden, text), picked

    def _pick(
        self, text: NDArray[np.int64], random: np.random.Generator, seen: int
    ) -> NDArray[np.bool_]:
        ends = text == self.end
        free = ~ends
        free[:seen] = False
        places = free.nonzero()[0]
        wanted = max(1, round(self.rate * len(places)))
        picked = np.zeros(len(text), bool)
        if not self.whole_words:
            picked[places[random.permutation(len(places))[:wanted]]] = True
            return picked
        begins = self.begins_word[text] | ends  # no word goes on in the next text
        edges = np.diff(np.cumsum(begins)[places]).nonzero()[0] + 1
        words = list(pairwise([0, *edges.tolist(), len(places)]))
        if all(end - start > wanted for start, end in words):
            words = [
                (i, min(i + wanted, end)) for start, end in words for i in range(start, end, wanted)
            ]
        for number in random.permutation(len(words)).tolist():
            start, end = words[number]
            if end - start <= wanted:
                picked[places[start:end]] = True
                wanted -= end - start
        return picked


@dataclass(frozen=True)
class MaskedBlocks:
    """A stream of tokens in blocks `<s> … </s>`; index e N + b is block b of N in epoch e.

    So what an index stands for, masks included, is a function of the seed and the index alone.
    Blocks that are not shifted are the whole stream: the last one begins inside the one before
    where tokens are left over, and only those are chosen in it.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]  # of each document in `ids`
    documents: Documents
    context: int
    masking: Masking
    seed: int
    shifted: bool  # whether every epoch cuts elsewhere

    @property
    def tokens(self) -> NDArray[np.int32]:
        """Those of all documents."""
        return self.ids

    @property
    def size(self) -> int:
        """Tokens of all documents."""
        return len(self.ids)

    @property
    def length(self) -> int:
        """Tokens of a block, its two special ones left out."""
        return min(self.context - 2, len(self.ids))

    def __len__(self) -> int:
        if self.shifted:
            return max(1, (len(self.ids) - self.length + 1) // self.length)
        return math.ceil(len(self.ids) / self.length)

    def first(self, blocks: int) -> MaskedBlocks:
        """The stream's beginning, in which there are at most so many blocks."""
        ids = self.ids[: blocks * self.length]
        return replace(self, ids=ids, starts=self.starts[self.starts < len(ids)], shifted=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tokens and how they are masked."""
        how = f"words {self.context} {self.masking.describe()} {self.seed} {self.shifted} "
        return hashlib.sha256(how.encode() + self.ids.tobytes()).hexdigest()

    def offset(self, index: int) -> int:
        """Where an index's block begins."""
        return self._span(index)[0]

    def _span(self, index: int) -> tuple[int, int]:
        """(where an index's block begins, how many of its tokens are of the block before)."""
        epoch, block = divmod(index, len(self))
        room = len(self.ids) - len(self) * self.length
        first = block * self.length
        if self.shifted and room > 0:
            first += int(np.random.default_rng([self.seed, epoch]).integers(0, room + 1))
        begin = min(first, len(self.ids) - self.length)
        return begin, first - begin

    def where(self, index: int) -> str:
        """The document in which a block begins."""
        offset = self.offset(index)
        number = int(np.searchsorted(self.starts, offset, side="right")) - 1
        return f"{self.documents.places[number]}, token {offset - int(self.starts[number]) + 1}"

    def slots(self, indices: NDArray[np.int64]) -> int:
        """Tokens that a model computes for these blocks."""
        return len(indices) * (self.length + 2)

    def batch(self, indices: NDArray[np.int64]) -> MaskedBatch:
        """These blocks with their masks."""
        inputs = np.empty((len(indices), self.length + 2), np.int64)
        inputs[:, 0], inputs[:, -1] = self.masking.begin, self.masking.end
        chosen = np.zeros(inputs.shape, bool)
        labels = []
        for row, index in enumerate(indices.tolist()):
            offset, seen = self._span(index)
            block = self.ids[offset : offset + self.length].astype(np.int64)
            random = np.random.default_rng([self.seed, index, 1])
            inputs[row, 1:-1], picked = self.masking.apply(block, random, seen)
            chosen[row, 1:-1] = picked
            labels.append(block[picked])
        return MaskedBatch(
            torch.from_numpy(inputs),
            torch.from_numpy(chosen),
            torch.from_numpy(np.concatenate(labels)),
            indices,
        )

    def plan(self, *, batch_tokens: int, epoch: int) -> Plan:
        """The batches of an epoch: all blocks, in random order."""
        order = np.random.default_rng([self.seed, epoch, 2]).permutation(len(self))
        indices = epoch * len(self) + order
        rows = max(1, batch_tokens // (self.length + 2))
        return [indices[i : i + rows] for i in range(0, len(indices), rows)]
