"""A run has one writer: an advisory lock that the kernel gives back however its holder ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polyhead.errors import RunError
from polyhead.files import cannot_write

NAME = ".lock"


@contextmanager
def only_writer(run: Path) -> Iterator[bool]:
    """Hold the lock of a run folder, or of the place where one is to be made.

    The file is `.lock` in the folder; where there is no folder yet, `.NAME.lock` beside its place.
    Gives whether it is in the folder. It is removed at the end, and so are the folders above it
    that had to be made, if they stayed empty. A file that a killed process left locks nothing.
    Raises RunError naming the process that holds it, or where the place cannot be written.
    """
    run = run.resolve()
    inside = run.is_dir()
    path = run / NAME if inside else run.with_name(f".{run.name}{NAME}")
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(path)
    except OSError as error:
        raise cannot_write(run, error) from error
    if descriptor is None:
        raise RunError(
            f"{run} is in use: {_holder(path)} is training there. Wait for it, stop it, or choose "
            "another folder with --out"
        )
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {socket.gethostname()}".encode())
        yield inside
    finally:
        with suppress(FileNotFoundError):
            path.unlink()  # while it is still locked: nobody else can take this one for theirs
        os.close(descriptor)
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock; None where somebody else does."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # its last holder removed the file just before it was locked


def _holder(path: Path) -> str:
    try:
        pid, host = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return "another process"
    return f"process {pid}" if host == socket.gethostname() else f"process {pid} on {host}"
