"""Documents: whole text files, their lines or paragraphs, or a column of any table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import regex
from pydantic import BeforeValidator, Field, model_validator

from polyhead.data.tables import TABLES, TableSource, ending_of, read_rows
from polyhead.errors import DataError
from polyhead.files import read_bytes, read_lines

Cut = Literal["file", "paragraph", "line"]
_SENTENCE_END = regex.compile(r"(?<=[.!?。！？…]['\"’”)\]]*)\s+")


class TextSource(TableSource):
    """A plain text file, or a table with a column of texts."""

    documents: Cut = Field(
        "file",
        description="of a plain text file: all of it is one, or each paragraph (blank lines stand "
        "between), or each line",
    )
    text_column: str | None = Field(None, description="of a table: a document a row")

    @model_validator(mode="after")
    def _one_form(self) -> TextSource:
        if not self.is_table:
            raise ValueError("give a file, or hub")
        table = self.hub is not None or ending_of(Path(str(self.file))) in TABLES
        if table and self.text_column is None:
            raise ValueError("a table needs text_column")
        if self.text_column is not None and self.documents != "file":
            raise ValueError("documents is about plain text files; a table has one a row")
        if self.where and self.text_column is None:
            raise ValueError("where belongs to a table")
        self.check_table()
        return self


def as_sources(value: Any) -> Any:
    """A path, a mapping, or a list of them, as a list of mappings; nothing is none."""
    several = value if isinstance(value, list) else [] if value is None else [value]
    return [{"file": one} if isinstance(one, str | Path) else one for one in several]


TextSources = Annotated[list[TextSource], BeforeValidator(as_sources)]


@dataclass
class Documents:
    """Texts that are not empty, and where each begins."""

    texts: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    empty: int = 0  # left out

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int]) -> Documents:
        """These documents."""
        texts, places = ([side[i] for i in indices] for side in (self.texts, self.places))
        return Documents(texts, places, self.empty)

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of all texts, and one for each document's end."""
        return sum(len(text.encode()) + 1 for text in self.texts)


def sentences_of(text: str) -> list[str]:
    """A document's sentences: its lines or, where all is one line, cut after `.`, `!` and `?`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines if len(lines) > 1 else _SENTENCE_END.split(text.strip())


def read_documents(sources: list[TextSource]) -> Documents:
    """All documents of several places; raises DataError where there is no text at all."""
    found = Documents()
    for source in sources:
        for place, text in _texts(source):
            if text.strip():
                found.texts.append(text)
                found.places.append(place)
            else:
                found.empty += 1
    if not len(found):
        names = ", ".join(source.label for source in sources)
        raise DataError(f"{names}: there is no text; an empty corpus teaches nothing")
    return found


def _texts(source: TextSource) -> Iterator[tuple[str, str]]:
    if source.text_column is not None:
        for row, (text,) in read_rows(source, [source.text_column]):
            yield f"{source.label}, {source.unit} {row}", text
        return
    path = Path(str(source.file))
    if source.documents == "line":
        for number, line in enumerate(read_lines(path), start=1):
            yield f"{path}, line {number}", line
    elif source.documents == "paragraph":
        yield from _paragraphs(path)
    else:
        yield str(path), _whole(path)


def _paragraphs(path: Path) -> Iterator[tuple[str, str]]:
    lines: list[str] = []
    number = 0
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            lines.append(line)
        elif lines:
            yield f"{path}, line {number - len(lines)}", "\n".join(lines)
            lines = []
    if lines:
        yield f"{path}, line {number + 1 - len(lines)}", "\n".join(lines)


def _whole(path: Path) -> str:
    """A file's text, to the byte but for line ends, which are all one line feed."""
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        for _ in read_lines(path):  # which names the line
            pass
        raise
