"""What an export is compared on: real sentences of the recipe, and how far two models are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from polyhead.data.corpus import Corpus
from polyhead.data.documents import read_documents
from polyhead.data.examples import PairExamples, Ragged
from polyhead.data.tokenizers import END_ID
from polyhead.errors import PolyheadError
from polyhead.tasks.translation import Task

SENTENCES = 32
LINES = 16  # of text
CLOSE = 1e-4  # nats a token: what sums in another order may differ by

TEXTS = (
    "Hello, world! It's 3 o'clock.",
    "The quick brown fox jumps over the lazy dog.",
    "안녕하세요. 어제 친구를 만났어요!",
    "Ein naïver Größenvergleich: 10 € — nicht 20.",
)


@dataclass(frozen=True)
class Exported:
    """Where an export lies, its largest difference from the run, and what that was measured on.

    The difference is in nats a target token for CTranslate2, else that of a logit.
    """

    path: Path
    difference: float
    compared_on: str
    note: str = ""  # what else a person must know of it


@dataclass(frozen=True)
class Sentences:
    """Pairs of token ids that end with `</s>`, and where they come from, for a person."""

    corpus: Corpus
    origin: str

    @property
    def sources(self) -> list[list[int]]:
        return _rows(self.corpus.examples.sources)

    @property
    def targets(self) -> list[list[int]]:
        return _rows(self.corpus.examples.targets)


def _rows(ragged: Ragged) -> list[list[int]]:
    return [ragged[i].tolist() for i in range(len(ragged))]


def sentences_of(task: Task) -> Sentences:
    """The first pairs of the recipe's test or valid data; random tokens where neither is there."""
    for split in ("test", "valid"):
        try:
            corpus = task.read(split, lambda _: None)
        except PolyheadError:  # the run may have been moved away from its data
            continue
        examples = corpus.examples
        count = min(SENTENCES, len(examples))
        rows = [[side[i].tolist() for i in range(count)]
                for side in (examples.sources, examples.targets)]  # fmt: skip
        return Sentences(_corpus(task, *rows), f"{count} pairs of the {split} data")
    return random_sentences(task)


def random_sentences(task: Task) -> Sentences:
    """Pairs of random tokens, the same every time."""
    random = np.random.default_rng(1)
    sizes = (task.source_tokenizer.size, task.target_tokenizer.size)
    limit = min(24, getattr(task.recipe.model, "max_length", 24) - 1)
    rows = [
        [[*random.integers(2, size - 1, n).tolist(), END_ID]
         for n in random.integers(1, max(2, limit), SENTENCES)]
        for size in sizes
    ]  # fmt: skip
    return Sentences(_corpus(task, *rows), f"{SENTENCES} pairs of random tokens (no data is there)")


def _corpus(task: Task, sources: Sequence[list[int]], targets: Sequence[list[int]]) -> Corpus:
    pads = (task.source_tokenizer.pad_id, task.target_tokenizer.pad_id)
    examples = PairExamples(Ragged(sources), Ragged(targets), *pads)
    return Corpus(examples, [], np.zeros((len(sources), 2), np.int64), np.ones(len(sources)))


def per_token_difference(
    task: Task, model: nn.Module, sentences: Sentences, theirs: Sequence[float]
) -> float:
    """The largest difference of a pair's log-probability from ours, in nats a target token."""
    ours = task.log_probabilities(model, sentences.corpus)
    lengths = sentences.corpus.examples.targets.lengths
    return float((np.abs(np.array(theirs) - ours) / lengths).max())


def texts_of(task: Any) -> tuple[list[str], str]:
    """Lines of the run's own data to cut, or some that are always here."""
    for split in ("test", "valid"):
        sources = getattr(task.data, split)
        try:
            documents = read_documents(sources) if sources else None
        except PolyheadError:  # the run may have been moved away from its data
            continue
        if documents is not None:
            lines = [line for text in documents.texts[:LINES] for line in text.splitlines()]
            found = [line[:256] for line in lines if line.strip()][:LINES]
            return found, f"{len(found)} lines of the {split} data"
    return list(TEXTS), f"{len(TEXTS)} texts"
