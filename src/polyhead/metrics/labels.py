"""How good labels, numbers, entities and answers are.

Scores are made of a tally: numbers about each text, in two steps, so that texts can be drawn again.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Tally = NDArray[np.float64]
"""[N,K]: about each of N texts."""


def label_tally(found: Sequence[str], right: Sequence[str]) -> Tally:
    """The numbers of the label that was found and of the right one, [N,2]."""
    _, numbers = np.unique([*found, *right], return_inverse=True)
    return numbers.reshape(2, -1).T.astype(np.float64)


def accuracy(tally: Tally) -> float:
    """The share of labels that are right."""
    return float((tally[:, 0] == tally[:, 1]).mean())


def macro_f1(tally: Tally) -> float:
    """The mean of every label's F1: rare labels count as much as frequent ones."""
    found, right = tally.T.astype(np.int64)
    size = int(tally.max()) + 1
    hits = np.bincount(found[found == right], minlength=size)
    named = np.bincount(found, minlength=size) + np.bincount(right, minlength=size)
    return float((2 * hits[named > 0] / named[named > 0]).mean())


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


def tag_tally(found: Sequence[Sequence[str]], right: Sequence[Sequence[str]]) -> Tally:
    """Of each sentence: entities found whole, claimed, there; tags that are right, tags; [N,5]."""
    rows = []
    for said, real in zip(found, right, strict=True):
        claimed, there = entities(said), entities(real)
        hits = sum(s == r for s, r in zip(said, real, strict=True))
        rows.append((len(claimed & there), len(claimed), len(there), hits, len(real)))
    return np.array(rows, np.float64)


def tag_scores(tally: Tally) -> dict[str, float]:
    """F1, precision and recall of whole entities with their types, and the share of right tags."""
    hits, claimed, there, right, tags = tally.sum(axis=0).tolist()
    return {
        "precision": hits / max(1.0, claimed),
        "recall": hits / max(1.0, there),
        "f1": 2 * hits / max(1.0, claimed + there),
        "accuracy": right / max(1.0, tags),
    }


def answer_tally(found: Sequence[str], right: Sequence[Sequence[str]]) -> Tally:
    """SQuAD's exact match and F1 of words, each against the best of the right answers, [N,2]."""
    rows = [
        (max(_normal(f) == _normal(r) for r in rs), max(_word_f1(f, r) for r in rs))
        for f, rs in zip(found, right, strict=True)
    ]
    return np.array(rows, np.float64)


def answer_scores(tally: Tally) -> dict[str, float]:
    """Their means."""
    exact, f1 = tally.mean(axis=0).tolist()
    return {"exact_match": exact, "f1": f1}


def _word_f1(found: str, right: str) -> float:
    ours, theirs = _normal(found).split(), _normal(right).split()
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def _normal(text: str) -> str:
    """Without case, punctuation and English articles (Rajpurkar et al. 2016, section 6.1)."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())
