"""`check-data`: what training would meet in a recipe's data, without training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from polyhead import registry
from polyhead.config import Recipe
from polyhead.data.checks import (
    FAULTS,
    WARNINGS,
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
from polyhead.errors import DataError, DataFault, UsageError
from polyhead.tasks.translation import Data, Translation
from polyhead.training.origin import origin_of
from polyhead.training.progress import console

SIDES = ("source", "target")
MANY_UNKNOWN = 0.01  # of a side's tokens
Stage = Callable[[str, int | None], Callable[[int], object]]


@dataclass
class Findings:
    """What was found; `as_dict` is what `check-data --json` prints."""

    problems: list[Problem] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    lengths: dict[str, dict[str, Any]] = field(default_factory=dict)
    unknown_rate: dict[str, dict[str, float]] = field(default_factory=dict)
    overlap: dict[str, dict[str, int]] = field(default_factory=dict)
    vocabulary: dict[str, int] = field(default_factory=dict)

    @property
    def is_fine(self) -> bool:
        """Whether training would be right; there may be warnings."""
        return not any(problem.is_fault for problem in self.problems)

    def counts(self) -> dict[str, dict[str, Any]]:
        """How many problems of each kind, faults first."""
        found = Counter(problem.kind for problem in self.problems)
        return {
            kind: {"severity": "fault" if kind in FAULTS else "warning", "count": found[kind]}
            for kind in [*FAULTS, *WARNINGS]
            if found[kind]
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "pairs": self.splits.get("train", 0),
            "kept": self.kept,
            "problems": [problem.as_dict() for problem in self.problems],
            "ok": self.is_fine,
            "counts": self.counts(),
            "splits": self.splits,
            "vocabulary": self.vocabulary,
            "unknown_rate": self.unknown_rate,
            "overlap": self.overlap,
            "lengths": self.lengths,
        }


def check_data(recipe: Recipe) -> Findings:
    """Read all data of a translation recipe, train its tokenizer, and look for all that is wrong.

    Nothing is left out that `train` would take: the reading, the tokenizer and the filter are its.
    """
    data = recipe.data
    if not isinstance(data, Data):
        raise UsageError(f"check-data knows pairs of sentences, and {recipe.task} has none")
    findings = Findings()
    with _bar() as bar:

        def stage(name: str, total: int | None) -> Callable[[int], object]:
            task = bar.add_task(name, total=total)
            return lambda done: bar.advance(task, done)

        parts = _read(data, findings, stage)
        findings.splits = {split: sum(map(len, pairs)) for split, pairs in parts.items()}
        _check_texts(data, parts, findings, stage)
        if findings.splits["train"]:
            _check_tokens(recipe, parts, findings, stage)
    _check_left(findings, parts)
    return findings


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


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
            task: Translation = kind.Task.load(origin.recipe, origin.run.path)
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
        source, target = (int(r.lengths[i]) for r in _sides(corpus))
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
            message = f"{rows.lengths[i]} {SIDES[side]} tokens, cut to the model's {task.positions}"
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
    if any(problem.kind in ("unreadable", "tokenizer") for problem in findings.problems):
        return
    for split, several in parts.items():
        for pairs in several if split != "train" else several[:1]:
            if findings.kept == 0 if split == "train" else len(pairs) == 0:
                message = f"no pair of {split} is left of {findings.splits[split]:,}"
                problem = Problem("nothing_left", pairs.files[0], None, message)
                findings.problems.append(problem)
