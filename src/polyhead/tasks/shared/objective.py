"""What a task about labelled texts must say for itself; `supervised` does all the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polyhead.data.framing import Example, Framer, LabelledBatch
from polyhead.data.labelled import Labelled
from polyhead.data.tokenizers import Tokenizer
from polyhead.errors import UsageError
from polyhead.files import Report, stop
from polyhead.metrics.labels import Tally

Answers = NDArray[np.float32]
"""What a model gives for one example: [rows,outputs], or [T,outputs] about its tokens."""


@dataclass(frozen=True)
class Frame:
    """What turns a text into an example: the tokenizer, the special tokens, what was learned of
    the training data before training (label names, a mean), and the recipe's `data:`.

    `learning`: the example is there to be learned from, so its answer may decide what is read.
    """

    tokenizer: Tokenizer
    framer: Framer
    learned: dict[str, Any]
    data: Any
    learning: bool = False


class Objective(Protocol):
    """One task about labelled texts."""

    purpose: Literal["sequence", "tokens"]
    metric: str  # the one that a person looks at first
    context: int | None  # which of its texts many examples may have in common

    def read(self, source: Any, report: Report = stop) -> Iterable[Labelled]:
        """The labelled texts of one entry of `data.train`; faults of single ones go to `report`."""

    def learn(self, targets: Sequence[Any]) -> dict[str, Any]:
        """What has to be known of all training targets; it goes into labels.json."""

    def outputs(self, learned: dict[str, Any]) -> int:
        """Numbers that the model gives for each row or token."""

    def examples(self, one: Labelled, frame: Frame) -> tuple[list[Example], int]:
        """(the examples of a text, how many of its rows were cut); raises DataFault.

        The target may be None: the answer is not known. Where the answer stands in no row, nothing
        can be learned, and for learning there is no example.
        """

    def loss(
        self, answers: Tensor, batch: LabelledBatch, learned: dict[str, Any], smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """(sum of the loss, sum of the plain NLL); answers [R,outputs], or [R,T,outputs]."""

    def say(
        self, answers: Sequence[Answers], examples: Sequence[Example], learned: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """For each text, in order, what `classify --json` prints of it beside the input."""

    def tally(self, said: Sequence[dict[str, Any]], right: Sequence[Any]) -> Tally:
        """What was said of texts, beside their targets, in numbers: a row for each text."""

    def metrics(self, tally: Tally) -> dict[str, float]:
        """Scores of texts; any rows of a tally are one."""

    def input(self, line: str, data: Any) -> tuple[str, ...]:
        """The texts of a line that a user gives, as the recipe's `data:` has them; raises
        UsageError."""


def fields(line: str, least: int, most: int | None, what: str) -> tuple[str, ...]:
    """A line's parts between tabs; raises UsageError unless there are as many as needed."""
    parts = tuple(line.split("\t"))
    if len(parts) < least or (most is not None and len(parts) > most):
        raise UsageError(f"{line[:60]!r}: {what} is needed, found {len(parts)} with tabs between")
    return parts
