"""`check-data`: what training would meet in a recipe's data, without training."""

from __future__ import annotations

from collections.abc import Callable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from polyhead.config import Recipe
from polyhead.training.check_pairs import check_pairs
from polyhead.training.check_texts import check_texts
from polyhead.training.findings import Findings
from polyhead.training.progress import console


def check_data(recipe: Recipe) -> Findings:
    """Read all data of a recipe, train its tokenizer, and look for all that is wrong.

    Nothing is left out that `train` would take: the reading, the tokenizer and the filter are its.
    """
    check = check_pairs if recipe.task == "translation" else check_texts
    findings = Findings()
    with _bar() as bar:

        def stage(name: str, total: int | None) -> Callable[[int], object]:
            task = bar.add_task(name, total=total)
            return lambda done: bar.advance(task, done)

        check(recipe, findings, stage)
    return findings


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
