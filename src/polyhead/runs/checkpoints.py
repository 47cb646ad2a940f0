"""Checkpoints: the whole state of a training, from which it goes on bit for bit.

Each is a folder `checkpoints/step-00001234/` of safetensors and JSON with checksums, written under
a temporary name, synced and renamed. What is damaged is detected and the one before is used. Older
weights, which are averaged, stay beside them as `checkpoints/weights-00001200/`.
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
from polyhead.files import folder_faults, sha256, write_folder, write_json
from polyhead.runs.folder import read_weights, write_weights


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
        earlier = (p for p in (*self._all(), *self._left()) if _step(p) < before)
        whole = (p for p in earlier if _validated(p) and _weights_whole(p))
        taken = islice(whole, self.average_last - 1)
        return [read_weights(p / "model.safetensors") for p in taken]

    def forget_after(self, step: int) -> None:
        """Drop checkpoints beyond a step (their course is trained anew)."""
        for path in (*self._all(), *self._left()):
            if _step(path) > step:
                shutil.rmtree(path)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _all(self) -> list[Path]:
        """Newest first; unfinished temporary folders are not among them."""
        return sorted(self.folder.glob(f"step-{'[0-9]' * 8}"), reverse=True)

    def _left(self) -> list[Path]:
        """Older ones of which the weights are left, newest first."""
        return sorted(self.folder.glob(f"weights-{'[0-9]' * 8}"), reverse=True)

    def _prune(self) -> None:
        for leftover in self.folder.glob(".step-*"):  # .tmp or .old
            shutil.rmtree(leftover)
        spare = self.average_last - 1  # weights to average with, also from the oldest whole one on
        left = self._left()
        for path in (*self._all()[self.keep :], *left):
            validated = _validated(path)
            spare -= validated
            if not validated or spare < 0:
                shutil.rmtree(path)
            elif path not in left:
                _leave_weights(path)


def _leave_weights(path: Path) -> None:
    """Keep a checkpoint's weights alone, under a name by which nobody takes it for whole."""
    left = path.with_name(f"weights-{_step(path):08d}")
    path.replace(left)
    for file in left.glob("*.safetensors"):
        if file.name != "model.safetensors":
            file.unlink()
    sums = _sums(left)
    write_json(left / "checksums.json", {n: s for n, s in sums.items() if (left / n).is_file()})


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _validated(path: Path) -> bool:
    """Whether a checkpoint was made at a validation, not at an interruption."""
    try:
        return bool(json.loads((path / "state.json").read_text(encoding="utf-8"))["validated"])
    except (OSError, ValueError, KeyError):
        return False


def _weights_whole(path: Path) -> bool:
    weights = path / "model.safetensors"
    return weights.is_file() and sha256(weights) == _sums(path).get(weights.name)


def _sums(path: Path) -> dict[str, str]:
    """The checksums of a folder's files; none where they cannot be read."""
    try:
        return dict(json.loads((path / "checksums.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _read(path: Path) -> Checkpoint:
    tensors = {file.stem: read_weights(file) for file in path.glob("*.safetensors")}
    values = json.loads((path / "state.json").read_text(encoding="utf-8"))
    return Checkpoint(_step(path), tensors, values)
