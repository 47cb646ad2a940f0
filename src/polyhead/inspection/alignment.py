"""Which source word each target word comes from: attention under forced decoding, word by word.

Of a model with several layers of attention the last but one is taken, the mean of its heads: what
Transformers keep there resembles an alignment most (Garg et al. 2019, section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from polyhead.attention.tap import listen
from polyhead.data.batching import by_length, device_of, on_device
from polyhead.data.examples import PairExamples
from polyhead.errors import UsageError
from polyhead.inspection.translation import one_map

Links = list[tuple[int, int]]
"""(source word, target word) pairs, counted from 0, in the target's order."""


@torch.inference_mode()
def alignments(
    model: nn.Module,
    examples: PairExamples,
    source_words: Sequence[Sequence[int]],
    target_words: Sequence[Sequence[int]],
) -> list[Links]:
    """The links of every example, in order; words: each token's word, as `Tokenizer.words` says.

    Raises UsageError for a model without attention to its source.
    """
    found: list[Links] = [[] for _ in range(len(examples))]
    lengths = np.maximum(examples.sources.lengths, examples.targets.lengths)
    for indices in by_length(lengths, 4096):
        batch = on_device(examples.batch(indices), device_of(model))
        with listen("decoder.*.cross") as heard:
            model(batch.source, batch.source_positions, batch.inputs, batch.positions)
        if not heard:
            raise UsageError("this model has no attention to its source: it cannot align")
        layers = list(heard.values())
        weights = one_map(layers[max(0, len(layers) - 2)]).float().mean(dim=1).numpy()
        for index, rows in zip(indices.tolist(), weights, strict=True):
            found[index] = links(rows, source_words[index], target_words[index])
    return found


def links(
    weights: NDArray[np.float32], source_words: Sequence[int], target_words: Sequence[int]
) -> Links:
    """One link a target word: to the source word with the most weight, over all its tokens.

    weights [T,S] of tokens; the words of the first of them (what is longer is the end token and
    padding). A word that attends to nothing, or to the end token alone, has none.
    """
    places = np.array(source_words[: weights.shape[1]], np.int64)
    found: Links = []
    for word in sorted(set(target_words) - {-1}):
        rows = [i for i, own in enumerate(target_words[: len(weights)]) if own == word]
        if not rows or not len(places):
            continue
        tokens = weights[rows, : len(places)].sum(axis=0)
        words = np.bincount(places + 1, weights=tokens)[1:]  # place 0: no word's
        if len(words) and words.max() > 0:
            found.append((int(words.argmax()), word))
    return found
