"""Multiple choice: which of several texts goes on from one (Radford et al. 2018, section 3.3).

Each choice is a row with the text before it; the row that gets the largest number is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from polyhead.config import AtLeastOne
from polyhead.data.framing import Example, LabelledBatch
from polyhead.data.labelled import ChoiceTable, ChoiceTables, Labelled, fault, read_choices
from polyhead.files import Report, stop
from polyhead.metrics.labels import Tally, accuracy
from polyhead.tasks.shared.objective import Answers, Frame, fields
from polyhead.tasks.shared.rows import framed, label_loss, named
from polyhead.tasks.shared.supervised import Supervised, SupervisedData


class Data(SupervisedData):
    """The `data:` section of a multiple choice recipe."""

    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    train: Annotated[ChoiceTables, AtLeastOne] = Field(description="tables (see below)")
    valid: Annotated[ChoiceTables, AtLeastOne] = Field(
        description="tables to judge the model on as it learns"
    )
    test: ChoiceTables = Field(default=[], description="tables to score it on afterwards")


class MultipleChoice:
    """The number of the right choice."""

    purpose: Literal["sequence"] = "sequence"
    metric = "accuracy"
    context: int | None = 0

    def read(self, source: ChoiceTable, report: Report = stop) -> Iterator[Labelled]:
        """Texts with their choices."""
        for one in read_choices(source, report):
            choices = len(one.texts) - 1
            yield Labelled(one.texts, (one.target, choices), one.place)

    def learn(self, targets: Sequence[Any]) -> dict[str, Any]:
        """How many choices there are."""
        return {"choices": targets[0][1]}

    def outputs(self, learned: dict[str, Any]) -> int:
        """How well a choice fits."""
        return 1

    def examples(self, one: Labelled, frame: Frame) -> tuple[list[Example], int]:
        """A row for each choice; raises DataFault where there are not as many as in training."""
        text, *choices = (frame.tokenizer.encode(part) for part in one.texts)
        if len(choices) != frame.learned["choices"]:
            message = f"{len(choices)} choices, and training has {frame.learned['choices']}"
            raise fault(one.place, "choices", message)
        right = None if one.target is None else one.target[0]
        bare = Labelled(one.texts, right, one.place)
        return framed(bare, frame, [[text, choice] for choice in choices], right or 0)

    def loss(
        self, answers: Tensor, batch: LabelledBatch, learned: dict[str, Any], smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy over the choices of each text."""
        return label_loss(answers.view(len(batch.targets), -1), batch.targets, smoothing)

    def say(
        self, answers: Sequence[Answers], examples: Sequence[Example], learned: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The number of the likeliest choice, from 0, and the probabilities of all."""
        names = list(map(str, range(learned["choices"])))
        return [named(one[:, 0], names) for one in answers]

    def tally(self, said: Sequence[dict[str, Any]], right: Sequence[Any]) -> Tally:
        """Choices, found and right."""
        return np.array([[int(one["label"]) for one in said], right], np.float64).T

    def metrics(self, tally: Tally) -> dict[str, float]:
        """Accuracy."""
        return {"accuracy": accuracy(tally)}

    def input(self, line: str, data: Data) -> tuple[str, ...]:
        """A text and its choices, with tabs between."""
        return fields(line, 3, None, "a text and its choices, with tabs between,")


OBJECTIVE = MultipleChoice()
Task = Supervised
