"""Commands that train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from polyhead.cli.lines import Json
from polyhead.errors import UsageError
from polyhead.training.signals import stop_at_once


def train(
    recipe: str | None = None,
    *overrides: str,
    out: Path | None = None,
    resume: Path | None = None,
) -> None:
    """Train a recipe, or go on with a run exactly where it stopped.

    Parameters
    ----------
    recipe
        a recipe's file, or the name of a shipped one (`polyhead recipes`)
    overrides
        key=value changes with dotted keys, for example training.max_steps=100; with --resume only
        the places of data files may change (data.valid.source=NEW)
    out
        the run folder to make (default: runs/NAME); an existing one is refused
    resume
        the run folder to go on with
    """
    given = [*([recipe] if recipe else []), *overrides]
    if resume is not None:
        if given and "=" not in given[0]:
            raise UsageError("--resume takes a run folder and no recipe: the run holds its own")
        if out is not None:
            raise UsageError("--resume goes on in the same folder; --out does not go with it")
        with stop_at_once(lambda: f"{resume} is as it was"):
            from polyhead.training.processes import joined
            from polyhead.training.resume import resume as go_on

            with joined() as processes:
                go_on(resume, given, processes)
        return
    if recipe is None:
        raise UsageError("say which recipe to train (`polyhead recipes` lists the shipped ones)")
    with stop_at_once(lambda: "training had not begun"):  # loading torch takes its time
        from polyhead import api

        api.train(recipe, out, list(overrides))


def extend(run: Path, *, steps: int) -> None:
    """Train a complete or stopped run further, in its own folder.

    The learning rate is that of a run which was to end there from the beginning: `noam` and
    `constant` go on as if they had never stopped; `cosine` and `linear`, which fall to 0 at the
    end, rise again to where a run of that length stands. Early stopping begins to wait anew.

    Parameters
    ----------
    run
        the run folder
    steps
        the step to train to, counted from the run's beginning; it becomes the only end
    """
    with stop_at_once(lambda: f"{run} is as it was"):
        from polyhead.training.extend import extend as go_on
        from polyhead.training.processes import joined

        with joined() as processes:
            go_on(run, steps, processes)


def finetune(
    recipe: str,
    *overrides: str,
    from_: Annotated[Path, Parameter(name="--from")],
    out: Path | None = None,
) -> None:
    """Train a recipe in a new run, starting from the weights of another run.

    Keys of `model` and `tokenizer` that the recipe leaves out are the run's. The run's vocabulary
    is kept, unless the recipe asks for another (a key of `tokenizer` that differs, or
    tokenizer.new=true): then rows are carried over by token. The same as model.from=RUN.

    Parameters
    ----------
    recipe
        a recipe's file, or the name of a shipped one
    overrides
        key=value changes with dotted keys
    from_
        the run folder whose weights to start from; it is only read
    out
        the run folder to make (default: runs/NAME); an existing one is refused
    """
    origin = f"model.from={json.dumps(str(from_.absolute()), ensure_ascii=False)}"
    with stop_at_once(lambda: "training had not begun"):
        from polyhead import api

        api.train(recipe, out, [*overrides, origin])


def plan(recipe: str, *overrides: str, json_: Json = False) -> None:
    """Measure what training a recipe takes: memory, disk, time, the largest batch that fits.

    Nothing is trained: data is read, a few steps are taken in a process of their own, and thrown
    away. Exits 1 where the memory does not suffice.

    Parameters
    ----------
    recipe
        a recipe's file, or the name of a shipped one
    overrides
        key=value changes with dotted keys
    """
    from polyhead.recipe.reading import load_recipe
    from polyhead.training.plan import plan as measure

    result = measure(load_recipe(recipe, list(overrides)))
    print(json.dumps(result.as_dict()) if json_ else result.describe())
    if not result.fits:
        raise SystemExit(1)


def verify_resume(recipe: str, *overrides: str, steps: int = 30, json_: Json = False) -> None:
    """Prove exact resume: kill a training, resume it, compare every loss and the final weights.

    Exits 1 unless they are identical to those of an uninterrupted training.

    Parameters
    ----------
    recipe
        a recipe's file, or the name of a shipped one
    overrides
        key=value changes with dotted keys
    steps
        how many steps to compare
    """
    from polyhead.recipe.reading import load_recipe
    from polyhead.training.verify import verify_resume as verify

    result = verify(load_recipe(recipe, list(overrides)), steps)
    if json_:
        print(json.dumps(result.as_dict()))
    else:
        print(result.describe())
    if not result.identical:
        raise SystemExit(1)


def recipes() -> None:
    """List the recipes that come with Polyhead."""
    from polyhead.recipe.reading import shipped_recipes

    for name, path in shipped_recipes().items():
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        print(f"{name}\t{first}")
