"""The generated corpus: distinct pairs, the same for a seed everywhere, and its three parts."""

import random
import re
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

from polyhead.data.korean_english import (
    descriptions,
    facts,
    figures,
    linking,
    questions,
    relatives,
    sentences,
)
from polyhead.data.korean_english.clauses import Pairing
from polyhead.data.korean_english.lexicon import DOMAINS, lexicon
from polyhead.data.korean_english.people import Draw

Builder = Callable[[Draw], Pairing | None]

DEFAULT_PAIRS = 120_000

_BUILDERS: tuple[tuple[Builder, int], ...] = (
    (sentences.statement, 30),
    (questions.yes_no, 9),
    (questions.wh_question, 6),
    (questions.object_question, 6),
    (sentences.request, 12),
    (descriptions.event, 8),
    (descriptions.description, 7),
    (descriptions.somebody_is, 3),
    (descriptions.comparison, 5),
    (facts.location, 4),
    (facts.way, 2),
    (facts.having, 5),
    (figures.price, 3),
    (facts.journey, 7),
    (figures.special, 3),
    (linking.reason, 4),
    (linking.condition, 4),
    (linking.sequence, 5),
    (linking.purpose, 2),
    (linking.contrast, 3),
    (relatives.moment, 2),
    (relatives.report, 5),
    (relatives.which_one, 6),
    (relatives.who_did, 3),
    (relatives.because_of_it, 3),
    (relatives.tag, 3),
)
_SHORTEST, _LONGEST = 3, 15


class Pair(NamedTuple):
    """A Korean sentence, its English translation and the domain they belong to."""

    korean: str
    english: str
    domain: str


def normalised(text: str) -> str:
    """Returns the text without case, spaces and punctuation: what makes two sentences the same."""
    return re.sub(r"[\W_]+", "", text.lower())


def generate(*, seed: int = 1, pairs: int = DEFAULT_PAIRS) -> list[Pair]:
    """Returns that many pairs, distinct on both sides, the domains taking turns.

    Words that would be seen too seldom to be learned (once in ten thousand pairs) are left out.
    Raises ValueError for a count below 1.
    """
    if pairs < 1:
        raise ValueError(f"pairs is {pairs}; ask for at least 1")
    found = _draw(seed, pairs + pairs // 12 + 50)
    counts = Counter(word for pair in found for word in _words(pair.english))
    rare = pairs // 10_000
    common = [pair for pair in found if all(counts[word] > rare for word in _words(pair.english))]
    lines = [[pair for pair in common if pair.domain == domain] for domain in DOMAINS]
    return [lines[i % len(DOMAINS)][i // len(DOMAINS)] for i in range(pairs)]


def _draw(seed: int, count: int) -> list[Pair]:
    rng = random.Random(seed)
    words = lexicon()
    builders = [builder for builder, _ in _BUILDERS]
    sums = list(accumulate(weight for _, weight in _BUILDERS))
    left: set[str] = set()
    right: set[str] = set()
    found: list[Pair] = []
    while len(found) < count:
        domain = DOMAINS[len(found) % len(DOMAINS)]
        made = rng.choices(builders, cum_weights=sums)[0](Draw(rng, words, domain))
        if made is None or not _SHORTEST <= made[1].count(" ") + 1 <= _LONGEST:
            continue
        korean, english = normalised(made[0]), normalised(made[1])
        if korean in left or english in right:
            continue
        left.add(korean)
        right.add(english)
        found.append(Pair(*made, domain))
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def splits(
    *, seed: int = 1, pairs: int = DEFAULT_PAIRS, valid: int = 1000, test: int = 1000
) -> dict[str, list[Pair]]:
    """Returns train, valid and test; held-out pairs are new sentences of words train has seen.

    The held-out parts are balanced over the domains. Raises ValueError where they would not leave
    as many pairs for training, or where so few pairs do not have that many to hold out.
    """
    if valid < 0 or test < 0 or (valid + test) * 2 > pairs:
        raise ValueError(
            f"{valid} + {test} held-out pairs are more than half of {pairs}; ask for less"
        )
    everything = generate(seed=seed, pairs=pairs)
    counts = Counter(word for pair in everything for word in _words(pair.english))
    rng = random.Random(seed + 1)
    rng.shuffle(everything)
    parts: dict[str, list[Pair]] = {"train": [], "valid": [], "test": []}
    wanted = {
        (name, domain): total // len(DOMAINS) + (index < total % len(DOMAINS))
        for name, total in (("valid", valid), ("test", test))
        for index, domain in enumerate(DOMAINS)
    }
    for pair in everything:
        name = next((n for n in ("valid", "test") if wanted[n, pair.domain] > 0), "train")
        if name != "train" and min(counts[word] for word in _words(pair.english)) < 5:
            name = "train"
        if name != "train":
            wanted[name, pair.domain] -= 1
        parts[name].append(pair)
    if short := sum(wanted.values()):
        found = valid + test - short
        raise ValueError(
            f"of {pairs} pairs only {found} in the right domains are made of words frequent enough "
            f"to be held out; {valid} + {test} were asked for: ask for more pairs, or hold out less"
        )
    return parts
