"""Running the program as a person does, and in this process where only messages are of interest."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from polyhead.cli.main import main

SIDES = (("source", "ko"), ("target", "en"))
PARTS = ("train", "valid", "test")
ENVIRONMENT = os.environ | {"PYTHONUTF8": "1"}


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of stdout, by line feeds alone."""
        return self.out.removesuffix("\n").split("\n") if self.out else []

    def json(self) -> Any:
        """stdout as the one JSON document it is."""
        return json.loads(self.out)


def start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """The program in a process of its own."""
    command = [sys.executable, "-m", "polyhead", *map(str, arguments)]
    environment = ENVIRONMENT | options.pop("env", {})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, **(pipes | options))


def finish(process: subprocess.Popen[bytes], stdin: bytes = b"") -> Outcome:
    """Wait for it."""
    out, err = process.communicate(stdin, timeout=400)
    return Outcome(process.returncode, (out or b"").decode(), (err or b"").decode())


def outside(*arguments: object, stdin: bytes = b"", **options: Any) -> Outcome:
    """Run the program in a process of its own."""
    return finish(start(*arguments, **options), stdin)


def inside(*arguments: object, stdin: bytes = b"") -> Outcome:
    """Run the program in this process: without the seconds a start takes.

    An error that it does not foresee, which would be a traceback, fails the test as such.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n") for _ in range(2))
    standard_input = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    code: Any = 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", standard_input),
    ):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
    for stream in (out, err):
        stream.flush()
    written = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return Outcome(code, *written)


def check_told(outcome: Outcome, code: int, *phrases: object) -> None:
    """It failed with this exit code, said all this on stderr, and left stdout alone."""
    assert outcome.code == code, outcome
    for phrase in phrases:
        assert str(phrase) in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


def write_recipe(path: Path, corpus: Path, **changes: Any) -> Path:
    """A tiny recipe on the corpus; changes are sections to merge in, or values (files are)."""
    recipe: dict[str, Any] = {
        "name": "tiny",
        "seed": 3,
        "task": "translation",
        "model": {
            "kind": "transformer",
            "d_model": 32,
            "num_layers": 1,
            "num_heads": 2,
            "d_ff": 64,
            "dropout": 0.0,
            "norm": "pre",
            "max_length": 128,
        },
        "data": {
            "source_language": "ko",
            "target_language": "en",
            **{
                part: {side: str(corpus / f"{part}.{end}") for side, end in SIDES} for part in PARTS
            },
        },
        "tokenizer": {"vocab_size": 500},
        "training": {
            "batch_tokens": 400,
            "max_steps": 6,
            "precision": "fp32",
            "optimizer": {"lr": 0.01},
            "schedule": {"kind": "constant", "warmup_steps": 5},
            "validate_every": 3,
        },
        "decoding": {"beam": 2},
    }
    merged = _merge(recipe, changes)
    path.write_text(yaml.safe_dump(merged, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def checked_data(recipe: Path, code: int, *overrides: str) -> dict[str, Any]:
    """What `check-data --json` says of a recipe."""
    outcome = inside("check-data", recipe, *overrides, "--json")
    assert outcome.code == code, outcome
    report: dict[str, Any] = outcome.json()
    assert all(set(p) == {"kind", "file", "line", "message"} for p in report["problems"])
    return report


def problems_in(report: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    """Kind, file and line of each problem that check-data found."""
    return [(p["kind"], Path(p["file"]).name, p["line"]) for p in report["problems"]]


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = dict(old)
    for key, value in new.items():
        inner = both.get(key)
        section = isinstance(inner, dict) and isinstance(value, dict) and key not in PARTS
        both[key] = _merge(inner, value) if section else value
    return both


def journal(run: Path) -> list[dict[str, Any]]:
    """The entries of metrics.jsonl."""
    text = (run / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def info(run: Path) -> dict[str, Any]:
    """run.json."""
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


def change_info(run: Path, **changes: Any) -> None:
    """Change entries of run.json."""
    (run / "run.json").write_text(json.dumps(info(run) | changes), encoding="utf-8")


def tensors_of(run: Path) -> Iterator[tuple[str, str]]:
    """(name, SHA-256) of the weights and of what the last checkpoint holds as tensors."""
    last = sorted((run / "checkpoints").glob("step-*"))[-1]
    for file in (run / "model.safetensors", *sorted(last.glob("*.safetensors"))):
        yield str(file.relative_to(run)), hashlib.sha256(file.read_bytes()).hexdigest()
