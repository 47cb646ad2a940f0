"""Every error a user can cause; each says what was found, what was needed and what to do."""

from __future__ import annotations


class PolyheadError(Exception):
    """Root of all errors Polyhead raises on purpose; the command line prints it and exits 1."""

    exit_code = 1


class UsageError(PolyheadError):
    """The command or call itself is wrong; the command line exits 2."""

    exit_code = 2


class WrongTaskError(UsageError, AttributeError):
    """A run was asked for what runs of its task cannot do."""


class RecipeError(UsageError):
    """A recipe has problems: all are listed, each with its path and the nearest valid name."""

    def __init__(self, where: str, problems: list[str]):
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{where}: {count}\n" + "\n".join(f"  - {p}" for p in problems))


class DataError(PolyheadError):
    """A data file is missing, unreadable or not what the recipe says it is."""


class DataFault(DataError):
    """A fault at one place of a data file; `check-data` collects them, all others stop at one.

    `kind` is a short name, `line` counts from 1 as the user sees it (`unit`: a line of a text file,
    a row of a spreadsheet), `text` replaces the usual "file, line n: message".
    """

    def __init__(
        self,
        kind: str,
        file: str,
        line: int,
        message: str,
        *,
        unit: str = "line",
        text: str | None = None,
    ):
        self.kind, self.file, self.line, self.message = kind, file, line, message
        super().__init__(text or f"{file}, {unit} {line}: {message}")


class RunError(PolyheadError):
    """A run folder is missing, damaged, or of another format version than this program's."""


class CheckpointError(RunError):
    """A checkpoint's files do not match their checksums, or none can be used."""


class TrainingError(PolyheadError):
    """Training cannot go on: a loss that is not a number, data that changed, …"""


class OutOfMemoryError(PolyheadError):
    """Memory does not suffice; the message has shapes and a change that fits."""


class PictureError(PolyheadError):
    """This machine cannot draw a picture; what it was to show is not lost."""


class MissingExtraError(PolyheadError):
    """A feature needs an optional package that is not installed."""

    def __init__(self, feature: str, package: str, extra: str):
        super().__init__(
            f"{feature} needs the package {package}, which is not installed. "
            f"Install it with: pip install 'polyhead[{extra}]'"
        )


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGINT came where there was nothing to finish first; says what is there now.

    No error: the command line prints it and exits 0.
    """
