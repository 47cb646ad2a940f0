"""The first command a person tries, in miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from polyhead_system import check_told, info, inside

from polyhead.data.korean_english import generate

pytestmark = pytest.mark.xdist_group("quickstart")


def rows(count: int, *, groups: bool = True) -> list[str]:
    return [
        f"{p.korean}\t{p.english}" + (f"\t{p.domain}" if groups else "")
        for p in generate(pairs=count)
    ]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_own_pairs_become_a_translator_with_scores_pictures_and_next_steps(
    tmp_path: Path,
) -> None:
    data, out = write(tmp_path / "pairs.tsv", ["원문\t번역문\t분야", *rows(300)]), tmp_path / "out"
    outcome = inside("quickstart", "--data", data, "--minutes", 0.02, "--out", out)
    assert outcome.code == 0, outcome.err
    for phrase in ("300 pairs, 300 distinct: 270 to train on", "scoring on 15 held-out sentences"):
        assert phrase in outcome.err
        assert phrase not in outcome.out
    for phrase in (
        "BLEU",
        "exact match",
        "business",
        "all ",
        "nearest neighbour",
        "shuffled sources",
        "some translations",
        "what to do next",
        f"polyhead translate {out / 'run'}",
        f"polyhead evaluate {out / 'run'}",
    ):
        assert phrase in outcome.out
    assert "some translations" not in outcome.err
    names = {path.name for path in out.iterdir()}
    assert {"train.tsv", "valid.tsv", "test.tsv", "recipe.yaml", "run", "attention.html"} <= names
    assert info(out / "run")["complete"] is True
    card = (out / "run" / "README.md").read_text(encoding="utf-8")
    assert "Not measured yet" not in card
    assert "| bleu | " in card
    assert "--beam 1 --alpha 0.0 --precision fp32`, 15 examples" in card
    assert inside("translate", out / "run", stdin="안녕하세요.\n".encode()).code == 0
    train = {line.split("\t")[0] for line in (out / "train.tsv").read_text().splitlines()[1:]}
    test = {line.split("\t")[0] for line in (out / "test.tsv").read_text().splitlines()[1:]}
    assert len(test) == 15
    assert not train & test


@pytest.mark.parametrize(
    ("lines", "phrases"),
    [
        ([], ("0 pairs; at least 100 are needed",)),
        (rows(40), ("40 pairs; at least 100 are needed",)),
        (["only one column"] * 200, ("line 1: 1 tab-separated columns; two are needed",)),
        (rows(5) * 40, ("5 distinct pairs; at least 100 are needed",)),
        ([f"{i}\tthe same" for i in range(200)], ("no pair is left to train on",)),
    ],
)
def test_pairs_that_are_too_few_or_no_pairs_are_refused_and_nothing_is_made(
    tmp_path: Path, lines: list[str], phrases: tuple[Any, ...]
) -> None:
    data, out = write(tmp_path / "pairs.tsv", lines), tmp_path / "out"
    check_told(inside("quickstart", "--data", data, "--out", out), 1, *phrases)
    assert not out.exists()


def test_quickstart_refuses_what_exists_no_time_and_a_missing_file(tmp_path: Path) -> None:
    data = write(tmp_path / "pairs.tsv", rows(120))
    for out in (tmp_path, data):
        check_told(inside("quickstart", "--out", out), 2, "exists already", "--out")
    out = tmp_path / "out"
    for minutes in (0, -1, "nan"):
        command = ("quickstart", "--data", data, "--out", out, "--minutes", minutes)
        check_told(inside(*command), 2, "--minutes", "is not above 0")
    told = inside("quickstart", "--data", tmp_path / "pears.tsv", "--out", out)
    check_told(told, 1, "no such file; did you mean", "pairs.tsv")
    assert not out.exists()
