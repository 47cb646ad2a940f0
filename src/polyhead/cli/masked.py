"""`fill` and `embed`: what a masked language model is good for by itself."""

from __future__ import annotations

import json
from pathlib import Path

from polyhead.cli.lines import Input, Json, Text, input_lines, typed
from polyhead.errors import UsageError
from polyhead.files import cannot_write


def fill(run: Path, text: Text, *, top: int = 5, json_: Json = False) -> None:
    """Show the likeliest tokens for every [MASK] in a text.

    Parameters
    ----------
    run
        a run of masked_lm
    text
        with [MASK] where something is missing
    top
        so many candidates of each
    """
    from polyhead import api

    found = api.load(run).fill(typed(text), top)
    if json_:
        print(json.dumps(found, ensure_ascii=False))
        return
    for number, candidates in enumerate(found, start=1):
        for one in candidates:
            token = one["token"].replace("\n", "\\n").replace("\t", "\\t")  # a line has its own
            print(f"{number}\t{token}\t{one['probability']:.4f}")


def embed(run: Path, file: Input = "-", *, out: Path) -> None:
    """Write a vector per line of text: float32, rows in the order of the lines.

    A line of more tokens than the model takes is cut, which is told.

    Parameters
    ----------
    run
        a run of masked_lm
    file
        a text file (.gz allowed), or - for standard input
    out
        the .npy file to write
    """
    import numpy as np

    from polyhead import api
    from polyhead.training.progress import say

    if out.suffix != ".npy":
        raise UsageError(f"--out {out}: a name that ends in .npy is needed")
    vectors = api.load(run).embed(list(input_lines(file)), say=say)
    try:
        np.save(out, vectors)
    except OSError as error:
        raise cannot_write(out, error) from None
    print(out)
