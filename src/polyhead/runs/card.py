"""The model card: what a run is, what it was trained on, and how good it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polyhead.errors import RunError
from polyhead.files import write_text
from polyhead.runs.folder import Run


def write_card(
    run: Run,
    data: dict[str, Any] | None,
    scores: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write README.md into the run; `scores` are an evaluation's, as `evaluate --json` prints.

    `settings` are the evaluation's options by name, from which its command is written.
    """
    info, recipe = run.info, run.recipe
    lines = [
        f"# {recipe.name}",
        "",
        _about_making(info, recipe.task),
        "",
        "| | |",
        "|---|---|",
        f"| steps, epochs | {info['step']:,}, {info['epoch']} |",
        f"| stopped because of | {info['stopped_because']} |",
        f"| weights | {info['weights']} (step {info.get('weights_step', info['step'])}) |",
        *(_about_machine(info["choices"]) if "choices" in info else []),
        *(_about_origin(info["finetuned_from"]) if "finetuned_from" in info else []),
        *(_about_data(data) if data else []),
        "",
        "## Scores",
        "",
    ]
    if scores is None:
        lines += ["Not measured yet: `polyhead evaluate RUN` measures and writes them here.", ""]
    else:
        lines += _about_scores(scores, settings or {})
    lines += ["## Recipe", "", "```yaml", recipe.as_yaml().rstrip(), "```", ""]
    write_text(run.path / "README.md", "\n".join(lines))


def keep_scores(
    run: Run,
    report: dict[str, Any],
    say: Callable[[str], None],
    settings: dict[str, Any] | None = None,
) -> None:
    """Write an evaluation's scores onto the card; a folder one may only read is told."""
    try:
        write_card(run, run.info.get("data"), report, settings)
    except RunError as error:
        say(f"the scores were not written into the run: {error}")


def _about_making(info: dict[str, Any], task: str) -> str:
    version = f"Polyhead {info['polyhead_version']}"
    if "imported_from" in info:
        origin = info["imported_from"]
        made = f"taken in from {origin['source']} ({origin['model_type']}) by {version}"
        note = f" {origin['note']}" if "note" in origin else ""
    else:
        made, note = f"trained with {version}", ""
    if not info["complete"]:
        note = (
            f" **Training is not complete**: it has come to step {info['step']:,}, and "
            "`polyhead train --resume RUN` goes on."
        )
    return f"A `{info['model']}` for {task}, {made}.{note}"


def _about_machine(choices: dict[str, Any]) -> list[str]:
    return [
        f"| {name} | {choices[key]} |"
        for name, key in (
            ("device", "device"),
            ("training precision", "precision"),
            ("threads", "threads"),
        )
        if key in choices
    ]


def _about_scores(scores: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    options = "".join(f" --{name} {value}" for name, value in settings.items())
    lines = [
        f"`polyhead evaluate RUN --split {scores['split']}{options}`, "
        f"{scores['examples']:,} examples:",
        "",
        "| metric | score |",
        "|---|---|",
    ]
    for name, value in scores["metrics"].items():
        shown = _score(value) if isinstance(value, dict) else f"{value:.4f}"
        lines.append(f"| {name} | {shown} |")
    return [*lines, ""]


def _score(entry: dict[str, Any]) -> str:
    """A score with its interval and signature, whose bars would end a cell of the table."""
    interval = f"[{entry['low']:.2f}, {entry['high']:.2f}]"
    signature = entry["signature"].replace("|", " ")
    return f"{entry['score']:.2f}, 95% {interval} ({signature})"


def _about_origin(carried: dict[str, Any]) -> list[str]:
    rows = "; ".join(
        f"{name} vocabulary: " + ", ".join(f"{count:,} {what}" for what, count in counts.items())
        for name, counts in carried["vocabulary"].items()
    )
    return [f"| started from | {carried['run']}, step {carried['step']:,} ({rows}) |"]


def _about_data(data: dict[str, Any]) -> list[str]:
    numbers = {name: value for name, value in data.items() if isinstance(value, int)}
    counts = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in numbers.items())
    return [
        f"| training data | {counts} |",
        f"| data fingerprint | `{data['fingerprint']}` |",
    ]
