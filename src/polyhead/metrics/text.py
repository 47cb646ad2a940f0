"""BLEU, chrF and TER by sacreBLEU, with signatures and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from unicodedata import normalize

_UNSPACED = ("ja", "km", "lo", "my", "th", "zh")


def is_unspaced(language: str) -> bool:
    """Whether a language (`th`, `zh-CN`) is written without spaces: a character is a word."""
    return _main(language) in _UNSPACED


def bleu_tokenizer(target_language: str) -> str:
    """The tokenizer sacreBLEU's authors advise for a language; characters where words are not."""
    main = _main(target_language)
    if main == "zh":
        return "zh"
    return "char" if main == "ko" or is_unspaced(main) else "13a"


def composed(texts: Iterable[str]) -> list[str]:
    """Texts in Unicode's composed form (NFC), in which tokenizers write, to be compared in it."""
    return [normalize("NFC", text) for text in texts]


def corpus_scores(
    hypotheses: Sequence[str],
    references: Sequence[str],
    target_language: str,
    *,
    names: Sequence[str] = ("bleu", "chrf"),
    bootstrap: int = 0,
    tokenize: str | None = None,
    lowercase: bool = False,
) -> dict[str, dict[str, Any]]:
    """{name: {score, signature[, low, high]}}; low and high are a 95% bootstrap interval.

    `lowercase` compares without case, as a model that only knows lower case must be; the signature
    says so.
    """
    result: dict[str, dict[str, Any]] = {}
    for name in names:
        metric = make_metric(name, target_language, tokenize=tokenize, lowercase=lowercase)
        score = metric.corpus_score(
            composed(hypotheses), [composed(references)], n_bootstrap=bootstrap or 1
        )
        entry: dict[str, Any] = {"score": score.score}
        if bootstrap > 1:
            mean, margin = score._mean, score._ci  # of fp32 sums, and the score of fp64 ones
            low, high = max(0.0, mean - margin), mean + margin
            entry |= {"low": min(low, score.score), "high": max(high, score.score)}
        result[name] = entry | {"signature": str(metric.get_signature())}
    return result


def make_metric(
    name: str, target_language: str, *, tokenize: str | None = None, lowercase: bool = False
) -> Any:
    """sacreBLEU's metric bleu, chrf or ter, as it suits a language."""
    from sacrebleu.metrics import BLEU, CHRF, TER  # a command that scores nothing starts sooner

    makers: dict[str, Any] = {
        "bleu": lambda: BLEU(
            tokenize=tokenize or bleu_tokenizer(target_language), lowercase=lowercase
        ),
        "chrf": lambda: CHRF(lowercase=lowercase),
        "ter": lambda: TER(case_sensitive=not lowercase),
    }
    return _in_floats(makers[name]())


def _main(language: str) -> str:
    """`ko` of `ko-KR` and `ko_KR`."""
    return language.lower().replace("_", "-").split("-")[0]


def _in_floats(metric: Any) -> Any:
    """The metric with Python's floats as scores.

    sacreBLEU 2.6's bootstrap mixes them with numpy's float32, whose mean Python refuses to take,
    and which are no JSON.
    """
    compute = metric._compute_score_from_stats

    def scored(stats: Any) -> Any:
        score = compute(stats)
        score.score = float(score.score)
        return score

    metric._compute_score_from_stats = scored
    return metric
