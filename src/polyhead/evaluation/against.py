"""Two runs on the same sentences: whose scores are better, and whether that is more than luck."""

from __future__ import annotations

from typing import Any

from polyhead.errors import DataError
from polyhead.evaluation.report import Judged, report_of
from polyhead.metrics.paired import paired_differences


def compares_without_case(*judged: Judged) -> bool:
    """Whether any of the runs knows no upper case: then all must be compared without it."""
    return any(one.task.recipe.tokenizer.lowercase for one in judged)


def check_same_sentences(one: Judged, other: Judged) -> None:
    """Raise DataError unless both runs translate the same sources, for the same references."""
    a, b = one.corpus.texts(), other.corpus.texts()
    if a == b:
        return
    if len(a[0]) != len(b[0]):
        found = f"{len(a[0]):,} sentences and {len(b[0]):,}"
    else:
        line = next(i for i, pair in enumerate(zip(*a, strict=True)) if pair != (b[0][i], b[1][i]))
        found = f"sentence {line + 1} differs: {a[0][line]!r} and {b[0][line]!r}"
    raise DataError(
        f"{one.name} and {other.name} have different {one.split} data ({found}); only the same "
        "sentences can be compared. Give both the same two files: --source F --reference F"
    )


def against(one: Judged, hypotheses: list[str], other: Judged) -> dict[str, Any]:
    """{run, metrics, difference: {bleu: {value, low, high, p_value}, …}} of `one` against `other`.

    A difference is the score of `one` less that of `other`, on the same sentences.
    """
    lowercase = compares_without_case(one, other)
    report, others = report_of(other, lowercase=lowercase)
    return {
        "run": other.name,
        "metrics": report["metrics"],
        "difference": paired_differences(
            hypotheses,
            others,
            one.corpus.texts()[1],
            one.task.data.target_language,
            lowercase=lowercase,
        ),
    }
