"""How good labels, numbers, entities and answers are."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def accuracy(found: Sequence[object], right: Sequence[object]) -> float:
    """The share that is right."""
    return sum(f == r for f, r in zip(found, right, strict=True)) / max(1, len(right))


def macro_f1(found: Sequence[object], right: Sequence[object]) -> float:
    """The mean of every label's F1: rare labels count as much as frequent ones."""
    scores = []
    for label in set(found) | set(right):
        hits = sum(f == r == label for f, r in zip(found, right, strict=True))
        claimed, there = (sum(one == label for one in side) for side in (found, right))
        scores.append(2 * hits / (claimed + there))
    return float(np.mean(scores)) if scores else 0.0


def pearson(found: ArrayLike, right: ArrayLike) -> float:
    """The linear correlation; 0 where one side does not vary."""
    x, y = (np.asarray(side, np.float64) for side in (found, right))
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / spread if spread > 0 else 0.0


def spearman(found: ArrayLike, right: ArrayLike) -> float:
    """The correlation of ranks, equal values sharing the mean of theirs."""
    return pearson(_ranks(found), _ranks(right))


def _ranks(values: ArrayLike) -> np.ndarray:
    _, place, count = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(type, first word, the one after the last) of every entity in B-, I-, O tags.

    As in CoNLL's own script, an I- that follows no word of its type begins an entity; a tag without
    B- or I- is a type whose neighbouring words are one entity.
    """
    found: set[tuple[str, int, int]] = set()
    start, kind = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        mark, dash, own = tag.partition("-")
        if not dash or mark not in ("B", "I"):
            mark, own = "I", "" if tag == "O" else tag
        if kind and (own != kind or mark == "B"):
            found.add((kind, start, place))
        if own and (own != kind or mark == "B"):
            start = place
        kind = own
    return found


def entity_f1(found: Sequence[Sequence[str]], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """Precision, recall and F1 of whole entities with their types over all sentences."""
    claimed, there = ([entities(tags) for tags in side] for side in (found, right))
    hits = sum(len(f & r) for f, r in zip(claimed, there, strict=True))
    total, real = (sum(map(len, side)) for side in (claimed, there))
    return {
        "precision": hits / max(1, total),
        "recall": hits / max(1, real),
        "f1": 2 * hits / max(1, total + real),
    }


def answer_scores(found: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """SQuAD's exact match and F1 of words, each against the best of the right answers."""
    exact = [max(_normal(f) == _normal(r) for r in rs) for f, rs in zip(found, right, strict=True)]
    f1 = [max(_word_f1(f, r) for r in rs) for f, rs in zip(found, right, strict=True)]
    return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(f1))}


def _word_f1(found: str, right: str) -> float:
    ours, theirs = _normal(found).split(), _normal(right).split()
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def _normal(text: str) -> str:
    """Without case, punctuation and English articles (Rajpurkar et al. 2016, section 6.1)."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())
