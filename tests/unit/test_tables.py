"""Spreadsheets, Parquet and hub sets: the same rows as text tables, the same quality of errors."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from polyhead.data.pairs import Pairs, PairSource, read_pairs
from polyhead.data.tables import TableSource, read_rows
from polyhead.errors import DataError, DataFault, MissingExtraError

ROWS = [
    {"id": 1, "ko": "안녕, 친구", "en": 'he said "hi"', "domain": "talk"},
    {"id": 2, "ko": "고마워", "en": "thanks", "domain": "talk"},
    {"id": 3, "ko": "계약서", "en": None, "domain": "law"},
]
Writer = Callable[[Path, list[dict[str, Any]]], None]


def write_tsv(path: Path, rows: list[dict[str, Any]]) -> None:
    lines = [list(rows[0]), *(["" if v is None else str(v) for v in r.values()] for r in rows)]
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    told = [{k: "" if v is None else v for k, v in row.items()} for row in rows]  # null is no text
    path.write_text("".join(json.dumps(r) + "\n" for r in told), encoding="utf-8")


def write_xlsx(path: Path, rows: list[dict[str, Any]], sheet: str = "Sheet") -> None:
    book = openpyxl.load_workbook(path) if path.exists() else openpyxl.Workbook()
    page = book[sheet] if sheet in book.sheetnames else book.create_sheet(sheet)
    page.append(list(rows[0]))
    for row in rows:
        page.append(list(row.values()))
    book.save(path)


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


WRITERS: dict[str, Writer] = {
    "a.tsv": write_tsv,
    "a.jsonl": write_jsonl,
    "a.xlsx": write_xlsx,
    "a.parquet": write_parquet,
}
FIRST = {"a.tsv": 2, "a.jsonl": 1, "a.xlsx": 2, "a.parquet": 1}  # place of the first row


def read(folder: Path, **spec: Any) -> Pairs:
    spec = {"source_column": "ko", "target_column": "en"} | spec
    return read_pairs(PairSource.model_validate(spec, context={"folder": folder}))


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_pairs_groups_and_places(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, ROWS)
    pairs = read(tmp_path, file=name, group_column="domain")
    assert pairs.sources == ["안녕, 친구", "고마워", "계약서"]
    assert pairs.targets == ['he said "hi"', "thanks", ""]
    assert pairs.groups == ["talk", "talk", "law"]
    assert pairs.lines == [FIRST[name] + i for i in range(3)]
    assert pairs.files == (str(tmp_path / name),) * 2


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("where", "kept"), [({"domain": "law"}, ["계약서"]), ({"id": [1, 3]}, ["안녕, 친구", "계약서"])]
)
def test_where_works_in_every_format(
    tmp_path: Path, name: str, where: dict[str, Any], kept: list[str]
) -> None:
    WRITERS[name](tmp_path / name, ROWS)
    assert read(tmp_path, file=name, where=where).sources == kept
    with pytest.raises(DataError, match=rf"{name}.*: no row passes .*domain has law, talk"):
        read(tmp_path, file=name, where={"domain": "laws"})


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_column_is_told_in_every_format(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, ROWS)
    with pytest.raises(DataError) as error:
        read(tmp_path, file=name, source_column="kor")
    text = str(error.value)
    assert name in text
    assert "no column 'kor'; there are 'id', 'ko', 'en', 'domain'; did you mean 'ko'?" in text


@pytest.mark.parametrize("name", ["a.tsv", "a.xlsx", "a.parquet"])
def test_a_column_that_stands_twice_is_refused_only_if_it_is_wanted(
    tmp_path: Path, name: str
) -> None:
    names = ["ko", "en", "note", "note"]
    if name == "a.parquet":
        columns = [pyarrow.array([t]) for t in ("하나", "one", "x", "y")]
        parquet.write_table(pyarrow.Table.from_arrays(columns, names), tmp_path / name)
    elif name == "a.xlsx":
        book = openpyxl.Workbook()
        book.active.append(names)
        book.active.append(["하나", "one", "x", "y"])
        book.save(tmp_path / name)
    else:
        (tmp_path / name).write_text("\t".join(names) + "\n하나\tone\tx\ty\n", encoding="utf-8")
    assert read(tmp_path, file=name).sources == ["하나"]
    with pytest.raises(DataError, match="'note' stands 2 times in the header"):
        read(tmp_path, file=name, target_column="note")


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_column_inside_another_is_named_with_a_dot(tmp_path: Path, name: str) -> None:
    rows = [{"translation": {"ko": "하나", "en": "one"}, "id": 1}]
    WRITERS[name](tmp_path / name, rows)
    inner = {"source_column": "translation.ko", "target_column": "translation.en"}
    assert read(tmp_path, file=name, **inner, where={"id": 1}).targets == ["one"]
    with pytest.raises(DataError, match=r"no column 'translation\.de'|no column 'de'"):
        read(tmp_path, file=name, **inner | {"target_column": "translation.de"})
    with pytest.raises(DataError, match=r"row|line 1: column 'translation' holds keys of its own"):
        read(tmp_path, file=name, **inner | {"target_column": "translation"})


def test_rows_of_any_columns_are_there_for_every_task(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ROWS)
    table = TableSource.model_validate({"file": "a.parquet"}, context={"folder": tmp_path})
    assert list(read_rows(table, ["domain"])) == [(1, ("talk",)), (2, ("talk",)), (3, ("law",))]


def test_a_report_that_returns_has_the_reading_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"ko\ten\n1\t\xff\n2\n3\tthree\n")
    table = TableSource.model_validate({"file": "a.tsv"}, context={"folder": tmp_path})
    faults: list[DataFault] = []
    assert list(read_rows(table, ["en"], faults.append)) == [(2, ("\ufffd",)), (4, ("three",))]
    assert [(f.kind, f.line) for f in faults] == [("invalid_utf8", 2), ("bad_row", 3)]


# --- spreadsheets


def test_a_sheet_is_chosen_by_name_and_a_wrong_name_lists_those_there_are(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", ROWS[:1])
    write_xlsx(tmp_path / "a.xlsx", ROWS[1:2], "회화")
    assert read(tmp_path, file="a.xlsx").sources == ["안녕, 친구"]
    pairs = read(tmp_path, file="a.xlsx", sheet="회화")
    assert pairs.sources == ["고마워"]
    assert pairs.place(0).endswith("a.xlsx, sheet '회화', row 2")
    with pytest.raises(DataError, match=r"no sheet '대화'; there are 'Sheet', '회화'"):
        read(tmp_path, file="a.xlsx", sheet="대화")


def test_numbers_dates_and_empty_rows_of_a_spreadsheet(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    page.append(["ko", "en"])
    page.append([3.0, True])
    page.append([None, None])
    page.append([datetime.date(2026, 1, 2), "  two  "])
    page["A7"], page["B7"] = "일곱", "seven"
    book.save(tmp_path / "a.xlsx")
    pairs = read(tmp_path, file="a.xlsx")
    assert pairs.sources == ["3", "2026-01-02 00:00:00", "일곱"]
    assert pairs.targets == ["true", "  two  ", "seven"]
    assert pairs.lines == [2, 4, 7]


def test_an_error_in_a_cell_is_told_with_its_row_and_column(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", [*ROWS, {"id": 4, "ko": "넷", "en": "#N/A", "domain": "x"}])
    with pytest.raises(DataError, match=r"a\.xlsx.*, row 5: column 'en' holds the error #N/A"):
        read(tmp_path, file="a.xlsx")


def test_a_file_that_is_no_spreadsheet_or_parquet_is_told(tmp_path: Path) -> None:
    for name, phrase in (("a.xlsx", "as an .xlsx spreadsheet"), ("a.parquet", "as Parquet")):
        (tmp_path / name).write_text("ko\ten\n", encoding="utf-8")
        with pytest.raises(DataError, match=rf"{name}: cannot be read {phrase}"):
            read(tmp_path, file=name)
        with pytest.raises(DataError, match=rf"b{name}: no such file; did you mean .*{name}"):
            read(tmp_path, file=f"b{name}")
    (tmp_path / "a.xls").touch()
    with pytest.raises(DataError, match=r"'\.xls' is not one of \.tsv.*; save it as \.xlsx"):
        read(tmp_path, file="a.xls")


def test_a_half_written_spreadsheet_is_told(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", ROWS)
    raw = (tmp_path / "a.xlsx").read_bytes()
    (tmp_path / "a.xlsx").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=r"a\.xlsx: cannot be read as an \.xlsx spreadsheet"):
        read(tmp_path, file="a.xlsx")


@pytest.mark.parametrize(
    ("library", "spec", "extra"),
    [
        ("openpyxl", {"file": "a.xlsx"}, "tables"),
        ("pyarrow", {"file": "a.parquet"}, "tables"),
        ("datasets", {"hub": "owner/name", "split": "train"}, "hub"),
    ],
)
def test_a_missing_library_is_told_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, spec: dict[str, Any], extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as error:
        read(tmp_path, **spec)
    assert f"pip install 'polyhead[{extra}]'" in str(error.value)
    assert library in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"file": "a.tsv", "hub": "o/n", "split": "train"}, "either file or hub, not both"),
        ({"hub": "o/n"}, "hub needs split"),
        ({"file": "a.tsv", "split": "train"}, "belong to hub"),
        ({"file": "a.tsv", "sheet": "x"}, r"sheet belongs to an \.xlsx file"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(spec: dict[str, Any], message: str) -> None:
    columns = {"source_column": "a", "target_column": "b"}
    with pytest.raises(ValidationError, match=message):
        PairSource.model_validate(spec | columns)


# --- the hub (a folder of that name serves the library as one of its sets, without a network)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return folder


def test_a_set_of_the_hub_is_read_by_split_and_column(hub: Path) -> None:
    rows = [{"translation": {"ko": r["ko"], "en": r["en"]}, "domain": r["domain"]} for r in ROWS]
    write_parquet(hub / "train.parquet", rows)
    write_parquet(hub / "test.parquet", rows[:1])
    pairs = read(
        hub,
        hub="owner/name",
        split="train",
        source_column="translation.ko",
        target_column="translation.en",
        where={"domain": "talk"},
    )
    assert pairs.sources == ["안녕, 친구", "고마워"]
    assert pairs.place(1) == "hub owner/name, split train, row 2"
    with pytest.raises(DataError, match=r"hub owner/name: .*tset"):
        read(hub, hub="owner/name", split="tset")
    with pytest.raises(DataError, match=r"split train: no column 'ko'; there are .*'translation'"):
        read(hub, hub="owner/name", split="train")


def test_a_hub_out_of_reach_is_told_with_the_ways_out(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError) as error:
        read(hub, hub="nobody/nothing-of-this-name", split="train")
    assert "hub nobody/nothing-of-this-name: the hub cannot be reached" in str(error.value)
    assert "name its file with file:" in str(error.value)
