"""The command that compares."""

from __future__ import annotations

import json
from pathlib import Path

from polyhead.cli.lines import Json
from polyhead.errors import UsageError

LAYERS = "layers"


def compare(
    *recipes: str,
    minutes: float | None = None,
    tokens: int | None = None,
    lengths: str | None = None,
    out: Path | None = None,
    json_: Json = False,
) -> None:
    """Train models of one task on the same data for the same time or tokens, and judge them alike.

    Prints the task's scores on test (or valid), parameters, training speed and peak memory; of
    translators with 95 % intervals, and BLEU by the length of the source. OUT gets the runs,
    compare.json, table.md and curves.png. Models that OUT holds already, made with the same recipe,
    are not trained again.

    `polyhead compare layers` measures layers instead, against the length of a sequence: time and
    memory, forward and backward, of recurrent, convolutional and self-attention layers (of all
    positions, local, relative), with the exponents of their growth, sequential operations, longest
    paths, and how the gradient falls with distance.

    Parameters
    ----------
    recipes
        recipes; key=value behind a recipe changes that one: `rnn.yaml rnn.yaml
        model.attention.score=none` are two models. Or the word `layers`
    minutes
        of training for each model, whatever end its recipe says
    tokens
        target tokens (of labelled texts: answers) of training for each model, instead
    lengths
        of `compare layers`, with commas between them (default: 64,128,256,512,1024,2048)
    out
        the folder to make, or to go on with (default: runs/compare); of `compare layers`, the
        picture to draw (FILE.png; default: runs/compare/layers.png)
    """
    if recipes[:1] == (LAYERS,):
        if len(recipes) > 1 or minutes is not None or tokens is not None:
            raise UsageError(
                "`compare layers` trains nothing: it takes --lengths and --out, no recipes, "
                "--minutes or --tokens (a recipe of this name: ./layers)"
            )
        _layers(
            "64,128,256,512,1024,2048" if lengths is None else lengths,
            out or Path("runs/compare/layers.png"),
            json_,
        )
        return
    if lengths is not None:
        raise UsageError("--lengths goes with `compare layers`: recipes are compared on their data")
    from polyhead import comparison
    from polyhead.training.progress import say

    found = comparison.entries(recipes, minutes=minutes, tokens=tokens)
    report = comparison.compare(found, out or Path("runs/compare"), say)
    print(json.dumps(report, ensure_ascii=False) if json_ else comparison.table(report))


def _layers(lengths: str, picture: Path, json_: bool) -> None:
    from polyhead.complexity import report
    from polyhead.inspection.asked import check_picture, tell_picture
    from polyhead.training.progress import say

    wanted = report.parse_lengths(lengths)
    check_picture(picture)
    found = report.compare_layers(wanted, say)
    tell_picture(lambda: report.save_picture(found, picture), say)
    print(json.dumps(found) if json_ else report.table(found))
