"""Sentence pairs as token ids, with what is needed to name, to batch and to score them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from polyhead.data.examples import PairBatch, PairExamples
from polyhead.data.pairs import Pairs


@dataclass
class Corpus:
    """Encoded pairs, each with its origin and its weight."""

    examples: PairExamples
    pairs: list[Pairs]
    origins: NDArray[np.int64]  # [N,2]: which of `pairs`, which row of it
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.examples)

    def texts(self) -> tuple[list[str], list[str]]:
        """Sources and targets as they stand in the files."""
        rows = [(self.pairs[p], i) for p, i in self.origins.tolist()]
        return [p.sources[i] for p, i in rows], [p.targets[i] for p, i in rows]

    def take(self, keep: NDArray[np.int64]) -> Corpus:
        """The pairs at these indices."""
        examples = replace(
            self.examples,
            sources=self.examples.sources.take(keep),
            targets=self.examples.targets.take(keep),
        )
        return Corpus(examples, self.pairs, self.origins[keep], self.weights[keep])

    def groups(self) -> list[str]:
        """Each pair's group; empty where the recipe names no group column."""
        return [self.pairs[p].groups[i] for p, i in self.origins.tolist()]

    def where(self, index: int) -> str:
        """File and line of an example."""
        pairs, row = self.origins[index].tolist()
        return self.pairs[pairs].place(row)

    def batch(self, indices: NDArray[np.int64]) -> PairBatch:
        """The batch of these pairs, in this order."""
        return self.examples.batch(indices)

    def slots(self, indices: NDArray[np.int64]) -> int:
        """Source and target tokens of a batch of these pairs, padding included."""
        sides = (self.examples.sources, self.examples.targets)
        return len(indices) * sum(int(side.lengths[indices].max()) for side in sides)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the token ids: the same data, the same tokenizer, the same order."""
        digest = hashlib.sha256()
        for ragged in (self.examples.sources, self.examples.targets):
            digest.update(ragged.lengths.tobytes() + ragged.values.tobytes())
        return digest.hexdigest()
