"""Pairs of texts, half of them torn from two documents (Devlin et al. 2019, 3.1, task 2).

Nothing but what the texts say may tell which: the second text of a torn pair begins where that of a
true pair could begin, has as many whole sentences, and is as long, as nearly as can be found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from polyhead.attention.masks import positions_of
from polyhead.data.batching import Plan
from polyhead.data.documents import Documents
from polyhead.data.examples import Ragged
from polyhead.data.masking import MaskedBatch, Masking
from polyhead.errors import DataError

SPECIAL = 3  # tokens around and between two texts
TRIED = 64  # places in other documents: the one with the best length is taken
MISSING = 8  # tokens too many or too few that are as bad as a sentence too few
Row = NDArray[np.int64]
Sentence = tuple[Sequence[int], Sequence[int]]
"""Token ids of a sentence: where it begins a text, and where it goes on after another one."""


@dataclass(frozen=True)
class SentencePairs:
    """Rows `<s> A </s> B </s>`; index e N + i is span i of N in epoch e, so its masks are new.

    A span is some sentences of one document. A is the first of them, up to a cut drawn at random;
    B is the rest, or, as often, about as much of another document after a cut there.
    """

    sentences: Ragged  # of all documents, each as it goes on after another, with the space between
    openings: Ragged  # the same, each as it begins a text
    begins: Row  # [D+1]: where each document's sentences begin
    spans: Row  # [N,3]: document, first sentence, the one after the last
    every: Row  # the spans of all documents, which torn texts are drawn from
    documents: Documents
    alone: int  # documents of one sentence, left out: they could only be torn from others
    context: int
    masking: Masking
    seed: int
    pad: int

    @classmethod
    def of(
        cls, documents: Documents, rows: Sequence[Sequence[Sentence]], *, context: int,
        masking: Masking, seed: int, pad: int,
    ) -> SentencePairs:  # fmt: skip
        """Pairs of documents given as sentences.

        Raises DataError where there are not two documents of two sentences or more.
        """
        kept = [number for number, row in enumerate(rows) if len(row) > 1]
        if len(kept) < 2:
            raise DataError(
                f"{documents.places[0]}: data.next_sentence needs two documents or more in which "
                f"one sentence follows another; found {len(kept)} such among {len(rows):,}. Blank "
                "lines stand between documents with `documents: paragraph`; a line is a sentence, "
                "or the only line of a document is cut where sentences end"
            )
        openings, flat = (
            Ragged([sentence[form] for number in kept for sentence in rows[number]])
            for form in range(2)
        )
        begins = np.cumsum([0, *(len(rows[number]) for number in kept)])
        spans = np.array([
            (place, *span)
            for place in range(len(kept))
            for span in _spans(flat.lengths, int(begins[place]), int(begins[place + 1]), context)
        ])  # fmt: skip
        alone = len(rows) - len(kept)
        return cls(
            *(flat, openings, begins, spans, spans, documents.take(kept), alone),
            *(context, masking, seed, pad),
        )

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def tokens(self) -> NDArray[np.int32]:
        """Those of all documents."""
        return self.sentences.values

    @property
    def size(self) -> int:
        """Tokens of all documents."""
        return len(self.sentences.values)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the sentences and how they are paired and masked."""
        how = f"spaced pairs {self.context} {self.masking.describe()} {self.seed} "
        both = (self.openings, self.sentences)
        parts = (*(part for ids in both for part in (ids.values, ids.lengths)), self.begins)
        return hashlib.sha256(how.encode() + b"".join(p.tobytes() for p in parts)).hexdigest()

    def first(self, count: int) -> SentencePairs:
        """At most so many of the spans."""
        return replace(self, spans=self.spans[:count])

    def where(self, index: int) -> str:
        """The document, and the sentence of it, where a pair begins."""
        document, start, _ = self.spans[index % len(self)].tolist()
        place = start - int(self.begins[document]) + 1
        return f"{self.documents.places[document]}, sentence {place}"

    def slots(self, indices: Row) -> int:
        """Tokens that a model computes for these pairs, at most."""
        return len(indices) * self.context

    def pair(self, index: int, random: np.random.Generator) -> tuple[Row, Row, bool]:
        """(A, B, whether B follows A in its document), cut to what the context holds."""
        document, start, end = self.spans[index % len(self)].tolist()
        cut = int(random.integers(start + 1, end))
        follows = bool(random.random() < 0.5)
        a, b = self._tokens(start, cut), self._tokens(cut, end)
        room = self.context - SPECIAL
        if not follows:
            most = max(room - len(a), len(b))
            b = self._tokens(*self._elsewhere(document, end - cut, len(b), most, random))
        return *_cut(a, b, room, random), follows

    def _elsewhere(
        self, document: int, sentences: int, length: int, most: int, random: np.random.Generator
    ) -> tuple[int, int]:
        """(first sentence, the one after the last) of another document.

        As many sentences as asked for, or those up to the document's end, at the one of some places
        after cuts where they come closest to `length`; more than `most` tokens only if all are.
        """
        first, last = np.searchsorted(self.every[:, 0], [document, document + 1])
        drawn = random.integers(len(self.every) - (last - first), size=TRIED)
        drawn += (last - first) * (drawn >= first)  # any span but those of this document
        others, starts, ends = self.every[drawn].T
        begins = random.integers(starts + 1, ends)
        ends = np.minimum(begins + sentences, self.begins[others + 1])
        places = self.sentences.starts
        found = self.openings.lengths[begins] + places[ends] - places[begins + 1]
        unlike = abs(found - length) + MISSING * (sentences - (ends - begins))
        best = int(np.lexsort((unlike, np.maximum(found, most)))[0])
        return int(begins[best]), int(ends[best])

    def _tokens(self, start: int, end: int) -> Row:
        places = self.sentences.starts
        rest = self.sentences.values[places[start + 1] : places[end]]
        return np.concatenate([self.openings[start], rest]).astype(np.int64)

    def batch(self, indices: Row) -> MaskedBatch:
        """These pairs with their masks, padded to the longest."""
        made = [self._row(int(index)) for index in indices]
        lengths = torch.tensor([len(row[0]) for row in made])
        inputs, chosen, texts = (
            torch.nn.utils.rnn.pad_sequence(
                [torch.from_numpy(row[part]) for row in made], True, self.pad if not part else 0
            )
            for part in range(3)
        )
        return MaskedBatch(
            inputs,
            chosen,
            torch.from_numpy(np.concatenate([row[3] for row in made])),
            indices,
            positions_of(lengths, inputs.shape[1]),
            texts,
            torch.tensor([int(not row[4]) for row in made]),
        )

    def _row(self, index: int) -> tuple[Row, NDArray[np.bool_], Row, Row, bool]:
        """(tokens with masks, which were chosen, 0 or 1 by text, what stood there, follows)."""
        random = np.random.default_rng([self.seed, index, 1])
        a, b, follows = self.pair(index, random)
        begin, end = [self.masking.begin], [self.masking.end]
        row = np.concatenate([begin, a, end, b, end])
        hidden, picked = self.masking.apply(row, random, seen=1)
        texts = np.repeat([0, 1], [len(a) + 2, len(b) + 1])
        return hidden, picked, texts, row[picked], follows

    def plan(self, *, batch_tokens: int, epoch: int) -> Plan:
        """The batches of an epoch: all spans, in random order."""
        order = np.random.default_rng([self.seed, epoch, 2]).permutation(len(self))
        indices = epoch * len(self) + order
        rows = max(1, batch_tokens // self.context)
        return [indices[i : i + rows] for i in range(0, len(indices), rows)]


def _spans(lengths: Row, start: int, end: int, context: int) -> list[tuple[int, int]]:
    """Runs of two or more sentences that fill the context; the last may begin in the one before."""
    spans = []
    while start < end - 1:
        stop, total = start + 2, int(lengths[start : start + 2].sum())
        while stop < end and total + int(lengths[stop]) <= context - SPECIAL:
            total += int(lengths[stop])
            stop += 1
        spans.append((start, stop))
        start = stop - 1 if stop == end - 1 else stop
    return spans


def _cut(a: Row, b: Row, room: int, random: np.random.Generator) -> tuple[Row, Row]:
    """Take tokens from the longer text, at either end, until both fit."""
    while len(a) + len(b) > room:
        front = random.random() < 0.5
        if len(a) > len(b):
            a = a[1:] if front else a[:-1]
        else:
            b = b[1:] if front else b[:-1]
    return a, b
