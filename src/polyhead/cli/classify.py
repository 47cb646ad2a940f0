"""`classify`: labels, numbers, tags or answers for inputs."""

from __future__ import annotations

import json
from pathlib import Path

from polyhead.cli.lines import Input, Json, input_lines


def classify(run: Path, file: Input = "-", *, json_: Json = False) -> None:
    """Say what a trained model says of each line: label, tab, probability.

    A pair, a text and its choices, or a question and its context have tabs between. A regression's
    label is its number, which has no probability.

    Parameters
    ----------
    run
        a run of classification, regression, multiple choice, tagging or question answering
    file
        a text file (.gz allowed), an input a line, or - for standard input
    """
    from polyhead import api
    from polyhead.training.progress import say

    found = api.load(run).classify(list(input_lines(file)), say=say)
    if json_:
        print(json.dumps(found, ensure_ascii=False))
        return
    for one in found:
        label = one["label"] if isinstance(one["label"], str) else f"{one['label']:.4f}"
        print(f"{label}\t{one['probability']:.4f}" if "probability" in one else label)
