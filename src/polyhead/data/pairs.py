"""Sentence pairs from two aligned text files, or from two columns of any table."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from pydantic import Field, model_validator

from polyhead.config import DataPath
from polyhead.data.tables import TableSource, read_rows
from polyhead.errors import DataFault
from polyhead.files import Report, read_lines, stop


class PairSource(TableSource):
    """One corpus: `source` and `target` files, or a table (`file` or `hub`) with named columns."""

    source: DataPath | None = Field(None, description="text file, a sentence a line, .gz allowed")
    target: DataPath | None = Field(None, description="its translation, line by line")
    source_column: str | None = Field(
        None, description="column of the source sentences; `outer.inner` for inner keys"
    )
    target_column: str | None = Field(None, description="column of the translations")
    group_column: str | None = Field(None, description="scores are also shown per value of it")
    weight: float = Field(1.0, gt=0, description="how often an epoch draws each pair, on average")

    @model_validator(mode="after")
    def _one_form(self) -> PairSource:
        aligned = self.source is not None or self.target is not None
        if aligned == self.is_table:
            raise ValueError("give either source and target, or file (or hub) with its columns")
        if aligned and (self.source is None or self.target is None):
            raise ValueError("source and target files go together")
        if aligned and (self.where or self.source_column or self.group_column):
            raise ValueError("columns and where belong to a file, not to aligned text files")
        if self.is_table and (self.source_column is None or self.target_column is None):
            raise ValueError("a file needs source_column and target_column")
        self.check_table()
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
    files: tuple[str, str] = ("", "")  # of the source side and of the target side
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.sources)

    def place(self, index: int) -> str:
        """Where a pair stands, for messages."""
        return f"{self.name}, {self.unit} {self.lines[index]}"


def read_pairs(spec: PairSource, report: Report = stop) -> Pairs:
    """All pairs of a corpus; raises DataError with file and line for what cannot be read.

    A `report` that returns has the reading go on after a fault; what is faulty is left out, of
    files that differ in length the lines without a partner.
    """
    if spec.is_table:
        return _read_table(spec, report)
    return _read_aligned(Path(str(spec.source)), Path(str(spec.target)), spec.weight, report)


def _read_aligned(source: Path, target: Path, weight: float, report: Report) -> Pairs:
    names = (str(source), str(target))
    pairs = Pairs(name=" | ".join(names), weight=weight, files=names)
    missing = object()
    counts = [0, 0]
    lines = zip_longest(read_lines(source, report), read_lines(target, report), fillvalue=missing)
    for s, t in lines:
        counts[0] += s is not missing
        counts[1] += t is not missing
        if s is not missing and t is not missing:
            pairs.sources.append(str(s))
            pairs.targets.append(str(t))
    if counts[0] != counts[1]:
        longer = names[int(counts[1] > counts[0])]
        message = (
            f"{source} has {counts[0]:,} lines but {target} has {counts[1]:,}: line i of one must "
            f"translate line i of the other. The first line without a partner is {min(counts) + 1}."
        )
        report(DataFault("line_count", longer, min(counts) + 1, message, text=message))
    pairs.lines = list(range(1, len(pairs) + 1))
    pairs.groups = [""] * len(pairs)
    return pairs


def _read_table(spec: PairSource, report: Report) -> Pairs:
    pairs = Pairs(
        name=spec.label, weight=spec.weight, files=(spec.label, spec.label), unit=spec.unit
    )
    columns = [str(spec.source_column), str(spec.target_column)]
    if spec.group_column:
        columns.append(spec.group_column)
    for line, (source, target, *group) in read_rows(spec, columns, report, texts=2):
        pairs.sources.append(source)
        pairs.targets.append(target)
        pairs.lines.append(line)
        pairs.groups.append(group[0] if group else "")
    return pairs
