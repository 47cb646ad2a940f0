"""CTranslate2 as the engine of `generate`: same prompts, tokens and scores, but no stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polyhead.decoding.generate import Continuation, Settings, holds_stop, within_context
from polyhead.errors import UsageError
from polyhead.export.ctranslate2_engine import Say, kept, seed_by
from polyhead.export.ctranslate2_export import Quantization, open_generator
from polyhead.export.ctranslate2_model import library, words_of
from polyhead.runs.folder import Run
from polyhead.tasks.language_modeling import LanguageModeling


class CTranslate2Writer:
    """A run's exported language model, kept in the run as the engine of `translate` keeps its."""

    def __init__(self, run: Run, task: LanguageModeling, quantization: Quantization, say: Say):
        library()
        self.tokenizer, self.words = task.tokenizer, words_of(task.tokenizer)
        self.never = [[self.words[i]] for i in task.tokenizer.never]
        self.ids = {word: i for i, word in enumerate(self.words)}
        self.quantization = quantization
        self.folder, self.temporary = kept(run, quantization, say)  # which goes with the engine
        self.generator = open_generator(self.folder, quantization)

    def generate_ids(
        self, prompts: Sequence[Sequence[int]], settings: Settings, *, context: int
    ) -> list[list[Continuation]]:
        """As `decoding.generate.generate_ids`, without what CTranslate2 has not, and within the
        context. Raises UsageError for min-p, and for stop texts with a beam.
        """
        _check(settings)
        # Hypotheses are ranked by their whole log-probability, as ours are.
        options: dict[str, Any] = {
            "sampling_topk": 1,
            "beam_size": settings.beam,
            "length_penalty": 0.0,
        }
        copies = 1
        if (sampler := settings.sampler) is not None:
            copies = settings.copies
            options = {
                "sampling_topk": min(sampler.top_k or 0, len(self.words)),  # 0: all tokens
                "sampling_topp": 1.0 if sampler.top_p is None else sampler.top_p,
                "sampling_temperature": sampler.temperature,
            }
            seed_by(sampler, prompts)
            self.generator = open_generator(self.folder, self.quantization)  # new threads see it
        rows = [[self.words[i] for i in prompt] for prompt in prompts for _ in range(copies)]
        alike = [(within_context(row, settings, context), _width(row, settings)) for row in rows]
        found: dict[int, tuple[list[int], str]] = {}
        for limit, width in sorted(set(alike)):
            chosen = [place for place, own in enumerate(alike) if own == (limit, width)]
            results = self.generator.generate_batch(
                [rows[place] for place in chosen],
                max_batch_size=settings.batch_rows,
                max_length=limit,
                repetition_penalty=settings.repetition_penalty,
                no_repeat_ngram_size=settings.no_repeat_ngram,
                suppress_sequences=self.never or None,
                include_prompt_in_result=False,
                **options,
            )
            for place, one in zip(chosen, results, strict=True):
                written = [self.ids[word] for word in one.sequences[0]]
                prompt = [self.ids[word] for word in rows[place]]
                found[place] = self._ended(prompt, written, limit, settings)
        made = [found[place] for place in range(len(rows))]
        totals = self._totals(rows, made)
        ended = [
            Continuation(tokens, total, "length" if reason == "length" else "stop")
            for (tokens, reason), total in zip(made, totals, strict=True)
        ]
        return [ended[first : first + copies] for first in range(0, len(ended), copies)]

    def _ended(
        self, prompt: list[int], written: list[int], limit: int, settings: Settings
    ) -> tuple[list[int], str]:
        """What was written up to a stop text, and what ended it: text, length, or the end token."""
        for length in range(1, len(written) + 1 if settings.stop else 0):
            if holds_stop(prompt, written[:length], settings.stop, self.tokenizer):
                return written[:length], "text"
        return written, "length" if len(written) == limit else "end"

    def _totals(
        self, rows: Sequence[list[str]], made: Sequence[tuple[list[int], str]]
    ) -> list[float]:
        """log p of what was written, the end token included, by forced decoding."""
        end = [self.words[self.tokenizer.end_id]]
        whole = [
            [*row, *(self.words[i] for i in tokens), *(end if reason == "end" else [])]
            for row, (tokens, reason) in zip(rows, made, strict=True)
        ]
        scored = self.generator.score_batch(whole, max_input_length=0)
        return [
            float(sum(found.log_probs[len(row) - 1 :]))
            for found, row in zip(scored, rows, strict=True)
        ]


def _width(prompt: Sequence[str], settings: Settings) -> int:
    """What is the same of prompts that are written after together.

    Of prompts of different lengths CTranslate2 takes what goes beyond the shortest as written: it
    counts in what must not be repeated and, where the shortest is one token, in the result.
    """
    if settings.repetition_penalty != 1 or settings.no_repeat_ngram:
        return len(prompt)
    return min(len(prompt), 2)


def _check(settings: Settings) -> None:
    if settings.sampler is not None and settings.sampler.min_p is not None:
        raise UsageError("the engine ctranslate2 has no --min-p; leave the engine out")
    if settings.beam > 1 and settings.stop:
        raise UsageError(
            "the engine ctranslate2 has no --stop with --beam: its search knows no stop texts; "
            "leave the engine out"
        )
