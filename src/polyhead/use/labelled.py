"""A trained model of labels, numbers, tags or answers: classify, evaluate, explain, look inside."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from polyhead.data.batching import device_of
from polyhead.data.framing import Examples
from polyhead.data.labelled import Labelled
from polyhead.data.tokenizers import Explanation
from polyhead.errors import DataError, UsageError
from polyhead.evaluation.report import timed_report
from polyhead.inspection.maps import AttentionMaps
from polyhead.inspection.text import text_attention
from polyhead.metrics.labels import Tally
from polyhead.metrics.paired import paired_tallies
from polyhead.runs.card import keep_scores
from polyhead.runs.folder import Run
from polyhead.tasks.shared.supervised import Supervised
from polyhead.use.shared import (
    check_one_text,
    check_texts,
    export_run,
    no_such_method,
    refuse,
    rival,
    settings_of,
)

if TYPE_CHECKING:
    from polyhead.export.verify import Exported


class LabelledModel:
    """A trained run of a task about labelled texts."""

    def __init__(self, run: Run, task: Supervised, model: nn.Module, precision: str = "fp32"):
        self.run, self.task, self.model, self.precision = run, task, model, precision

    def __getattr__(self, name: str) -> Any:
        no_such_method(name, self)

    def classify(
        self, inputs: Sequence[str], *, say: Callable[[str], None] = lambda text: None
    ) -> list[dict[str, Any]]:
        """What the model says of each input: {input, label, probability, …} in order.

        Parts of an input (a pair, a text and its choices, a question and its context) have a tab
        between. `label` is a label, a number, the number of a choice, tagged words, or an answer.
        Raises UsageError for an input without the parts that are needed.
        """
        check_texts(inputs, "inputs")
        if not inputs:
            return []
        objective = self.task.objective
        texts = []
        for number, line in enumerate(inputs, start=1):
            try:
                texts.append(objective.input(line, self.task.data))
            except UsageError as error:
                raise UsageError(f"input {number}: {error}") from None
        examples = self._examples(texts, say)
        _, answers = self.task.answers(self.model, examples)
        said = objective.say(answers, examples.examples, self.task.known)
        return [{"input": line, **one} for line, one in zip(inputs, said, strict=True)]

    def _examples(self, texts: Sequence[tuple[str, ...]], say: Callable[[str], None]) -> Examples:
        read = [
            Labelled(parts, None, f"input {number}") for number, parts in enumerate(texts, start=1)
        ]
        examples = self.task.encode(read)
        if examples.cut:
            say(f"{examples.cut:,} texts are longer than the model reads; their end is left out")
        return examples

    def evaluate(
        self,
        split: str | None = None,
        *,
        against: str | Path | Run | LabelledModel | None = None,
        say: Callable[[str], None] = lambda text: None,
        **options: Any,
    ) -> dict[str, Any]:
        """The report of a split (default: test), as `evaluate --json` prints it.

        `nll` is in nats per answer; the other metrics are the task's. With `against`, another run's
        report of the same texts, and the differences with their intervals.
        """
        refuse(self.run, options, ("split", "precision", "against"))
        split = split or "test"
        other = None
        if against is not None:
            other = rival(self, against)
            self._check_same_texts(other, split)
        report, tally = self._judged(split, say)
        if split == "test":
            keep_scores(self.run, report, say, settings_of(self.precision))
        if other is not None:
            theirs, others = other._judged(split, say)
            difference = paired_tallies(tally, others, self.task.objective.metrics)
            report["against"] = {
                "run": theirs["run"], "metrics": theirs["metrics"], "difference": difference,
            }  # fmt: skip
        return report

    def _judged(self, split: str, say: Callable[[str], None]) -> tuple[dict[str, Any], Tally]:
        """The report of a split, and what the scores are made of."""
        corpus = self.task.read(split, say)
        start = time.perf_counter()
        nll, answers = self.task.answers(self.model, corpus)
        seconds = time.perf_counter() - start
        tally = self.task.tally(answers, corpus)
        metrics = {**self.task.objective.metrics(tally), "nll": nll}
        texts = sum(one.first for one in corpus.examples)
        return timed_report(self.run.path, split, texts, metrics, seconds, corpus.size), tally

    def _check_same_texts(self, other: LabelledModel, split: str) -> None:
        """Raise DataError for another run of other texts or right answers."""
        mine, theirs = (
            [(text.texts, text.target) for text in one.task.read_split(split)]
            for one in (self, other)
        )
        if mine != theirs:
            raise DataError(
                f"{self.run.path} and {other.run.path} have different {split} data "
                f"({len(mine):,} texts and {len(theirs):,}); only the same can be compared"
            )

    def attention(self, text: str, target: str | None = None) -> AttentionMaps:
        """Every attention weight while an input is read (of several rows, the first)."""
        check_one_text(text, target)
        examples = self._examples([self.task.objective.input(text, self.task.data)], lambda _: None)
        ids, kinds = examples.examples[0].rows[0]
        row = torch.tensor([ids, list(range(len(ids))), kinds], device=device_of(self.model))
        read = row.split(1)[: 2 if self.task.is_gpt else 3]
        return text_attention(
            lambda: self.model(*read),
            self.task.tokenizer.labels(ids),
            title=self.run.recipe.name,
        )

    def export(self, to: str, out: str | Path, *, quantization: str = "float32") -> Exported:
        """Write the run for another program, which then loads it and is compared: `export_run`."""
        return export_run(self.run, to, out, quantization)

    def explain(self, text: str) -> Explanation:
        """How the tokenizer cuts a text."""
        return self.task.tokenizer.explain(text)


Model = LabelledModel
