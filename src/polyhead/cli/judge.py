"""Commands that judge: a run by its own translations, or translations by a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from polyhead.cli.lines import Json, Side, aligned
from polyhead.cli.report import report_lines
from polyhead.errors import UsageError


def evaluate(
    run: Path,
    *,
    split: Literal["test", "valid"] | None = None,
    source: Side | None = None,
    reference: Side | None = None,
    beam: int | None = None,
    alpha: float | None = None,
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    batch_tokens: int | None = None,
    stride: int | None = None,
    against: Path | None = None,
    corrupt: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=False)] = (),
    seed: int | None = None,
    picture: Path | None = None,
    json_: Json = False,
) -> None:
    """Score a run: of a translator BLEU, chrF, TER with intervals; else the metrics of its task.

    What is said of sources, translations, beams and batches is about translators.

    Parameters
    ----------
    run
        a run folder, or several that decide together: RUN1,RUN2
    split
        which split of the recipe's data (default: test)
    source
        a file to translate, instead of a split
    reference
        its translation
    beam
        hypotheses per sentence (default: the recipe's)
    alpha
        length penalty (default: the recipe's)
    precision
        what to compute in
    batch_tokens
        source tokens, times the beam, computed together: less takes less memory (default: the
        recipe's)
    stride
        of a language model: tokens between the windows it looks through (default: the recipe's)
    against
        another run, judged on the same data: the differences, their intervals and p-values
    corrupt
        KIND=RATE or KIND=RATE,RATE,…: score damaged sources, too. truncate: the last words are
        missing; omit: some are; swap: neighbours change places; shift: the first stand last
    seed
        of the damage (default: 1)
    picture
        a .png for the scores against the damage (default: damage.png in the run)
    """
    from polyhead import api
    from polyhead.training.progress import say

    if seed is not None and not corrupt:
        raise UsageError("--seed is about --corrupt, which is not given")
    if corrupt and picture is None and run.is_dir() and os.access(run, os.W_OK):
        picture = run / "damage.png"
    options = {
        "source": source,
        "reference": reference,
        "stride": stride,
        "against": against,
        "corrupt": corrupt or None,
        "seed": seed,
        "picture": picture,
        "beam": beam,
        "alpha": alpha,
    }
    given = {name: value for name, value in options.items() if value is not None}
    report = api.load(run, precision, batch_tokens=batch_tokens).evaluate(split, say=say, **given)
    if json_:
        print(json.dumps(report, ensure_ascii=False))
    else:
        print("\n".join(report_lines(report)))


def score(
    run: Path,
    *,
    source: Side,
    target: Side,
    batch_tokens: int | None = None,
    json_: Json = False,
) -> None:
    """Log-probability of given translations, by forced decoding, a line each.

    Parameters
    ----------
    run
        a run folder, or several that decide together: RUN1,RUN2
    source
        the sources, a line each
    target
        the translations to score
    batch_tokens
        source tokens computed together: less takes less memory (default: the
        recipe's)
    """
    from polyhead import api
    from polyhead.training.progress import say

    sources, targets = aligned(source, target)
    translator = api.load(run, batch_tokens=batch_tokens)
    scored = translator.score_tokens(sources, targets, say=say)
    if json_:
        rows = [
            {"line": line, "log_probability": value, "tokens": tokens}
            for line, (value, tokens) in enumerate(scored, start=1)
        ]
        print(json.dumps(rows))
        return
    for value, _ in scored:
        print(f"{value:.6f}")
