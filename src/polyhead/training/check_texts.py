"""What is wrong with the texts of a recipe about language, or with labelled texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from polyhead import registry
from polyhead.config import Recipe
from polyhead.data.checks import FAULTS, Problem, histogram, normal, shown
from polyhead.data.documents import Documents, read_documents, sentences_of
from polyhead.data.labelled import Labelled
from polyhead.data.tokenizers import Tokenizer
from polyhead.errors import DataError, DataFault
from polyhead.tasks.shared.supervised import Supervised, check_model
from polyhead.training.findings import MANY_UNKNOWN, Findings, Stage
from polyhead.training.origin import origin_of

_LONG_PASSAGE = 40  # bytes of a sentence that two writers do not both hit upon
_MANY_SHARED = 0.1  # of a split's long sentences: no longer chance
TEXT = "text"  # the name of the only vocabulary and of all lengths
SPLITS = ("train", "valid", "test")
_PLACE = re.compile(r"(?P<file>.*), (?:line|row) (?P<line>\d+)", re.DOTALL)
Parts = dict[str, list[Labelled]]


def check_texts(recipe: Recipe, findings: Findings, stage: Stage) -> None:
    """Look at the documents or labelled texts of a recipe; what is wrong goes into `findings`.

    Raises RecipeError for a model that the task cannot have.
    """
    kind = registry.find("tasks", recipe.task)
    labelled = issubclass(kind.Task, Supervised)
    findings.unit = "examples" if labelled else "documents"
    if labelled:
        check_model(recipe)
    specs = {split: getattr(recipe.data, split) for split in SPLITS}
    tick = stage("reading files", sum(map(len, specs.values())))
    parts: Parts = {}
    for split, sources in specs.items():
        if sources:
            parts[split] = []
        for source in sources:
            read = kind.OBJECTIVE.read(source) if labelled else _documents(source, findings)
            parts[split] += _readable(read, source, findings)
            tick(1)
    findings.splits = {split: len(several) for split, several in parts.items()}
    findings.kept = findings.splits["train"]
    tick = stage("comparing texts", None)
    _check_repeats(parts, findings)
    if not labelled:
        _check_passages(parts, findings)
    if recipe.task == "question_answering":
        _check_contexts(parts, findings)
    tick(1)
    if parts["train"]:
        _check_tokens(recipe, kind, parts, findings, stage)
    for split, several in parts.items():
        left = findings.kept if split == "train" else len(several)
        if not left and not findings.has("unreadable", "bad_row", "invalid_utf8"):
            message = f"no example of {split} is left"
            findings.problems.append(Problem("nothing_left", split, None, message))


def problem_at(place: str, kind: str, message: str) -> Problem:
    """A problem where a text stands: "FILE, line N", or a file."""
    found = _PLACE.fullmatch(place)
    if found is None:
        return Problem(kind, place, None, message)
    return Problem(kind, found["file"], int(found["line"]), message)


def _documents(source: Any, findings: Findings) -> Iterator[Labelled]:
    found = read_documents([source])
    if found.empty:
        message = f"{found.empty:,} empty documents are left out"
        findings.problems.append(Problem("empty", source.label, None, message))
    for text, place in zip(found.texts, found.places, strict=True):
        yield Labelled((text,), None, place)


def _readable(read: Iterable[Labelled], source: Any, findings: Findings) -> Iterator[Labelled]:
    """What can be read of a source: reading ends at its first fault."""
    try:
        yield from read
    except DataFault as fault:
        kind = fault.kind if fault.kind in FAULTS else "bad_row"
        place = problem_at(fault.file, kind, fault.message)
        findings.problems.append(replace(place, line=fault.line or place.line))
    except DataError as error:
        name = str(getattr(source, "label", None) or source.file)
        findings.problems.append(Problem("unreadable", name, None, str(error)))


def _check_repeats(parts: Parts, findings: Findings) -> None:
    """Texts that stand twice in a split, with the same label or another, or in two splits."""
    seen: dict[str, dict[tuple[str, ...], Labelled]] = {}
    for split, several in parts.items():
        first = seen.setdefault(split, {})
        for one in several:
            other = first.setdefault(_key(one), one)
            if other is one:
                continue
            kind, what = "duplicate", "the same text as"
            if other.target != one.target:
                kind, what = "contradiction", f"labelled {other.target!r}, not {one.target!r}, in"
            message = f"{what} {other.place}: {_shown(one)}"
            findings.problems.append(problem_at(one.place, kind, message))
    for known, other_split in combinations(seen, 2):
        shared = seen[known].keys() & seen[other_split].keys()
        findings.overlap[f"{known}/{other_split}"] = {"texts": len(shared)}
        for key in (key for key in seen[other_split] if key in shared):
            one, there = seen[other_split][key], seen[known][key]
            message = (
                f"this text of {other_split} is in {known}, too ({there.place}); take it out of "
                f"{known}: {_shown(one)}"
            )
            findings.problems.append(problem_at(one.place, "overlap", message))


def _check_passages(parts: Parts, findings: Findings) -> None:
    """Long sentences of a document that stand in a document of another split, too.

    A valid text cut out of the middle of train is no document of train; its sentences tell it.
    Some sentences are in everybody's mouth: a split is only wrong where many are shared.
    """
    found = {split: dict(_passages(several)) for split, several in parts.items()}
    for known, split in combinations(found, 2):
        shared = [passage for passage in found[split] if passage in found[known]]
        findings.overlap[f"{known}/{split}"]["passages"] = len(shared)
        if not shared:
            continue
        share = len(shared) / len(found[split])
        message = (
            f"{len(shared):,} of {len(found[split]):,} long sentences of {split} ({share:.1%}) are "
            f"in {known}, too; the first ({found[known][shared[0]]}): {shown(shared[0])}"
        )
        kind = "overlap" if share >= _MANY_SHARED else "overlap_passage"
        findings.problems.append(problem_at(found[split][shared[0]], kind, message))


def _passages(several: list[Labelled]) -> Iterator[tuple[str, str]]:
    """(sentence, its document) of all that are long enough to be one's own, and no whole document.

    Whole documents are compared as such.
    """
    for one in several:
        parts = [part for line in one.texts[0].splitlines() for part in sentences_of(line)]
        if len(parts) > 1:
            long = (normal(part) for part in parts if len(part.encode()) >= _LONG_PASSAGE)
            yield from ((part, one.place) for part in long)


def _check_contexts(parts: Parts, findings: Findings) -> None:
    """Contexts that stand in two splits under different questions: a part is known of the later."""
    seen: dict[str, dict[str, Labelled]] = {}
    for split, several in parts.items():
        first = seen.setdefault(split, {})
        for one in several:
            first.setdefault(normal(one.texts[1]), one)
    asked = {split: set(map(_key, several)) for split, several in parts.items()}
    for known, other in combinations(seen, 2):
        told = {context for _, context in asked[known] & asked[other]}
        shared = [context for context in seen[other] if context in seen[known]]
        findings.overlap[f"{known}/{other}"]["contexts"] = len(shared)
        for context in (context for context in shared if context not in told):
            one, there = seen[other][context], seen[known][context]
            message = (
                f"this context of {other} is in {known}, too, under another question "
                f"({there.place}): {shown(one.texts[1])}"
            )
            findings.problems.append(problem_at(one.place, "overlap_context", message))


def _key(one: Labelled) -> tuple[str, ...]:
    return tuple(map(normal, one.texts))


def _shown(one: Labelled) -> str:
    return " | ".join(map(shown, one.texts))


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
            findings.problems.append(problem_at(one.place, "too_long", f"{message}: {_shown(one)}"))
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
