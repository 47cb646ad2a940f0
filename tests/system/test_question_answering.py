"""Question answering with contexts of several windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from polyhead_system import check_told, checked_data, inside, journal
from test_labelled import write_task

pytestmark = pytest.mark.xdist_group("labelled")
LITTLE = {"batch_tokens": 256, "max_steps": 4, "validate_every": 1}
LONG = " ".join(["so it was"] * 30 + ["a red cat"] + ["sat here"] * 20)  # 133 words


def write_questions(path: Path, *asked: tuple[str, str, str]) -> None:
    """A file of (question, context, answer)."""
    paragraphs = []
    for number, (question, context, answer) in enumerate(asked):
        answers = [{"text": answer, "answer_start": context.index(answer)}]
        qas = [{"id": str(number), "question": question, "answers": answers}]
        paragraphs.append({"context": context, "qas": qas})
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")


def long_contexts(folder: Path, kind: str = "bert", **training: Any) -> Path:
    """A recipe whose training and validation data is one context of many windows."""
    recipe = write_task(folder, "question_answering", kind, training=LITTLE | training)
    for name in ("train", "valid", "test"):
        write_questions(folder / f"{name}.json", ("which animal ?", LONG, "cat"))
    return recipe


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_a_context_of_many_windows_is_validated_as_one_text(tmp_path: Path, kind: str) -> None:
    outcome = inside("train", long_contexts(tmp_path, kind), "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("right: ('cat',)  model: ") == 4  # one sample of each validation
    valid = [entry for entry in journal(tmp_path / "run") if entry["kind"] == "valid"]
    assert [entry["exact_match"] in (0, 1) for entry in valid] == [True] * 4
    assert inside("evaluate", tmp_path / "run", "--json").json()["examples"] == 1


def test_contexts_of_many_windows_are_planned_for(tmp_path: Path) -> None:
    recipe = long_contexts(tmp_path)
    short = [("which animal ?", f"a {name} sat here", name) for name in ("cat", "dog")]
    longest = ("which animal ?", f"{LONG} and {LONG} a dog", "dog")
    write_questions(tmp_path / "valid.json", *short, ("which animal ?", LONG, "cat"), longest)
    outcome = inside("plan", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json()["seconds_per_step"] > 0


def test_answers_that_no_row_can_hold_are_told_and_not_learned(tmp_path: Path) -> None:
    recipe = long_contexts(tmp_path, max_steps=1)
    asked, short, far = "which animal ?", "a red cat sat here", f"cat {'so it was ' * 9}near"
    too_long = (asked, f"a {far} here", far)  # 29 words, and there is room for 26
    write_questions(tmp_path / "train.json", (asked, short, "cat"), too_long)
    write_questions(tmp_path / "test.json", (asked, "a dog sat near", "dog"), too_long)
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    left = "1 of 2 training examples are left out: their answers are longer than a row of 32 tokens"
    assert left in outcome.err
    assert inside("evaluate", tmp_path / "run", "--json").json()["examples"] == 2
    report = checked_data(recipe, 1)
    assert (report["pairs"], report["kept"]) == (2, 1)
    (told,) = (p["message"] for p in report["problems"] if p["kind"] == "too_long")
    assert "its answer is longer than a row of 32 tokens has room for; training leaves" in told

    write_questions(tmp_path / "train.json", too_long)
    outcome = inside("train", recipe, "--out", tmp_path / "none")
    check_told(outcome, 1, "the answers of 1 of 1 training examples are longer", "raise max_length")
    assert "nothing_left" in checked_data(recipe, 1)["counts"]


def test_a_row_without_room_for_a_context_is_told_before_data_is_read(tmp_path: Path) -> None:
    recipe = long_contexts(tmp_path, max_steps=1)
    needed = "rows of at least 7 tokens are needed, those around the texts included"
    good = (tmp_path / "train.json").read_text(encoding="utf-8")
    (tmp_path / "train.json").write_text("no JSON", encoding="utf-8")
    for key, value in (("model", 4), ("model", 6), ("data", 5)):
        told = inside("train", recipe, f"{key}.max_length={value}", "--out", tmp_path / "run")
        check_told(told, 2, f"{key}.max_length: {needed} (found {value})")
        assert told.err.count("max_length") == 1
    (tmp_path / "train.json").write_text(good, encoding="utf-8")
    outcome = inside("train", recipe, "model.max_length=7", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err


def test_contexts_in_two_splits_are_told_and_no_fault(tmp_path: Path) -> None:
    recipe = long_contexts(tmp_path)
    one, two = "a red cat sat here", "a blue dog sat there"
    write_questions(tmp_path / "train.json", ("which ?", one, "cat"), ("what ?", two, "dog"))
    write_questions(
        tmp_path / "valid.json", ("who ?", one.replace(" ", "  "), "cat"), ("where ?", one, "here")
    )
    write_questions(tmp_path / "test.json", ("what sat ?", "a hen", "hen"))
    report = checked_data(recipe, 0)
    (found,) = (p for p in report["problems"] if p["kind"] != "unknown")
    assert (found["kind"], Path(found["file"]).name) == (
        "overlap_context",
        "valid.json, question 0",
    )
    assert "this context of valid is in train, too, with other texts" in found["message"]
    assert "train.json, question 0" in found["message"]
    assert report["overlap"]["train/valid"] == {"texts": 0, "contexts": 1}
    assert report["overlap"]["train/test"] == {"texts": 0, "contexts": 0}
    # the same question, too, is a fault, and its context is not told again
    write_questions(tmp_path / "test.json", ("what ?", two, "dog"), ("and what ?", two, "dog"))
    report = checked_data(recipe, 1)
    assert {kind: report["counts"][kind] for kind in ("overlap", "overlap_context")} == {
        "overlap": {"severity": "fault", "count": 1},
        "overlap_context": {"severity": "warning", "count": 1},
    }
    assert report["overlap"]["train/test"] == {"texts": 1, "contexts": 1}
