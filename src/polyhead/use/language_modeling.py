"""A trained language model: go on from prompts, evaluate, explain."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from polyhead.data.batching import device_of
from polyhead.data.documents import Documents
from polyhead.data.tokenizers import Explanation
from polyhead.decoding.generate import Hear, Settings, before_stop, generate_ids
from polyhead.decoding.sampling import Sampler
from polyhead.errors import DataError, UsageError
from polyhead.evaluation.against_text import Judged, difference
from polyhead.evaluation.report import timed_report
from polyhead.inspection.maps import AttentionMaps
from polyhead.inspection.text import text_attention
from polyhead.runs.card import keep_scores
from polyhead.runs.folder import Run
from polyhead.tasks.language_modeling import Task
from polyhead.use.options import check_least
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
    from polyhead.export.ctranslate2_writer import CTranslate2Writer
    from polyhead.export.verify import Exported

ENGINE = "the engine ctranslate2"
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "seed")
OPTIONS = (
    *("n", "max_tokens", "sample", "greedy", "beam", *SAMPLING),
    *("repetition_penalty", "no_repeat_ngram", "stop", "batch_rows"),
)


@dataclass(frozen=True)
class Generation:
    """A prompt and what the model wrote after it: `tokens` of log-probability `log_probability`.

    finish_reason: "stop" (the model ended the document, or wrote a stop text, which is left out) or
    "length".
    """

    prompt: str
    text: str
    tokens: int
    log_probability: float
    finish_reason: str

    def as_dict(self) -> dict[str, Any]:
        """As `generate --json` prints it."""
        return asdict(self)


class LanguageModel:
    """A trained language modelling run.

    >>> import polyhead
    >>> model = polyhead.load("runs/lm")
    >>> [first, second] = model.generate(["I met", "The"], max_tokens=5, seed=3)
    >>> first.prompt, first.tokens <= 5
    ('I met', True)
    >>> model.generate(["I met"], greedy=True) == model.generate(["I met"], greedy=True)
    True
    """

    def __init__(self, run: Run, task: Task, model: nn.Module, precision: str = "fp32"):
        self.run, self.task, self.model, self.precision = run, task, model, precision
        self.engine: CTranslate2Writer | None = None  # what `generate` uses instead of the model

    def __getattr__(self, name: str) -> Any:
        no_such_method(name, self)

    @property
    def context(self) -> int:
        """Tokens the model looks back on: what it was trained with."""
        longest = self.run.recipe.model.max_length  # type: ignore[attr-defined]
        return min(self.task.data.context, longest)

    def settings(self, **named: Any) -> Settings:
        """Options by the names of the command line, checked: none is ignored in silence."""
        given = {key: value for key, value in named.items() if value is not None}
        refuse(self.run, given, OPTIONS)
        check_least(given)
        greedy, beam = bool(given.pop("greedy", False)), given.pop("beam", None)
        if greedy and beam is not None:
            raise UsageError("--greedy and --beam: choose one")
        if given.pop("sample", False) and (greedy or beam is not None):
            raise UsageError("--sample goes neither with --greedy nor with --beam: choose one")
        copies = int(given.pop("n", 1))
        sampling = {key: given.pop(key) for key in SAMPLING if key in given}
        searching = "--greedy" if greedy else None if beam is None else f"--beam {beam}"
        beam = beam or 1  # a beam of one is greedy
        if searching and (sampling or copies > 1):
            idle = ", ".join(f"--{key.replace('_', '-')}" for key in sampling) or "-n"
            raise UsageError(f"{searching} does not draw at random, {idle} is about drawing")
        penalty = float(given.get("repetition_penalty", 1.0))
        if not 0 < penalty < math.inf:
            raise UsageError(f"repetition-penalty {penalty} is not a number above 0; 1 is none")
        for key in ("repetition_penalty", "no_repeat_ngram"):
            if beam > 1 and key in given:
                raise UsageError(f"--beam does not go with --{key.replace('_', '-')}")
        stop = given.pop("stop", ())
        stop = (stop,) if isinstance(stop, str) else tuple(stop)
        if "" in stop:
            raise UsageError("an empty stop text would end every text at once")
        sampler = None if searching else Sampler(**sampling)
        return Settings(sampler=sampler, beam=beam, copies=copies, stop=stop, **given)

    def generate(
        self,
        prompts: Sequence[str] | None = None,
        *,
        hear: Callable[[int, str], None] | None = None,
        say: Callable[[str], None] = lambda text: None,
        **options: Any,
    ) -> list[Generation]:
        """`n` continuations of each prompt, in order; without prompts, the beginning of a document.

        Drawn at random (temperature, top_k, top_p, min_p, seed) unless greedy=True or beam=K; at
        most max_tokens each (200, or fewer where a beam or CTranslate2 ends with the context), up
        to a `stop` text; repetition_penalty, no_repeat_ngram. `hear` gets (row, the text so far)
        after every token; rows count the continuations in order. A row is the same whatever rows
        are beside it.
        """
        settings = self.settings(**options)
        rows = self._rows(prompts)
        if not rows:
            return []
        self._check_room(rows, settings, options.get("max_tokens") is not None, say)
        if self.engine is not None:
            found = self.engine.generate_ids(rows, settings, context=self.context)
        else:
            found = generate_ids(
                self.model,
                rows,
                self.task.tokenizer,
                settings,
                context=self.context,
                hear=None if hear is None else self._hearing(hear, rows, settings.copies),
            )
        texts = [""] if prompts is None else prompts
        return [
            Generation(
                prompt=prompt,
                text=before_stop(self.task.tokenizer.text_after(row, one.tokens), settings.stop),
                tokens=len(one.tokens),
                log_probability=one.log_probability,
                finish_reason=one.finish_reason,
            )
            for prompt, row, several in zip(texts, rows, found, strict=True)
            for one in several
        ]

    def went_past(self, one: Generation) -> bool:
        """Whether the context was full on the way, so that the beginning was forgotten."""
        prompt = len(self.task.tokenizer.encode(one.prompt)) or 1
        return prompt + one.tokens - 1 > self.context

    def _check_room(
        self,
        rows: list[list[int]],
        settings: Settings,
        asked: bool,
        say: Callable[[str], None],
    ) -> None:
        """Where nothing can go past the context, refuse tokens that were asked for beyond it; say
        it of those that were not."""
        if settings.beam == 1 and self.engine is None:
            return
        who, option = ("a beam", "--beam") if settings.beam > 1 else (ENGINE, "--engine")
        longest = max(map(len, rows))
        room = self.context + 1 - longest
        if settings.max_tokens <= room:
            return
        found = (
            f"{who} does not go past the context of {self.context} tokens, and the longest prompt "
            f"has {longest}"
        )
        if asked:
            raise UsageError(
                f"{found}: max-tokens {settings.max_tokens} is too many. Lower --max-tokens to "
                f"{room}, or leave {option} out"
            )
        say(f"{found}: at most {room} tokens are written after it")

    def _rows(self, prompts: Sequence[str] | None) -> list[list[int]]:
        if prompts is None:
            return [[self.task.tokenizer.end_id]]
        check_texts(prompts, "prompts")
        rows = [self.task.tokenizer.encode(prompt) for prompt in prompts]
        for number, row in enumerate(rows, start=1):
            if not row:
                raise UsageError(
                    f"prompt {number} has no tokens: write something, or give no prompt at all to "
                    "begin a document"
                )
            if len(row) > self.context:
                raise UsageError(
                    f"prompt {number} has {len(row)} tokens, the model looks back on "
                    f"{self.context}: shorten it (what is generated may be of any length)"
                )
        return rows

    def _hearing(
        self, hear: Callable[[int, str], None], rows: list[list[int]], copies: int
    ) -> Hear:
        text_after = self.task.tokenizer.text_after
        return lambda row, tokens: hear(row, text_after(rows[row // copies], tokens))

    def evaluate(
        self,
        split: str | None = None,
        *,
        stride: int | None = None,
        against: str | Path | Run | LanguageModel | None = None,
        say: Callable[[str], None] = lambda text: None,
        **options: Any,
    ) -> dict[str, Any]:
        """The report of a split (default: test), as `evaluate --json` prints it.

        Every token of the split is predicted once, from a window of `context` tokens that moves on
        by `stride`. nll is in nats per token, the ends of documents included. With `against`,
        another run's metrics of the same text, and the differences with their intervals: of bits
        per byte alone where the two read other tokens.
        """
        refuse(self.run, options, ("split", "precision", "stride", "against"))
        split = split or "test"
        other = None if against is None else rival(self, against)
        for one in (self,) if other is None else (self, other):
            one._check_stride(stride)
        documents = self.task.documents(split)
        if other is not None:
            self._check_pairs(other, documents, split)
        report, judged = self._judged(documents, split, stride, say)
        if split == "test":
            own = None if stride == self.task.stride else stride
            keep_scores(self.run, report, say, settings_of(self.precision, stride=own))
        if other is not None:
            theirs, others = other._judged(documents, split, stride, say)
            report["against"] = {
                "run": theirs["run"],
                "metrics": theirs["metrics"],
                "difference": difference(judged, others, same_tokens=self._reads_as(other)),
            }
        return report

    def _check_stride(self, stride: int | None) -> None:
        if stride is not None and not 1 <= stride <= self.task.data.context:
            raise UsageError(
                f"stride {stride} is not between 1 and the context of {self.run.path}, "
                f"{self.task.data.context}"
            )

    def _reads_as(self, other: LanguageModel) -> bool:
        """Whether another run reads the same tokens."""
        return self.task.tokenizer.same_as(other.task.tokenizer)

    def _check_pairs(self, other: LanguageModel, documents: Documents, split: str) -> None:
        if len(documents) < 2 and not self._reads_as(other):
            raise DataError(
                f"{self.run.path} and {other.run.path} cut text into other tokens, so only whole "
                f"documents can be paired, and the {split} data are one: with nothing to draw "
                "again there is no interval. Evaluate each alone: bits_per_byte compare"
            )

    def _judged(
        self,
        documents: Documents,
        split: str,
        stride: int | None,
        say: Callable[[str], None],
    ) -> tuple[dict[str, Any], Judged]:
        """The report of documents, and what its metrics are made of."""
        corpus = self.task.to_judge(documents, split, say)
        start = time.perf_counter()
        found = self.task.log_probabilities(self.model, corpus, stride)
        seconds = time.perf_counter() - start
        judged = Judged(corpus, found, self.task.told_bytes(corpus))
        report = timed_report(
            *(self.run.path, split, len(corpus.documents)),
            *(judged.metrics(), seconds, corpus.predicted),
            context=corpus.length,
            stride=stride or self.task.stride,
        )
        return report, judged

    def attention(self, text: str, target: str | None = None) -> AttentionMaps:
        """Every attention weight while a text is read: each token looks at those up to itself."""
        check_one_text(text, target)
        (ids,) = self._rows([text])
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


Model = LanguageModel
