"""Text to ids and back: exact, Hangul whole, ids laid out as Marian lays them."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import models, normalizers, pre_tokenizers, trainers

from polyhead.config import TokenizerConfig
from polyhead.data.tokenizers import END_ID, UNKNOWN_ID, Tokenizer, train
from polyhead.data.vocabularies import END, PAD, UNKNOWN
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


@pytest.fixture(scope="module")
def unigram() -> Tokenizer:
    return train(TokenizerConfig(kind="unigram", vocab_size=120), TEXTS * 3)


@pytest.fixture(scope="module")
def wordpiece() -> Tokenizer:
    return train(TokenizerConfig(kind="wordpiece", vocab_size=120), TEXTS * 3)


@pytest.fixture(scope="module")
def word() -> Tokenizer:
    return train(TokenizerConfig(kind="word", vocab_size=300), TEXTS)


KINDS = ["bpe", "unigram", "wordpiece", "char", "word"]
LETTERS = sorted(set("".join(TEXTS)))


@pytest.mark.parametrize("text", [*TEXTS, *UNSEEN])
def test_bytes_come_back_exactly_up_to_spaces(bpe: Tokenizer, text: str) -> None:
    assert bpe.decode(bpe.encode(text)) == one_line(text)
    assert UNKNOWN_ID not in bpe.encode(text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_comes_back_from_bytes(bpe: Tokenizer, text: str) -> None:
    assert bpe.decode(bpe.encode(text)) == one_line(text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(st.sampled_from(LETTERS), max_size=40))
@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "char"])
def test_any_text_of_known_characters_comes_back(
    kind: str, request: pytest.FixtureRequest, text: str
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    ids = tokenizer.encode(text)
    assert UNKNOWN_ID not in ids
    assert tokenizer.decode(ids) == one_line(text)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([w for t in TEXTS for w in t.split()]), max_size=8))
def test_known_words_come_back_with_their_spaces_and_punctuation(
    word: Tokenizer, words: list[str]
) -> None:
    text = " ".join(words)
    assert UNKNOWN_ID not in word.encode(text)
    assert word.decode(word.encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_the_text_trained_on_comes_back(
    kind: str, text: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode_all(tokenizer.encode_all([text])) == [text]


@pytest.mark.parametrize("text", TEXTS)
def test_known_characters_come_back_from_a_character_tokenizer(char: Tokenizer, text: str) -> None:
    ids = char.encode(text)
    assert len(ids) == len(text)
    assert char.decode(ids) == text


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
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
    joined = "".join(explanation.tokens)
    assert joined == "▁안녕하세요▁student▁<EB><B7><81>"  # the bytes of 뷁
    known = "".join(bpe.labels(bpe.encode("I am a student.")))
    assert known == "▁I▁am▁a▁student."


def test_lower_case_is_taken_only_where_the_recipe_says_so(bpe: Tokenizer) -> None:
    lower = train(TokenizerConfig(vocab_size=400, lowercase=True), TEXTS * 3)
    assert lower.decode(lower.encode("HELLO, Student 안녕")) == "hello, student 안녕"
    assert lower.encode("HELLO") == lower.encode("hello")
    assert bpe.encode("HELLO") != bpe.encode("hello")


@pytest.mark.parametrize("kind", KINDS)
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


def test_truncation_and_padding_that_a_file_stores_are_switched_off(
    bpe: Tokenizer, tmp_path: Path
) -> None:
    inner = hf.Tokenizer.from_str(bpe.inner.to_str())
    inner.enable_truncation(max_length=3)
    inner.enable_padding(length=30, pad_token=PAD, pad_id=bpe.pad_id)
    inner.save(str(tmp_path / "theirs.json"))
    loaded = Tokenizer.load(tmp_path / "theirs.json")
    assert loaded.encode_all(TEXTS) == bpe.encode_all(TEXTS)
    document = " ".join(TEXTS)
    assert loaded.encode(document) == bpe.encode(document)
    assert loaded.encode_long(document).tolist() == bpe.encode_long(document).tolist()
    loaded.save(tmp_path / "ours.json")
    kept = json.loads((tmp_path / "ours.json").read_text(encoding="utf-8"))
    assert (kept["truncation"], kept["padding"]) == (None, None)


def test_without_a_token_for_padding_the_end_token_pads() -> None:
    table = {"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3}
    inner = hf.Tokenizer(hf.models.BPE(table, [("a", "b")]))
    inner.add_special_tokens(["<|endoftext|>"])
    tokenizer = Tokenizer(inner)
    assert (tokenizer.end_id, tokenizer.pad_id) == (0, 0)
    assert tokenizer.labels([3, 0]) == ["ab", "<|endoftext|>"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("北京 大学 x", [0, 0, 1, 1, 2]),  # the normaliser puts spaces around ideographs
        ("a \u200b b", [0, 2]),  # and drops what has no width
        ("  a\u200bb  x ", [0, 1]),
        ("a-b x", [0, 0, 0, 1]),
    ],
)
def test_words_are_those_of_the_text_whatever_a_normaliser_makes_of_it(
    text: str, words: list[int]
) -> None:
    pieces = ["[UNK]", "北", "京", "大", "学", "a", "b", "ab", "x", "-"]
    model = hf.models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    inner = hf.Tokenizer(model)
    inner.normalizer = hf.normalizers.BertNormalizer()
    inner.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
    assert Tokenizer(inner).words(text) == words


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "char", "word"])
def test_text_goes_on_after_a_token_as_within_a_text(
    kind: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    whole = "Hello, I am a student."
    for cut in (len("Hello"), len("Hello, I"), len(whole) - 1, len(whole)):
        first, rest = tokenizer.encode(whole[:cut]), tokenizer.encode_after(whole[cut:])
        assert [*first, *rest] == tokenizer.encode(whole)
    assert tokenizer.encode_after("  ") == tokenizer.encode("  ")


def test_a_token_alone_says_whether_a_space_is_before_it(word: Tokenizer) -> None:
    assert [word.alone(i) for i in word.encode("Hello, I")] == ["Hello", "##,", "I"]
    assert word.alone(END_ID) == END
    lines = train(TokenizerConfig(kind="char", vocab_size=20), ["a\n b"])
    assert [lines.alone(i) for i in lines.encode("a\n b")] == ["a", "\n", " ", "b"]
    merged = train(TokenizerConfig(kind="bpe", vocab_size=264), ["xto to"] * 9, verbatim=True)
    assert [merged.alone(i) for i in merged.encode("to to\n")] == ["##to", "to", "\n"]


def merged_with_spaces() -> hf.Tokenizer:
    """BPE as Gemma's and Llama's: `▁` for a space, cut after each."""
    inner = hf.Tokenizer(models.BPE(unk_token="<unk>"))
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_previous")
    return inner


def bytes_after_a_space() -> hf.Tokenizer:
    """GPT-2's with a space put before every text."""
    inner = hf.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return inner


@pytest.mark.parametrize("made", [merged_with_spaces, bytes_after_a_space])
def test_a_document_is_cut_as_a_line_is_by_tokenizers_of_others(
    made: Callable[[], hf.Tokenizer],
) -> None:
    inner = made()
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        special_tokens=["</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(TEXTS, trainer)
    tokenizer = Tokenizer(inner)
    document = "\n".join(TEXTS)
    assert not tokenizer.by_characters
    assert tokenizer.encode_long(document).tolist() == tokenizer.encode(document)
    assert len(tokenizer.encode(document)) < len(document.encode())


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_cut_as_a_line_is(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(kind)
    document = "\n".join([*TEXTS, *UNSEEN])
    assert tokenizer.by_characters == (kind == "char")
    assert tokenizer.encode_long(document).tolist() == tokenizer.encode(document)


def test_many_texts_at_once_are_each_alone(bpe: Tokenizer) -> None:
    rows = bpe.encode_all([*TEXTS, *UNSEEN, ""])
    assert rows == [bpe.encode(text) for text in [*TEXTS, *UNSEEN, ""]]
    assert bpe.decode_all(rows) == [bpe.decode(row) for row in rows]
    assert rows[-1] == []


LEARN = """
import hashlib, sys
from polyhead.config import TokenizerConfig
from polyhead.data.tokenizers import train
from polyhead.data.korean_english import generate
texts = [t for p in generate(seed=1, pairs=400) for t in (p.korean, p.english)]
for kind in sys.argv[1:]:
    trained = train(TokenizerConfig(kind=kind, vocab_size=900), texts)
    print(kind, hashlib.sha256(trained.inner.to_str().encode()).hexdigest())
"""


def test_training_in_two_processes_gives_the_same_file() -> None:
    command = [sys.executable, "-c", LEARN, *KINDS]
    runs = [subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(runs[0].splitlines()) == len(KINDS)


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
def test_a_vocabulary_too_small_for_the_characters_is_told_with_the_least(kind: str) -> None:
    with pytest.raises(DataError) as error:
        train(TokenizerConfig(kind=kind, vocab_size=20), TEXTS)
    count = len(LETTERS) - 1  # without the space
    assert f"has {count} different characters and kind {kind}" in str(error.value)
    assert f"at least {count + 4}. Raise it, or use kind bpe" in str(error.value)
    assert train(TokenizerConfig(kind=kind, vocab_size=count + 4), TEXTS).size <= count + 4


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [("bpe", 259, "at least 260"), ("word", 3, "equal to 4"), ("unigram", 10**7, "1000000")],
)
def test_a_vocabulary_size_that_no_text_suits_is_an_error_of_the_recipe(
    kind: str, size: int, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        TokenizerConfig(kind=kind, vocab_size=size)


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "word"])
def test_a_vocabulary_larger_than_the_text_can_fill_is_filled_as_far_as_it_goes(kind: str) -> None:
    tokenizer = train(TokenizerConfig(kind=kind, vocab_size=5000), TEXTS)
    assert 20 < tokenizer.size < 300
    assert tokenizer.inner.id_to_token(tokenizer.size - 1) == PAD


@pytest.mark.parametrize("kind", KINDS)
def test_every_id_has_a_token_and_only_one(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    tokens = [tokenizer.inner.id_to_token(i) for i in range(tokenizer.size)]
    assert None not in tokens
    assert len(set(tokens)) == tokenizer.size


@pytest.mark.parametrize(
    ("kind", "unknown"), [("unigram", ["뷁漢"]), ("wordpiece", ["뷁漢am"]), ("word", ["뷁漢am"])]
)
def test_what_is_unknown_is_named_and_left_out_of_text(
    kind: str, unknown: list[str], request: pytest.FixtureRequest
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    explanation = tokenizer.explain("I 뷁漢am a student.")
    assert explanation.unknown == unknown
    assert UNKNOWN in explanation.tokens
    assert explanation.tokens[0] == "▁I"
    assert UNKNOWN not in tokenizer.decode(explanation.ids)


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "word"])
def test_white_space_of_any_kind_is_one_space(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    assert tokenizer.encode(" Hello,\t I\u3000am  a ") == tokenizer.encode("Hello, I am a")
    assert tokenizer.encode("\t \n") == []


def test_words_and_punctuation_are_tokens_of_their_own(word: Tokenizer) -> None:
    labels = word.labels(word.encode("Hello, I am a student."))
    assert labels == ["▁Hello", ",", "▁I", "▁am", "▁a", "▁student", "."]


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "word"])
def test_lower_case_in_the_other_kinds(kind: str) -> None:
    lower = train(TokenizerConfig(kind=kind, vocab_size=120, lowercase=True), TEXTS * 3)
    assert lower.decode(lower.encode("HELLO, I Am a STUDENT.")) == "hello, i am a student."


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_there_must_be_text_to_train_on(texts: list[str]) -> None:
    with pytest.raises(DataError, match="no text to train a tokenizer on"):
        train(TokenizerConfig(vocab_size=300), texts)


def test_a_missing_or_damaged_tokenizer_is_told(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text("{")
    for name in ("none.json", "half.json"):
        with pytest.raises(RunError, match=f"{name} is missing or not a tokenizer file"):
            Tokenizer.load(tmp_path / name)
