"""Sentence pairs from two aligned files, TSV, CSV or JSONL, plain or gzip-compressed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from polyhead.config import DataPath, Section
from polyhead.errors import DataError
from polyhead.files import read_lines

csv.field_size_limit(2**31 - 1)


class PairSource(Section):
    """One corpus: `source` and `target` files, or a `file` with named columns."""

    source: DataPath | None = Field(None, description="text file, a sentence a line")
    target: DataPath | None = Field(None, description="its translation, line by line")
    file: DataPath | None = Field(None, description=".tsv, .csv or .jsonl, .gz allowed")
    source_column: str | None = None
    target_column: str | None = None
    group_column: str | None = Field(None, description="scores are also shown per value of it")
    where: dict[str, str | int | float | bool | list[str | int | float | bool]] = Field(
        default_factory=dict, description="keep rows whose column has this value, or one of these"
    )
    weight: float = Field(1.0, gt=0, description="how often an epoch draws each pair, on average")

    @model_validator(mode="after")
    def _one_form(self) -> PairSource:
        aligned = self.source is not None or self.target is not None
        if aligned == (self.file is not None):
            raise ValueError("give either source and target, or file with its columns")
        if aligned and (self.source is None or self.target is None):
            raise ValueError("source and target files go together")
        if self.file is not None and (self.source_column is None or self.target_column is None):
            raise ValueError("a file needs source_column and target_column")
        if aligned and (self.where or self.source_column or self.group_column):
            raise ValueError("columns and where belong to a file, not to aligned text files")
        return self


@dataclass
class Pairs:
    """Sentence pairs with where each came from; lists of equal length."""

    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    name: str = ""
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.sources)


def read_pairs(spec: PairSource) -> Pairs:
    """All pairs of a corpus; raises DataError with file and line for what cannot be read."""
    if spec.file is not None:
        return _read_table(spec, Path(spec.file))
    return _read_aligned(Path(str(spec.source)), Path(str(spec.target)), spec.weight)


def _read_aligned(source: Path, target: Path, weight: float) -> Pairs:
    pairs = Pairs(name=f"{source} | {target}", weight=weight)
    missing = object()
    counts = [0, 0]
    for s, t in zip_longest(read_lines(source), read_lines(target), fillvalue=missing):
        counts[0] += s is not missing
        counts[1] += t is not missing
        if s is not missing and t is not missing:
            pairs.sources.append(str(s))
            pairs.targets.append(str(t))
    if counts[0] != counts[1]:
        raise DataError(
            f"{source} has {counts[0]:,} lines but {target} has {counts[1]:,}: line i of one must "
            f"translate line i of the other. The first line without a partner is {min(counts) + 1}."
        )
    pairs.lines = list(range(1, len(pairs) + 1))
    pairs.groups = [""] * len(pairs)
    return pairs


def _read_table(spec: PairSource, path: Path) -> Pairs:
    pairs = Pairs(name=str(path), weight=spec.weight)
    where = {
        column: {_as_text(v) for v in (value if isinstance(value, list) else [value])}
        for column, value in spec.where.items()
    }
    wanted = [str(spec.source_column), str(spec.target_column), *where]
    if spec.group_column:
        wanted.append(spec.group_column)
    seen: dict[str, set[str]] = {column: set() for column in where}
    for line, row in _rows(path, wanted):
        if all(_as_text(row[column]) in values for column, values in where.items()):
            pairs.sources.append(_as_text(row[str(spec.source_column)]))
            pairs.targets.append(_as_text(row[str(spec.target_column)]))
            pairs.lines.append(line)
            pairs.groups.append(_as_text(row[spec.group_column]) if spec.group_column else "")
        for column, values in seen.items():
            if len(values) < 20:
                values.add(_as_text(row[column]))
    if not pairs.sources and where:
        found = "; ".join(f"{c} has {', '.join(sorted(v)) or 'no values'}" for c, v in seen.items())
        raise DataError(f"{path}: no row passes where {spec.where}. Found: {found}")
    return pairs


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _rows(path: Path, wanted: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, row) of a table; every wanted column is there, or DataError says which not."""
    suffix = next((s for s in reversed(path.suffixes) if s != ".gz"), "")
    if suffix in (".jsonl", ".ndjson"):
        yield from _json_rows(path, wanted)
    elif suffix in (".tsv", ".tab", ".txt"):
        yield from _tab_rows(path, wanted)
    elif suffix == ".csv":
        yield from _csv_rows(path, wanted)
    else:
        raise DataError(f"{path}: the ending {suffix!r} is not one of .tsv, .csv, .jsonl (or .gz)")


def _tab_rows(path: Path, wanted: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    lines = read_lines(path)
    header = next(lines, "").split("\t")
    _check_columns(path, header, wanted)
    for number, line in enumerate(lines, start=2):
        cells = line.split("\t")
        if line and len(cells) != len(header):
            raise DataError(
                f"{path}, line {number}: {len(cells)} columns, but the header has {len(header)}"
            )
        if line:
            yield number, dict(zip(header, cells, strict=True))


def _csv_rows(path: Path, wanted: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader((f"{line}\n" for line in read_lines(path)), strict=True)
    try:
        header = next(reader, [])
        _check_columns(path, header, wanted)
        for cells in reader:
            if cells and len(cells) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(cells)} columns, but the header has "
                    f"{len(header)}"
                )
            if cells:
                yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not valid CSV ({error})") from None


def _json_rows(path: Path, wanted: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not valid JSON ({error})") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: a JSON object is needed, one a line")
        _check_columns(f"{path}, line {number}", list(row), wanted)
        yield number, row


def _check_columns(where: Path | str, header: list[str], wanted: list[str]) -> None:
    for column in wanted:
        if column not in header:
            near = get_close_matches(column, header, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"{where}: no column {column!r}; there are {', '.join(map(repr, header))}{hint}"
            )
