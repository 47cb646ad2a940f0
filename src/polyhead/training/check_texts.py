"""What is wrong with the texts of a recipe about language, or with labelled texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from polyhead import registry
from polyhead.config import Recipe
from polyhead.data.checks import FAULTS, Problem, histogram, problem_at, shown
from polyhead.data.documents import Documents, read_documents
from polyhead.data.labelled import Labelled
from polyhead.data.tokenizers import Tokenizer
from polyhead.errors import DataError, DataFault
from polyhead.tasks.shared.supervised import Supervised
from polyhead.training.check_shared import (
    Parts,
    check_contexts,
    check_passages,
    check_repeats,
    shown_texts,
)
from polyhead.training.findings import MANY_UNKNOWN, Findings, Stage
from polyhead.training.origin import origin_of

TEXT = "text"  # the name of the only vocabulary and of all lengths
SPLITS = ("train", "valid", "test")


def check_texts(recipe: Recipe, findings: Findings, stage: Stage) -> None:
    """Look at the documents or labelled texts of a recipe; what is wrong goes into `findings`.

    Raises RecipeError for a model that does not fit the run it is to start from.
    """
    kind = registry.find("tasks", recipe.task)
    labelled = issubclass(kind.Task, Supervised)
    findings.unit = "examples" if labelled else "documents"
    specs = {split: getattr(recipe.data, split) for split in SPLITS}
    tick = stage("reading files", sum(map(len, specs.values())))
    parts: Parts = {}
    for split, sources in specs.items():
        if sources:
            parts[split] = []
        for source in sources:
            report = partial(_report, findings)
            read = kind.OBJECTIVE.read(source, report) if labelled else _documents(source, findings)
            parts[split] += _readable(read, source, findings)
            tick(1)
    findings.splits = {split: len(several) for split, several in parts.items()}
    findings.kept = findings.splits["train"]
    tick = stage("comparing texts", None)
    check_repeats(parts, findings)
    if not labelled:
        check_passages(parts, findings)
    elif kind.OBJECTIVE.context is not None:
        check_contexts(parts, kind.OBJECTIVE.context, findings)
    tick(1)
    if parts["train"]:
        _check_tokens(recipe, kind, parts, findings, stage)
    for split, several in parts.items():
        left = findings.kept if split == "train" else len(several)
        if not left and not findings.has("unreadable", "bad_row", "invalid_utf8"):
            message = f"no example of {split} is left"
            findings.problems.append(Problem("nothing_left", split, None, message))


def _documents(source: Any, findings: Findings) -> Iterator[Labelled]:
    found = read_documents([source])
    if found.empty:
        message = f"{found.empty:,} empty documents are left out"
        findings.problems.append(Problem("empty", source.label, None, message))
    for text, place in zip(found.texts, found.places, strict=True):
        yield Labelled((text,), None, place)


def _report(findings: Findings, fault: DataFault) -> None:
    kind = fault.kind if fault.kind in FAULTS else "bad_row"
    place = problem_at(fault.file, kind, fault.message)
    findings.problems.append(replace(place, line=fault.line or place.line))


def _readable(read: Iterable[Labelled], source: Any, findings: Findings) -> Iterator[Labelled]:
    """What can be read of a source: reading ends at a fault that was not reported."""
    try:
        yield from read
    except DataFault as fault:
        _report(findings, fault)
    except DataError as error:
        name = str(getattr(source, "label", None) or source.file)
        findings.problems.append(Problem("unreadable", name, None, str(error)))


def _check_tokens(
    recipe: Recipe, kind: Any, parts: Parts, findings: Findings, stage: Stage
) -> None:
    """What only the tokenizer can tell; it is trained as `train` trains it."""
    tick = stage("training the tokenizer", None)
    labelled = issubclass(kind.Task, Supervised)
    origin = origin_of(recipe)
    recipe = origin.recipe if origin is not None else recipe
    train = parts["train"]
    read: Any = train
    if not labelled:
        read = Documents([one.texts[0] for one in train], [one.place for one in train])
    try:
        if origin is not None and origin.keeps_vocabulary:
            task = origin.new_task()
        else:
            task = kind.Task.train_tokenizers(recipe, read)
        if labelled:
            task.learned = task.objective.learn([one.target for one in train])
    except DataError as error:
        findings.problems.append(problem_at(train[0].place, "tokenizer", str(error)))
        return
    findings.vocabulary = {TEXT: task.tokenizer.size}
    tick(1)
    tick = stage("encoding", sum(findings.splits.values()))
    for split, several in parts.items():
        if labelled:
            lengths = _framed(task, split, several, findings)
        else:
            lengths = [len(task.tokenizer.encode_long(one.texts[0])) for one in several]
        tick(len(several))
        findings.lengths[split] = {TEXT: histogram(np.array(lengths, dtype=np.int64))}
        if recipe.task in ("classification", "multiple_choice"):
            counts = Counter(_label(one) for one in several)
            findings.labels[split] = dict(sorted(counts.items()))
        if split != "train":
            _check_unknown(task.tokenizer, split, several, findings)


def _label(one: Labelled) -> str:
    return str(one.target[0] if isinstance(one.target, tuple) else one.target)


def _framed(
    task: Supervised, split: str, several: Sequence[Labelled], findings: Findings
) -> list[int]:
    """The tokens of every row; texts that lose their end, and labels that training has not."""
    frame, lengths = replace(task.frame, learning=split == "train"), []
    for one in several:
        try:
            examples, cut = task.objective.examples(one, frame)
        except DataFault as fault:
            findings.problems.append(problem_at(one.place, "bad_row", fault.message))
            continue
        lengths += [len(ids) for example in examples for ids, _ in example.rows]
        findings.kept -= not examples
        if cut or not examples:
            row = f"a row of {frame.framer.longest} tokens"
            message = f"longer than {row}; its end is left out"
            if not examples:
                message = f"its answer is longer than {row} has room for; training leaves it out"
            message = f"{message}: {shown_texts(one)}"
            findings.problems.append(problem_at(one.place, "too_long", message))
    return lengths


def _check_unknown(
    tokenizer: Tokenizer, split: str, several: Sequence[Labelled], findings: Findings
) -> None:
    """The share of unknown tokens in a split, told if it is large."""
    unknown, total, first = 0, 0, None
    for one in several:
        ids = [i for text in one.texts for i in tokenizer.encode_long(text).tolist()]
        hits = ids.count(tokenizer.unknown_id)
        unknown, total = unknown + hits, total + len(ids)
        first = one if hits and first is None else first
    rate = unknown / max(1, total)
    findings.unknown_rate[split] = {TEXT: round(rate, 6)}
    if first is not None and rate > MANY_UNKNOWN:
        missing = [u for text in first.texts for u in tokenizer.explain(text).unknown]
        message = (
            f"{rate:.1%} of the tokens of {split} are unknown to the tokenizer, here first: "
            f"{', '.join(map(shown, dict.fromkeys(missing)))}. A larger vocabulary, or tokenizer "
            "kind bpe, knows more"
        )
        findings.problems.append(problem_at(first.place, "unknown", message))
