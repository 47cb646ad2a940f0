"""Whether one system is better than another, or only luckier: paired bootstrap resampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyhead.errors import DataError
from polyhead.metrics.labels import Tally
from polyhead.metrics.text import composed, make_metric

SEED = 12345  # sacreBLEU's
RESAMPLES = 1000


def paired_differences(
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: Sequence[str],
    target_language: str,
    *,
    names: Sequence[str] = ("bleu", "chrf", "ter"),
    lowercase: bool = False,
) -> dict[str, dict[str, float]]:
    """{name: {value, low, high, p_value}} of score(hypotheses) - score(others).

    The same sentences are drawn for both, 1000 times with replacement (Koehn 2004). low and high
    hold 95% of the differences that come out. p_value is sacreBLEU's: how often the size of a
    difference lies as far above its mean as the measured one lies above nothing; and 1 where no
    resample differs at all, which sacreBLEU would call significant.
    """
    count, right = len(references), composed(references)
    drawn = np.random.default_rng(SEED).choice(count, size=(RESAMPLES, count), replace=True)
    result = {}
    for name in names:
        metric = make_metric(name, target_language, lowercase=lowercase)
        scores = [
            _scores(metric, metric._extract_corpus_statistics(composed(texts), [right]), drawn)
            for texts in (hypotheses, others)
        ]
        result[name] = _difference(*scores)
    return result


def paired_tallies(
    tally: Tally, other: Tally, metrics: Callable[[Tally], dict[str, float]]
) -> dict[str, dict[str, float]]:
    """The same for scores of tallies [N,K] of the same N texts, or other parts of the data.

    Raises DataError for a single one, which drawn again is always itself.
    """
    if len(tally) < 2:
        raise DataError(
            "the data are too few to compare two runs on: with one text, or one window of a text, "
            "there is nothing to draw. Give both a longer split"
        )
    random, whole = np.random.default_rng(SEED), np.arange(len(tally))
    found = []
    for number in range(RESAMPLES + 1):
        rows = random.integers(len(tally), size=len(tally)) if number else whole
        found.append((metrics(tally[rows]), metrics(other[rows])))
    return {
        name: _difference(*np.array([[side[name] for side in pair] for pair in found]).T)
        for name in found[0][0]
    }


def _difference(scores: NDArray[np.float64], others: NDArray[np.float64]) -> dict[str, float]:
    """{value, low, high, p_value} of whole scores, which come first, and those of resamples."""
    value = float(scores[0] - others[0])
    differences = np.sort(scores[1:] - others[1:])
    sizes = np.abs(differences)
    beyond = int(np.sum(sizes - sizes.mean() > abs(value)))
    edge = RESAMPLES // 40
    return {
        "value": value,
        "low": float(differences[edge]),
        "high": float(differences[-edge - 1]),
        "p_value": (beyond + 1) / (RESAMPLES + 1) if sizes.any() else 1.0,
    }


def _scores(
    metric: Any, statistics: Sequence[Any], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The corpus score, then that of each resample."""
    rows = np.array(statistics, dtype="float32")
    whole = metric._aggregate_and_compute(statistics).score
    resampled = [metric._compute_score_from_stats(rows[some].sum(0)).score for some in drawn]
    return np.array([whole, *resampled], dtype=np.float64)
