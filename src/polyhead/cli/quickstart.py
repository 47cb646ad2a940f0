"""The first command a person tries."""

from __future__ import annotations

from pathlib import Path


def quickstart(
    *, data: Path | None = None, out: Path = Path("polyhead-quickstart"), minutes: float = 2.5
) -> None:
    """Train a Korean-English translator on the embedded corpus, score it, look inside: 5 minutes.

    Parameters
    ----------
    data
        your own pairs instead: FILE.tsv with source and target columns (a third may name a group)
    out
        the folder for data, recipe, run and pictures
    minutes
        how long to train
    """
    from polyhead.quickstart import quickstart as start
    from polyhead.training.progress import say

    start(data, out, minutes, say, print)
