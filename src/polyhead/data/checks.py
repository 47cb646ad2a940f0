"""What may be wrong with texts and pairs; every finding with its file and line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from polyhead.data.pairs import Pairs
from polyhead.data.scripts import Script, main_script

FAULTS = {
    "unreadable": "a file that cannot be read",
    "line_count": "files of differing line counts",
    "invalid_utf8": "invalid UTF-8",
    "bad_row": "a row that cannot be read",
    "nothing_left": "nothing is left",
    "tokenizer": "no tokenizer can be trained",
    "wrong_language": "most lines in another script",
    "overlap": "what stands in two splits",
}
"""Kinds with which training would not start, or its scores would be wrong: exit code 1."""

WARNINGS = {
    "empty": "empty, or on one side",
    "contradiction": "a text with two labels",
    "too_long": "too long",
    "identical": "source and target the same",
    "duplicate": "what stands twice",
    "length_ratio": "lengths that do not match",
    "wrong_script": "another script than the language's",
    "overlap_source": "a source that stands in two splits",
    "overlap_target": "a target that stands in two splits",
    "overlap_passage": "a sentence of a document that stands in two splits",
    "overlap_context": "a context that stands in two splits",
    "unknown": "many unknown tokens",
}

Tick = Callable[[int], object]
_SHOWN = 60  # characters of a text in a message
_STEP = 4096  # pairs between two ticks
_PLACE = re.compile(r"(?P<file>.*), (?:line|row) (?P<line>\d+)", re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """One finding; `line` counts from 1, and is None where a whole file is meant."""

    kind: str
    file: str
    line: int | None
    message: str

    @property
    def is_fault(self) -> bool:
        """Whether training would be wrong; else it is a warning."""
        return self.kind in FAULTS

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def problem_at(place: str, kind: str, message: str) -> Problem:
    """A problem where a text stands: "FILE, line N", or a file."""
    found = _PLACE.fullmatch(place)
    if found is None:
        return Problem(kind, place, None, message)
    return Problem(kind, found["file"], int(found["line"]), message)


def shown(text: str) -> str:
    """A text in quotes, shortened, with control characters written out."""
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return "“" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in short) + "”"


def _each(pairs: Pairs, tick: Tick) -> Iterator[tuple[int, str, str]]:
    """(index, source, target) of every pair; `tick` hears how many have been seen."""
    for i, (source, target) in enumerate(zip(pairs.sources, pairs.targets, strict=True)):
        yield i, source, target
        if not (i + 1) % _STEP:
            tick(_STEP)
    tick(len(pairs) % _STEP)


def at(pairs: Pairs, index: int, side: int, kind: str, message: str) -> Problem:
    """A problem of a pair: in its source's file (side 0) or its target's (1)."""
    return Problem(kind, pairs.files[side], pairs.lines[index], message)


def check_sides(pairs: Pairs, languages: tuple[str, str], tick: Tick) -> Iterator[Problem]:
    """Empty and identical sides, and those in the wrong script."""
    names = ("source", "target")
    scripts = [Script(language) for language in languages]
    wrong = [0, 0]
    for i, *sides in _each(pairs, tick):
        for side, text in enumerate(sides):
            if not text.strip():
                yield at(pairs, i, side, "empty", f"the {names[side]} is empty")
            elif not scripts[side].fits(text):
                wrong[side] += 1
                expected = " or ".join(scripts[side].names)
                message = (
                    f"the {names[side]} should be {languages[side]} ({expected}), but is mostly "
                    f"{main_script(text)}: {shown(text)}"
                )
                yield at(pairs, i, side, "wrong_script", message)
        if sides[0].strip() and normal(sides[0]) == normal(sides[1]):
            message = f"source and target are the same: {shown(sides[0])}"
            yield at(pairs, i, 1, "identical", message)
    for side, count in enumerate(wrong):
        if count * 2 > len(pairs):
            message = (
                f"{count:,} of {len(pairs):,} {names[side]} lines are not in the script of "
                f"{languages[side]}: are source and target swapped, or is data.{names[side]}_"
                "language wrong?"
            )
            yield at(pairs, 0, side, "wrong_language", message)


def check_lengths(parts: Sequence[Pairs]) -> Iterator[Problem]:
    """Pairs of which one side is far longer or shorter, in characters, than is usual here.

    With r = log((target + 5) / (source + 5)), a pair is told if r is further from the median than 5
    robust standard deviations (1.4826 times the median absolute deviation), and by more than a
    factor of 2. Median and deviation are those of the corpus, so any two languages may be compared;
    they do not move while fewer than half of the pairs are wrong. The 5 keeps short texts quiet.
    """
    for pairs in parts:
        lengths = [
            np.fromiter(map(len, side), np.float64, len(pairs))
            for side in (pairs.sources, pairs.targets)
        ]
        filled = (lengths[0] > 0) & (lengths[1] > 0)
        if not filled.any():
            continue
        ratio = np.log((lengths[1] + 5) / (lengths[0] + 5))
        usual = float(np.median(ratio[filled]))
        spread = 1.4826 * float(np.median(np.abs(ratio[filled] - usual)))
        far = filled & (np.abs(ratio - usual) > max(5 * spread, float(np.log(2))))
        for i in np.flatnonzero(far).tolist():
            message = (
                f"{lengths[0][i]:.0f} characters against {lengths[1][i]:.0f}; usual here are "
                f"{np.exp(usual):.1f} times as many in the target: {shown(pairs.sources[i])} | "
                f"{shown(pairs.targets[i])}"
            )
            yield at(pairs, i, 0, "length_ratio", message)


Places = dict[Any, tuple[Pairs, int]]


@dataclass
class Seen:
    """The first place of every pair, source and target of a split, white space aside."""

    pairs: Places
    sources: Places
    targets: Places


def check_duplicates(parts: Iterable[Pairs], tick: Tick) -> tuple[Seen, list[Problem]]:
    """Where everything first stands, and the pairs that stand there again."""
    seen, problems = Seen({}, {}, {}), []
    for pairs in parts:
        for i, *sides in _each(pairs, tick):
            source, target = map(normal, sides)
            here = (pairs, i)
            first = seen.pairs.setdefault((source, target), here)
            seen.sources.setdefault(source, here)
            seen.targets.setdefault(target, here)
            if first is not here and source and target:
                message = f"the same pair as {_place(first)}: {shown(source)} | {shown(target)}"
                problems.append(at(pairs, i, 0, "duplicate", message))
    return seen, problems


def check_overlap(
    splits: Mapping[str, Seen],
) -> tuple[dict[str, dict[str, int]], list[Problem]]:
    """(How many pairs, sources, targets any two splits share, and where each of them stands)."""
    counts, problems = {}, []
    for known, other in combinations(splits, 2):  # the later split is told, the earlier named
        both = splits[known], splits[other]
        shared = {key for key in both[1].pairs if key in both[0].pairs and all(key)}
        counts[f"{known}/{other}"] = {"pairs": len(shared)}
        for key in shared:
            message = (
                f"this pair of {other} is in {known}, too ({_place(both[0].pairs[key])}); take it "
                f"out of {known}: {shown(key[0])} | {shown(key[1])}"
            )
            pairs, i = both[1].pairs[key]
            problems.append(at(pairs, i, 0, "overlap", message))
        for side, name in enumerate(("source", "target")):
            here, there = getattr(both[1], f"{name}s"), getattr(both[0], f"{name}s")
            told = {key[side] for key in shared}
            alone = [text for text in here if text and text in there]
            counts[f"{known}/{other}"][f"{name}s"] = len(alone)
            for text in alone:
                if text not in told:
                    message = (
                        f"this {name} of {other} is in {known}, too, in another pair "
                        f"({_place(there[text])}): {shown(text)}"
                    )
                    pairs, i = here[text]
                    problems.append(at(pairs, i, side, f"overlap_{name}", message))
    problems.sort(key=lambda p: (p.file, p.line or 0))
    return counts, problems


def histogram(lengths: NDArray[np.int64]) -> dict[str, Any]:
    """Median, mean and largest length, and how many there are up to 4, 8, 16, …"""
    if not len(lengths):
        return {"median": 0.0, "mean": 0.0, "max": 0, "histogram": []}
    longest = int(lengths.max())
    edges = [-1, 4]
    while edges[-1] < longest:
        edges.append(edges[-1] * 2)
    counts = np.histogram(lengths, bins=np.array(edges) + 0.5)[0].tolist()
    bars = [
        {"from": low + 1, "to": high, "count": count}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return {
        "median": float(np.median(lengths)),
        "mean": round(float(lengths.mean()), 2),
        "max": longest,
        "histogram": bars,
    }


def _place(place: tuple[Pairs, int]) -> str:
    pairs, index = place
    return pairs.place(index)


def normal(text: str) -> str:
    """A text as it is compared: in NFC, with single spaces."""
    return " ".join(normalize("NFC", text).split())
