"""Several runs given as one, RUN1,RUN2: which folders they are, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polyhead.errors import UsageError
from polyhead.runs.folder import Run
from polyhead.tasks.translation import Task


def run_folders(run: str | Path | Run) -> list[Path]:
    """RUN, or each of RUN1,RUN2; a folder whose own name has a comma is one run."""
    if isinstance(run, Run):
        run = run.path
    if not isinstance(run, str | Path):
        raise UsageError(f"a run folder's path is needed, not {run!r}")
    if "," not in str(run) or Path(run).exists():
        return [Path(run)]
    names = str(run).split(",")
    if not all(names):
        raise UsageError(f"{run}: a run folder is missing beside a comma; write RUN1,RUN2")
    return [Path(name) for name in names]


def check_same_tokens(first: Run, one: Task, second: Run, other: Task) -> None:
    """Raise UsageError unless both runs read and write the same tokens by the same ids."""
    for side in ("source", "target"):
        a, b = (getattr(task, f"{side}_tokenizer") for task in (one, other))
        if a.same_as(b):
            continue
        found = "the same pieces, but other rules for cutting or writing them"
        if a.inner.get_vocab() != b.inner.get_vocab():
            found = f"{a.size:,} and {b.size:,} tokens that are not the same"
        raise UsageError(
            f"{first.path} and {second.path} cannot decide together: their {side} vocabularies "
            f"differ ({found}). Train them on the same data with the same tokenizer section, and "
            "another seed."
        )


def as_one(runs: Sequence[Run]) -> Run:
    """What several runs are as one: the first one's recipe, with the shortest length any takes."""
    recipe = runs[0].recipe
    limits = [getattr(run.recipe.model, "max_length", None) for run in runs]
    known = [limit for limit in limits if limit is not None]
    if known and limits[0] is not None:
        model = recipe.model.model_copy(update={"max_length": min(known)})
        recipe = recipe.model_copy(update={"model": model})
    return Run(Path(",".join(str(run.path) for run in runs)), recipe)
