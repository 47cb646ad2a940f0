"""Models side by side: trained on the same data for the same time or tokens, then judged alike."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyhead import config
from polyhead.config import NEVER, Recipe
from polyhead.errors import Stopped, TrainingError, UsageError
from polyhead.files import write_json, write_text
from polyhead.recipe.reading import load_recipe
from polyhead.runs.folder import Run, is_run
from polyhead.training.signals import StopWish, stop_wish

Say = Callable[[str], None]
LENGTHS = (5, 10, 15, 20, 30, 40, 60)  # words of the source: the upper ends of groups
TASK = "translation"


@dataclass(frozen=True)
class Entry:
    """One of the models: its recipe, ended like the others', and what to call it."""

    name: str
    recipe: Recipe


def entries(operands: Sequence[str], *, minutes: float | None, tokens: int | None) -> list[Entry]:
    """The models that `RECIPE [key=value …] RECIPE …` names; a change is of the recipe before it.

    Raises UsageError where they do not learn from the same data or have one name.
    """
    if (minutes is None) == (tokens is None):
        raise UsageError("say how long each model trains: either --minutes M or --tokens N")
    groups: list[list[str]] = []
    for operand in operands:
        if "=" not in operand:
            groups.append([operand])
        elif groups:
            groups[-1].append(operand)
        else:
            raise UsageError(f"{operand!r} changes no recipe: put it behind the one it is of")
    ends = {"max_steps": None, "max_epochs": None, "max_minutes": minutes, "max_tokens": tokens}
    found: list[Entry] = []
    for source, *changes in groups:
        shared = [f"training.{key}={'null' if v is None else v}" for key, v in ends.items()]
        shared += [f"training.early_stopping.patience={NEVER}", "training.log_every=1"]
        recipe = load_recipe(source, [*changes, *shared])
        if recipe.task != TASK:
            raise UsageError(
                f"{source} is a recipe of the task {recipe.task}; compare judges translations, by "
                f"BLEU and chrF: name recipes of the task {TASK}"
            )
        named = any(change.startswith("name=") for change in changes)
        short = [change.split(".")[-1] for change in changes]
        name = recipe.name if named else "+".join([recipe.name, *short])
        found.append(
            Entry("".join(c if c.isalnum() or c in "+=.-_" else "_" for c in name), recipe)
        )
    if len(found) < 2:
        raise UsageError("there is nothing to compare: name at least two recipes")
    names = [entry.name for entry in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two models are called {twice}; put name=ANOTHER behind one of them")
    first, *others = found
    for other in others:
        theirs = first.recipe.model_copy(update={"data": other.recipe.data})
        if differences := config.diff(first.recipe, theirs):
            raise UsageError(
                f"{other.name} has other data than {first.name}, so nothing would be compared: "
                + "; ".join(differences.values())
            )
    return found


def compare(found: Sequence[Entry], out: Path, say: Say) -> dict[str, Any]:
    """Train and judge every model into `out`; returns what `compare --json` prints.

    A model that `out` holds complete, made with the same recipe, is not trained again; one whose
    result stands in NAME.json is not judged again. Where one knows no case, all are scored without.
    """
    out.mkdir(parents=True, exist_ok=True)
    lowercase = any(entry.recipe.tokenizer.lowercase for entry in found)
    models = []
    for entry in found:
        kept = out / f"{entry.name}.json"
        asked = {"recipe": entry.recipe.model_dump(mode="json"), "lowercase": lowercase}
        known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        if all(known.get(key) == value for key, value in asked.items()):
            say(f"{entry.name}: trained and judged already ({kept})")
        else:
            _train(entry, out, say)
            known = {**asked, "result": _judged(entry, out / entry.name, lowercase, say)}
            write_json(kept, known)
        models.append(known["result"])
    report = {"models": models}
    write_json(out / "compare.json", report)
    write_text(out / "table.md", table(report) + "\n")
    _draw(found, out, say)
    return report


def _train(entry: Entry, out: Path, say: Say) -> None:
    """Train in a process of its own.

    A run of the same recipe that was stopped goes on. A signal is passed on, so that the training
    saves before this ends.
    """
    run, path = out / entry.name, out / f"{entry.name}.yaml"
    text = entry.recipe.as_yaml()
    begun = run.is_dir() and path.is_file() and path.read_text(encoding="utf-8") == text
    if begun and _complete(run):
        return
    write_text(path, text)
    say(f"{entry.name}: training")
    operands = ["--resume", str(run)] if begun else [str(path), "--out", str(run)]
    command = [sys.executable, "-m", "polyhead", "train", *operands]
    with stop_wish() as wish:
        # Ctrl-C reaches every process of a terminal; a process group of its own gets it once.
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, process_group=0)
        code = _waited_for(process, wish)
    if wish.number:
        raise Stopped(
            f"stopped by {signal.Signals(wish.number).name}: the same command goes on with "
            f"{entry.name}; the models before it are kept"
        )
    if code != 0 or not _complete(run):
        raise TrainingError(
            f"{entry.name} was not trained to its end (see above). Remove {run} if it is there; "
            "the same command then goes on with this model, the ones before it are kept."
        )


def _complete(run: Path) -> bool:
    return is_run(run) and bool(Run.open(run).info["complete"])


def _waited_for(process: subprocess.Popen[bytes], wish: StopWish) -> int:
    """A process's exit code, once it has ended; it is told a wish to stop."""
    told = 0
    while (code := process.poll()) is None:
        if wish.number != told:
            told = wish.number
            process.send_signal(told)
        time.sleep(0.1)
    return code


def _judged(entry: Entry, run: Path, lowercase: bool, say: Say) -> dict[str, Any]:
    from polyhead import api
    from polyhead.evaluation.report import Judged, report_of

    translator = api.load(run)
    task, model = translator.task, translator.model
    split = "test" if entry.recipe.data.test else "valid"  # type: ignore[attr-defined]
    corpus = task.read(split, say)
    judged = Judged(task, model, corpus, translator.options(), str(run), split)
    report, hypotheses = report_of(judged, lowercase=lowercase)
    lines = _journal(run, "train")
    seconds = sum(line["tokens"] / line["tokens_per_second"] for line in lines)
    tokens = sum(line["tokens"] for line in lines)
    return {
        "name": entry.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "split": split,
        "metrics": report["metrics"],
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_bytes": translator.run.info["peak_bytes"],
        "seconds": lines[-1]["seconds"],
        "tokens": tokens,
        "by_length": _by_length(task, corpus.texts(), hypotheses, lowercase),
    }


def _by_length(
    task: Any, texts: Any, hypotheses: list[str], lowercase: bool
) -> list[dict[str, Any]]:
    """Scores of sentences by the words of their source."""
    sources, references = texts
    groups: dict[int, list[int]] = {}
    for i, source in enumerate(sources):
        words = len(source.split())
        groups.setdefault(next((end for end in LENGTHS if words <= end), 0), []).append(i)
    result = []
    for end in [end for end in (*LENGTHS, 0) if end in groups]:
        rows = groups[end]
        parts = [hypotheses[i] for i in rows], [references[i] for i in rows]
        scores = task.scores(*parts, lowercase=lowercase)
        result.append(
            {
                "words": f"up to {end}" if end else f"more than {LENGTHS[-1]}",
                "examples": len(rows),
                "metrics": {name: entry["score"] for name, entry in scores.items()},
            }
        )
    return result


def _journal(run: Path, kind: str) -> list[dict[str, Any]]:
    text = (run / "metrics.jsonl").read_text(encoding="utf-8")
    return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]


def _draw(found: Sequence[Entry], out: Path, say: Say) -> None:
    """The learning curves, on valid, against the minutes of training."""
    from polyhead.inspection.asked import tell_picture
    from polyhead.inspection.curves import save_curves_picture

    panels: dict[str, dict[str, list[tuple[float, float, float, float]]]] = {}
    for score, title in (("bleu", "BLEU"), ("nll", "NLL")):
        panels[title] = {}
        for entry in found:
            run = out / entry.name
            minutes = {line["step"]: line["seconds"] / 60 for line in _journal(run, "train")}
            points = [(minutes[v["step"]], v[score]) for v in _journal(run, "valid")]
            panels[title][entry.name] = [(x, y, y, y) for x, y in points]
    title, across = "Learning curves on valid", "minutes of training"
    tell_picture(
        lambda: save_curves_picture(panels, out / "curves.png", title=title, across=across), say
    )


def table(report: dict[str, Any]) -> str:
    """The comparison as a Markdown table, then BLEU by the length of the source."""
    rows = ["| model | BLEU | chrF | parameters | tokens/s | peak memory | tokens | seconds |"]
    rows.append("|---" * 8 + "|")
    for one in report["models"]:
        bleu, chrf = one["metrics"]["bleu"], one["metrics"]["chrf"]
        rows.append(
            f"| {one['name']} | {bleu['score']:.2f} [{bleu['low']:.2f}, {bleu['high']:.2f}] "
            f"| {chrf['score']:.2f} | {one['parameters']:,} | {one['tokens_per_second']:,.0f} "
            f"| {one['peak_bytes'] / 2**20:,.0f} MiB | {one['tokens']:,} | {one['seconds']:,.0f} |"
        )
    groups = [(g["words"], g["examples"]) for g in report["models"][0]["by_length"]]
    rows += ["", "BLEU by the source's words:", ""]
    rows.append("| model | " + " | ".join(f"{words} ({n})" for words, n in groups) + " |")
    rows.append("|---" * (len(groups) + 1) + "|")
    for one in report["models"]:
        scores = " | ".join(f"{g['metrics']['bleu']:.1f}" for g in one["by_length"])
        rows.append(f"| {one['name']} | {scores} |")
    return "\n".join(rows)
