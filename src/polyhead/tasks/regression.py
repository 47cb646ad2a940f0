"""Numbers for texts and pairs: how alike two sentences are, as in STS.

The number is the mean of a normal distribution with the spread of the training data, so that `nll`
is in nats of the standardised number, and the loss is squared error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from polyhead.data.framing import Example, LabelledBatch
from polyhead.data.labelled import Labelled, LabelledTable, read_numbers
from polyhead.errors import DataError
from polyhead.files import Report, stop
from polyhead.metrics.labels import Tally, pearson, spearman
from polyhead.tasks.shared.objective import Answers, Frame
from polyhead.tasks.shared.rows import one_row, text_or_pair
from polyhead.tasks.shared.supervised import Supervised, TableData


class Data(TableData):
    """The `data:` section of a regression recipe."""

    metrics: ClassVar[tuple[str, ...]] = ("pearson", "spearman")
    smoothed: ClassVar[bool] = False


class Regression:
    """A number for each text."""

    purpose: Literal["sequence"] = "sequence"
    metric = "pearson"
    context: int | None = None

    def read(self, source: LabelledTable, report: Report = stop) -> Iterator[Labelled]:
        """The texts of a table with their numbers."""
        return read_numbers(source, report)

    def learn(self, targets: Sequence[float]) -> dict[str, Any]:
        """Mean and standard deviation; raises DataError where all numbers are the same."""
        spread = float(np.std(targets))
        if spread == 0:
            raise DataError(f"all {len(targets):,} training numbers are {targets[0]:g}")
        return {"mean": float(np.mean(targets)), "spread": spread}

    def outputs(self, learned: dict[str, Any]) -> int:
        """One number."""
        return 1

    def examples(self, one: Labelled, frame: Frame) -> tuple[list[Example], int]:
        """One example, its number standardised."""
        mean, spread = frame.learned["mean"], frame.learned["spread"]
        return one_row(one, frame, 0.0 if one.target is None else (one.target - mean) / spread)

    def loss(
        self, answers: Tensor, batch: LabelledBatch, learned: dict[str, Any], smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """-log N(y; answer, 1) of the standardised numbers."""
        found = answers.view(len(batch.targets), -1).sum(dim=1)
        nll = 0.5 * ((found - batch.targets) ** 2 + math.log(2 * math.pi)).sum()
        return nll, nll

    def say(
        self, answers: Sequence[Answers], examples: Sequence[Example], learned: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The number in the units of the training data."""
        return [
            {"label": float(one.sum()) * learned["spread"] + learned["mean"]} for one in answers
        ]

    def tally(self, said: Sequence[dict[str, Any]], right: Sequence[Any]) -> Tally:
        """Numbers, found and right."""
        return np.array([[one["label"] for one in said], right], np.float64).T

    def metrics(self, tally: Tally) -> dict[str, float]:
        """Pearson's and Spearman's correlation, and the mean squared error."""
        found, right = tally.T
        return {
            "pearson": pearson(found, right),
            "spearman": spearman(found, right),
            "squared_error": float(((found - right) ** 2).mean()),
        }

    def input(self, line: str, data: Data) -> tuple[str, ...]:
        """A text, or two with a tab between."""
        return text_or_pair(line, data.train)


OBJECTIVE = Regression()
Task = Supervised
