"""CTranslate2 as the engine of `generate`: same prompts, tokens and scores; no beam, no stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polyhead.decoding.generate import Continuation, Settings
from polyhead.errors import UsageError
from polyhead.export.ctranslate2_engine import Say, kept
from polyhead.export.ctranslate2_export import Quantization, open_generator
from polyhead.export.ctranslate2_model import library, words_of
from polyhead.runs.folder import Run
from polyhead.tasks.language_modeling import LanguageModeling


class CTranslate2Writer:
    """A run's exported language model, kept in the run as the engine of `translate` keeps its."""

    def __init__(self, run: Run, task: LanguageModeling, quantization: Quantization, say: Say):
        library()
        self.words, self.end = words_of(task.tokenizer), task.tokenizer.end_id
        self.never = [[self.words[i]] for i in task.tokenizer.never]
        self.ids = {word: i for i, word in enumerate(self.words)}
        self.quantization = quantization
        self.folder, self.temporary = kept(run, quantization, say)  # which goes with the engine
        self.generator = open_generator(self.folder, quantization)

    def generate_ids(
        self, prompts: Sequence[Sequence[int]], settings: Settings, *, context: int
    ) -> list[list[Continuation]]:
        """As `decoding.generate.generate_ids`, without what CTranslate2 has not.

        Raises UsageError for a beam, a stop text or min-p, and for what goes past the context.
        """
        _check(prompts, settings, context)
        options: dict[str, Any] = {"sampling_topk": 1}
        copies = 1
        if (sampler := settings.sampler) is not None:
            copies = settings.copies
            options = {
                "sampling_topk": min(sampler.top_k or 0, len(self.words)),  # 0: all tokens
                "sampling_topp": 1.0 if sampler.top_p is None else sampler.top_p,
                "sampling_temperature": sampler.temperature,
            }
            drawn = np.random.SeedSequence([sampler.seed, *map(len, prompts)])
            library().set_random_seed(int(drawn.generate_state(1)[0]))
            self.generator = open_generator(self.folder, self.quantization)  # new threads see it
        rows = [[self.words[i] for i in prompt] for prompt in prompts for _ in range(copies)]
        found = self.generator.generate_batch(
            rows,
            max_batch_size=settings.batch_rows,
            max_length=settings.max_tokens,
            repetition_penalty=settings.repetition_penalty,
            no_repeat_ngram_size=settings.no_repeat_ngram,
            suppress_sequences=self.never or None,
            include_prompt_in_result=False,
            **options,
        )
        written = [[self.ids[word] for word in one.sequences[0]] for one in found]
        made = [
            Continuation(tokens, total, "length" if len(tokens) == settings.max_tokens else "stop")
            for tokens, total in zip(written, self._totals(rows, written, settings), strict=True)
        ]
        return [made[first : first + copies] for first in range(0, len(made), copies)]

    def _totals(
        self, rows: Sequence[list[str]], written: Sequence[list[int]], settings: Settings
    ) -> list[float]:
        """log p of what was written, its end included, by forced decoding."""
        end = self.words[self.end]
        whole = [
            [*row, *(self.words[i] for i in tokens)]
            + ([end] if len(tokens) < settings.max_tokens else [])
            for row, tokens in zip(rows, written, strict=True)
        ]
        scored = self.generator.score_batch(whole, max_input_length=0)
        return [
            float(sum(found.log_probs[len(row) - 1 :]))
            for found, row in zip(scored, rows, strict=True)
        ]


def _check(prompts: Sequence[Sequence[int]], settings: Settings, context: int) -> None:
    sampler = settings.sampler
    lacking = {
        "--beam": settings.beam > 1,
        "--stop": bool(settings.stop),
        "--min-p": sampler is not None and sampler.min_p is not None,
    }
    if named := [name for name, given in lacking.items() if given]:
        raise UsageError(f"the engine ctranslate2 has no {', '.join(named)}; leave the engine out")
    longest = max(map(len, prompts))
    if longest + settings.max_tokens > context + 1:
        raise UsageError(
            f"the engine ctranslate2 does not go past the context of {context} tokens: the longest "
            f"prompt has {longest} and max-tokens is {settings.max_tokens}. Lower --max-tokens to "
            f"{max(1, context + 1 - longest)}, or leave the engine out"
        )
