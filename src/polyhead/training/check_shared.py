"""Texts that stand twice: in one split, or in two that should not know each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from polyhead.data.checks import normal, problem_at, shown
from polyhead.data.documents import sentences_of
from polyhead.data.labelled import Labelled
from polyhead.training.findings import Findings

_LONG_PASSAGE = 40  # bytes of a sentence that two writers do not both hit upon
_MANY_SHARED = 0.1  # of a split's long sentences: no longer chance
Parts = dict[str, list[Labelled]]


def check_repeats(parts: Parts, findings: Findings) -> None:
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
            message = f"{what} {other.place}: {shown_texts(one)}"
            findings.problems.append(problem_at(one.place, kind, message))
    for known, other_split in combinations(seen, 2):
        shared = seen[known].keys() & seen[other_split].keys()
        findings.overlap[f"{known}/{other_split}"] = {"texts": len(shared)}
        for key in (key for key in seen[other_split] if key in shared):
            one, there = seen[other_split][key], seen[known][key]
            message = (
                f"this text of {other_split} is in {known}, too ({there.place}); take it out of "
                f"{known}: {shown_texts(one)}"
            )
            findings.problems.append(problem_at(one.place, "overlap", message))


def check_passages(parts: Parts, findings: Findings) -> None:
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


def check_contexts(parts: Parts, context: int, findings: Findings) -> None:
    """Contexts that stand in two splits, with other texts: a part is known of the later one.

    `context` says which of an example's texts it is.
    """
    seen: dict[str, dict[str, Labelled]] = {}
    for split, several in parts.items():
        first = seen.setdefault(split, {})
        for one in several:
            first.setdefault(normal(one.texts[context]), one)
    keys = {split: set(map(_key, several)) for split, several in parts.items()}
    for known, other in combinations(seen, 2):
        told = {key[context] for key in keys[known] & keys[other]}
        shared = [text for text in seen[other] if text in seen[known]]
        findings.overlap[f"{known}/{other}"]["contexts"] = len(shared)
        for text in (text for text in shared if text not in told):
            one, there = seen[other][text], seen[known][text]
            message = (
                f"this context of {other} is in {known}, too, with other texts "
                f"({there.place}): {shown(one.texts[context])}"
            )
            findings.problems.append(problem_at(one.place, "overlap_context", message))


def shown_texts(one: Labelled) -> str:
    """The texts of an example, each shortened."""
    return " | ".join(map(shown, one.texts))


def _key(one: Labelled) -> tuple[str, ...]:
    return tuple(map(normal, one.texts))
