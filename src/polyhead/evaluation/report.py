"""An evaluation report: scores with intervals and signatures, and likelihoods."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from polyhead.data.corpus import Corpus
from polyhead.decoding.translate import Options
from polyhead.metrics.likelihood import perplexity
from polyhead.tasks.translation import Task

BOOTSTRAP = 1000  # resamples; sacreBLEU's default
LENGTHS = (5, 10, 15, 20, 30, 40, 60)  # words of the source: the upper ends of groups


def timed_report(
    run: object, split: str, examples: int, metrics: dict[str, Any], seconds: float, tokens: int,
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """The report of a split, whatever the task: `tokens` were judged in `seconds`."""
    return {
        "run": str(run),
        "split": split,
        "examples": examples,
        **more,
        "metrics": metrics,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(tokens / seconds, 1),
    }


def likelihood(task: Task, model: nn.Module, corpus: Corpus) -> dict[str, float]:
    """nll, perplexity and bits per byte of the targets under forced decoding.

    nll is in nats per target token, the end included. Bits per byte spreads the same total over the
    UTF-8 bytes of the targets and their line ends, so it compares across tokenizers; bytes that the
    tokens do not tell (of unknown words, or beyond the model's length) do not count.
    """
    total = -float(task.log_probabilities(model, corpus).sum())
    tokens = int(corpus.examples.targets.lengths.sum())
    texts, targets = corpus.texts()[1], corpus.examples.targets
    rows = (targets[i].tolist() for i in range(len(targets)))
    size = sum(task.target_tokenizer.told_bytes(texts, rows)) + len(texts)
    nll = total / tokens
    return {
        "nll": nll,
        "perplexity": perplexity(nll),
        "bits_per_byte": total / math.log(2) / size,
    }


@dataclass(frozen=True)
class Judged:
    """What is judged: a run's model on a corpus, decoded in one way; and what to call them."""

    task: Task
    model: nn.Module
    corpus: Corpus
    options: Options
    name: str
    split: str


def report_of(
    judged: Judged,
    *,
    names: Sequence[str] = ("bleu", "chrf", "ter"),
    lowercase: bool | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """The report (as `evaluate --json` prints it) and the hypotheses it scored.

    `lowercase` compares without case; by default where the run's tokenizer knows none.
    """
    task, model, corpus = judged.task, judged.model, judged.corpus
    if lowercase is None:
        lowercase = task.recipe.tokenizer.lowercase
    start = time.perf_counter()
    hypotheses = task.translate(model, corpus, judged.options)
    decoding = time.perf_counter() - start
    references = corpus.texts()[1]
    metrics: dict[str, Any] = task.scores(
        hypotheses, references, names=names, bootstrap=BOOTSTRAP, lowercase=lowercase
    )
    metrics |= likelihood(task, model, corpus)
    written = sum(len(ids) + 1 for ids in task.target_tokenizer.encode_all(hypotheses))
    report = timed_report(judged.name, judged.split, len(corpus), metrics, decoding, written)
    if any(groups := corpus.groups()):
        pairs = list(zip(hypotheses, references, strict=True))
        report["by_group"] = _by_group(task, groups, pairs, lowercase=lowercase)
    return report, hypotheses


def _by_group(
    task: Task, groups: list[str], pairs: list[tuple[str, str]], *, lowercase: bool
) -> dict[str, Any]:
    """BLEU and chrF of each group's own sentences."""
    result = {}
    for group in sorted(set(groups)):
        own = [pair for pair, one in zip(pairs, groups, strict=True) if one == group]
        hypotheses, references = ([pair[side] for pair in own] for side in (0, 1))
        scores = task.scores(hypotheses, references, lowercase=lowercase)
        result[group] = {"examples": len(own), "metrics": scores}
    return result


def by_length(judged: Judged, hypotheses: list[str], lowercase: bool) -> list[dict[str, Any]]:
    """[{words, examples, metrics}]: scores of sentences by the words of their source."""
    sources, references = judged.corpus.texts()
    groups: dict[int, list[int]] = {}
    for i, source in enumerate(sources):
        words = len(source.split())
        groups.setdefault(next((end for end in LENGTHS if words <= end), 0), []).append(i)
    result = []
    for end in [end for end in (*LENGTHS, 0) if end in groups]:
        rows = groups[end]
        parts = [hypotheses[i] for i in rows], [references[i] for i in rows]
        scores = judged.task.scores(*parts, lowercase=lowercase)
        result.append(
            {
                "words": f"up to {end}" if end else f"more than {LENGTHS[-1]}",
                "examples": len(rows),
                "metrics": {name: entry["score"] for name, entry in scores.items()},
            }
        )
    return result
