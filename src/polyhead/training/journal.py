"""metrics.jsonl: a line per logged step and per validation, no step twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polyhead.errors import RunError
from polyhead.files import cannot_write, write_text


class Journal:
    """Appends JSON lines; each is written whole and at once."""

    def __init__(self, path: Path):
        self.path = path
        self.file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line; raises RunError where the disk is full."""
        try:
            self.file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        self.file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """All entries; a last line cut off by a crash is left out."""
    entries = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
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
