"""Files written so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from polyhead.errors import DataError, DataFault, RunError

Report = Callable[[DataFault], None]
"""What is told of a fault in a data file; it raises, or returns to have the reading go on."""

STANDARD_INPUT = "standard input"
NEW = ".new"  # what is being written inside a folder that stands already
RUN = "run.json"  # what makes a folder a run


def stop(fault: DataFault) -> None:
    """The usual report: the first fault ends the reading."""
    raise fault


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _share(path: Path) -> None:
    """Give a file the rights any new file has; safetensors lets only its owner read it."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it into place.

    Raises RunError (nothing lost: the old file stands) where the disk is full or refuses.
    """
    with _beside(path) as temporary:
        write(temporary)
        _share(temporary)
        _sync_file(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)


def _beside(path: Path) -> AbstractContextManager[Path]:
    """A temporary name beside `path`, which may become it."""
    return _temporary(path, path.with_name(f".{path.name}.{os.getpid()}.tmp"))


@contextmanager
def _temporary(path: Path, temporary: Path) -> Iterator[Path]:
    """A temporary name, under which nothing is left; RunError where `path` cannot be written."""
    _remove(temporary)
    try:
        yield temporary
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda temporary: _write_plain(temporary, text))


def _write_plain(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically, readable by a person."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a temporary folder, add checksums, sync all of it, and rename it into place.

    Raises RunError where the disk is full or refuses; what stood before still stands.
    """
    with _beside(path) as temporary:
        temporary.mkdir(parents=True)
        fill(temporary)
        sums = {file.name: sha256(file) for file in sorted(temporary.iterdir())}
        _write_plain(temporary / "checksums.json", json.dumps(sums, indent=2) + "\n")
        for file in temporary.iterdir():
            _share(file)
            _sync_file(file)
        _sync_folder(temporary)
        swap(temporary, path)


def swap(new: Path, path: Path) -> None:
    """Give a new folder its name; what stood there steps aside, and is removed only then."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    _remove(old)
    if path.exists():
        path.replace(old)
    try:
        new.replace(path)
    except OSError:
        if old.exists():
            old.replace(path)
        raise
    _sync_folder(path.parent)
    _remove(old)


def new_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a new folder under a temporary name, then rename it: whole or not there.

    A folder that stands there already, which may be a mounted one, gets what was written, the file
    that says what it is last. Raises RunError where the disk is full or refuses.
    """
    path = path.absolute()
    there = path.is_dir()
    with _temporary(path, path / NEW) if there else _beside(path) as temporary:
        temporary.mkdir(parents=True)
        fill(temporary)
        if there:
            for entry in sorted(temporary.iterdir(), key=lambda entry: (entry.name == RUN, entry)):
                entry.replace(path / entry.name)
            _sync_folder(path)
        else:
            temporary.replace(path)
            _sync_folder(path.parent)


def folder_faults(path: Path) -> list[str]:
    """What is wrong with a folder made by `write_folder`, a line each; none if all sums match."""
    listing = path / "checksums.json"
    try:
        sums = json.loads(listing.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [f"{listing} is missing or unreadable"]
    faults = []
    for name, expected in sums.items():
        file = path / name
        if not file.is_file():
            faults.append(f"{file} is missing")
        elif sha256(file) != expected:
            faults.append(f"{file} does not match its checksum (truncated or changed)")
    return faults


_NO_PLACE = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,  # a file where a folder is needed
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
)


def cannot_write(path: Path, error: OSError) -> RunError:
    """The error for a write the system refused, with the free space when it is a full disk."""
    if error.errno in _NO_PLACE:
        missing = "" if path.parent.exists() else f" (there is no folder {path.parent})"
        return RunError(
            f"cannot write {path}: {error.strerror or error}{missing}. "
            "What was saved before is untouched; choose another place."
        )
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return RunError(
        f"cannot write {path}: {error.strerror or error} ({free / 2**20:,.0f} MiB free there). "
        "What was saved before is untouched; free some space or choose another folder, then go on."
    )


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


UNREADABLE = (gzip.BadGzipFile, zlib.error, EOFError, OSError)
"""What a file that is not whole raises while it is read."""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a plain or gzip-compressed file for reading bytes; raises DataError if it cannot."""
    if fault := _fault(path):
        raise DataError(fault)
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    packed = file.peek(2)[:2] == b"\x1f\x8b"  # a look ahead, because a pipe cannot go back
    return gzip.open(file, "rb") if packed else file  # type: ignore[return-value]


def read_bytes(path: Path) -> bytes:
    """All of a plain or gzip-compressed file; raises DataError if it cannot be read to its end."""
    with open_bytes(path) as file:
        try:
            return file.read()
        except UNREADABLE as error:
            raise DataError(_torn(path, error)) from None


def check_all_there(named: Iterable[tuple[str, str]], advice: str = "") -> None:
    """Look for files by (what names them, path) without reading them.

    Raises DataError that lists all that cannot be read, and ends with the advice.
    """
    faults = [f"{name}: {fault}" for name, path in named if (fault := _fault(Path(path)))]
    if faults:
        count = "a file" if len(faults) == 1 else f"{len(faults)} files"
        lines = [f"{count} of the recipe cannot be read:", *faults]
        raise DataError("\n  ".join(lines) + (f"\n{advice}" if advice else ""))


def _fault(path: Path) -> str | None:
    """Why a file cannot be read, as far as that shows without opening it."""
    try:
        if path.is_dir():
            return f"{path} is a folder; a file is needed"
        if not path.exists():
            return f"{path}: no such file{_neighbour(path)}"
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    return None if os.access(path, os.R_OK) else f"cannot read {path}: Permission denied"


def _neighbour(path: Path) -> str:
    from difflib import get_close_matches

    if not path.parent.is_dir():
        return f" (its folder {path.parent} does not exist either)"
    near = get_close_matches(path.name, [p.name for p in path.parent.iterdir()], 1)
    return f"; did you mean {path.parent / near[0]}?" if near else ""


HALF = re.compile(r"[\ud800-\udfff]")
"""Half of a character (a lone surrogate), which UTF-8 cannot hold."""


def read_lines(path: Path, report: Report = stop) -> Iterator[str]:
    """The lines of a UTF-8 text file (plain or .gz) without line ends; a BOM is dropped.

    Only "\\n" (with an optional "\\r" before it) ends a line, as in `wc -l`: other Unicode line
    separators are text. A line of invalid UTF-8 is reported; if that returns, its bad bytes are
    read as U+FFFD.
    """
    with open_bytes(path) as file:
        yield from decode_lines(file, str(path), report)


def decode_lines(file: IO[bytes], name: str, report: Report = stop) -> Iterator[str]:
    """As `read_lines`, from an open binary stream called `name` in errors."""
    try:
        for number, raw in enumerate(file, start=1):
            encoding = "utf-8-sig" if number == 1 else "utf-8"
            try:
                line = raw.decode(encoding)
            except UnicodeDecodeError as error:
                byte, column = error.object[error.start], len(raw) - len(error.object) + error.start
                report(_invalid(name, number, byte, column + 1))
                line = raw.decode(encoding, "replace")
            yield line.removesuffix("\n").removesuffix("\r")
    except UNREADABLE as error:
        raise DataError(_torn(name, error)) from None


def _torn(name: str | Path, error: Exception) -> str:
    return f"{name}: cannot be read to its end ({error})"


def _invalid(name: str, number: int, byte: int, column: int) -> DataFault:
    return DataFault(
        "invalid_utf8",
        name,
        number,
        f"not valid UTF-8 (byte 0x{byte:02x} at column {column}). Convert the file, for example: "
        f"iconv -f EUC-KR -t UTF-8 {'FILE' if name == STANDARD_INPUT else name} > converted.txt",
    )
