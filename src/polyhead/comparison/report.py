"""What a comparison shows: a table, and the learning curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from polyhead.training.journal import read

Say = Callable[[str], None]
NAMES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER", "nll": "NLL"}  # of scores, in titles


def journal(run: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind of a run's metrics.jsonl."""
    return [line for line in read(run / "metrics.jsonl") if line["kind"] == kind]


def draw(runs: Sequence[Path], scores: Sequence[str], picture: Path, say: Say) -> None:
    """Those of the scores that were measured on valid, against the minutes of training."""
    from polyhead.inspection.asked import tell_picture
    from polyhead.inspection.curves import save_curves_picture

    panels: dict[str, dict[str, list[tuple[float, float, float, float]]]] = {}
    for run in runs:
        minutes = {line["step"]: line["seconds"] / 60 for line in journal(run, "train")}
        valid = journal(run, "valid")
        for score in scores:
            points = [(minutes[v["step"]], v[score]) for v in valid if score in v]
            if points:
                panel = panels.setdefault(_title(score), {})
                panel[run.name] = [(x, y, y, y) for x, y in points]
    title, across = "Learning curves on valid", "minutes of training"
    tell_picture(lambda: save_curves_picture(panels, picture, title=title, across=across), say)


def _title(score: str) -> str:
    return NAMES.get(score, score.replace("_", " "))


def table(report: dict[str, Any]) -> str:
    """The comparison as a Markdown table; of translators, then BLEU by the length of the source.

    Of metrics with intervals it has those, else all.
    """
    models = report["models"]
    split, metrics = models[0]["split"], models[0]["metrics"]
    scores = [name for name, v in metrics.items() if isinstance(v, dict)] or list(metrics)
    chosen = " (no test data is named; on valid the weights were chosen, too)"
    rows = [f"Scores on {split}{chosen if split == 'valid' else ''}:", ""]
    others = ["parameters", "tokens/s", "peak memory", "tokens", "seconds"]
    rows.append("| " + " | ".join(["model", *map(_title, scores), *others]) + " |")
    rows.append("|---" * (1 + len(scores) + len(others)) + "|")
    for one in models:
        shown = [_shown(one["metrics"][name]) for name in scores]
        rows.append(
            f"| {' | '.join([one['name'], *shown])} "
            f"| {one['parameters']:,} | {one['tokens_per_second']:,.0f} "
            f"| {one['peak_bytes'] / 2**20:,.0f} MiB | {one['tokens']:,} | {one['seconds']:,.0f} |"
        )
    groups = [(g["words"], g["examples"]) for g in models[0]["by_length"]]
    if groups:
        rows += ["", f"BLEU on {split} by the source's words:", ""]
        rows.append("| model | " + " | ".join(f"{words} ({n})" for words, n in groups) + " |")
        rows.append("|---" * (len(groups) + 1) + "|")
    for one in models if groups else ():
        bleu = " | ".join(f"{g['metrics']['bleu']:.1f}" for g in one["by_length"])
        rows.append(f"| {one['name']} | {bleu} |")
    return "\n".join(rows)


def _shown(score: Any) -> str:
    if isinstance(score, dict):
        return f"{score['score']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"
    return f"{score:.4f}"
