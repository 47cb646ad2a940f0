"""Two language models on the same text: whose nll is lower, and whether that is more than luck."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyhead.data.stream import Stream
from polyhead.metrics.labels import Tally
from polyhead.metrics.likelihood import perplexity
from polyhead.metrics.paired import paired_tallies


@dataclass(frozen=True)
class Judged:
    """A text as a model reads it, log p [T] of each of its tokens but the first, and the bytes [D]
    of its documents, with one for the end of each."""

    corpus: Stream
    log_probabilities: NDArray[np.float64]
    sizes: NDArray[np.int64]

    def tally(self, starts: NDArray[np.int64]) -> Tally:
        """Of each stretch of tokens from a start to the next: nats, tokens, bytes; [N,3].

        A document's bytes are shared evenly by its tokens.
        """
        corpus = self.corpus
        tokens = np.diff(corpus.starts, append=corpus.predicted)
        shares = np.repeat(self.sizes / tokens, tokens)
        columns = (-self.log_probabilities, np.ones(corpus.predicted), shares)
        return np.stack([np.add.reduceat(column, starts) for column in columns], axis=1)

    def metrics(self) -> dict[str, float]:
        """Those of the whole text."""
        return scores(self.tally(self.corpus.starts))


def scores(tally: Tally) -> dict[str, float]:
    """nll in nats per token, perplexity, and bits per byte of any rows of a tally."""
    nats, tokens, size = tally.sum(axis=0).tolist()
    return {
        "nll": nats / tokens,
        "perplexity": perplexity(nats / tokens),
        "bits_per_byte": nats / math.log(2) / size,
    }


def difference(one: Judged, other: Judged, *, same_tokens: bool) -> dict[str, dict[str, float]]:
    """{name: {value, low, high, p_value}} of `one` less `other`, by paired bootstrap resampling.

    Where both read the same tokens, windows of one's context are drawn. Where they do not, only
    documents are the same for both, and only bits per byte compare.
    """
    if same_tokens:
        starts = np.arange(0, one.corpus.predicted, one.corpus.length)
        return paired_tallies(one.tally(starts), other.tally(starts), scores)
    tallies = one.tally(one.corpus.starts), other.tally(other.corpus.starts)
    return paired_tallies(*tallies, lambda rows: {"bits_per_byte": scores(rows)["bits_per_byte"]})
