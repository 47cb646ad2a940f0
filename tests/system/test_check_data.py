"""check-data finds each thing that is wrong, with file and line, and says what training keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from polyhead_system import checked_data, inside, problems_in, write_recipe

KOREAN = ["안녕하세요", "오늘은 날씨가 좋네요", "저는 책을 읽었습니다", "어디에 가십니까?"]
ENGLISH = ["Good morning", "The weather is nice today", "I read a book", "Where are you going?"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three splits without a fault: 40 pairs, 4 pairs, 4 pairs."""
    for part, count in (("train", 10), ("valid", 1), ("test", 1)):
        numbers = [f"{part[1]}{i}" for i in range(count)]
        put(tmp_path / f"{part}.ko", [f"{text} {n}" for n in numbers for text in KOREAN])
        put(tmp_path / f"{part}.en", [f"{text} {n}" for n in numbers for text in ENGLISH])
    return tmp_path


def put(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def change(path: Path, line: int, text: str | bytes) -> None:
    """Replace one line, counted from 1."""
    lines = path.read_bytes().split(b"\n")
    lines[line - 1] = text.encode() if isinstance(text, str) else text
    path.write_bytes(b"\n".join(lines))


def check(folder: Path, code: int, **changes: Any) -> dict[str, Any]:
    return checked_data(write_recipe(folder / "recipe.yaml", folder, **changes), code)


def test_clean_data_has_no_problem(folder: Path) -> None:
    report = check(folder, 0)
    assert (report["pairs"], report["kept"], report["problems"]) == (40, 40, [])
    assert report["splits"] == {"train": 40, "valid": 4, "test": 4}
    lengths = report["lengths"]["train"]["source"]
    assert sum(bar["count"] for bar in lengths["histogram"]) == 40
    assert lengths["histogram"][-1]["to"] >= lengths["max"]
    told = inside("check-data", folder / "recipe.yaml")
    assert told.code == 0
    assert told.lines[0] == "train: 40 pairs; training keeps 40"
    assert told.lines[-1] == "no problem found"
    assert "█" in told.out


@pytest.mark.parametrize(
    ("name", "line", "text", "problems"),
    [
        ("train.ko", 3, "", [("empty", "train.ko", 3)]),
        ("train.en", 40, "  ", [("empty", "train.en", 40)]),
        ("train.ko", 2, "The weather is nice", [("wrong_script", "train.ko", 2)]),
        ("valid.en", 2, "오늘은 날씨가 좋네요", [("wrong_script", "valid.en", 2)]),
        ("train.en", 1, "Good " * 20, [("length_ratio", "train.ko", 1)]),
        ("train.ko", 2, "오늘은 날씨가 " * 100, [("too_long", "train.ko", 2)]),
        ("train.ko", 6, "The weather is nice today r1", [("identical", "train.en", 6)]),
    ],
)
def test_a_warning_is_told_with_its_place_and_exits_0(
    folder: Path, name: str, line: int, text: str, problems: list[tuple[str, str, int]]
) -> None:
    change(folder / name, line, text)
    report = check(folder, 0)
    assert set(problems) <= set(problems_in(report))
    assert {place for _, _, place in problems_in(report)} == {line}
    assert report["ok"] is True


def test_what_training_would_keep_is_what_it_keeps(folder: Path) -> None:
    change(folder / "train.ko", 3, "")
    change(folder / "train.en", 7, "word " * 200)
    report = check(folder, 0)
    assert (report["pairs"], report["kept"]) == (40, 38)
    recipe, run = folder / "recipe.yaml", folder / "run"
    trained = inside("train", recipe, "training.max_steps=1", "--out", run)
    assert "parameters; 38 pairs;" in trained.err


def test_a_pair_that_stands_twice_names_the_first(folder: Path) -> None:
    change(folder / "train.ko", 9, f"{KOREAN[0]} r0")
    change(folder / "train.en", 9, f"{ENGLISH[0]}  r0")  # white space aside
    report = check(folder, 0)
    assert problems_in(report) == [("duplicate", "train.ko", 9)]
    assert "train.en, line 1: “안녕하세요 r0”" in report["problems"][0]["message"]


def test_every_line_of_invalid_utf8_is_told(folder: Path) -> None:
    for line in (2, 11, 30):
        change(folder / "train.ko", line, "하나".encode("euc-kr"))
    change(folder / "test.en", 4, b"caf\xe9")
    report = check(folder, 1)
    places = [(name, line) for kind, name, line in problems_in(report) if kind == "invalid_utf8"]
    assert places == [("train.ko", 2), ("train.ko", 11), ("train.ko", 30), ("test.en", 4)]
    assert report["counts"]["invalid_utf8"] == {"severity": "fault", "count": 4}


def test_differing_line_counts_are_a_fault_and_the_rest_is_still_looked_at(folder: Path) -> None:
    with (folder / "train.en").open("a", encoding="utf-8") as file:
        file.write("one line more\n")
    change(folder / "train.ko", 5, "")
    report = check(folder, 1)
    assert ("line_count", "train.en", 41) in problems_in(report)
    assert ("empty", "train.ko", 5) in problems_in(report)
    assert report["kept"] == 39


def test_a_pair_in_two_splits_is_a_fault_and_one_side_a_warning(folder: Path) -> None:
    change(folder / "test.ko", 2, f"{KOREAN[3]} r4")
    report = check(folder, 0)
    assert problems_in(report) == [("overlap_source", "test.ko", 2)]
    assert "train.en, line 20" in report["problems"][0]["message"]
    change(folder / "test.en", 2, f"{ENGLISH[3]} r4")
    report = check(folder, 1)
    assert problems_in(report) == [("overlap", "test.ko", 2)]
    assert report["overlap"]["train/test"] == {"pairs": 1, "sources": 1, "targets": 1}
    assert report["overlap"]["train/valid"] == {"pairs": 0, "sources": 0, "targets": 0}
    change(folder / "test.ko", 2, "다른 문장입니다")
    assert problems_in(check(folder, 0)) == [("overlap_target", "test.en", 2)]


def test_swapped_languages_are_a_fault(folder: Path) -> None:
    swapped = {"source": str(folder / "train.en"), "target": str(folder / "train.ko")}
    report = check(folder, 1, data={"train": swapped})
    told = [p for p in report["problems"] if p["kind"] == "wrong_language"]
    assert [Path(p["file"]).name for p in told] == ["train.en", "train.ko"]
    assert "are source and target swapped" in told[0]["message"]
    assert report["counts"]["wrong_script"]["count"] == 80


def test_unknown_tokens_of_a_split_are_counted_and_told_if_many(folder: Path) -> None:
    change(folder / "valid.ko", 2, "뷁쀍 하늘")
    report = check(folder, 0, tokenizer={"kind": "word", "vocab_size": 500})
    assert report["unknown_rate"]["valid"]["source"] > 0.01
    told = [p for p in report["problems"] if p["kind"] == "unknown" and "valid.ko" in p["file"]]
    assert len(told) == 1
    assert "source tokens of valid are unknown" in told[0]["message"]
    report = check(folder, 0)  # byte-level BPE knows everything
    assert report["unknown_rate"]["valid"] == {"source": 0.0, "target": 0.0}


def test_faults_of_all_files_are_told_at_once(folder: Path) -> None:
    table = folder / "a.tsv"
    put(table, ["ko\ten", "하나\tone", "둘", "셋\tthree\tmore"])
    data = {
        "train": [
            {"file": str(table), "source_column": "ko", "target_column": "en"},
            {"source": str(folder / "trian.ko"), "target": str(folder / "train.en")},
        ]
    }
    report = check(folder, 1, data=data, tokenizer={"vocab_size": 300})
    assert problems_in(report)[:3] == [
        ("bad_row", "a.tsv", 3),
        ("bad_row", "a.tsv", 4),
        ("unreadable", "trian.ko", None),
    ]
    assert "did you mean" in report["problems"][2]["message"]
    assert (report["pairs"], report["kept"]) == (1, 1)


def test_data_of_which_nothing_is_left_is_a_fault(folder: Path) -> None:
    report = check(folder, 1, data={"max_length": 2})
    assert ("nothing_left", "train.ko", None) in problems_in(report)
    put(folder / "test.ko", [])
    put(folder / "test.en", [])
    assert ("nothing_left", "test.ko", None) in problems_in(check(folder, 1))


def test_a_tokenizer_that_cannot_be_trained_is_a_fault(folder: Path) -> None:
    report = check(folder, 1, tokenizer={"kind": "unigram", "vocab_size": 10})
    assert [p["kind"] for p in report["problems"]] == ["tokenizer"]
    assert "needs a token for each, so at least" in report["problems"][0]["message"]


def test_the_summary_counts_kinds_and_shows_examples(folder: Path) -> None:
    for line in range(1, 6):
        change(folder / "train.ko", line, "")
    change(folder / "train.en", 9, b"\xff")
    recipe = write_recipe(folder / "recipe.yaml", folder)
    told = inside("check-data", recipe)
    assert told.code == 1
    assert "warning  empty" in told.out
    assert "fault    invalid_utf8" in told.out
    assert "… and 2 more (--json lists all)" in told.out
    assert f"  {folder / 'train.ko'}:3: the source is empty" in told.out
    assert told.lines[-1].startswith("there are faults")


def test_overrides_and_wrong_recipes_are_told(folder: Path) -> None:
    recipe = write_recipe(folder / "recipe.yaml", folder)
    assert inside("check-data", recipe, "data.max_length=3", "--json").json()["kept"] < 40
    assert inside("check-data", recipe, "data.max_lenght=3").code == 2


# --- real corpora

CORPORA = [
    ("koen_jhe", "ko", "en"),
    ("koen_news", "ko", "en"),
    ("koen_synthetic", "ko", "en"),
    ("koen_tatoeba", "ko", "en"),
    ("multi30k_ende", "en", "de"),
]


@pytest.mark.parametrize(("name", "source", "target"), CORPORA)
def test_real_corpora_have_no_fault(
    data_folder: Path, tmp_path: Path, name: str, source: str, target: str
) -> None:
    def part(split: str) -> dict[str, str]:
        names = {"source": source, "target": target}
        paths = {side: data_folder / name / f"{split}.{end}" for side, end in names.items()}
        return {s: str(p if p.exists() else p.with_name(p.name + ".gz")) for s, p in paths.items()}

    data = {split: part(split) for split in ("train", "valid", "test")}
    languages = {"source_language": source, "target_language": target}
    report = check(tmp_path, 0, data=data | languages, tokenizer={"vocab_size": 2000})
    assert (
        report["kept"] + len([p for p in report["problems"] if p["kind"] == "too_long"])
        >= (report["pairs"])
    )
    assert all(counts["pairs"] == 0 for counts in report["overlap"].values())


def test_a_pair_that_does_not_match_is_found_in_a_real_corpus(
    data_folder: Path, tmp_path: Path
) -> None:
    folder = data_folder / "koen_jhe"
    for split in ("train", "valid", "test"):
        for end in ("ko", "en"):
            (tmp_path / f"{split}.{end}").write_bytes((folder / f"{split}.{end}").read_bytes())
    ratio = [p for p in check(tmp_path, 0)["problems"] if p["kind"] == "length_ratio"]
    assert [(Path(p["file"]).name, p["line"]) for p in ratio] == [("train.ko", 106)]
    assert "I don't wear a watch" in ratio[0]["message"]


def test_a_pair_of_as_many_tokens_as_max_length_is_kept(folder: Path) -> None:
    sides = [(folder / f"train.{end}").read_text(encoding="utf-8") for end in ("ko", "en")]
    words_in = re.compile(r"\w+|[^\w\s]+").findall
    counts = [[len(words_in(line)) for line in side.splitlines()] for side in sides]
    longest = [max(both) for both in zip(*counts, strict=True)]
    limit = max(longest) - 1
    words = {"kind": "word", "vocab_size": 500}
    report = check(folder, 0, data={"max_length": limit}, tokenizer=words)
    assert 0 < report["kept"] == sum(length <= limit for length in longest) < len(longest)
    said = [p["message"] for p in report["problems"] if p["kind"] == "too_long"]
    assert all(f"more than {limit}: left out" in message for message in said)
    assert len(said) == len(longest) - report["kept"]
