"""How a score falls when sources arrive damaged: cut off, with gaps, out of order, shifted.

Each damage moves or takes away a share, the rate, of a source's words. What is drawn at random
depends on the seed, the kind and the sentence's place alone: the same command damages alike, for
any run, and a higher rate takes away all that a lower one did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.random import Generator

from polyhead.errors import UsageError
from polyhead.evaluation.report import Judged, report_of
from polyhead.metrics.text import is_unspaced

Words = list[str]


def _truncate(words: Words, rate: float, random: Generator) -> Words:
    """The last words are missing."""
    gone = _share(len(words), rate, random)
    return words[: max(1, len(words) - gone)]


def _omit(words: Words, rate: float, random: Generator) -> Words:
    """Words here and there are missing."""
    gone = min(_share(len(words), rate, random), len(words) - 1)
    missing = set(random.permutation(len(words))[:gone].tolist())
    return [word for place, word in enumerate(words) if place not in missing]


def _swap(words: Words, rate: float, random: Generator) -> Words:
    """Words have changed places with their neighbours; at rate 1 (almost) all have."""
    first = int(random.integers(2)) if len(words) % 2 else 0
    starts = range(first, len(words) - 1, 2)
    count = _share(len(starts), rate, random)
    swapped = list(words)
    for place in random.permutation(len(starts))[:count].tolist():
        i = starts[place]
        swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
    return swapped


def _shift(words: Words, rate: float, random: Generator) -> Words:
    """The sentence begins some words late, and ends with what stood before."""
    by = _share(len(words), rate, random)
    return words[by:] + words[:by]


KINDS: dict[str, Callable[[Words, float, Generator], Words]] = {
    "truncate": _truncate,
    "omit": _omit,
    "swap": _swap,
    "shift": _shift,
}


def _share(count: int, rate: float, random: Generator) -> int:
    """rate * count as a whole number: the fraction is the probability of one more."""
    return min(count, math.floor(rate * count + random.random()))


@dataclass(frozen=True)
class Damage:
    """A kind of damage and the share of the words it concerns, 0 to 1."""

    kind: str
    rate: float

    def apply(self, text: str, language: str, seed: int, place: int) -> str:
        """The damaged text of the sentence at this place; at least one word stays."""
        by_character = is_unspaced(language)
        words = list("".join(text.split())) if by_character else text.split()
        if not words or self.rate == 0:
            return text
        random = np.random.default_rng([seed, list(KINDS).index(self.kind), place])
        return ("" if by_character else " ").join(KINDS[self.kind](words, self.rate, random))


def parse_damages(texts: Iterable[str]) -> list[Damage]:
    """KIND=RATE or KIND=RATE,RATE,… as the command line takes them; raises UsageError."""
    found = []
    for text in texts:
        kind, _, rates = text.partition("=")
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"damage {text!r}: {kind!r} is not one of {', '.join(KINDS)}{hint}")
        for rate in rates.split(","):
            found.append(Damage(kind, _rate(text, rate)))
    if len(set(found)) < len(found):
        raise UsageError("the same damage is asked for twice")
    return found


def _rate(text: str, rate: str) -> float:
    try:
        value = float(rate)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UsageError(
            f"damage {text!r}: the rate {rate!r} is not a number from 0 to 1; write for example "
            "omit=0.1 or omit=0.1,0.2,0.4"
        )
    return value


def judge_damaged(
    judged: Judged, damages: Sequence[Damage], *, seed: int, lowercase: bool | None = None
) -> list[dict[str, Any]]:
    """[{kind, rate, metrics}] of the same sentences, damaged; the references are the whole ones."""
    language = judged.task.data.source_language
    result = []
    for damage in damages:
        pairs = []
        for part in judged.corpus.pairs:
            texts = [damage.apply(s, language, seed, i) for i, s in enumerate(part.sources)]
            pairs.append(replace(part, sources=texts))
        corpus = judged.task.encode_cut(pairs, lambda _: None)  # the whole ones were told of
        report, _ = report_of(
            replace(judged, corpus=corpus), names=("bleu", "chrf"), lowercase=lowercase
        )
        result.append({"kind": damage.kind, "rate": damage.rate, "metrics": report["metrics"]})
    return result
