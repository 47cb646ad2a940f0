"""Labelled texts as rows of tokens, and the batches made of them.

BERT reads `<s> text </s>` or `<s> text </s> pair </s>` (Devlin et al. 2019, figure 4); GPT
`</s> text <extract>` or `</s> text <delimiter> pair <extract>`, whose last two tokens are new
(Radford et al. 2018, section 3.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyhead.attention.masks import positions_of
from polyhead.data.batching import Plan, plan_epoch
from polyhead.data.examples import Ragged

DELIMITER, EXTRACT = "<delimiter>", "<extract>"
IGNORED = -1  # a token about which nothing is asked


@dataclass(frozen=True)
class Framer:
    """The special tokens around texts, and the tokens that a row may have."""

    begin: int
    between: int
    end: int
    longest: int

    def row(self, parts: Sequence[Sequence[int]]) -> tuple[list[int], list[int], bool]:
        """(ids, 0 or 1 by text, whether the longer text lost its end) of one or two texts."""
        kept = [list(part) for part in parts]
        room = self.longest - len(parts) - 1
        over = sum(map(len, kept)) - room
        while (spare := sum(map(len, kept)) - room) > 0:
            longer = max(kept, key=len)
            others = max((len(part) for part in kept if part is not longer), default=0)
            del longer[len(longer) - min(spare, max(1, len(longer) - others)) :]
        ids, texts = [self.begin], [0]
        for number, part in enumerate(kept):
            last = number == len(kept) - 1
            ids += [*part, self.end if last else self.between]
            texts += [number] * (len(part) + 1)
        return ids, texts, over > 0


@dataclass(frozen=True)
class LabelledBatch:
    """Rows of B examples, as many rows for each, one example after another.

    inputs, positions and texts [R,T]; targets [B] labels or numbers, [B,T] tags (-1: not asked), or
    [B,2] the first and last token of an answer.
    """

    inputs: Tensor
    positions: Tensor
    texts: Tensor
    targets: Tensor
    indices: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        """Answers that are asked for."""
        tags = self.targets.dim() == 2 and self.targets.shape[1] == self.inputs.shape[1]
        return int((self.targets != IGNORED).sum()) if tags else len(self.targets)

    def describe(self) -> str:
        """How large it is."""
        rows, length = self.inputs.shape
        return f"{len(self.targets)} examples in {rows} rows of {length} tokens"


@dataclass
class Example:
    """The rows of one example, and the answer as the model sees it.

    A text that is too long for a row may become several examples, the first of which says so.
    """

    rows: list[tuple[list[int], list[int]]]  # (ids, texts)
    target: Any  # a number, a list with a tag per token, or (first, last)
    place: str
    right: Any = None  # the answer as it stands in the file; None: not known
    first: bool = True  # whether a text begins with it
    known: Any = None  # for whoever reads the model's answer


@dataclass
class Examples:
    """Examples ready for a model; every one has as many rows as the next."""

    examples: list[Example]
    pad: int
    seed: int
    cut: int = 0  # rows that lost their end
    left_out: int = 0  # texts without an example: nothing can be learned from them
    lengths: NDArray[np.int64] = field(init=False)  # of each example's longest row

    def __post_init__(self) -> None:
        self.lengths = np.array([max(len(ids) for ids, _ in e.rows) for e in self.examples])

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all rows and answers."""
        digest = hashlib.sha256()
        for one in self.examples:
            digest.update(repr((one.rows, one.target)).encode())
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """Tokens of all rows."""
        return sum(len(ids) for one in self.examples for ids, _ in one.rows)

    @cached_property
    def begins(self) -> NDArray[np.int64]:
        """Where each text's examples begin, and behind the last."""
        first = [place for place, one in enumerate(self.examples) if one.first]
        return np.array([*first, len(self)], dtype=np.int64)

    @property
    def texts(self) -> int:
        """How many texts there are."""
        return len(self.begins) - 1

    def of_texts(self, numbers: Iterable[int]) -> Examples:
        """All examples of these texts: what is said of a text takes every one of them."""
        spans = [(self.begins[number], self.begins[number + 1]) for number in numbers]
        chosen = [one for start, end in spans for one in self.examples[start:end]]
        return Examples(chosen, self.pad, self.seed)

    def first(self, count: int) -> Examples:
        """The texts with the longest examples: so many that they have at least `count`."""
        longest = np.maximum.reduceat(self.lengths, self.begins[:-1])
        order = np.argsort(-longest, kind="stable")
        so_far = np.diff(self.begins)[order].cumsum()
        return self.of_texts(order[: int(np.searchsorted(so_far, count)) + 1].tolist())

    def where(self, index: int) -> str:
        """Where an example stands in the files."""
        return self.examples[index].place

    def slots(self, indices: NDArray[np.int64]) -> int:
        """Tokens, padding included, of a batch of these examples."""
        rows = sum(len(self.examples[i].rows) for i in indices)
        return rows * int(self.lengths[indices].max())

    def batch(self, indices: NDArray[np.int64]) -> LabelledBatch:
        """The batch of these examples."""
        chosen = [self.examples[i] for i in indices]
        rows = [row for one in chosen for row in one.rows]
        ids, texts = Ragged([row[0] for row in rows]), Ragged([row[1] for row in rows])
        every = range(len(rows))
        inputs, lengths = ids.padded(every, self.pad)
        targets: Tensor
        if isinstance(chosen[0].target, list):
            tags = Ragged([one.target for one in chosen])
            targets, _ = tags.padded(range(len(chosen)), IGNORED)
        else:
            targets = torch.tensor([one.target for one in chosen])
        return LabelledBatch(
            inputs,
            positions_of(lengths, inputs.shape[1]),
            texts.padded(every, 0)[0],
            targets,
            indices,
        )

    def plan(self, *, batch_tokens: int, epoch: int) -> Plan:
        """The batches of an epoch: rows of similar length together."""
        lengths = self.lengths * len(self.examples[0].rows)
        return plan_epoch(lengths, lengths, batch_tokens=batch_tokens, seed=self.seed, epoch=epoch)
