"""Question answering with contexts of several windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from polyhead_system import inside, journal
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
