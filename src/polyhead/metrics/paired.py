"""Whether one system is better than another, or only luckier: paired bootstrap resampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.significance import _compute_p_value

from polyhead.metrics.text import make_metric

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
    count = len(references)
    drawn = np.random.default_rng(SEED).choice(count, size=(RESAMPLES, count), replace=True)
    result = {}
    for name in names:
        metric = make_metric(name, target_language, lowercase=lowercase)
        scores = [
            _scores(
                metric, metric._extract_corpus_statistics(list(texts), [list(references)]), drawn
            )
            for texts in (hypotheses, others)
        ]
        value = scores[0][0] - scores[1][0]
        differences = np.sort(scores[0][1:] - scores[1][1:])
        sizes = np.abs(differences)
        edge = RESAMPLES // 40
        result[name] = {
            "value": float(value),
            "low": float(differences[edge]),
            "high": float(differences[-edge - 1]),
            "p_value": _compute_p_value(sizes - sizes.mean(), abs(value)) if sizes.any() else 1.0,
        }
    return result


def _scores(
    metric: Any, statistics: Sequence[Any], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The corpus score, then that of each resample."""
    rows = np.array(statistics, dtype="float32")
    whole = metric._aggregate_and_compute(statistics).score
    resampled = [metric._compute_score_from_stats(rows[some].sum(0)).score for some in drawn]
    return np.array([whole, *resampled], dtype=np.float64)
