"""What is wrong with the sentence pairs of a translation recipe."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from polyhead import registry
from polyhead.config import Recipe
from polyhead.data.checks import (
    Problem,
    at,
    check_duplicates,
    check_lengths,
    check_overlap,
    check_sides,
    histogram,
    shown,
)
from polyhead.data.corpus import Corpus
from polyhead.data.examples import Ragged
from polyhead.data.pairs import Pairs, PairSource, read_pairs
from polyhead.data.tokenizers import UNKNOWN_ID
from polyhead.errors import DataError, DataFault
from polyhead.tasks.translation import Data, Translation
from polyhead.training.findings import MANY_UNKNOWN, Findings, Stage
from polyhead.training.origin import origin_of

SIDES = ("source", "target")


def check_pairs(recipe: Recipe, findings: Findings, stage: Stage) -> None:
    """Look at the sentence pairs of a translation recipe; what is wrong goes into `findings`."""
    data = recipe.data
    assert isinstance(data, Data)
    parts = _read(data, findings, stage)
    findings.splits = {split: sum(map(len, pairs)) for split, pairs in parts.items()}
    _check_texts(data, parts, findings, stage)
    if findings.splits["train"]:
        _check_tokens(recipe, parts, findings, stage)
    _check_left(findings, parts)


def _read(data: Data, findings: Findings, stage: Stage) -> dict[str, list[Pairs]]:
    """Every corpus of every split, the readable lines of it; faults are collected."""
    specs: dict[str, list[PairSource]] = {"train": data.train, "valid": data.valid}
    if data.test:
        specs["test"] = data.test

    def report(fault: DataFault) -> None:
        findings.problems.append(Problem(fault.kind, fault.file, fault.line, fault.message))

    tick = stage("reading files", sum(map(len, specs.values())))
    parts: dict[str, list[Pairs]] = {}
    for split, sources in specs.items():
        parts[split] = []
        for source in sources:
            try:
                parts[split].append(read_pairs(source, report))
            except DataError as error:
                files = (str(source.source), str(source.target), source.label)
                name = next((file for file in files if file in str(error)), files[0])
                findings.problems.append(Problem("unreadable", name, None, str(error)))
            tick(1)
    return parts


def _check_texts(
    data: Data, parts: dict[str, list[Pairs]], findings: Findings, stage: Stage
) -> None:
    total = sum(findings.splits.values())
    tick = stage("looking at texts", total)
    languages = (data.source_language, data.target_language)
    for pairs in (p for split in parts.values() for p in split):
        findings.problems += check_sides(pairs, languages, tick)
    tick = stage("comparing pairs", total)
    seen = {}
    for split, several in parts.items():
        seen[split], problems = check_duplicates(several, tick)
        findings.problems += problems
        findings.problems += check_lengths(several)
    findings.overlap, problems = check_overlap(seen)
    findings.problems += problems


def _check_tokens(
    recipe: Recipe, parts: dict[str, list[Pairs]], findings: Findings, stage: Stage
) -> None:
    """What only the tokenizer can tell; it is trained as `train` trains it."""
    tick = stage("training the tokenizer", None)
    origin = origin_of(recipe)
    kind = registry.find("tasks", recipe.task)
    try:
        if origin is not None and origin.keeps_vocabulary:
            task: Translation = origin.new_task()
        else:
            recipe = origin.recipe if origin is not None else recipe
            task = kind.Task.train_tokenizers(recipe, parts["train"])
    except DataError as error:
        name = parts["train"][0].files[0]
        findings.problems.append(Problem("tokenizer", name, None, str(error)))
        return
    findings.vocabulary = {
        "source": task.source_tokenizer.size,
        "target": task.target_tokenizer.size,
    }
    tick(1)
    tick = stage("encoding", sum(findings.splits.values()))
    for split, several in parts.items():
        corpus = task.encode(several, tick)
        for side, rows in (
            ("source", corpus.examples.sources),
            ("target", corpus.examples.targets),
        ):
            findings.lengths.setdefault(split, {})[side] = histogram(rows.lengths - 1)
        if split == "train":
            out = task.left_out(corpus)
            findings.kept = len(corpus) - sum(map(len, out.values()))
            findings.problems += _too_long(task, corpus, out["too_long"].tolist())
        else:
            findings.problems += _cut(task, corpus)
            findings.problems += _unknown(task, corpus, split, findings)


def _too_long(task: Translation, corpus: Corpus, indices: list[int]) -> Iterator[Problem]:
    for i in indices:
        source, target = (int(r.lengths[i]) - 1 for r in _sides(corpus))
        message = (
            f"{source} source and {target} target tokens, more than {task.longest}: left out of "
            "training"
        )
        yield _at(corpus, i, int(target > source), "too_long", message)


def _sides(corpus: Corpus) -> tuple[Ragged, Ragged]:
    return corpus.examples.sources, corpus.examples.targets


def _cut(task: Translation, corpus: Corpus) -> Iterator[Problem]:
    for side, rows in enumerate(_sides(corpus)):
        for i in np.flatnonzero(rows.lengths > task.positions).tolist():
            message = (
                f"{rows.lengths[i] - 1} {SIDES[side]} tokens, cut to the model's "
                f"{task.positions - 1}"
            )
            yield _at(corpus, i, side, "too_long", message)


def _unknown(
    task: Translation, corpus: Corpus, split: str, findings: Findings
) -> Iterator[Problem]:
    """The share of unknown tokens on each side of a split, told if it is large."""
    tokenizers = (task.source_tokenizer, task.target_tokenizer)
    for number, (side, rows) in enumerate(zip(SIDES, _sides(corpus), strict=True)):
        hits = np.flatnonzero(rows.values == UNKNOWN_ID)
        rate = len(hits) / max(1, len(rows.values) - len(rows))
        findings.unknown_rate.setdefault(split, {})[side] = round(rate, 6)
        if rate > MANY_UNKNOWN:
            first = int(np.searchsorted(rows.starts, hits[0], side="right")) - 1
            which, row = corpus.origins[first].tolist()
            text = (corpus.pairs[which].sources, corpus.pairs[which].targets)[number][row]
            missing = ", ".join(map(shown, dict.fromkeys(tokenizers[number].explain(text).unknown)))
            message = (
                f"{rate:.1%} of the {side} tokens of {split} are unknown to the tokenizer, here "
                f"first: {missing}. A larger vocabulary, or tokenizer kind bpe, knows more"
            )
            yield _at(corpus, first, number, "unknown", message)


def _at(corpus: Corpus, index: int, side: int, kind: str, message: str) -> Problem:
    which, row = corpus.origins[index].tolist()
    return at(corpus.pairs[which], row, side, kind, message)


def _check_left(findings: Findings, parts: dict[str, list[Pairs]]) -> None:
    """No pair to train on, or a corpus to evaluate on without one, unless it is known why."""
    if findings.has("unreadable", "tokenizer"):
        return
    for split, several in parts.items():
        for pairs in several if split != "train" else several[:1]:
            if findings.kept == 0 if split == "train" else len(pairs) == 0:
                message = f"no pair of {split} is left of {findings.splits[split]:,}"
                problem = Problem("nothing_left", pairs.files[0], None, message)
                findings.problems.append(problem)
