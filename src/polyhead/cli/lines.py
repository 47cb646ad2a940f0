"""What commands read and write line by line: files, standard input and output, typed texts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token

from polyhead.errors import UsageError
from polyhead.files import STANDARD_INPUT, cannot_write, decode_lines, read_lines

Flag = Parameter(negative="")
Json = Annotated[bool, Parameter(name="--json", negative="", help="print one JSON object")]
Text = Annotated[str, Parameter(allow_leading_hyphen=True)]
"""A text, which may begin with -."""
Texts = Annotated[
    tuple[str, ...],
    Parameter(allow_leading_hyphen=True, negative="", consume_multiple=False),
]
"""Several, each after the option's name."""


def _not_an_option(_: object, value: str | None) -> None:
    if value is not None and value.startswith("-") and value != "-":
        raise ValueError(f"unknown option {value} (a file of that name is ./{value})")


Input = Annotated[str, Parameter(allow_leading_hyphen=True, validator=_not_an_option)]
"""A file to read, or - for standard input."""


def _path(_: object, tokens: Sequence[Token]) -> Path:
    value = tokens[0].value
    _not_an_option(None, value)
    return Path("/dev/stdin" if value == "-" else value)


Side = Annotated[Path, Parameter(allow_leading_hyphen=True, converter=_path)]
"""One of two aligned files, of which one may be - for standard input."""


def typed(text: str) -> str:
    """A text from the command line; what the locale could not decode is UTF-8, or a fault."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeDecodeError as error:
        shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
        raise UsageError(
            f"the text {shown!r} is not valid UTF-8 at byte {error.start + 1}; set the terminal to "
            "UTF-8, or put the text into a file"
        ) from None


def input_lines(file: str) -> Iterator[str]:
    if file == "-":
        if sys.stdin is None:  # closed by the shell
            raise UsageError("standard input is closed: give a file, or text to read")
        return decode_lines(sys.stdin.buffer, STANDARD_INPUT)
    return read_lines(Path(file))


def aligned(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """The lines of two aligned files."""
    from polyhead.data.pairs import PairSource, read_pairs

    pairs = read_pairs(
        PairSource.model_validate(
            {"source": str(source), "target": str(target)}, context={"folder": Path()}
        )
    )
    return pairs.sources, pairs.targets


class Sink:
    """Lines to standard output, or to a file, which gets its name when it is whole.

    So nothing is lost where the input has a fault, or is the very file to write.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.part: Path | None = None
        if path is None:
            self.file = sys.stdout
            return
        if path.is_file() or not path.exists():  # else it is a pipe or a device
            self.path = path.resolve()
            self.part = self.path.with_name(f"{self.path.name}.part")
        try:
            self.file = (self.part or path).open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise cannot_write(path, error) from None

    def __enter__(self) -> Sink:
        return self

    def write(self, line: str) -> None:
        try:
            self.file.write(line + "\n")
        except OSError as error:
            raise self._fault(error) from None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.file.flush() if self.path is None else self.file.close()
            if kind is None and self.path is not None and self.part is not None:
                self.part.replace(self.path)
        except OSError as error:
            if kind is None:
                raise self._fault(error) from None
        if kind is not None and self.part is not None:
            self._keep_or_drop(self.part)

    def _keep_or_drop(self, part: Path) -> None:
        """After a fault: keep what was written, and say where; an empty file is no use."""
        from polyhead.training.progress import say

        if part.stat().st_size:
            say(f"what was translated before is in {part}")
        else:
            part.unlink()

    def _fault(self, error: OSError) -> Exception:
        return error if self.path is None else cannot_write(self.path, error)


class LinesBar:
    """A progress bar over input lines, on stderr, where that is a terminal."""

    def __init__(self, file: str):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        from polyhead.training.progress import console

        total = None
        if console.is_terminal and file != "-" and Path(file).is_file():
            total = sum(1 for _ in read_lines(Path(file)))
        self.bar = Progress(
            "translating",
            BarColumn(),
            MofNCompleteColumn(),
            "lines",
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> LinesBar:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, done: int) -> None:
        self.bar.advance(self.task, done)
