"""Rows of named columns from any table: TSV, CSV, JSONL, XLSX, Parquet, or a set of the hub."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from polyhead.config import DataPath, Section
from polyhead.data.columns import as_text, check_columns, nested
from polyhead.errors import DataError, DataFault
from polyhead.files import HALF, Report, read_lines, stop

csv.field_size_limit(2**31 - 1)

Scalar = str | int | float | bool
Cells = Iterator[tuple[int, Sequence[Any]]]
ENDINGS = ".tsv, .csv, .jsonl (or .gz), .xlsx, .parquet"
TABLES = (".tsv", ".tab", ".csv", ".jsonl", ".ndjson", ".xlsx", ".parquet")  # never plain text


class TableSource(Section):
    """What a recipe may say about a table, whatever its columns are for."""

    file: DataPath | None = Field(
        None, description=".tsv, .csv, .jsonl (.gz allowed), .xlsx or .parquet"
    )
    sheet: str | None = Field(None, description="of an .xlsx file; default: the first")
    hub: str | None = Field(
        None, description="OWNER/NAME on the Hugging Face hub, instead of a file (extra: hub)"
    )
    config: str | None = Field(None, description="of a hub set that has several")
    split: str | None = Field(None, description="of a hub set, for example train")
    revision: str | None = Field(None, description="of a hub set: a commit or tag, to pin it")
    where: dict[str, Scalar | list[Scalar]] = Field(
        default_factory=dict, description="keep rows whose column has this value, or one of these"
    )

    @property
    def is_table(self) -> bool:
        """Whether a table is named at all."""
        return self.file is not None or self.hub is not None

    @property
    def label(self) -> str:
        """The table's name in messages."""
        if self.hub is not None:
            config = f", config {self.config}" if self.config else ""
            return f"hub {self.hub}{config}, split {self.split}"
        return f"{self.file}, sheet {self.sheet!r}" if self.sheet else str(self.file)

    @property
    def unit(self) -> str:
        """What a place in it is called: a line, or a row where there are no lines."""
        return (
            "row"
            if self.hub or ending_of(Path(str(self.file))) in (".xlsx", ".parquet")
            else "line"
        )

    def check_table(self) -> None:
        """Raise ValueError, as a schema's validator does, for keys that do not go together."""
        if self.file is not None and self.hub is not None:
            raise ValueError("give either file or hub, not both")
        if self.hub is None and (self.config or self.split or self.revision):
            raise ValueError("config, split and revision belong to hub")
        if self.hub is not None and self.split is None:
            raise ValueError("hub needs split (for example split: train)")
        if self.sheet is not None and ending_of(Path(self.file or "")) != ".xlsx":
            raise ValueError("sheet belongs to an .xlsx file")


def read_rows(
    table: TableSource, columns: Sequence[str], report: Report = stop, *, texts: int = 0
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(line or row, the texts of these columns) of every row that passes `where`.

    Places count as the user sees them: lines of a text file, rows of a spreadsheet with its header
    as row 1, rows of Parquet and hub sets from 1. A column inside another is named `outer.inner`.
    Of the columns the first `texts` are to be learned from: in JSON, a number or null there is a
    fault. Raises DataError where the table cannot be read, has no such column or no row, or no row
    passes `where`.
    Faults of single rows go to `report`; if that returns, the row is left out.
    """
    where = {
        column: {as_text(v) for v in (value if isinstance(value, list) else [value])}
        for column, value in table.where.items()
    }
    wanted = [*columns, *where]
    seen: dict[str, set[str]] = {column: set() for column in where}
    passed = False
    place = 0
    for place, raw in _cells(table, wanted, report, texts):
        try:
            cells = tuple(map(as_text, raw))
        except TypeError:
            for column, value in zip(wanted, raw, strict=True):
                _report_structure(table, place, column, value, report)
            continue
        filters = cells[len(columns) :]
        for values, cell in zip(seen.values(), filters, strict=True):
            if len(values) < 20:
                values.add(cell)
        if all(cell in allowed for cell, allowed in zip(filters, where.values(), strict=True)):
            passed = True
            yield place, cells[: len(columns)]
    if place == 0:
        raise DataError(f"{table.label} has no rows: there is nothing in it to read")
    if where and not passed:
        found = "; ".join(f"{c} has {', '.join(sorted(v)) or 'no values'}" for c, v in seen.items())
        raise DataError(f"{table.label}: no row passes where {table.where}. Found: {found}")


def _report_structure(
    table: TableSource, place: int, column: str, value: Any, report: Report
) -> None:
    if isinstance(value, dict):
        inner = ", ".join(f"{column}.{key}" for key in value)
        found, advice = "keys of its own", f"name one of {inner}"
    elif isinstance(value, bytes | list):
        found = "bytes" if isinstance(value, bytes) else "a list"
        advice = "text or a number is needed"
    else:
        return
    message = f"column {column!r} holds {found}; {advice}"
    report(DataFault("bad_row", table.label, place, message, unit=table.unit))


def ending_of(path: Path) -> str:
    """What kind of file its name says it is, in lower case; .gz says nothing of it."""
    return next((s.lower() for s in reversed(path.suffixes) if s != ".gz"), "")


def _cells(table: TableSource, wanted: list[str], report: Report, texts: int) -> Cells:
    """(place, wanted cells) of every row; blank lines and rows are not rows."""
    if table.hub is not None:
        from polyhead.data.arrow import hub_cells

        return hub_cells(table.hub, table.config, str(table.split), table.revision, wanted)
    path = Path(str(table.file))
    ending = ending_of(path)
    if ending in (".jsonl", ".ndjson"):
        return _json_cells(path, wanted, report, texts)
    if ending in (".tsv", ".tab", ".txt"):
        return _tab_cells(path, wanted, report)
    if ending == ".csv":
        return _csv_cells(path, wanted, report)
    if ending == ".xlsx":
        from polyhead.data.spreadsheet import sheet_cells

        return sheet_cells(path, table.sheet, wanted, report)
    if ending == ".parquet":
        from polyhead.data.arrow import parquet_cells

        return parquet_cells(path, wanted)
    hint = "; save it as .xlsx" if ending in (".xls", ".ods") else ""
    raise DataError(f"{path}: the ending {ending!r} is not one of {ENDINGS}{hint}")


def _tab_cells(path: Path, wanted: list[str], report: Report) -> Cells:
    lines = read_lines(path, report)
    header = _header(path, next(lines, "").split("\t"))
    picks = check_columns(str(path), header, wanted)
    for number, line in enumerate(lines, start=2):
        if line:
            cells = line.split("\t")
            if len(cells) == len(header):
                yield number, [cells[i] for i in picks]
            else:
                report(_width(path, number, cells, header))


def _header(path: Path, cells: list[str]) -> list[str]:
    if not any(cells):
        raise DataError(f"{path} is empty, or its first line is; that line must name the columns")
    return cells


def _csv_cells(path: Path, wanted: list[str], report: Report) -> Cells:
    reader = csv.reader((f"{line}\n" for line in read_lines(path, report)), strict=True)
    try:
        header = _header(path, next(reader, []))
        picks = check_columns(str(path), header, wanted)
        first = reader.line_num + 1  # a record may span lines: its first is told
        for cells in reader:
            if len(cells) == len(header):
                yield first, [cells[i] for i in picks]
            elif cells:
                report(_width(path, first, cells, header))
            first = reader.line_num + 1
    except csv.Error as error:
        message = f"not valid CSV ({error}); nothing after it could be read"
        report(DataFault("bad_row", str(path), reader.line_num, message))


def _width(path: Path, number: int, cells: Iterable[str], header: list[str]) -> DataFault:
    message = f"{len(list(cells))} columns, but the header has {len(header)}"
    return DataFault("bad_row", str(path), number, message)


def _json_cells(path: Path, wanted: list[str], report: Report, texts: int) -> Cells:
    for number, line in enumerate(read_lines(path, report), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            report(DataFault("bad_row", str(path), number, f"not valid JSON ({error})"))
            continue
        if not isinstance(row, dict):
            message = "a JSON object is needed, one a line"
            report(DataFault("bad_row", str(path), number, message))
            continue
        try:
            cells = [nested(row, column) for column in wanted]
        except KeyError as missing:
            message = str(missing.args[0])
            report(DataFault("bad_row", str(path), number, message))
            continue
        wrong = next((i for i in range(texts) if isinstance(cells[i], _NO_TEXT)), None)
        if wrong is not None:
            shown = json.dumps(cells[wrong])
            message = f"column {wanted[wrong]!r} holds {shown}, which is no text; put it in quotes"
            report(DataFault("bad_row", str(path), number, message))
        elif _ESCAPED_HALF.search(line) and HALF.search("".join(map(str, cells))):
            message = "half of a character (a lone surrogate such as \\ud83d), which is no text"
            report(DataFault("bad_row", str(path), number, message))
        else:
            yield number, cells


# JSON writes a character beyond U+FFFF as two halves
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_NO_TEXT = (int, float, type(None))  # what has an inner structure is told for every kind of table
