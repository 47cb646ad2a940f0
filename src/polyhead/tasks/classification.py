"""Classification of texts and of pairs: sentiment, entailment, paraphrase.

GPT reads a pair with a delimiter between; where the order means nothing (`symmetric`), it reads
both orders and adds what it makes of them (Radford et al. 2018, section 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor

from polyhead.data.framing import Example, LabelledBatch
from polyhead.data.labelled import Labelled, LabelledTable, fault, read_labelled
from polyhead.errors import DataError
from polyhead.files import Report, stop
from polyhead.metrics.labels import Tally, accuracy, label_tally, macro_f1
from polyhead.tasks.shared.objective import Answers, Frame
from polyhead.tasks.shared.rows import label_loss, named, one_row, text_or_pair
from polyhead.tasks.shared.supervised import Supervised, TableData


class Data(TableData):
    """The `data:` section of a classification recipe."""

    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1")


class Classification:
    """One of several labels for each text."""

    purpose: Literal["sequence"] = "sequence"
    metric = "accuracy"
    context: int | None = None

    def read(self, source: LabelledTable, report: Report = stop) -> Iterator[Labelled]:
        """The labelled texts of a table."""
        return read_labelled(source, report)

    def learn(self, targets: Sequence[str]) -> dict[str, Any]:
        """The labels, sorted; raises DataError unless there are two."""
        names = sorted(set(targets))
        if len(names) < 2:
            raise DataError(
                f"all {len(targets):,} training labels are {names}: nothing to tell apart"
            )
        return {"names": names}

    def outputs(self, learned: dict[str, Any]) -> int:
        """A number for each label."""
        return len(learned["names"])

    def examples(self, one: Labelled, frame: Frame) -> tuple[list[Example], int]:
        """One example; raises DataFault for a label that training does not have."""
        names = frame.learned["names"]
        if one.target is not None and one.target not in names:
            known = ", ".join(names[:20])
            raise fault(
                one.place,
                "unknown_label",
                f"the label {one.target!r} is not known; there are {known}",
            )
        return one_row(one, frame, 0 if one.target is None else names.index(one.target))

    def loss(
        self, answers: Tensor, batch: LabelledBatch, learned: dict[str, Any], smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the labels; answers of both orders are added."""
        logits = answers.view(len(batch.targets), -1, answers.shape[-1]).sum(dim=1)
        return label_loss(logits, batch.targets, smoothing)

    def say(
        self, answers: Sequence[Answers], examples: Sequence[Example], learned: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The likeliest label and the probabilities of all."""
        return [named(one.sum(axis=0), learned["names"]) for one in answers]

    def tally(self, said: Sequence[dict[str, Any]], right: Sequence[Any]) -> Tally:
        """Labels, found and right."""
        return label_tally([one["label"] for one in said], right)

    def metrics(self, tally: Tally) -> dict[str, float]:
        """Accuracy, and the mean F1 of the labels."""
        return {"accuracy": accuracy(tally), "f1": macro_f1(tally)}

    def input(self, line: str, data: Data) -> tuple[str, ...]:
        """A text, or two with a tab between."""
        return text_or_pair(line, data.train)


OBJECTIVE = Classification()
Task = Supervised
