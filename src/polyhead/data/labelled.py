"""Texts with what is to be said of them: labels, numbers, choices, tags, answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from polyhead.config import DataPath, Section
from polyhead.data.tables import TableSource, read_rows
from polyhead.errors import DataError, DataFault
from polyhead.files import Report, read_bytes, read_lines, stop

OTHER_MARKS = ("S", "E", "L", "U")  # of one word, and of the last: IOBES, BILOU


@dataclass(frozen=True)
class Labelled:
    """Texts (of a pair two), the answer as it stands in the file (None: not known), and where."""

    texts: tuple[str, ...]
    target: Any
    place: str


def as_list(value: Any) -> Any:
    """A mapping, or a list of them, as a list; nothing is none."""
    return value if isinstance(value, list) else [] if value is None else [value]


class LabelledTable(TableSource):
    """A table with a column of texts, perhaps one of second texts, and one of labels or numbers."""

    text_column: str = Field(description="what is to be labelled")
    pair_column: str | None = Field(None, description="of pairs: the second text")
    label_column: str = Field(description="the label, or the number")

    @model_validator(mode="after")
    def _check(self) -> LabelledTable:
        if not self.is_table:
            raise ValueError("give a file, or hub")
        self.check_table()
        return self


class ChoiceTable(TableSource):
    """A table with a text, several ways to go on, and which of them is right."""

    text_column: str = Field(description="the text, or the question")
    choice_columns: list[str] = Field(min_length=2, description="columns of the choices, in order")
    label_column: str = Field(
        description="the right choice: its column's name, or its number from 0"
    )

    @model_validator(mode="after")
    def _check(self) -> ChoiceTable:
        if not self.is_table:
            raise ValueError("give a file, or hub")
        self.check_table()
        return self


class TaggedFile(Section):
    """CoNLL's format: a word and its tag a line, blank lines between sentences."""

    file: DataPath = Field(description="columns apart by a tab or spaces; .gz allowed")
    token_column: int = Field(0, description="counted from 0, or from the end: -1 is the last")
    tag_column: int = Field(-1, description="likewise")


class QuestionFile(Section):
    """SQuAD's JSON: data, paragraphs, qas."""

    file: DataPath = Field(description=".json, .gz allowed")


LabelledTables = Annotated[list[LabelledTable], BeforeValidator(as_list)]
ChoiceTables = Annotated[list[ChoiceTable], BeforeValidator(as_list)]
TaggedFiles = Annotated[list[TaggedFile], BeforeValidator(as_list)]
QuestionFiles = Annotated[list[QuestionFile], BeforeValidator(as_list)]


def fault(place: str, kind: str, message: str) -> DataFault:
    """A fault at a place, as `Labelled` names them."""
    return DataFault(kind, place, 0, message, text=f"{place}: {message}")


def read_labelled(table: LabelledTable, report: Report = stop) -> Iterator[Labelled]:
    """The rows of a table; a missing label or text goes to `report`.

    Where that returns, here and in all that follow, the row is left out.
    """
    columns = [c for c in (table.text_column, table.pair_column) if c is not None]
    for row, cells in read_rows(table, [*columns, table.label_column], report):
        *texts, label = cells
        place = f"{table.label}, {table.unit} {row}"
        if not label.strip():
            report(fault(place, "no_label", f"the column {table.label_column!r} is empty"))
        elif _filled(place, columns, texts, report):
            yield Labelled(tuple(texts), label.strip(), place)


def _filled(place: str, columns: Sequence[str], texts: Sequence[str], report: Report) -> bool:
    empty = [column for column, text in zip(columns, texts, strict=True) if not text.strip()]
    if empty:
        report(fault(place, "empty", f"the column {empty[0]!r} is empty"))
    return not empty


def read_numbers(table: LabelledTable, report: Report = stop) -> Iterator[Labelled]:
    """The same with numbers; what is none goes to `report`."""
    for one in read_labelled(table, report):
        try:
            number = float(one.target)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            yield Labelled(one.texts, number, one.place)
        else:
            report(fault(one.place, "no_number", f"{one.target!r} is not a number"))


def read_choices(table: ChoiceTable, report: Report = stop) -> Iterator[Labelled]:
    """Texts (text, choice, choice, …) and the number of the right one.

    A missing text or choice, and a label that is no choice, go to `report`.
    """
    names = table.choice_columns
    right = {str(i): i for i in range(len(names))} | {name: i for i, name in enumerate(names)}
    for row, cells in read_rows(table, [table.text_column, *names, table.label_column], report):
        *texts, label = cells
        place = f"{table.label}, {table.unit} {row}"
        if not _filled(place, [table.text_column, *names], texts, report):
            continue
        if label in right:
            yield Labelled(tuple(texts), right[label], place)
        else:
            wanted = f"one of {', '.join(names)} or a number from 0 to {len(names) - 1}"
            report(fault(place, "bad_label", f"{label!r} is no choice: it must be {wanted}"))


def read_tagged(source: TaggedFile, report: Report = stop) -> Iterator[Labelled]:
    """Sentences as one text of words with spaces between, and their tags.

    A line with another number of columns than the first goes to `report`. Raises DataFault, with
    file and line, for columns that are not there, and tags of another scheme than B-, I- and O.
    """
    path = Path(source.file)
    lines: dict[str, int] = {}  # the first of each tag
    words: list[str] = []
    tags: list[str] = []
    columns = (source.token_column, source.tag_column)
    width = first = begin = 0
    for number, line in enumerate(read_lines(path, report), start=1):
        cells = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or cells[0] == "-DOCSTART-":
            if words:
                yield Labelled((" ".join(words),), tags, f"{path}, line {begin}")
            words, tags = [], []
            continue
        if not width:
            width, first = len(cells), number
            if width < 2 or any(not -width <= c < width for c in columns):
                wanted = f"columns {source.token_column} and {source.tag_column}"
                raise fault(
                    f"{path}, line {number}", "columns", f"{width} columns; {wanted} needed"
                )
        if len(cells) != width:
            message = f"{len(cells)} columns, but line {first} has {width}"
            report(fault(f"{path}, line {number}", "columns", message))
            continue
        if empty := [c for c in columns if not cells[c].strip()]:
            report(fault(f"{path}, line {number}", "columns", f"column {empty[0]} is empty"))
            continue
        begin = begin if words else number
        words.append("".join(cells[source.token_column].split()))
        tags.append(cells[source.tag_column].strip())
        lines.setdefault(tags[-1], number)
    if words:
        yield Labelled((" ".join(words),), tags, f"{path}, line {begin}")
    if not width:
        raise DataError(f"{path}: there is no line with a word and its tag")
    _check_scheme(path, lines)


def _check_scheme(path: Path, lines: Mapping[str, int]) -> None:
    """Raise DataFault for S-, E-, L- or U- where their types have B- or I-, too.

    Without those it is the name of a type: E-mail.
    """
    for tag, line in lines.items():
        mark, dash, kind = tag.partition("-")
        if dash and mark in OTHER_MARKS and lines.keys() & {f"B-{kind}", f"I-{kind}"}:
            raise fault(
                f"{path}, line {line}", "scheme",
                f"the tag {tag!r} is of IOBES or BILOU, and B-, I- and O are needed: write S- and "
                "U- as B-, E- and L- as I-",
            )  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """Where an answer begins in its context, and all texts that are right."""

    start: int
    texts: tuple[str, ...]


class _Squad(BaseModel):
    """A part of SQuAD's JSON; what else stands there is not read."""

    model_config = ConfigDict(strict=True)


class _Answer(_Squad):
    text: str
    answer_start: int


class _Question(_Squad):
    id: str | int
    question: str
    answers: list[_Answer]


class _Paragraph(_Squad):
    context: str
    qas: list[_Question]


class _Article(_Squad):
    paragraphs: list[_Paragraph]


class _Articles(_Squad):
    data: list[_Article]


def read_questions(source: QuestionFile, report: Report = stop) -> Iterator[Labelled]:
    """Texts (question, context) and the Answer.

    A question without an answer, and an answer that does not stand where it should, go to `report`.
    Raises DataError for what is not SQuAD's JSON.
    """
    path = Path(source.file)
    try:
        text = read_bytes(path).decode("utf-8-sig")
        articles = _Articles.model_validate_json(text).data
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        message = f"{where}: {first['msg']}, found {first['input']!r:.60}"
        raise DataError(f"{path} is not SQuAD's JSON (data, paragraphs, qas): {message}") from None
    except ValueError as error:
        raise DataError(f"{path} is not SQuAD's JSON (data, paragraphs, qas): {error}") from None
    rows = [(p.context, q) for a in articles for p in a.paragraphs for q in p.qas]
    if not rows:
        raise DataError(f"{path}: there is no question")
    for context, asked in rows:
        place = f"{path}, question {asked.id}"
        if not asked.answers:
            report(fault(place, "no_answer", "it has no answer, and every question needs one"))
            continue
        text, start = asked.answers[0].text, asked.answers[0].answer_start
        if start < 0 or context[start : start + len(text)] != text:
            report(fault(place, "answer", f"{text!r} does not stand at {start} of the context"))
            continue
        texts = tuple(answer.text for answer in asked.answers)
        yield Labelled((asked.question, context), Answer(start, texts), place)
