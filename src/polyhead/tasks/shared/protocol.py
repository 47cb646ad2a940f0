"""What a task must provide to be trained; the loop and the start of a training know no more."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn

from polyhead.config import Recipe
from polyhead.data.batching import Plan
from polyhead.data.tokenizers import Tokenizer

Say = Callable[[str], None]


class Batch(Protocol):
    """Some examples as tensors, and which they are."""

    indices: NDArray[Any]

    @property
    def tokens(self) -> int:
        """What the loss is divided by: tokens that count, padding left out."""

    def describe(self) -> str:
        """How large it is, for a person: `12 pairs of 20 source and 25 target tokens`."""


class Corpus(Protocol):
    """Examples ready for a model.

    An index names an example or, where examples are drawn anew in every epoch, one draw of it: what
    an index stands for never changes.
    """

    def __len__(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that training sees of it."""

    def where(self, index: int) -> str:
        """Where an example stands in the files, for a person."""

    def batch(self, indices: NDArray[Any]) -> Any:
        """The Batch of these examples, in this order."""

    def slots(self, indices: NDArray[Any]) -> int:
        """Tokens, padding included, that a model computes for a batch of these examples."""


@dataclass(frozen=True)
class Judgement:
    """What a model makes of a whole corpus: nats per token, and what the metrics are made of."""

    nll: float
    found: Any = None


class Task(Protocol):
    """One task of one recipe. Its module has `Data`, the schema of `data:`, and `Task`, the class.

    What `read_training` returns is only handed back to the two methods that take it.
    """

    recipe: Recipe
    unit: str  # what its examples are called: pairs, blocks, …

    @classmethod
    def read_training(cls, recipe: Recipe, say: Say) -> Sized:
        """The training data as it stands in the files; raises DataError for what is wrong there."""

    @classmethod
    def train_tokenizers(cls, recipe: Recipe, read: Any) -> Task:
        """The task with everything learned from the data before training: vocabularies, labels."""

    @classmethod
    def load(cls, recipe: Recipe, folder: Path) -> Task:
        """The task with what `save` has written into a run folder."""

    def save(self, folder: Path) -> None: ...

    def sizes(self) -> dict[str, Any]:
        """What a model must know to be built, beside its section of the recipe."""

    def vocabulary(self, weight: str) -> tuple[str, Tokenizer]:
        """(name, tokenizer) of the vocabulary that the rows of a weight stand for."""

    def training_corpus(self, read: Any, say: Say) -> Corpus:
        """The examples to train on; what is left out is counted and said."""

    def read(self, split: str, say: Say) -> Corpus:
        """The valid or test split; raises DataError where the recipe names none."""

    def plan(self, corpus: Any, epoch: int) -> Plan:
        """The batches of an epoch: a pure function of the recipe's seed and the epoch."""

    def loss(self, model: nn.Module, batch: Any, smoothing: float) -> tuple[Tensor, Tensor]:
        """(sum of the loss to train by, sum of the plain NLL) over the batch's tokens."""

    def judge(self, model: nn.Module, corpus: Any) -> Judgement:
        """What the model makes of a whole corpus."""

    def validate(self, model: nn.Module, corpus: Any, judged: Judgement) -> dict[str, float]:
        """What else a validation shows, by name, of what the model made of the corpus."""

    def hardest(self, corpus: Any) -> tuple[Any, float]:
        """The largest batch that judging a corpus computes, and how many of it the whole is."""

    def sample(self, model: nn.Module, corpus: Any, index: int) -> str:
        """Something a person can look at."""

    def describe(self, corpus: Any) -> dict[str, Any]:
        """Counts of a corpus and its fingerprint, for run.json and the model card."""
