"""Reading pairs: every format, and every fault told with its file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from polyhead.data.pairs import Pairs, PairSource, read_pairs
from polyhead.errors import DataError
from polyhead.files import read_bytes, read_lines


def put(folder: Path, name: str, content: str | bytes) -> str:
    """Write a file (compressed where its name ends in .gz); returns its name."""
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return name


def read(folder: Path, **spec: Any) -> Pairs:
    return read_pairs(PairSource.model_validate(spec, context={"folder": folder}))


def table(folder: Path, name: str, **spec: Any) -> Pairs:
    return read(folder, file=name, source_column="ko", target_column="en", **spec)


def both(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


# --- aligned files


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_aligned_files_are_read_line_by_line(tmp_path: Path, ending: str) -> None:
    put(tmp_path, f"a.ko{ending}", "안녕\n\n고마워\n")
    put(tmp_path, f"a.en{ending}", "hello\nnothing\nthanks")
    pairs = read(tmp_path, source=f"a.ko{ending}", target=f"a.en{ending}", weight=2.0)
    assert both(pairs) == [("안녕", "hello"), ("", "nothing"), ("고마워", "thanks")]
    assert pairs.lines == [1, 2, 3]
    assert pairs.weight == 2.0
    assert len(pairs) == 3


def test_a_compressed_file_is_known_by_its_content_and_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.ko").write_bytes(gzip.compress("안녕\n".encode()))
    assert list(read_lines(tmp_path / "a.ko")) == ["안녕"]


def test_differing_line_counts_name_both_files_and_the_first_lonely_line(tmp_path: Path) -> None:
    put(tmp_path, "a.ko", "하나\n둘\n셋\n")
    put(tmp_path, "a.en", "one\ntwo\n")
    with pytest.raises(DataError) as error:
        read(tmp_path, source="a.ko", target="a.en")
    text = str(error.value)
    assert "a.ko has 3 lines" in text
    assert "a.en has 2" in text
    assert "without a partner is 3" in text


def test_a_byte_order_mark_is_dropped_and_carriage_returns_end_lines(tmp_path: Path) -> None:
    put(tmp_path, "a.ko", b"\xef\xbb\xbf" + "하나\r\n둘\r\n".encode())
    assert list(read_lines(tmp_path / "a.ko")) == ["하나", "둘"]


def test_a_byte_order_mark_inside_a_file_is_text(tmp_path: Path) -> None:
    put(tmp_path, "a.ko", "하나\n\ufeff둘\n")
    assert list(read_lines(tmp_path / "a.ko")) == ["하나", "\ufeff둘"]


def test_invalid_utf8_after_a_byte_order_mark_is_the_byte_told(tmp_path: Path) -> None:
    put(tmp_path, "a.ko", b"\xef\xbb\xbfab\xff\n")
    with pytest.raises(DataError, match=r"line 1: not valid UTF-8 \(byte 0xff at column 6\)"):
        list(read_lines(tmp_path / "a.ko"))


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "a\rb"])
def test_only_a_newline_ends_a_line(tmp_path: Path, separator: str) -> None:
    line = f"앞{separator}뒤"
    put(tmp_path, "a.txt", f"{line}\n끝\n")
    assert list(read_lines(tmp_path / "a.txt")) == [line, "끝"]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_invalid_utf8_is_told_with_file_line_column_and_remedy(tmp_path: Path, ending: str) -> None:
    put(tmp_path, f"a.ko{ending}", "하나\nab".encode() + "둘".encode("euc-kr") + b"\n")
    with pytest.raises(DataError) as error:
        list(read_lines(tmp_path / f"a.ko{ending}"))
    text = str(error.value)
    assert f"a.ko{ending}, line 2: not valid UTF-8" in text
    assert "column 3" in text
    assert "iconv" in text


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-20], lambda raw: raw[:30] + b"\xff" * 10 + raw[40:]]
)
def test_a_damaged_gzip_file_is_an_error_and_not_a_traceback(tmp_path: Path, damage: Any) -> None:
    text = "".join(f"{i * i}\n" for i in range(3000))
    (tmp_path / "a.gz").write_bytes(damage(gzip.compress(text.encode())))
    with pytest.raises(DataError, match="cannot be read to its end"):
        list(read_lines(tmp_path / "a.gz"))
    with pytest.raises(DataError, match="cannot be read to its end"):
        read_bytes(tmp_path / "a.gz")


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    put(tmp_path, "train.ko", "")
    with pytest.raises(DataError, match=r"trian\.ko: no such file; did you mean .*/train\.ko\?"):
        list(read_lines(tmp_path / "trian.ko"))
    with pytest.raises(DataError, match=r"its folder .*nowhere does not exist either"):
        list(read_lines(tmp_path / "nowhere" / "train.ko"))
    with pytest.raises(DataError, match="is a folder"):
        list(read_lines(tmp_path))


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    put(tmp_path, "a.ko", "")
    assert list(read_lines(tmp_path / "a.ko")) == []


# --- tables


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.tab", "a.txt"])
def test_tab_separated_columns_are_found_by_name(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, 'id\ten\tko\n1\t"hi\t안녕\n\n2\tthanks\t고마워\n')
    pairs = table(tmp_path, name)
    assert both(pairs) == [("안녕", '"hi'), ("고마워", "thanks")]
    assert pairs.lines == [2, 4]


def test_a_table_row_with_too_few_cells_is_told_with_its_line(tmp_path: Path) -> None:
    put(tmp_path, "a.tsv", "ko\ten\n안녕\thello\n고마워\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 3: 1 columns, but the header has 2"):
        table(tmp_path, "a.tsv")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv_cells_may_hold_quotes_commas_and_newlines(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, 'ko,en\n"안녕, 친구","he said ""hi"""\n"두\n줄",two lines\n세,three\n')
    pairs = table(tmp_path, name)
    assert both(pairs) == [
        ("안녕, 친구", 'he said "hi"'),
        ("두\n줄", "two lines"),
        ("세", "three"),
    ]
    assert pairs.lines[0] == 2
    assert pairs.lines[-1] == 5


def test_csv_with_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", b"\xef\xbb\xbf" + "ko,en\r\n안녕,hello\r\n".encode())
    assert both(table(tmp_path, "a.csv")) == [("안녕", "hello")]


def test_a_quote_that_never_closes_does_not_swallow_the_rest(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", 'ko,en\n안녕,hello\n고마워,"thanks\n네,yes\n아니요,no\n')
    with pytest.raises(DataError, match="not valid CSV"):
        table(tmp_path, "a.csv")


def test_a_csv_row_of_another_width_is_told_with_its_line(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "ko,en\n안녕,hello\n고마워,thanks,more\n")
    with pytest.raises(DataError, match=r"a\.csv, line 3: 3 columns, but the header has 2"):
        table(tmp_path, "a.csv")


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson"])
def test_json_lines_are_read_by_key(tmp_path: Path, name: str) -> None:
    rows = [{"ko": "안녕", "en": "hi\u2028there", "n": 1}, {"en": "", "ko": "3"}]
    put(tmp_path, name, "\n\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n")
    pairs = table(tmp_path, name)
    assert both(pairs) == [("안녕", "hi\u2028there"), ("3", "")]
    assert pairs.lines == [1, 3]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"ko": ', "line 2: not valid JSON"),
        ("[1, 2]", "line 2: a JSON object is needed"),
        ('{"ko": "둘", "eng": "two"}', "line 2: no column 'en'; .*did you mean 'eng'"),
        ('{"ko": 3, "en": "three"}', "line 2: column 'ko' holds 3, which is no text"),
        ('{"ko": "\\ud83d 둘", "en": "two"}', "line 2: half of a character"),
        ('{"ko": "둘", "en": null}', "line 2: column 'en' holds null, which"),
        ('{"ko": "둘", "en": ["두", "개"]}', "line 2: column 'en' holds a list"),
    ],
)
def test_a_faulty_json_line_is_told_with_its_number(
    tmp_path: Path, line: str, message: str
) -> None:
    put(tmp_path, "a.jsonl", f'{{"ko": "하나", "en": "one"}}\n{line}\n')
    with pytest.raises(DataError, match=message):
        table(tmp_path, "a.jsonl")


@pytest.mark.parametrize(
    ("name", "content"), [("a.tsv", "번역\tenglish\n1\t2\n"), ("a.csv", "번역,english\n1,2\n")]
)
def test_a_missing_column_is_told_with_those_there_are(
    tmp_path: Path, name: str, content: str
) -> None:
    put(tmp_path, name, content)
    with pytest.raises(DataError) as error:
        read(tmp_path, file=name, source_column="번역문", target_column="english")
    text = str(error.value)
    assert "no column '번역문'" in text
    assert "there are '번역', 'english'" in text
    assert "did you mean '번역'?" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "", r"a\.tsv is empty, or its first line is; that line must name the columns"),
        ("a.csv", "", r"a\.csv is empty, or its first line is"),
        ("a.jsonl", "\n", r"a\.jsonl has no rows"),
        ("a.tsv", "ko\ten\n", r"a\.tsv has no rows"),
        ("a.csv.gz", "ko,en\n", r"a\.csv\.gz has no rows"),
    ],
)
def test_a_table_without_rows_is_told(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    put(tmp_path, name, content)
    with pytest.raises(DataError, match=message):
        table(tmp_path, name)


def test_a_table_of_another_ending_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.docx", "")
    with pytest.raises(DataError, match=r"'\.docx' is not one of \.tsv, \.csv, \.jsonl"):
        table(tmp_path, "a.docx")


# --- filters and groups

TABLE = "ko\ten\tdomain\tyear\n1\ta\tbusiness\t2020\n2\tb\tlaw\t2021\n3\tc\tmedicine\t2020\n"


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"domain": "law"}, ["2"]),
        ({"domain": ["business", "medicine"]}, ["1", "3"]),
        ({"year": 2020}, ["1", "3"]),
        ({"year": 2020, "domain": ["law", "medicine"]}, ["3"]),
    ],
)
def test_where_keeps_the_rows_that_fit(
    tmp_path: Path, where: dict[str, Any], kept: list[str]
) -> None:
    put(tmp_path, "a.tsv", TABLE)
    pairs = table(tmp_path, "a.tsv", where=where, group_column="domain")
    assert pairs.sources == kept
    assert pairs.lines == [int(k) + 1 for k in kept]
    assert len(pairs.groups) == len(kept)


def test_where_compares_json_booleans_and_numbers(tmp_path: Path) -> None:
    rows = [{"ko": str(i), "en": "x", "good": i % 2 == 0, "n": i} for i in range(4)]
    put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert table(tmp_path, "a.jsonl", where={"good": True}).sources == ["0", "2"]
    assert table(tmp_path, "a.jsonl", where={"n": [1, 3]}).sources == ["1", "3"]


def test_a_filter_that_keeps_nothing_says_what_there_was(tmp_path: Path) -> None:
    put(tmp_path, "a.tsv", TABLE)
    with pytest.raises(DataError, match="domain has business, law, medicine"):
        table(tmp_path, "a.tsv", where={"domain": "laws"})


def test_a_filter_over_a_missing_column_is_told(tmp_path: Path) -> None:
    put(tmp_path, "a.tsv", TABLE)
    with pytest.raises(DataError, match=r"no column 'domian'; .*did you mean 'domain'"):
        table(tmp_path, "a.tsv", where={"domian": "law"})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "give either source and target, or file"),
        ({"source": "a"}, "source and target files go together"),
        ({"source": "a", "target": "b", "file": "c"}, "give either source and target, or file"),
        ({"file": "c"}, "a file needs source_column and target_column"),
        ({"source": "a", "target": "b", "where": {"x": 1}}, "belong to a file"),
    ],
)
def test_a_corpus_is_two_files_or_one_table(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PairSource.model_validate(spec)


# --- real files


@pytest.mark.parametrize("corpus", ["koen_tatoeba", "koen_news"])
def test_real_corpora_are_aligned_and_not_empty(data_folder: Path, corpus: str) -> None:
    folder = data_folder / corpus
    pairs = read(folder, source="valid.ko", target="valid.en")
    assert len(pairs) > 100
    assert all(pairs.sources)
    assert all(pairs.targets)
