# ruff: noqa: E402
"""The Python interface: train a recipe, load a run."""

from __future__ import annotations

from polyhead import machine
from polyhead.recipe.reading import load_recipe

machine.prepare()  # before torch is loaded

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyhead.inspection.maps import AttentionMaps
from polyhead.runs.folder import Run
from polyhead.use.load import Precision, load
from polyhead.use.translation import Translator

__all__ = ["AttentionMaps", "Precision", "Translator", "load", "train"]


def train(
    recipe: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Run:
    """Train a recipe (a path, a shipped name or a mapping) into a run folder.

    `out` defaults to runs/NAME; `overrides` are `key=value` texts with dotted keys. Raises
    RecipeError for a faulty recipe, UsageError where `out` exists, DataError for faulty data.

    >>> import polyhead
    >>> run = polyhead.train("ko-en.yaml", "runs/short", ["training.max_steps=2"])
    >>> run.info["step"], run.info["complete"]
    (2, True)
    >>> polyhead.load(run).run == run
    True
    """
    from polyhead.training.processes import joined
    from polyhead.training.start import train as begin

    with joined() as processes:
        checked = load_recipe(recipe, list(overrides))
        place = Path(out) if out is not None else Path("runs") / checked.name
        return begin(checked, place, processes)
