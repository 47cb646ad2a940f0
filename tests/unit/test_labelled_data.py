"""Rows of labelled texts, CoNLL's columns, and the scores of labels."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyhead.data.framing import Example, Examples, Framer
from polyhead.data.labelled import (
    ChoiceTable,
    QuestionFile,
    TaggedFile,
    read_choices,
    read_questions,
    read_tagged,
)
from polyhead.errors import DataError, DataFault
from polyhead.metrics.labels import (
    accuracy,
    answer_scores,
    answer_tally,
    entities,
    label_tally,
    macro_f1,
    pearson,
    spearman,
    tag_scores,
    tag_tally,
)
from polyhead.metrics.paired import paired_tallies

FRAMER = Framer(begin=90, between=91, end=92, longest=10)


def test_a_row_is_framed_and_its_longer_text_is_cut() -> None:
    assert FRAMER.row([[1, 2]]) == ([90, 1, 2, 92], [0, 0, 0, 0], False)
    assert FRAMER.row([[1, 2], [3]]) == ([90, 1, 2, 91, 3, 92], [0, 0, 0, 0, 1, 1], False)
    ids, texts, cut = FRAMER.row([[1] * 20, [2] * 3])
    assert (ids, cut) == ([90, *[1] * 4, 91, *[2] * 3, 92], True)
    assert texts == [0] * 6 + [1] * 4
    ids, _, _ = FRAMER.row([[1] * 20, [2] * 30])
    assert (len(ids), ids.count(1) in (3, 4)) == (10, True)
    assert FRAMER.row([[]]) == ([90, 92], [0, 0], False)


def test_a_batch_counts_what_is_asked() -> None:
    tagged = [
        Example([([1, 2, 3], [0, 0, 0])], [-1, 4, -1], "a"),
        Example([([1, 2], [0, 0])], [0, 0], "b"),
    ]
    batch = Examples(tagged, pad=7, seed=1).batch(np.array([1, 0]))
    assert batch.tokens == 3
    assert batch.targets.tolist() == [[0, 0, -1], [-1, 4, -1]]
    assert batch.inputs.tolist() == [[1, 2, 7], [1, 2, 3]]
    assert batch.positions.tolist() == [[0, 1, -1], [0, 1, 2]]
    rows = [Example([([1], [0]), ([2, 3], [0, 1])], n, "c") for n in (0.5, 1.5)]
    batch = Examples(rows, pad=7, seed=1).batch(np.array([0, 1]))
    assert batch.tokens == 2
    assert batch.inputs.tolist() == [[1, 7], [2, 3], [1, 7], [2, 3]]
    assert batch.targets.tolist() == [0.5, 1.5]


def test_the_longest_texts_are_taken_with_all_their_examples() -> None:
    def example(text: str, length: int, first: bool) -> Example:
        return Example([([1] * length, [0] * length)], (0, 0), text, first=first)

    windows = [("a", 3, True), ("b", 9, True), ("b", 9, False), ("b", 2, False), ("c", 5, True)]
    corpus = Examples([example(*window) for window in windows], pad=0, seed=1)
    assert corpus.texts == 3
    for count, places in ((1, "bbb"), (3, "bbb"), (4, "bbbc"), (9, "bbbca")):
        found = corpus.first(count)
        assert "".join(one.place for one in found.examples) == places
        assert [one.first for one in found.examples[:4]] == [True, False, False, True][: len(found)]
    assert [one.place for one in corpus.of_texts([2, 0]).examples] == ["c", "a"]


def test_conll_files_are_sentences_of_words_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    text = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP B-NP B-PER\n"
    path.write_text(text, encoding="utf-8")
    first, second = read_tagged(TaggedFile(file=str(path)))
    assert (first.texts, first.target) == (("EU rejects",), ["B-ORG", "O"])
    assert (second.texts, second.target, second.place) == (
        *(("Peter",), ["B-PER"], f"{path}, line 7"),
    )
    (chunk, _) = read_tagged(TaggedFile(file=str(path), tag_column=2))
    assert chunk.target == ["B-NP", "B-VP"]
    with pytest.raises(DataFault, match="line 3: 4 columns; columns 0 and 4 needed"):
        list(read_tagged(TaggedFile(file=str(path), tag_column=4)))
    for line, said in (("a\tb\tO", "3 columns, but line 1 has 2"), ("\tX", "column 0 is empty")):
        path.write_text(f"w\tO\n{line}\n", encoding="utf-8")
        with pytest.raises(DataFault, match=f"line 2: {said}"):
            list(read_tagged(TaggedFile(file=str(path))))
    path.write_text("\n\n", encoding="utf-8")
    with pytest.raises(DataError, match="no line with a word and its tag"):
        list(read_tagged(TaggedFile(file=str(path))))


@pytest.mark.parametrize(
    ("tags", "line", "told"),
    [
        ("B-P E-P O", 2, "E-P"),
        ("O S-L B-P I-P B-L I-L", 2, "S-L"),
        ("U-P O B-P L-P", 1, "U-P"),
        ("I-P L-P", 2, "L-P"),
        ("B-P I-P O B-L", None, ""),
        ("E-mail O S-bahn", None, ""),  # types of their own
        ("B-P I-P E-mail O", None, ""),
    ],
)
def test_tags_of_another_scheme_are_told(
    tmp_path: Path, tags: str, line: int | None, told: str
) -> None:
    path = tmp_path / "a.conll"
    path.write_text("".join(f"w {tag}\n" for tag in tags.split()), encoding="utf-8")
    if line is None:
        (one,) = read_tagged(TaggedFile(file=str(path)))
        assert one.target == tags.split()
        return
    said = rf"a\.conll, line {line}: the tag '{told}' is of IOBES or BILOU, and B-, I- and O are"
    with pytest.raises(DataFault, match=said):
        list(read_tagged(TaggedFile(file=str(path))))


@pytest.mark.parametrize(("row", "column"), [("\tx\ty", "text"), ("t\t \ty", "a"), ("t\tx\t", "b")])
def test_a_choice_or_its_text_that_is_missing_is_told(
    tmp_path: Path, row: str, column: str
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(f"text\ta\tb\tlabel\nt\tx\ty\t0\n{row}\tb\n", encoding="utf-8")
    table = ChoiceTable(
        file=str(path), text_column="text", choice_columns=["a", "b"], label_column="label"
    )
    with pytest.raises(DataFault, match=rf"a\.tsv, line 3: the column '{column}' is empty") as told:
        list(read_choices(table))
    assert told.value.kind == "empty"


def squad(path: Path, **question: Any) -> QuestionFile:
    """A file of one question about "a red cat"."""
    qas = [{"id": 1, "question": "which animal ?"} | question]
    content = {"data": [{"title": "x", "paragraphs": [{"context": "a red cat", "qas": qas}]}]}
    path.write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    return QuestionFile(file=str(path))


def test_a_torn_file_of_questions_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b'{"data": []}')[:20])
    with pytest.raises(DataError, match="cannot be read to its end"):
        list(read_questions(QuestionFile(file=str(path))))


def test_squad_files_are_questions_with_contexts_and_answers(tmp_path: Path) -> None:
    answers = [{"text": "cat", "answer_start": 6}, {"text": "red cat", "answer_start": 2}]
    (one,) = read_questions(squad(tmp_path / "a.json", answers=answers))
    assert one.texts == ("which animal ?", "a red cat")
    assert (one.target.start, one.target.texts) == (6, ("cat", "red cat"))
    assert one.place == f"{tmp_path / 'a.json'}, question 1"


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"answers": [{"text": "x"}]}, r"qas.0.answers.0.answer_start: Field required"),
        (
            {"answers": [{"text": "cat", "answer_start": "6"}]},
            r"qas.0.answers.0.answer_start: Input should be a valid integer, found '6'",
        ),
        ({"answers": {"text": "cat"}}, r"qas.0.answers: Input should be a valid array"),
        ({"answers": [{"text": 3, "answer_start": 6}]}, r"answers.0.text: .* valid string"),
        ({"answers": [{"text": "cat", "answer_start": -3}]}, "'cat' does not stand at -3"),
        ({"answers": []}, "question 1: it has no answer"),
        ({}, "qas.0.answers: Field required"),
    ],
)
def test_what_is_not_squad_is_told_with_its_place(
    tmp_path: Path, question: dict[str, Any], said: str
) -> None:
    source = squad(tmp_path / "a.json", **question)
    with pytest.raises(DataError, match=rf"a\.json.*{said}"):
        list(read_questions(source))


def test_correlations() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0]
    assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert spearman(x, y) == pytest.approx(1)
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9486833)  # scipy.stats.spearmanr
    assert pearson([1, 1, 1], [1, 2, 3]) == 0


def test_f1_of_labels() -> None:
    tally = label_tally(["a", "b", "b"], ["a", "b", "a"])
    assert macro_f1(tally) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert accuracy(tally) == pytest.approx(2 / 3)
    assert macro_f1(tally[1:2]) == 1  # of the labels that are there
    assert macro_f1(label_tally(["a", "a"], ["a", "b"])) == pytest.approx((2 / 3 + 0) / 2)


def test_a_difference_of_tallies_is_drawn_from_the_same_texts() -> None:
    random = np.random.default_rng(0)
    right = random.integers(3, size=400).astype(float)
    good, bad = (np.where(random.random(400) < share, right, 0.0) for share in (0.8, 0.6))
    one, other = (np.stack([found, right], axis=1) for found in (good, bad))
    found = paired_tallies(one, other, lambda tally: {"accuracy": accuracy(tally)})["accuracy"]
    assert found["value"] == pytest.approx(accuracy(one) - accuracy(other))
    assert 0 < found["low"] < found["value"] < found["high"]
    assert found["p_value"] < 0.01
    spread = ((one[:, 0] == right) * 1.0 - (other[:, 0] == right)).std() / 20  # by formula
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * spread, rel=0.1)
    same = paired_tallies(one, one, lambda tally: {"accuracy": accuracy(tally)})["accuracy"]
    assert same == {"value": 0, "low": 0, "high": 0, "p_value": 1}


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-P I-P O B-L", {("P", 0, 2), ("L", 3, 4)}),
        ("I-P I-P O", {("P", 0, 2)}),
        ("B-P B-P I-L", {("P", 0, 1), ("P", 1, 2), ("L", 2, 3)}),
        ("O O", set()),
        ("P P O L", {("P", 0, 2), ("L", 3, 4)}),
    ],
)
def test_entities_are_those_of_conlleval(tags: str, found: set[tuple[str, int, int]]) -> None:
    assert entities(tags.split()) == found


def test_an_entity_counts_only_whole_and_with_its_type() -> None:
    right = [["B-P", "I-P", "O", "B-L"]]
    scores = tag_scores(tag_tally([["B-P", "O", "O", "B-L"]], right))
    assert scores == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "accuracy": 0.75}
    assert tag_scores(tag_tally([["O"] * 4], right))["f1"] == 0


def test_answers_are_compared_as_squad_does() -> None:
    right = [["red cat"], ["cow", "big dog"], ["x"]]
    found = answer_scores(answer_tally(["The red cat!", "a dog", "hen"], right))
    assert found["exact_match"] == pytest.approx(1 / 3)
    assert found["f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
