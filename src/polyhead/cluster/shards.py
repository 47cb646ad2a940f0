"""Translating a part of a file, so that many independent processes make one output.

Shard i of n of the output OUT is the file `OUT.0000i-of-0000n`; beside it stands a manifest
(`….json`) of what it was made from and how far it is. Whoever finishes last joins them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from polyhead.cluster.work import Say, Worker
from polyhead.errors import UsageError
from polyhead.files import cannot_write, read_lines, sha256, write_atomically, write_json
from polyhead.use.translation import WINDOW

OWN = ("shard", "first_line", "lines")  # entries in which the shards of one output differ


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `count`."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`i/n`; raises UsageError for anything else."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--shard {text}: i/n is needed, with i from 1 to n (for example 2/8)")
        return cls(int(found[1]), int(found[2]))

    def output(self, output: Path) -> Path:
        """The file of this part."""
        return output.with_name(f"{output.name}.{self.number:05}-of-{self.count:05}")

    def manifest(self, output: Path) -> Path:
        """What says how that file was made, and how far it is."""
        return output.with_name(f"{self.output(output).name}.json")

    def lines(self, total: int) -> range:
        """Lines of the input, from 0.

        Cut where a single process begins a new window, so that every batch is the same as there;
        an input of fewer windows than shards is cut evenly.
        """
        unit = WINDOW if total >= WINDOW * self.count else 1
        units = -(-total // unit)
        start, end = (units * n // self.count * unit for n in (self.number - 1, self.number))
        return range(start, min(end, total))


def translate_shard(worker: Worker, file: Path, output: Path, shard: Shard, say: Say) -> None:
    """Translate one part; a finished one is left alone, a begun one goes on.

    Raises UsageError where the output has no file name, RunError where nothing can be written.
    """
    wanted = shard.lines(sum(1 for _ in read_lines(file)))
    about = {
        **worker.identity(),
        "input": sha256(file),
        "shards": shard.count,
        "shard": shard.number,
        "first_line": wanted.start + 1,
        "lines": len(wanted),
    }
    path, known = shard.output(output), _manifest(shard, output)
    if known is not None and {key: known.get(key) for key in about} != about:
        say(f"{path} was of another run, input or options: it is translated anew")
        known = None
    if known is not None and known["complete"] and _is_whole(path, known):
        say(f"{path} is finished already")
    else:
        _translate(worker, file, output, shard, about, known, say)
        say(f"{path}: {len(wanted):,} lines")
    if join(output, shard.count):
        say(f"all {shard.count} shards are finished: {output}")


def _translate(
    worker: Worker,
    file: Path,
    output: Path,
    shard: Shard,
    about: dict[str, Any],
    known: dict[str, Any] | None,
    say: Say,
) -> None:
    """Window by window; each is on the disk before the manifest says so."""
    path, manifest = shard.output(output), shard.manifest(output)
    part = path.with_name(f"{path.name}.part")
    done, size = (known["lines_done"], known["bytes"]) if known and part.is_file() else (0, 0)
    start = about["first_line"] - 1
    texts = islice(read_lines(file), start + done, start + about["lines"])
    try:
        with part.open("r+b" if done else "wb") as sink:
            sink.truncate(size)
            sink.seek(size)
            while window := list(islice(texts, WINDOW)):
                for block in worker.blocks(window, first=start + done + 1, say=say):
                    sink.write(block.encode())
                done += len(window)
                _sync(sink)
                state = {"complete": False, "lines_done": done, "bytes": sink.tell()}
                write_json(manifest, about | state)
        part.replace(path)
        state = {"complete": True, "lines_done": done, "bytes": path.stat().st_size}
        write_json(manifest, about | state | {"output": sha256(path)})
    except OSError as error:
        raise cannot_write(part, error) from error


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def join(output: Path, count: int) -> bool:
    """Put the parts together if all are finished and of one translation; whether they were."""
    shards = [Shard(number, count) for number in range(1, count + 1)]
    found = [_manifest(shard, output) for shard in shards]
    manifests = [m for m in found if m is not None and m["complete"]]
    common = [{k: m.get(k) for k in _common(m)} for m in manifests]
    if len(manifests) < count or any(one != common[0] for one in common):
        return False
    paths = [shard.output(output) for shard in shards]
    if not all(_is_whole(path, m) for path, m in zip(paths, manifests, strict=True)):
        return False

    def write(temporary: Path) -> None:
        with temporary.open("wb") as sink:
            for path in paths:
                with path.open("rb") as source:
                    shutil.copyfileobj(source, sink)

    write_atomically(output, write)
    return True


def _common(manifest: dict[str, Any]) -> set[str]:
    return manifest.keys() - {*OWN, "lines_done", "bytes", "output"}


def _manifest(shard: Shard, output: Path) -> dict[str, Any] | None:
    """The manifest of a part; None where there is none, or it cannot be read."""
    try:
        found: dict[str, Any] = json.loads(shard.manifest(output).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if "complete" in found else None


def _is_whole(path: Path, manifest: dict[str, Any]) -> bool:
    return path.is_file() and sha256(path) == manifest["output"]
