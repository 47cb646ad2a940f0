"""check-data of documents and of labelled texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from polyhead_system import check_told, checked_data, inside, problems_in
from test_labelled import write_task

pytestmark = pytest.mark.xdist_group("labelled")


def write_table(path: Path, *rows: str) -> None:
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")


def classification(folder: Path) -> Path:
    recipe = write_task(folder, "classification")
    write_table(folder / "train.tsv", *(f"a {i} b c\t{'xy'[i % 2]}" for i in range(40)))
    write_table(folder / "valid.tsv", "b 1\tx", "b 2\ty")
    write_table(folder / "test.tsv", "c 1\tx", "c 2\ty")
    return recipe


def test_clean_labelled_texts_have_no_problem(tmp_path: Path) -> None:
    recipe = classification(tmp_path)
    report = checked_data(recipe, 0)
    assert (report["pairs"], report["kept"], report["problems"]) == (40, 40, [])
    assert report["labels"]["train"] == {"x": 20, "y": 20}
    assert sum(bar["count"] for bar in report["lengths"]["train"]["text"]["histogram"]) == 40
    told = inside("check-data", recipe)
    assert told.lines[0] == "train: 40 examples; training keeps 40"
    assert "labels of train: x 20, y 20" in told.lines
    assert told.lines[-1] == "no problem found"


def test_labelled_texts_that_are_wrong_are_told(tmp_path: Path) -> None:
    recipe = classification(tmp_path)
    rows = [f"a {i} c\t{'xy'[i % 2]}" for i in range(20)]
    write_table(tmp_path / "train.tsv", *rows, "a  3 c\ty", "a 4 c\ty", "a " + "b " * 40 + "\tx")
    write_table(tmp_path / "valid.tsv", "b 1\tz", "a 7 c\ty")
    write_table(tmp_path / "test.tsv", "c 1\tx", "c 2\t")
    report = checked_data(recipe, 1)
    assert sorted(problems_in(report)) == [
        ("bad_row", "test.tsv", 3),
        ("bad_row", "valid.tsv", 2),
        ("contradiction", "train.tsv", 23),
        ("duplicate", "train.tsv", 22),
        ("overlap", "valid.tsv", 3),
        ("too_long", "train.tsv", 24),
    ]
    assert report["overlap"]["train/valid"] == {"texts": 1}
    told = {p["kind"]: p["message"] for p in report["problems"]}
    assert "the label 'z' is not known; there are x, y" in {
        p["message"] for p in report["problems"]
    }
    assert "labelled 'x', not 'y', in" in told["contradiction"]


def test_every_row_that_is_wrong_is_told_and_the_others_count(tmp_path: Path) -> None:
    recipe = classification(tmp_path)
    rows = [f"a {i} b c\t{'xy'[i % 2]}" for i in range(20)]
    write_table(tmp_path / "train.tsv", "one", "d\t", "\tx", *rows, "two")
    report = checked_data(recipe, 1)
    assert sorted(problems_in(report)) == [
        ("bad_row", "train.tsv", 2),
        ("bad_row", "train.tsv", 3),
        ("bad_row", "train.tsv", 4),
        ("bad_row", "train.tsv", 25),
    ]
    assert (report["pairs"], report["labels"]["train"]) == (20, {"x": 10, "y": 10})


@pytest.mark.parametrize("task", ["language_modeling", "masked_lm"])
def test_blocks_that_do_not_fit_are_told_with_all_else_that_is_wrong(
    tmp_path: Path, task: str
) -> None:
    told = inside("check-data", language(tmp_path, task), "data.context=17", "training.max_step=1")
    check_told(told, 2, "2 problems", "data.context: 17 is more than model.max_length 16")


@pytest.mark.parametrize("task", ["regression", "multiple_choice", "tagging", "question_answering"])
def test_every_labelled_task_is_checked(tmp_path: Path, task: str) -> None:
    report = checked_data(write_task(tmp_path, task), 1)  # the fixtures repeat themselves
    assert {kind for kind, _, _ in problems_in(report)} == {"duplicate", "overlap"}
    assert report["pairs"] == 90


def language(folder: Path, task: str = "language_modeling") -> Path:
    for name, count in (("train", 40), ("valid", 4)):
        lines = [f"{name} line {i} goes on valid" for i in range(count)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    kind = "gpt" if task == "language_modeling" else "bert"
    size = {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 32, "max_length": 16}
    recipe = {
        "name": "it", "task": task, "model": {"kind": kind, **size},
        "data": {n: {"file": f"{n}.txt", "documents": "line"} for n in ("train", "valid")}
        | {"context": 16},
        "tokenizer": {"kind": "char"}, "training": {"max_steps": 1},
    }  # fmt: skip
    path = folder / "it.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


@pytest.mark.parametrize("task", ["language_modeling", "masked_lm"])
def test_documents_are_checked(tmp_path: Path, task: str) -> None:
    recipe = language(tmp_path, task)
    report = checked_data(recipe, 0)
    assert (report["pairs"], report["problems"]) == (40, [])
    assert report["unknown_rate"]["valid"]["text"] == 0.0
    lines = ["", "train line 3 goes on valid", "발 발", "train line 5 goes on valid"]
    (tmp_path / "valid.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = checked_data(recipe, 1)
    assert sorted(problems_in(report), key=str) == [
        ("empty", "valid.txt", None),
        ("overlap", "valid.txt", 2),
        ("overlap", "valid.txt", 4),
        ("unknown", "valid.txt", 3),
    ]


@pytest.mark.parametrize(("shared", "kind"), [(10, "overlap"), (1, "overlap_passage")])
def test_a_valid_text_cut_out_of_the_training_text_is_told(
    tmp_path: Path, shared: int, kind: str
) -> None:
    recipe = language(tmp_path)
    keys = yaml.safe_load(recipe.read_text())
    for split in ("train", "valid"):
        keys["data"][split] = f"{split}.txt"  # each file is one document
    recipe.write_text(yaml.safe_dump(keys), encoding="utf-8")
    own = {
        split: [
            f"In train or valid, {split}, is line {i}, and nobody else says this."
            for i in range(20)
        ]
        for split in ("train", "valid")
    }
    own["valid"][:shared] = own["train"][5 : 5 + shared]
    for split, lines in own.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = checked_data(recipe, 1 if kind == "overlap" else 0)
    assert problems_in(report) == [(kind, "valid.txt", None)]
    assert report["overlap"]["train/valid"] == {"texts": 0, "passages": shared}
    message = report["problems"][0]["message"]
    assert f"{shared} of 20 long sentences of valid" in message
    assert "line 5, and nobody else" in message


def test_documents_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    recipe = language(tmp_path)
    (tmp_path / "valid.txt").write_bytes(b"fine\n\xff\n")
    assert problems_in(checked_data(recipe, 1)) == [("invalid_utf8", "valid.txt", 2)]
    (tmp_path / "valid.txt").write_bytes(b"\n")
    assert problems_in(checked_data(recipe, 1)) == [("unreadable", "valid.txt", None)]
    (tmp_path / "train.txt").unlink()
    assert ("unreadable", "train.txt", None) in problems_in(checked_data(recipe, 1))


def test_a_model_that_cannot_answer_is_told(tmp_path: Path) -> None:
    outcome = inside("check-data", classification(tmp_path), "model.kind=transformer")
    check_told(outcome, 2, "the task classification needs bert or gpt")
