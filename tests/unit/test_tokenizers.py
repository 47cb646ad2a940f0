"""Text to ids and back: exact, Hangul whole, ids laid out as Marian lays them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhead.config import TokenizerConfig
from polyhead.data.tokenizers import END, END_ID, PAD, UNKNOWN, UNKNOWN_ID, Tokenizer, train
from polyhead.errors import DataError, RunError

TEXTS = [
    "안녕하세요, 저는 학생입니다.",
    "오늘은 날씨가 좋네요! 산책을 갈까요?",
    "Hello, I am a student.",
    "The weather is nice today; shall we take a walk?",
    "가격은 3,500원입니다.",
    "It costs 3,500 won.",
]
UNSEEN = [
    "뷁 쀍 똠방각하",
    "naïve café 漢字 😀🇰🇷",
    "don't  stop",
    "ㅋㅋㅋ ㅠㅠ",
    "\u200b x",
    "tab\there",
]


def one_line(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return train(TokenizerConfig(kind="bpe", vocab_size=400), TEXTS * 3)


@pytest.fixture(scope="module")
def char() -> Tokenizer:
    return train(TokenizerConfig(kind="char", vocab_size=300), TEXTS)


@pytest.mark.parametrize("text", [*TEXTS, *UNSEEN])
def test_bytes_come_back_exactly_up_to_spaces(bpe: Tokenizer, text: str) -> None:
    assert bpe.decode(bpe.encode(text)) == one_line(text)
    assert UNKNOWN_ID not in bpe.encode(text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_comes_back_from_bytes(bpe: Tokenizer, text: str) -> None:
    assert bpe.decode(bpe.encode(text)) == one_line(text)


@pytest.mark.parametrize("text", TEXTS)
def test_known_characters_come_back_from_a_character_tokenizer(char: Tokenizer, text: str) -> None:
    ids = char.encode(text)
    assert len(ids) == len(text)
    assert char.decode(ids) == text


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_ids_are_laid_out_as_in_marian(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    label = tokenizer.inner.id_to_token
    assert (label(0), label(1), label(tokenizer.size - 1)) == (END, UNKNOWN, PAD)
    assert (END_ID, UNKNOWN_ID, tokenizer.pad_id) == (0, 1, tokenizer.size - 1)
    ids = {i for text in TEXTS for i in tokenizer.encode(text)}
    assert ids.isdisjoint({END_ID, UNKNOWN_ID, tokenizer.pad_id})


def test_a_vocabulary_is_no_larger_than_asked_for() -> None:
    for size in (260, 300, 330):
        assert train(TokenizerConfig(vocab_size=size), TEXTS * 3).size == size
    letters = "".join(chr(0xAC00 + i) for i in range(400))
    few = train(TokenizerConfig(kind="char", vocab_size=300), [letters, letters[:297] * 2])
    assert few.size == 300
    assert UNKNOWN_ID not in few.encode(letters[:297])
    assert few.encode(letters[299:302]) == [UNKNOWN_ID] * 3


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_decomposed_hangul_gives_the_same_ids(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    for text in TEXTS:
        decomposed = unicodedata.normalize("NFD", text)
        assert tokenizer.encode(decomposed) == tokenizer.encode(text)
        assert tokenizer.decode(tokenizer.encode(decomposed)) == text


def test_hangul_is_not_decomposed_when_training_on_decomposed_text() -> None:
    decomposed = [unicodedata.normalize("NFD", text) for text in TEXTS]
    tokenizer = train(TokenizerConfig(kind="char", vocab_size=300), decomposed)
    assert len(tokenizer.encode("안녕")) == 2
    assert UNKNOWN_ID not in tokenizer.encode("안녕")


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_a_text_that_spells_a_special_token_is_only_text(
    kind: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    for special in (END, PAD, UNKNOWN):
        ids = tokenizer.encode(f"a {special} b")
        assert {END_ID, tokenizer.pad_id}.isdisjoint(ids)
        assert ids == tokenizer.encode_all([f"a {special} b"])[0]
        if kind == "bpe":
            assert tokenizer.decode(ids) == f"a {special} b"


def test_special_tokens_are_dropped_from_text(bpe: Tokenizer) -> None:
    ids = [bpe.pad_id, *bpe.encode("안녕"), END_ID, bpe.pad_id]
    assert bpe.decode(ids) == "안녕"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unknown_characters_are_named(char: Tokenizer, form: str) -> None:
    text = unicodedata.normalize(form, "안녕뷁 x漢")
    explanation = char.explain(text)
    assert explanation.unknown == ["뷁", "x", "漢"]
    assert explanation.ids == char.encode(text)
    assert explanation.tokens == ["안", "녕", UNKNOWN, "▁", UNKNOWN, UNKNOWN]


def test_bytes_know_everything_and_labels_are_readable(bpe: Tokenizer) -> None:
    explanation = bpe.explain("안녕하세요 student 뷁")
    assert explanation.unknown == []
    assert len(explanation.tokens) == len(explanation.ids)
    assert explanation.tokens[-1] == "…"  # a part of a character
    known = "".join(bpe.labels(bpe.encode("I am a student.")))
    assert known == "▁I▁am▁a▁student."


def test_lower_case_is_taken_only_where_the_recipe_says_so(bpe: Tokenizer) -> None:
    lower = train(TokenizerConfig(vocab_size=400, lowercase=True), TEXTS * 3)
    assert lower.decode(lower.encode("HELLO, Student 안녕")) == "hello, student 안녕"
    assert lower.encode("HELLO") == lower.encode("hello")
    assert bpe.encode("HELLO") != bpe.encode("hello")


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_a_saved_tokenizer_loads_as_it_was(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.size, loaded.pad_id) == (tokenizer.size, tokenizer.pad_id)
    for text in [*TEXTS, *UNSEEN, "a </s> b <pad>", unicodedata.normalize("NFD", TEXTS[0])]:
        assert loaded.encode(text) == tokenizer.encode(text)
        assert loaded.explain(text) == tokenizer.explain(text)


def test_many_texts_at_once_are_each_alone(bpe: Tokenizer) -> None:
    rows = bpe.encode_all([*TEXTS, *UNSEEN, ""])
    assert rows == [bpe.encode(text) for text in [*TEXTS, *UNSEEN, ""]]
    assert bpe.decode_all(rows) == [bpe.decode(row) for row in rows]
    assert rows[-1] == []


def test_training_twice_gives_the_same_tokenizer() -> None:
    first, second = (train(TokenizerConfig(vocab_size=350), TEXTS * 2) for _ in range(2))
    assert first.inner.to_str() == second.inner.to_str()


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_there_must_be_text_to_train_on(texts: list[str]) -> None:
    with pytest.raises(DataError, match="no text to train a tokenizer on"):
        train(TokenizerConfig(vocab_size=300), texts)


def test_a_missing_or_damaged_tokenizer_is_told(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text("{")
    for name in ("none.json", "half.json"):
        with pytest.raises(RunError, match=f"{name} is missing or not a tokenizer file"):
            Tokenizer.load(tmp_path / name)
