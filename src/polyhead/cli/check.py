"""The command that looks at data before training does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from polyhead.cli.lines import Json

if TYPE_CHECKING:
    from polyhead.training.findings import Findings

EXAMPLES = 3  # of each kind
BAR = 40  # characters


def check_data(recipe: str, *overrides: str, json_: Json = False) -> None:
    """Look for all that is wrong with a recipe's data, without training.

    Exits 1 if training would not start or its scores would be wrong (faults), 0 if there are only
    warnings.

    Parameters
    ----------
    recipe
        a recipe's file, or the name of a shipped one
    overrides
        key=value changes with dotted keys
    """
    from polyhead.recipe.reading import load_recipe
    from polyhead.training.check import check_data as check

    findings = check(load_recipe(recipe, list(overrides)))
    if json_:
        print(json.dumps(findings.as_dict(), ensure_ascii=False))
    else:
        for line in _describe(findings):
            print(line)
    if not findings.is_fine:
        raise SystemExit(1)


def _describe(findings: Findings) -> Iterator[str]:
    for split, count in findings.splits.items():
        kept = f"; training keeps {findings.kept:,}" if split == "train" else ""
        yield f"{split}: {count:,} {findings.unit}{kept}"
    if findings.vocabulary:
        sizes = ", ".join(f"{side} {size:,}" for side, size in findings.vocabulary.items())
        yield f"vocabulary: {sizes} tokens"
    for split, rates in findings.unknown_rate.items():
        shares = ", ".join(f"{side} {rate:.2%}" for side, rate in rates.items())
        yield f"unknown tokens in {split}: {shares}"
    for split, labels in findings.labels.items():
        counts = ", ".join(f"{label} {count:,}" for label, count in labels.items())
        yield f"labels of {split}: {counts}"
    for split, sides in findings.lengths.items():
        yield from _bars(split, sides)
    yield from _problems(findings)


def _bars(split: str, sides: dict[str, Any]) -> Iterator[str]:
    for side, lengths in sides.items():
        yield ""
        yield (
            f"tokens per {split} {side}: median {lengths['median']:.0f}, mean "
            f"{lengths['mean']:.1f}, longest {lengths['max']:,}"
        )
        most = max((bar["count"] for bar in lengths["histogram"]), default=1)
        for bar in lengths["histogram"]:
            drawn = "█" * -(-bar["count"] * BAR // most)  # at least one where there is any
            yield f"{bar['from']:>7,}-{bar['to']:<7,} {bar['count']:>10,} {drawn}"


def _problems(findings: Findings) -> Iterator[str]:
    from polyhead.data.checks import FAULTS, WARNINGS

    counts = findings.counts()
    yield ""
    if not counts:
        yield "no problem found"
        return
    for kind, entry in counts.items():
        meaning = (FAULTS | WARNINGS)[kind]
        yield f"{entry['severity']:<8} {kind:<15} {entry['count']:>9,}  {meaning}"
    for kind, entry in counts.items():
        yield ""
        yield f"{kind}:"
        of_kind = [problem for problem in findings.problems if problem.kind == kind]
        for problem in of_kind[:EXAMPLES]:
            place = problem.file if problem.line is None else f"{problem.file}:{problem.line}"
            yield f"  {place}: {problem.message}"
        if entry["count"] > EXAMPLES:
            yield f"  … and {entry['count'] - EXAMPLES:,} more (--json lists all)"
    yield ""
    if findings.is_fine:
        yield "warnings only: training would be right"
    else:
        yield "there are faults: training would stop or its scores would be wrong"
