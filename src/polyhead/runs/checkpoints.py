"""Checkpoints: the whole state of a training, from which it goes on bit for bit.

Each is a folder `checkpoints/step-00001234/` of safetensors and JSON with checksums, written under
a temporary name, synced and renamed. What is damaged is detected and the one before is used.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from polyhead.errors import CheckpointError
from polyhead.files import folder_faults, sha256, write_folder
from polyhead.runs.folder import read_weights, write_weights

KEPT_FOR_AVERAGING = "weights-only"


@dataclass(frozen=True)
class Checkpoint:
    """The tensors (by file, then name) and the plain values of a training at a step."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    values: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run: at most `keep` whole ones, and weights for averaging."""

    def __init__(self, run: Path, *, keep: int, average_last: int):
        self.folder = run / "checkpoints"
        self.keep, self.average_last = keep, average_last

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, then drop what is no longer needed."""
        self.folder.mkdir(exist_ok=True)
        path = self._path(checkpoint.step)

        def fill(folder: Path) -> None:
            for name, tensors in checkpoint.tensors.items():
                write_weights(folder / f"{name}.safetensors", tensors)
            text = json.dumps(checkpoint.values, indent=2, ensure_ascii=False)
            (folder / "state.json").write_text(text + "\n", encoding="utf-8")

        write_folder(path, fill)
        self._prune()
        return path

    def newest(self, say: Callable[[str], None]) -> Checkpoint:
        """The newest whole checkpoint; damaged ones are named, and left for a person to look at.

        Raises CheckpointError if none is left.
        """
        for path in self._all():
            if (path / KEPT_FOR_AVERAGING).is_file():
                continue
            faults = folder_faults(path)
            if not faults:
                return _read(path)
            say(
                f"checkpoint {path.name} is damaged ({'; '.join(faults)}); trying the one before it"
            )
        found = "no whole checkpoint" if self._all() else "no checkpoint"
        cause = "Put a copy of one back" if self._all() else "If it was trained, put a copy back"
        raise CheckpointError(
            f"there is {found} in {self.folder}: this run cannot go on. {cause}; or begin a new "
            f"run from this one's weights with `polyhead finetune RECIPE --from "
            f"{self.folder.parent}`"
        )

    def has(self, step: int) -> bool:
        """Whether there is a checkpoint of this step."""
        return self._path(step).is_dir()

    def recent_weights(self, before: int) -> list[dict[str, Tensor]]:
        """Weights of the average_last - 1 validated checkpoints before a step, newest first."""
        earlier = (p for p in self._all() if _step(p) < before)
        whole = (p for p in earlier if _validated(p) and _weights_whole(p))
        taken = islice(whole, self.average_last - 1)
        return [read_weights(p / "model.safetensors") for p in taken]

    def forget_after(self, step: int) -> None:
        """Drop checkpoints beyond a step (their course is trained anew)."""
        for path in self._all():
            if _step(path) > step:
                shutil.rmtree(path)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _all(self) -> list[Path]:
        """Newest first; unfinished temporary folders are not among them."""
        return sorted(self.folder.glob(f"step-{'[0-9]' * 8}"), reverse=True)

    def _prune(self) -> None:
        for leftover in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(leftover)
        older = self._all()[self.keep :]
        spare = self.average_last - 1  # weights to average with, also from the oldest whole one on
        for path in older:
            spare -= _validated(path)
            if not _validated(path) or spare < 0:
                shutil.rmtree(path)
                continue
            (path / KEPT_FOR_AVERAGING).touch()  # first, so that nobody takes it for whole
            for file in path.glob("*.safetensors"):
                if file.name != "model.safetensors":
                    file.unlink()


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _validated(path: Path) -> bool:
    """Whether a checkpoint was made at a validation, not at an interruption."""
    try:
        return bool(json.loads((path / "state.json").read_text(encoding="utf-8"))["validated"])
    except (OSError, ValueError, KeyError):
        return False


def _weights_whole(path: Path) -> bool:
    try:
        expected = json.loads((path / "checksums.json").read_text())["model.safetensors"]
        return sha256(path / "model.safetensors") == expected
    except (OSError, ValueError, KeyError):
        return False


def _read(path: Path) -> Checkpoint:
    tensors = {file.stem: read_weights(file) for file in path.glob("*.safetensors")}
    values = json.loads((path / "state.json").read_text(encoding="utf-8"))
    return Checkpoint(_step(path), tensors, values)
