"""Extractive question answering: where in a context the answer stands (Devlin et al. 2019, 4.2).

A context too long for a row is read in several that overlap by half; the answer with the largest
sum of its start's and its end's number wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from polyhead.config import AtLeastOne
from polyhead.data.framing import Example, LabelledBatch
from polyhead.data.labelled import Labelled, QuestionFile, QuestionFiles, fault, read_questions
from polyhead.files import Report, stop
from polyhead.metrics.labels import Tally, answer_scores, answer_tally
from polyhead.tasks.shared.objective import Answers, Frame, fields
from polyhead.tasks.shared.supervised import Supervised, SupervisedData

LONGEST_ANSWER = 30  # tokens


class Data(SupervisedData):
    """The `data:` section of a question answering recipe."""

    metrics: ClassVar[tuple[str, ...]] = ("exact_match", "f1")
    shortest: ClassVar[int] = 7  # half of it is the question's
    train: Annotated[QuestionFiles, AtLeastOne] = Field(description="files (see below)")
    valid: Annotated[QuestionFiles, AtLeastOne] = Field(
        description="files to judge the model on as it learns"
    )
    test: QuestionFiles = Field(default=[], description="files to score it on afterwards")


class QuestionAnswering:
    """The part of a context that answers a question."""

    purpose: Literal["tokens"] = "tokens"
    metric = "f1"
    context: int | None = 1

    def read(self, source: QuestionFile, report: Report = stop) -> Iterator[Labelled]:
        """Questions, contexts and answers."""
        return read_questions(source, report)

    def learn(self, targets: Sequence[Any]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def outputs(self, learned: dict[str, Any]) -> int:
        """How well a token begins an answer, and how well it ends one."""
        return 2

    def examples(self, one: Labelled, frame: Frame) -> tuple[list[Example], int]:
        """An example for each window of the context; the first token stands for "not here".

        To learn an answer that none of these windows holds, there is one more around it. What is
        judged or asked has no such window: it would tell where the answer is.
        """
        question, context = one.texts
        asked = frame.tokenizer.encode(question)
        cut = len(asked) > (most := frame.framer.longest // 2)
        encoding = frame.tokenizer.inner.encode(context, add_special_tokens=False)
        if not encoding.ids:
            raise fault(one.place, "empty", "the context has no tokens")
        room = frame.framer.longest - len(asked[:most]) - 3
        span = None if one.target is None else _tokens_of(one, encoding.offsets)
        right = None if one.target is None else one.target.texts
        starts = [*range(0, max(1, len(encoding.ids) - room // 2), max(1, room // 2))]
        if frame.learning and span is not None:
            starts = _holding(starts, span, room)
        found = []
        for start in starts:
            part = encoding.ids[start : start + room]
            ids, texts, _ = frame.framer.row([asked[:most], part])
            first = len(asked[:most]) + 2  # the place of the window's first token
            target = (0, 0)
            if span is not None and start <= span[0] and span[1] < start + len(part):
                target = (span[0] - start + first, span[1] - start + first)
            known = (context, first, encoding.offsets[start : start + room])
            found.append(Example([(ids, texts)], target, one.place, right, start == 0, known))
        return found, int(cut)

    def loss(
        self, answers: Tensor, batch: LabelledBatch, learned: dict[str, Any], smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """-log p(start) - log p(end), each over a row's tokens; smoothed evenly over these."""
        empty = (batch.positions < 0)[:, :, None]
        log_p = answers.masked_fill(empty, -torch.inf).log_softmax(dim=1)
        picked = log_p.transpose(1, 2).gather(2, batch.targets[:, :, None])
        nll = -picked.sum()
        if not smoothing:
            return nll, nll
        even = -(log_p.masked_fill(empty, 0).sum(dim=1) / (~empty).sum(dim=1)).sum()
        return (1 - smoothing) * nll + smoothing * even, nll

    def say(
        self, answers: Sequence[Answers], examples: Sequence[Example], learned: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The best answer of all windows of a context, and its probability in its own."""
        best: list[tuple[float, dict[str, Any]]] = []
        for own, example in zip(answers, examples, strict=True):
            found = _best(own, example)
            if example.first:
                best.append(found)
            elif found[0] > best[-1][0]:
                best[-1] = found
        return [one for _, one in best]

    def tally(self, said: Sequence[dict[str, Any]], right: Sequence[Any]) -> Tally:
        """How far each answer is right."""
        return answer_tally([one["label"] for one in said], right)

    def metrics(self, tally: Tally) -> dict[str, float]:
        """SQuAD's exact match and F1."""
        return answer_scores(tally)

    def input(self, line: str, data: Data) -> tuple[str, ...]:
        """A question and its context, with a tab between."""
        return fields(line, 2, 2, "a question and its context, with a tab between,")


def _tokens_of(one: Labelled, offsets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The first and the last token that an answer touches."""
    start, end = one.target.start, one.target.start + len(one.target.texts[0])
    touched = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
    if not touched:
        raise fault(one.place, "answer", f"{one.target.texts[0]!r} has no token")
    return touched[0], touched[-1]


def _holding(starts: list[int], span: tuple[int, int], room: int) -> list[int]:
    """Where windows of so many tokens begin, so that one holds the answer; none if none can."""
    first, last = span
    if any(start <= first and last < start + room for start in starts):
        return starts
    around = room - (last - first + 1)
    return [] if around < 0 else [*starts, first - around // 2]


def _best(answers: Answers, example: Example) -> tuple[float, dict[str, Any]]:
    """(the sum of the best answer's two numbers, what to say of it)."""
    context, first, offsets = example.known
    count = len(offsets)
    starts, ends = (answers[first : first + count, side].astype(np.float64) for side in (0, 1))
    sums = starts[:, None] + ends[None, :]
    places = np.arange(count)
    length = places[None, :] - places[:, None]
    sums[(length < 0) | (length >= LONGEST_ANSWER)] = -np.inf
    begin, end = np.unravel_index(int(sums.argmax()), sums.shape)
    text = context[offsets[begin][0] : offsets[end][1]].strip()
    whole = answers[: first + count + 1].astype(np.float64)
    total = sum(np.logaddexp.reduce(whole[:, side]) for side in (0, 1))
    score = float(sums[begin, end])
    return score, {"label": text, "probability": float(np.exp(score - total))}


OBJECTIVE = QuestionAnswering()
Task = Supervised
