"""Scores of texts: as sacreBLEU's authors advise for a language, and of all that tokens tell."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest

from polyhead.data import tokenizers
from polyhead.data.tokenizers import TokenizerConfig
from polyhead.evaluation.report import _by_group
from polyhead.metrics.paired import paired_differences
from polyhead.metrics.text import bleu_tokenizer, corpus_scores

KOREAN = ["저는 학교에 갑니다.", "오늘은 날씨가 아주 좋습니다.", "그 책을 읽었어요?"] * 4


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [
        ("de", "13a"),
        ("zh", "zh"),
        ("zh-CN", "zh"),
        ("zh_Hans", "zh"),
        ("ko", "char"),
        ("ko-KR", "char"),
        ("JA", "char"),
        ("th", "char"),
        ("km", "char"),
    ],
)
def test_a_region_or_script_does_not_change_how_bleu_cuts_words(
    language: str, tokenizer: str
) -> None:
    assert bleu_tokenizer(language) == tokenizer


def test_a_reference_of_single_jamo_equals_the_same_text_in_syllables() -> None:
    jamo = [unicodedata.normalize("NFD", text) for text in KOREAN]
    assert jamo != KOREAN
    for scores in (corpus_scores(KOREAN, jamo, "ko"), corpus_scores(jamo, KOREAN, "ko")):
        assert scores["bleu"]["score"] == pytest.approx(100)
        assert scores["chrf"]["score"] == pytest.approx(100)
    found = paired_differences(KOREAN, jamo, jamo, "ko", names=("bleu",))
    assert found["bleu"] == {"value": 0, "low": 0, "high": 0, "p_value": 1}


def rows_of(kind: str, texts: list[str], **keys: Any) -> tuple[tokenizers.Tokenizer, Any]:
    config = TokenizerConfig(kind=kind, vocab_size=300, **keys)  # type: ignore[arg-type]
    made = tokenizers.train(config, ["the cat sat on the mat", "a dog and a cat"] * 50)
    return made, made.encode_all(texts)


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_tokens_that_keep_a_text_tell_all_its_bytes(kind: str) -> None:
    texts = ["the cat sat", "a mat and a dog"]
    made, rows = rows_of(kind, texts)
    assert made.told_bytes(texts, rows) == [len(text.encode()) for text in texts]


def test_unknown_words_folded_spaces_and_cut_ends_tell_nothing() -> None:
    texts = ["the cat saw an ornithorhynchus", "the    cat"]
    made, rows = rows_of("word", texts)
    assert sum(made.told_bytes(texts, rows)) <= len("the cat ") + len("the cat")
    made, rows = rows_of("bpe", texts)
    assert made.told_bytes(texts[1:], [rows[1][:1]])[0] <= len(" the")


def test_groups_are_compared_without_case_where_the_whole_is() -> None:
    asked: list[bool] = []

    def scores(*_: object, lowercase: bool) -> dict[str, Any]:
        asked.append(lowercase)
        return {}

    task: Any = SimpleNamespace(scores=scores)
    _by_group(task, ["a", "b"], [("x", "y"), ("z", "w")], lowercase=True)
    assert asked == [True, True]
