"""Proof that resuming is exact: kill a training, resume it, compare with one never killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from polyhead.config import NEVER, Recipe
from polyhead.errors import TrainingError, UsageError
from polyhead.files import sha256
from polyhead.runs.folder import read_weights
from polyhead.training import journal
from polyhead.training.progress import say


@dataclass(frozen=True)
class ResumeProof:
    """What was compared; `max_difference` is over all losses and all final weights."""

    identical: bool
    steps_compared: int
    killed_at_step: int
    max_difference: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def describe(self) -> str:
        """For a person."""
        verdict = "identical to the bit" if self.identical else "DIFFERENT"
        return (
            f"killed (SIGKILL) at step {self.killed_at_step}, resumed, and compared "
            f"{self.steps_compared} losses and the final weights with an uninterrupted training: "
            f"{verdict} (largest difference {self.max_difference:g})"
        )


def verify_resume(recipe: Recipe, steps: int) -> ResumeProof:
    """Train `steps` steps twice, once killed between two checkpoints and resumed; compare."""
    if steps < 4:
        raise UsageError("at least 4 steps are needed to be killed between two checkpoints")
    every = max(1, steps // 4)
    kill_at = 2 * every + max(1, every // 2)
    changed = recipe.model_dump(mode="json", exclude_unset=True)
    changed["training"] |= {
        "max_steps": steps,
        "max_minutes": None,
        "max_epochs": None,
        "max_tokens": None,
        "validate_every": every,
        "log_every": 1,
        "early_stopping": changed["training"].get("early_stopping", {}) | {"patience": NEVER},
    }
    with tempfile.TemporaryDirectory(prefix="polyhead-verify-") as name:
        folder = Path(name)
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(changed, allow_unicode=True), encoding="utf-8")
        whole, killed = folder / "whole", folder / "killed"
        say(f"training {steps} steps without a stop")
        _finish("train", str(path), "--out", str(whole))
        say(f"training again, to be killed after step {kill_at}")
        same = str(whole / "recipe.yaml")  # where the recipe left a number to be chosen, this one
        reached = _kill_after(killed, kill_at, "train", same, "--out", str(killed))
        say("resuming")
        _finish("train", "--resume", str(killed))
        return _compare(whole, killed, reached)


@contextmanager
def _command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One of our own commands; it ends with whoever waits for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "polyhead", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _finish(*arguments: str) -> None:
    with _command(*arguments) as process:
        _, errors = process.communicate()
    if process.returncode != 0:
        raise TrainingError(f"the training failed:\n{errors.strip()}")


def _kill_after(run: Path, step: int, *arguments: str) -> int:
    """SIGKILL the training once its journal shows `step`; returns the last step it wrote."""
    with _command(*arguments) as process:
        while process.poll() is None:
            entries = journal.read(run / "metrics.jsonl")
            if entries and entries[-1]["step"] >= step:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
                return max(int(e["step"]) for e in journal.read(run / "metrics.jsonl"))
            time.sleep(0.005)
        _, errors = process.communicate()
    raise TrainingError(f"the training ended before it could be killed:\n{errors.strip()}")


def _compare(whole: Path, killed: Path, reached: int) -> ResumeProof:
    first, second = (
        {e["step"]: e for e in journal.read(run / "metrics.jsonl") if e["kind"] == "train"}
        for run in (whole, killed)
    )
    steps = sorted(first.keys() & second.keys())
    largest = max(abs(first[s][k] - second[s][k]) for s in steps for k in ("loss", "nll"))
    checkpoint = sorted((whole / "checkpoints").glob("step-*"))[-1].name
    states = [run / "checkpoints" / checkpoint for run in (whole, killed)]
    a, b = (read_weights(state / "model.safetensors") for state in states)
    largest = max([largest, *(float((a[n] - b[n]).abs().max()) for n in a)])
    same_files = all(
        sha256(states[0] / name) == sha256(states[1] / name)
        for name in ("model.safetensors", "optimiser.safetensors", "random.safetensors")
    ) and sha256(whole / "model.safetensors") == sha256(killed / "model.safetensors")
    identical = same_files and largest == 0 and first.keys() == second.keys()
    return ResumeProof(identical, len(steps), reached, largest)
