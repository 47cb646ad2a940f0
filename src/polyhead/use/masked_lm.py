"""A trained masked language model: fill in masks, vectors of texts, evaluate, explain."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
import torch
from numpy.typing import NDArray
from torch import nn

from polyhead.attention.masks import positions_of
from polyhead.data.batching import by_length, device_of
from polyhead.data.examples import Ragged
from polyhead.data.tokenizers import MASKS, Explanation
from polyhead.errors import UsageError
from polyhead.evaluation.report import timed_report
from polyhead.inspection.maps import AttentionMaps
from polyhead.inspection.text import text_attention
from polyhead.metrics.paired import paired_tallies
from polyhead.runs.card import keep_scores
from polyhead.runs.folder import Run
from polyhead.tasks.masked_lm import Task
from polyhead.use.shared import (
    check_one_text,
    check_texts,
    export_run,
    no_such_method,
    refuse,
    rival,
    settings_of,
)

_MASK = regex.compile("|".join(map(regex.escape, MASKS)))


if TYPE_CHECKING:
    from polyhead.export.verify import Exported


class MaskedLanguageModel:
    """A trained masked language modelling run."""

    def __init__(self, run: Run, task: Task, model: nn.Module, precision: str = "fp32"):
        self.run, self.task, self.model, self.precision = run, task, model, precision

    def __getattr__(self, name: str) -> Any:
        no_such_method(name, self)

    def fill(self, text: str, top: int = 5) -> list[list[dict[str, Any]]]:
        """The likeliest tokens of each [MASK] in a text: [{token, probability}], best first.

        A token that goes on without a space has `##` before it, where tokens know about spaces.
        Raises UsageError for a text without a mask, or longer than the model takes.
        """
        if top < 1:
            raise UsageError(f"top {top} is not at least 1")
        if not _MASK.search(text):
            raise UsageError(f"there is no [MASK] in {text!r}: write it where a word is missing")
        tokenizer = self.task.tokenizer
        row = self._row(text)
        return [
            [{"token": tokenizer.alone(i), "probability": p} for i, p in found]
            for found in self.task.fill(self.model, row, top)
        ]

    def _row(self, text: str) -> list[int]:
        """Token ids of a text in which [MASK] is the mask."""
        tokenizer = self.task.tokenizer
        parts = _MASK.split(text)
        # byte-level pieces begin with the space before them: none is left in front of a mask
        joined = self.run.recipe.tokenizer.kind == "bpe"
        row = []
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            kept = part.rstrip(" ") if joined and not last else part
            row += tokenizer.encode_after(kept) if number else tokenizer.encode(kept)
            row += [] if last else [tokenizer.mask_id]
        self._check_length(text, len(row))
        return row

    def _check_length(self, text: str, tokens: int) -> None:
        most = self.task.data.context - 2
        if tokens > most:
            raise UsageError(f"{text[:40]!r} has {tokens} tokens; the model takes {most}")

    @torch.inference_mode()
    def embed(
        self, texts: Sequence[str], *, say: Callable[[str], None] = lambda text: None
    ) -> NDArray[np.float32]:
        """A vector per text [N,E]: the mean of the last layer over its tokens, in input order.

        A text of more tokens than the model takes is cut, and `say` hears which line.
        """
        check_texts(texts)
        tokenizer = self.task.tokenizer
        limit = self.task.data.context - 2
        rows = []
        for number, text in enumerate(texts, start=1):
            ids = tokenizer.encode(text)
            if len(ids) > limit:
                say(f"line {number}: {len(ids)} tokens, cut to the model's {limit}")
                del ids[limit:]
            rows.append([tokenizer.begin_id, *ids, tokenizer.end_id])
        width = self.run.recipe.model.d_model  # type: ignore[attr-defined]
        result = np.zeros((len(rows), width), np.float32)
        if not rows:
            return result
        ragged = Ragged(rows)
        for indices in by_length(ragged.lengths, 4096):
            both = ragged.padded(indices.tolist(), tokenizer.pad_id)
            tokens, lengths = (t.to(device_of(self.model)) for t in both)
            positions = positions_of(lengths, tokens.shape[1])
            hidden = self.model(tokens, positions).float()
            real = (positions >= 0)[:, :, None]
            result[indices] = ((hidden * real).sum(dim=1) / lengths[:, None]).cpu().numpy()
        return result

    def evaluate(
        self,
        split: str | None = None,
        *,
        against: str | Path | Run | MaskedLanguageModel | None = None,
        say: Callable[[str], None] = lambda text: None,
        **options: Any,
    ) -> dict[str, Any]:
        """The report of a split (default: test), as `evaluate --json` prints it.

        nll (nats), perplexity and accuracy of the tokens that the mask stands for; the masks are
        the same at every evaluation. With `against`, another run's report of the same masks, and
        the differences with their intervals.
        """
        refuse(self.run, options, ("split", "precision", "against"))
        split = split or "test"
        other = None
        if against is not None:
            other = rival(self, against)
            self._check_reads_as(other)
        corpus = self.task.read(split, say)
        start = time.perf_counter()
        tally = self.task.tally(self.model, corpus)
        seconds = time.perf_counter() - start
        metrics = self.task.scores(tally)
        report = timed_report(self.run.path, split, len(corpus), metrics, seconds, corpus.size)
        if split == "test":
            keep_scores(self.run, report, say, settings_of(self.precision))
        if other is not None:
            others = other.task.tally(other.model, corpus)
            report["against"] = {
                "run": str(other.run.path),
                "metrics": self.task.scores(others),
                "difference": paired_tallies(tally, others, self.task.scores),
            }
        return report

    def _check_reads_as(self, other: MaskedLanguageModel) -> None:
        """Raise UsageError unless another run can read this one's rows, masks and all."""
        mine, theirs = self.task, other.task
        problem = None
        if not mine.tokenizer.same_as(theirs.tokenizer):
            problem = "cut text into other tokens, so no mask stands for the same in both"
        elif mine.data.next_sentence != theirs.data.next_sentence:
            problem = "differ in data.next_sentence: one reads pairs of texts, the other does not"
        elif theirs.data.context < mine.data.context:
            problem = (
                f"read rows of {mine.data.context} and {theirs.data.context} tokens, and the rows "
                "of the first are judged: name the other run first"
            )
        if problem:
            raise UsageError(f"{self.run.path} and {other.run.path} {problem}")

    def attention(self, text: str, target: str | None = None) -> AttentionMaps:
        """Every attention weight while a text is read; [MASK] may stand in it."""
        check_one_text(text, target)
        row = self._row(text)
        ids = [self.task.tokenizer.begin_id, *row, self.task.tokenizer.end_id]
        return text_attention(
            lambda: self.model(torch.tensor([ids], device=device_of(self.model))),
            self.task.tokenizer.labels(ids),
            title=self.run.recipe.name,
        )

    def export(self, to: str, out: str | Path, *, quantization: str = "float32") -> Exported:
        """Write the run for another program, which then loads it and is compared: `export_run`."""
        return export_run(self.run, to, out, quantization)

    def explain(self, text: str) -> Explanation:
        """How the tokenizer cuts a text."""
        return self.task.tokenizer.explain(text)


Model = MaskedLanguageModel
