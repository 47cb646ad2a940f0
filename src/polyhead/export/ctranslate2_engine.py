"""CTranslate2 as the engine of `translate`: same tokens in and out, same options, same limits.

What differs is said in docs/export.md: its length penalty during the search is length ** alpha, and
its scores leave out the probability of `<unk>` and `<pad>`, which neither of us writes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyhead.data.batching import by_length
from polyhead.data.tokenizers import END_ID
from polyhead.data.vocabularies import END, PAD
from polyhead.decoding.sampling import Sampler
from polyhead.decoding.search import Hypothesis, length_penalty
from polyhead.decoding.translate import Options, check_prefix
from polyhead.export.ctranslate2_export import (
    Quantization,
    export_ctranslate2,
    is_current,
    open_translator,
)
from polyhead.export.ctranslate2_model import library, words_of
from polyhead.files import swap
from polyhead.runs.folder import Run
from polyhead.tasks.translation import Task

Say = Callable[[str], None]


class CTranslate2Engine:
    """A run's exported model, made at the first use and kept in the run as `ctranslate2-float32`
    or `-int8` until the run's weights change; a run one may only read is exported anew each time.
    """

    def __init__(self, run: Run, task: Task, quantization: Quantization, say: Say):
        library()
        self.read, self.write = words_of(task.source_tokenizer), words_of(task.target_tokenizer)
        self.ids = {word: i for i, word in enumerate(self.write)}
        self.longest = int(getattr(run.recipe.model, "max_length", 2**31))
        self.quantization = quantization
        self.folder, self.temporary = kept(run, quantization, say)  # which goes with the engine
        self.translator = open_translator(self.folder, quantization)

    def translate_ids(
        self,
        sources: Sequence[NDArray[np.int32]],
        options: Options,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[list[Hypothesis]]:
        """As `decoding.translate.translate_ids`: the hypotheses, best first, of each source."""
        results: list[list[Hypothesis]] = [[] for _ in sources]
        filled = [i for i, source in enumerate(sources) if len(source) > 1]
        progress(len(sources) - len(filled))
        if not filled:
            return results
        if options.sampler is not None:
            seed_by(options.sampler, [sources[i] for i in filled])
            self.translator = open_translator(self.folder, self.quantization)
        lengths = np.array([len(sources[i]) for i in filled], np.int64)
        for batch in by_length(lengths, max(1, options.batch_tokens // options.per_source)):
            rows = [sources[filled[i]] for i in batch.tolist()]
            for place, found in zip(batch.tolist(), self._decode(rows, options), strict=True):
                results[filled[place]] = found
            progress(len(batch))
        return results

    def _decode(
        self, rows: Sequence[NDArray[np.int32]], options: Options
    ) -> list[list[Hypothesis]]:
        check_prefix(options, self.longest)
        limits = [self._limit(len(row), options) for row in rows]
        sources = [[self.read[i] for i in row] for row in rows]
        prefix = [self.write[i] for i in options.prefix]
        found = self.translator.translate_batch(
            sources,
            target_prefix=[prefix] * len(rows) if prefix else None,
            min_decoding_length=0,  # a translation may be empty
            max_decoding_length=max(limits),
            max_input_length=0,
            disable_unk=True,
            suppress_sequences=[[PAD]],
            no_repeat_ngram_size=options.no_repeat_ngram,
            return_scores=True,
            return_end_token=True,
            **_search(options, len(self.write)),
        )
        groups = []
        for source, limit, result in zip(sources, limits, found, strict=True):
            words = [hypothesis[:limit] for hypothesis in result.hypotheses]
            cut = any(len(w) < len(h) for w, h in zip(words, result.hypotheses, strict=True))
            # Its scores leave a prefix out, and give to others what a forbidden token loses.
            if prefix or cut or options.no_repeat_ngram:
                totals = self._totals(source, words)
            else:
                sizes = [len(hypothesis) ** _penalty(options) for hypothesis in words]
                totals = [s * size for s, size in zip(result.scores, sizes, strict=True)]
            group = [self._hypothesis(w, t, options) for w, t in zip(words, totals, strict=True)]
            if options.sampler is not None and len(group) < options.copies:  # there was no choice
                group *= options.copies
            groups.append(sorted(group, key=lambda h: -h.score))
        return groups

    def _limit(self, length: int, options: Options) -> int:
        wanted = options.max_length or length + options.extra_length
        return max(min(wanted, self.longest), len(options.prefix))

    def _totals(self, source: list[str], hypotheses: list[list[str]]) -> list[float]:
        """log p of the whole of each hypothesis, by forced decoding."""
        bodies = [words[:-1] if words[-1:] == [END] else words for words in hypotheses]
        scored = self.translator.score_batch([source] * len(bodies), bodies, max_input_length=0)
        return [
            sum(found.log_probs[: len(words)])  # without the end that was not written
            for found, words in zip(scored, hypotheses, strict=True)
        ]

    def _hypothesis(self, words: list[str], total: float, options: Options) -> Hypothesis:
        tokens = [self.ids[word] for word in words]
        ended = tokens[-1:] == [END_ID]
        score = total / length_penalty(max(1, len(tokens)), options.alpha)
        return Hypothesis(tokens[:-1] if ended else tokens, score, total, ended)


def seed_by(sampler: Sampler, rows: Sequence[Sequence[int] | NDArray[np.int32]]) -> None:
    """Have CTranslate2 draw by the sampler's seed and the rows, in what is opened after this."""
    keys = (sampler.keys(rows) & 2**62 - 1).flatten().tolist()
    drawn = np.random.SeedSequence([sampler.seed, *keys])
    library().set_random_seed(int(drawn.generate_state(1)[0]))


def kept(
    run: Run, quantization: Quantization, say: Say
) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """The folder of a run's export, made where there is none of the run's present weights.

    Of a run one may only read it lies in a temporary folder, which must be held on to.
    """
    folder, temporary = run.path / f"ctranslate2-{quantization}", None
    if not is_current(folder, run, quantization):
        if not os.access(run.path, os.W_OK):
            temporary = tempfile.TemporaryDirectory()
            folder = Path(temporary.name) / folder.name
        _make(run, folder, quantization, say)
    return folder, temporary


def _make(run: Run, folder: Path, quantization: Quantization, say: Say) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
        made = export_ctranslate2(run, Path(beside) / folder.name, quantization)
        if is_current(folder, run, quantization):  # another process was faster
            return
        swap(made.path, folder)
    say(
        f"exported to CTranslate2, {quantization}, into {folder}: at most {made.difference:.2g} "
        f"nats a token from the run on {made.compared_on}"
    )


def _penalty(options: Options) -> float:
    return options.alpha if options.sampler is None else 0.0


def _search(options: Options, vocabulary: int) -> dict[str, Any]:
    if options.sampler is not None:
        sampler = options.sampler
        return {
            "beam_size": 1,
            "num_hypotheses": 1 if sampler.top_k == 1 else options.copies,
            "length_penalty": _penalty(options),
            "sampling_topk": min(sampler.top_k or 0, vocabulary),  # 0: all tokens
            "sampling_topp": 1.0 if sampler.top_p is None else sampler.top_p,
            "sampling_temperature": sampler.temperature,
        }
    several = options.alternatives or options.beam
    return {
        "beam_size": options.beam,
        "num_hypotheses": several,
        "return_alternatives": options.alternatives > 0,
        "length_penalty": _penalty(options),
    }
