"""A run folder: written by training, and all that any other command needs.

recipe.yaml  run.json  model.safetensors  tokenizer*.json  checkpoints/  metrics.jsonl  README.md
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from polyhead import __version__, registry
from polyhead.config import Recipe
from polyhead.errors import RunError, UsageError
from polyhead.files import NEW, RUN, new_folder, write_atomically, write_json, write_text
from polyhead.recipe.reading import load_recipe
from polyhead.runs import lock

FORMAT_VERSION = 1
REQUIRED = ("format_version", "polyhead_version", "task", "model", "step", "epoch", "complete")


@dataclass(frozen=True)
class Run:
    """An existing run folder that this program can read."""

    path: Path
    recipe: Recipe

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Check and open a run folder.

        Raises UsageError where there is none, RunError with what is wrong with it.
        """
        path = Path(path)
        if path.is_file():
            raise UsageError(f"{path} is a file; a run folder is needed, as `train` leaves one")
        if not path.is_dir():
            raise UsageError(
                f"no run folder {path}; `polyhead train RECIPE --out {path}` makes one"
            )
        info = _read_info(path)
        version = info.get("format_version")
        if not isinstance(version, int):
            raise RunError(f"{path}/run.json is damaged: format_version is {version!r}")
        if version > FORMAT_VERSION:
            raise RunError(
                f"{path} has run format {version}, written by polyhead "
                f"{info.get('polyhead_version')}; this is polyhead {__version__}, which reads up "
                f"to format {FORMAT_VERSION}. Upgrade with: pip install --upgrade polyhead"
            )
        if not (path / "recipe.yaml").is_file():
            raise RunError(f"{path}/recipe.yaml is missing: the run folder is damaged")
        imported = "imported_from" in info
        try:
            recipe = load_recipe(path / "recipe.yaml", imported=imported)
        except UsageError as error:
            raise RunError(f"the run folder is damaged: {error}") from None
        kind = recipe.model.kind  # type: ignore[attr-defined]
        if (info["task"], info["model"]) != (recipe.task, kind):
            raise RunError(
                f"{path} is damaged: run.json says {info['model']} for {info['task']}, recipe.yaml "
                f"{kind} for {recipe.task}"
            )
        return cls(path, recipe)

    @property
    def info(self) -> dict[str, Any]:
        """What `run.json` says."""
        return _read_info(self.path)

    def update(self, **changes: Any) -> None:
        """Change entries of `run.json`."""
        write_json(self.path / RUN, self.info | changes)

    def save_weights(self, weights: dict[str, Tensor], which: str, step: int) -> None:
        """Make these the weights every other command uses; which: best, averaged or last."""
        path = self.path / "model.safetensors"
        checked = {CHECKSUM: checksum(weights)}
        write_atomically(path, lambda temporary: write_weights(temporary, weights, checked))
        self.update(weights=which, weights_step=step)

    def clear_leftovers(self) -> None:
        """Remove temporary files that a crash left."""
        for leftover in self.path.glob(".*.tmp"):
            leftover.unlink()

    def build_model(self, sizes: dict[str, Any]) -> nn.Module:
        """The recipe's model with fresh weights, drawn from torch's generator."""
        kind = self.recipe.model.kind  # type: ignore[attr-defined]
        model: nn.Module = registry.find("models", kind).build(self.recipe.model, **sizes)
        return model

    def weights(self) -> dict[str, Tensor]:
        """The weights every other command uses, by name."""
        path = self.path / "model.safetensors"
        if not path.is_file():
            raise RunError(
                f"{path} is missing: this run has no weights yet, or is damaged. "
                f"`polyhead train --resume {self.path}` goes on training it."
            )
        weights = read_weights(path)
        with safe_open(path, "pt") as file:
            wanted = (file.metadata() or {}).get(CHECKSUM)
        if wanted is not None and wanted != checksum(weights):
            raise RunError(
                f"{path} is damaged: its SHA-256 is not the one written with it. Put a copy of the "
                "file back"
            )
        return weights

    def load_model(self, sizes: dict[str, Any]) -> nn.Module:
        """The recipe's model with the run's weights, ready for inference (fp32, eval mode)."""
        weights = self.weights()
        state = torch.get_rng_state()
        model = self.build_model(sizes)
        torch.set_rng_state(state)  # the weights just drawn are replaced at once
        load_weights(model, weights)
        return model.eval()


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads((path / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (path / "checkpoints").is_dir() or (path / "model.safetensors").is_file():
            raise RunError(f"{path}/run.json is missing: the run folder is damaged") from None
        hint = f" Did you mean {path / 'run'}?" if is_run(path / "run") else ""
        raise UsageError(
            f"{path} is not a run folder: it has no run.json. A run folder is what "
            f"`polyhead train` leaves (see its --out).{hint}"
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}/run.json is damaged: {error}") from None
    if not isinstance(info, dict):
        raise RunError(f"{path}/run.json is damaged: a JSON object is needed")
    if lacking := [key for key in REQUIRED if key not in info]:
        raise RunError(f"{path}/run.json is damaged: it has no {', '.join(lacking)}")
    return info


def check_free(path: Path) -> None:
    """Raise UsageError where something stands already in the place of a new run."""
    if path.exists() and not (path.is_dir() and _is_empty(path)):
        raise UsageError(f"{path} exists already.{_way_on(path)} --out names another place.")


def _way_on(path: Path) -> str:
    """How to go on with the run that stands there, if it is one."""
    if not is_run(path):
        return ""
    if _read_info(path)["complete"]:
        return f" `polyhead extend {path} --steps N` trains it further, up to step N;"
    return f" `polyhead train --resume {path}` goes on with it;"


def _is_empty(folder: Path) -> bool:
    """Whether nothing stands there but what one who is making, or was making, a run leaves."""
    return all(file.name in (lock.NAME, NEW) for file in folder.iterdir())


def create(path: Path, recipe: Recipe, fill: Callable[[Path], None], **info: Any) -> Run:
    """Make a new run folder; `fill` writes into it what else it takes to go on from there.

    It gets its name when it is whole: a crash leaves a run that can be resumed, or none.
    """
    kind = recipe.model.kind  # type: ignore[attr-defined]
    start = {
        "format_version": FORMAT_VERSION,
        "polyhead_version": __version__,
        "task": recipe.task,
        "model": kind,
        "step": 0,
        "epoch": 0,
        "complete": False,
        "stopped_because": None,
        "weights": None,
    }

    def write(folder: Path) -> None:
        write_text(folder / "recipe.yaml", recipe.as_yaml())
        fill(folder)
        write_json(folder / RUN, start | info)

    check_free(path)
    new_folder(path, write)
    return Run(path, recipe)


def is_run(path: Path) -> bool:
    """Whether a folder looks like a run."""
    return (path / RUN).is_file()


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters in fp32 by name, shared ones once."""
    return {name: p.detach().float().contiguous() for name, p in model.named_parameters()}


CHECKSUM = "sha256"


def checksum(weights: dict[str, Tensor]) -> str:
    """SHA-256 of tensors and their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        flat = weights[name].detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_weights(
    path: Path, weights: dict[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file; raises OSError where the disk is full or refuses.

    There is one entry of metadata: of several, the library writes the order at random, and the same
    weights would not be the same file.
    """
    try:
        save_file(weights, path, dict(metadata or {"format": "pt"}))
    except SafetensorError as error:
        raise OSError(str(error)) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; raises RunError if it is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged or not a safetensors file: {error}") from None


@torch.no_grad()
def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy weights by name; raises RunError naming what is missing, unknown or of another shape."""
    parameters = dict(model.named_parameters())
    faults = [f"missing: {name}" for name in parameters.keys() - weights.keys()]
    faults += [f"unknown: {name}" for name in weights.keys() - parameters.keys()]
    faults += [
        f"{name}: {tuple(weights[name].shape)} in the file, {tuple(p.shape)} in the model"
        for name, p in parameters.items()
        if name in weights and weights[name].shape != p.shape
    ]
    if faults:
        raise RunError("the weights do not fit the model:\n  " + "\n  ".join(sorted(faults)[:10]))
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])
