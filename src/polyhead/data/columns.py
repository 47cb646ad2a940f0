"""Finding columns by name, and cells as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from polyhead.errors import DataError


def as_text(value: Any) -> str:
    """A cell as text: None is empty, 3.0 is 3; raises TypeError for bytes, lists and mappings."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list | bytes):
        raise TypeError(f"{type(value).__name__} is not text")
    return str(value)


def no_column(column: str, header: Iterable[str]) -> str:
    """The message for a column that is not there, with those that are."""
    names = list(dict.fromkeys(header))
    near = get_close_matches(column, names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no column {column!r}; there are {', '.join(map(repr, names)) or 'none'}{hint}"


def check_columns(where: str, header: Sequence[str], wanted: Iterable[str]) -> list[int]:
    """Where each wanted column stands; raises DataError for one that is missing or there twice."""
    for column in wanted:
        if column not in header:
            raise DataError(f"{where}: {no_column(column, header)}")
        if header.count(column) > 1:
            raise DataError(
                f"{where}: the column {column!r} stands {header.count(column)} times in the "
                "header; rename all but one"
            )
    return [header.index(column) for column in wanted]


def nested(row: dict[str, Any], column: str) -> Any:
    """A value by its key, or by `outer.inner`; raises KeyError, with a message, without it."""
    if column in row:
        return row[column]
    outer, dot, inner = column.partition(".")
    if dot and isinstance(row.get(outer), dict):
        return nested(row[outer], inner)
    raise KeyError(no_column(column, row))
