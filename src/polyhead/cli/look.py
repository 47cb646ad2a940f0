"""Commands that look inside: attention, alignments, tokens."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from polyhead.cli.lines import Flag, Json, Side, Sink, Text, aligned, typed
from polyhead.errors import UsageError


def align(run: Path, *, source: Side, target: Side, output: Path | None = None) -> None:
    """Align given translations, by forced decoding: links i-j of words, a line for each pair.

    i counts the source's words from 0 and j the target's; each target word has the one source word
    that attention gives most weight while it is written.

    Parameters
    ----------
    run
        a run folder of any encoder-decoder with attention
    source
        the sources, a line each
    target
        their translations
    output
        where to write; default: standard output
    """
    from polyhead import api
    from polyhead.training.progress import say

    sources, targets = aligned(source, target)
    found = api.load(run).align(sources, targets, say=say)
    with Sink(output) as sink:
        for links in found:
            sink.write(" ".join(f"{i}-{j}" for i, j in links))


def inspect(
    run: Path,
    text: Text | None = None,
    *,
    out: Path,
    target: Text | None = None,
    positions: Annotated[bool, Flag] = False,
) -> None:
    """Draw what a model attends to, every layer and head; or a translator's positional encodings.

    Parameters
    ----------
    run
        a run folder
    text
        the text that is translated, or just read by a model that translates nothing
    out
        FILE.png (a picture), FILE.html (a page to explore offline) or FILE.json (the numbers)
    target
        of a translator, the translation to look at (default: the model's own)
    positions
        draw the positional encodings instead; no text is needed
    """
    from polyhead import api

    if (text is None) != positions:
        raise UsageError("give the text to look at, or --positions and no text")
    if positions and target is not None:
        raise UsageError("--target is about a text; --positions needs neither")
    translator = api.load(run)
    if text is None:
        print(translator.draw_positions(out))
    else:
        print(translator.attention(typed(text), target and typed(target)).save(out))


def explain(run: Path, text: Text, *, json_: Json = False) -> None:
    """Show how a text is cut into tokens, their ids, and what is unknown.

    Parameters
    ----------
    run
        a run folder
    text
        the text
    """
    from polyhead.registry import find
    from polyhead.runs.folder import Run

    opened = Run.open(run)
    task = find("tasks", opened.recipe.task).Task.load(opened.recipe, opened.path)
    found = task.source_tokenizer.explain(typed(text))
    if json_:
        fields = {"tokens": found.tokens, "ids": found.ids, "unknown": found.unknown}
        print(json.dumps(fields, ensure_ascii=False))
        return
    for token, number in zip(found.tokens, found.ids, strict=True):
        shown = token if token.isprintable() else json.dumps(token, ensure_ascii=False)[1:-1]
        print(f"{number}\t{shown}")
    if found.unknown:
        print(f"unknown: {' '.join(found.unknown)}", file=sys.stderr)
