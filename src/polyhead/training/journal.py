"""metrics.jsonl: a line per logged step and per validation, no step twice."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from polyhead.errors import MissingExtraError, RunError
from polyhead.files import cannot_write, write_text


class Journal:
    """Appends JSON lines, each written whole and at once; and TensorBoard events, if asked to.

    Of several processes that train together one alone has it `written`.
    """

    def __init__(
        self, path: Path, *, tensorboard: bool = False, step: int = 0, written: bool = True
    ):
        self.path = path
        written_events = tensorboard and written
        self.events = _events(path.parent / "tensorboard", step) if written_events else None
        try:
            self.file = (path if written else Path(os.devnull)).open("ab", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line; raises RunError where the disk is full."""
        line = (json.dumps(entry) + "\n").encode()
        try:
            if self.file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if self.events is not None:
            for name, value in entry.items():
                if isinstance(value, float):
                    self.events.add_scalar(f"{entry['kind']}/{name}", value, entry["step"])

    def close(self) -> None:
        self.file.close()
        if self.events is not None:
            self.events.close()


def _events(folder: Path, step: int) -> Any:
    """TensorBoard's writer; what it wrote beyond `step` before a crash is hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("training.tensorboard", "tensorboard", "track") from None
    return SummaryWriter(str(folder), purge_step=step + 1)


def read(path: Path) -> list[dict[str, Any]]:
    """All entries; a last line cut off by a crash is left out."""
    entries = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise RunError(f"{path}, line {number}: not valid JSON") from None
    return entries


def forget_after(path: Path, step: int) -> None:
    """Drop what was written beyond a step: it is trained, and written, anew."""
    kept = [json.dumps(entry) + "\n" for entry in read(path) if entry["step"] <= step]
    write_text(path, "".join(kept))
