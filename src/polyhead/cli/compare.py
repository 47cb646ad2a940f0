"""The command that compares."""

from __future__ import annotations

import json
from pathlib import Path

from polyhead.cli.train import Json


def compare(
    *recipes: str,
    minutes: float | None = None,
    tokens: int | None = None,
    out: Path = Path("runs/compare"),
    json_: Json = False,
) -> None:
    """Train models on the same data for the same time or tokens, and judge them alike.

    Prints quality with 95 % intervals, parameters, training speed, peak memory, and BLEU by the
    length of the source. OUT gets the runs, compare.json, table.md and curves.png. Models that OUT
    holds already, made with the same recipe, are not trained again.

    Parameters
    ----------
    recipes
        recipes; key=value behind a recipe changes that one: `rnn.yaml rnn.yaml
        model.attention.score=none` are two models
    minutes
        of training for each model, whatever end its recipe says
    tokens
        target tokens of training for each model, instead
    out
        the folder to make, or to go on with
    """
    from polyhead import comparison
    from polyhead.training.progress import say

    found = comparison.entries(recipes, minutes=minutes, tokens=tokens)
    report = comparison.compare(found, out, say)
    print(json.dumps(report, ensure_ascii=False) if json_ else comparison.table(report))
