"""Rows of an .xlsx spreadsheet, read as a stream (library: openpyxl)."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from polyhead.data.columns import as_text, check_columns
from polyhead.errors import DataError, DataFault, MissingExtraError
from polyhead.files import Report, open_bytes


def sheet_cells(
    path: Path, sheet: str | None, wanted: list[str], report: Report
) -> Iterator[tuple[int, Sequence[Any]]]:
    """(row as the spreadsheet numbers it, wanted cells); the first row is the header.

    Of a formula, the value is read that was last computed and saved. A cell that holds an error,
    such as #N/A, is a fault of its row. Rows without any wanted cell are not rows.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError(f"reading {path.name}", "openpyxl", "tables") from None
    with open_bytes(path) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about styles and forms, which are not read
                book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            page = _page(book, path, sheet)
            page.reset_dimensions()  # some writers store wrong ones, which would cut rows off
            yield from _cells(page, f"{path}, sheet {page.title!r}", wanted, report)
        except (BadZipFile, zlib.error, KeyError, ValueError, OSError, SyntaxError) as error:
            raise DataError(f"{path}: cannot be read as an .xlsx spreadsheet ({error})") from None


def _page(book: Any, path: Path, sheet: str | None) -> Any:
    pages = {page.title: page for page in book.worksheets}
    if not pages:
        raise DataError(f"{path}: there is no sheet with cells in it")
    if sheet is not None and sheet not in pages:
        raise DataError(f"{path}: no sheet {sheet!r}; there are {', '.join(map(repr, pages))}")
    return pages[sheet] if sheet is not None else next(iter(pages.values()))


def _cells(
    page: Any, name: str, wanted: list[str], report: Report
) -> Iterator[tuple[int, Sequence[Any]]]:
    rows = page.iter_rows()
    header = [as_text(cell.value) for cell in next(rows, ())]
    picks = check_columns(name, header, wanted)
    for number, row in enumerate(rows, start=2):
        cells = [row[i] if i < len(row) else None for i in picks]
        values = [None if cell is None else cell.value for cell in cells]
        faulty = [i for i, cell in enumerate(cells) if cell is not None and cell.data_type == "e"]
        for i in faulty:
            message = f"column {wanted[i]!r} holds the error {values[i]}"
            report(DataFault("bad_row", name, number, message, unit="row"))
        if not faulty and any(value is not None for value in values):
            yield number, values
