"""Which models are compared; each is trained in a process of its own, and judged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead import config
from polyhead.comparison.report import Say, draw, journal, table
from polyhead.config import NEVER, Recipe
from polyhead.errors import Stopped, TrainingError, UsageError
from polyhead.files import write_json, write_text
from polyhead.recipe.reading import load_recipe
from polyhead.runs.folder import Run, check_free, is_run
from polyhead.training.signals import StopWish, stop_wish
from polyhead.use.shared import LABELLED

if TYPE_CHECKING:
    from polyhead.use.translation import Translator


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
        if other.recipe.task != first.recipe.task:
            raise UsageError(
                f"{first.name} is a recipe of the task {first.recipe.task}, {other.name} of "
                f"{other.recipe.task}: name recipes of one task, which is judged alike"
            )
        theirs = first.recipe.model_copy(update={"data": other.recipe.data})
        if differences := config.diff(first.recipe, theirs):
            raise UsageError(
                f"{other.name} has other data than {first.name}, so nothing would be compared: "
                + "; ".join(differences.values())
            )
    return found


def compare(found: Sequence[Entry], out: Path, say: Say) -> dict[str, Any]:
    """Train and judge every model into `out`; returns what `compare --json` prints.

    A model that `out` holds complete is not trained again; one whose result stands in NAME.json is
    not judged again. Where one knows no case, all are scored without. Raises UsageError, before
    anything is written, where `out` holds one of them made with another recipe.
    """
    for entry in found:
        _check_place(entry, out)
    if not _same_tokens(found) and found[0].recipe.training.max_tokens is not None:
        say(
            "the tokenizers differ: as many tokens are not as much text, so the models learn from "
            "more or less of it. With --minutes each has the same time instead"
        )
    out.mkdir(parents=True, exist_ok=True)
    lowercase = any(entry.recipe.tokenizer.lowercase for entry in found)
    models = []
    for entry in found:
        kept = out / f"{entry.name}.json"
        if not _complete(out / entry.name):
            kept.unlink(missing_ok=True)  # of a run that is gone
            _train(entry, out, say)
        known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None
        if known and _is_of(known, entry.recipe, lowercase):
            say(f"{entry.name}: trained and judged already ({kept})")
        else:
            asked = {"recipe": entry.recipe.model_dump(mode="json"), "lowercase": lowercase}
            known = {**asked, "result": _judged(entry, out / entry.name, lowercase, say)}
            write_json(kept, known)
        models.append(known["result"])
    report = {"models": models}
    write_json(out / "compare.json", report)
    write_text(out / "table.md", table(report) + "\n")
    scores = [*found[0].recipe.data.metrics, "bits_per_byte"]  # type: ignore[attr-defined]
    scores += ["nll"] if _same_tokens(found) else []  # of unlike tokens it says nothing
    draw([out / entry.name for entry in found], scores, out / "curves.png", say)
    return report


def _is_of(known: dict[str, Any], recipe: Recipe, lowercase: bool) -> bool:
    """Whether a result that was kept is that of a recipe; keys that are new since are as usual."""
    same = known["lowercase"] == lowercase
    return same and not config.diff(load_recipe(known["recipe"]), recipe)


def _check_place(entry: Entry, out: Path) -> None:
    """Raise UsageError unless `out` has room for a model, or holds it, made with this recipe.

    NAME.yaml is what was asked for; the run's own recipe.yaml says what became of it.
    """
    run, path = out / entry.name, out / f"{entry.name}.yaml"
    if not is_run(run):
        check_free(run)
        return
    if not path.is_file():
        raise UsageError(f"{run} is a run that no comparison made. --out names another place.")
    if changes := config.diff(load_recipe(path), entry.recipe):
        raise UsageError(
            f"{run} was made with another recipe ({'; '.join(changes.values())}). --out names "
            f"another place; or remove {run}, and the same command trains it anew."
        )


def _asked(recipe: Recipe) -> str:
    """A recipe resolved, but for what it leaves to the run it starts from."""
    values = recipe.model_dump(mode="json")
    if recipe.model.from_ is not None:  # type: ignore[attr-defined]
        for key in ("model", "tokenizer"):
            values[key] = getattr(recipe, key).model_dump(mode="json", exclude_unset=True)
    return config.as_yaml(values)


def _train(entry: Entry, out: Path, say: Say) -> None:
    """Train in a process of its own.

    A run that was stopped goes on. A signal is passed on, so that the training saves before this
    ends.
    """
    run, path = out / entry.name, out / f"{entry.name}.yaml"
    begun = is_run(run)
    if not begun:
        write_text(path, _asked(entry.recipe))
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
    from polyhead.use.load import load
    from polyhead.use.translation import Translator

    user = load(run)
    split = "test" if entry.recipe.data.test else "valid"  # type: ignore[attr-defined]
    if isinstance(user, Translator):
        metrics, groups = _translated(user, split, lowercase, say)
    else:
        metrics, groups = user.evaluate(split, say=say)["metrics"], []
    lines = journal(run, "train")
    seconds = sum(line["tokens"] / line["tokens_per_second"] for line in lines)
    tokens = sum(line["tokens"] for line in lines)
    return {
        "name": entry.name,
        "parameters": sum(p.numel() for p in user.model.parameters()),
        "split": split,
        "metrics": metrics,
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_bytes": user.run.info["peak_bytes"],
        "seconds": lines[-1]["seconds"],
        "tokens": tokens,
        "by_length": groups,
    }


def _translated(
    user: Translator, split: str, lowercase: bool, say: Say
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A translator's metrics, and those of sentences by the words of their source."""
    from polyhead.evaluation.report import Judged, by_length, report_of

    corpus = user.task.read(split, say)
    name = str(user.run.path)
    judged = Judged(user.task, user.model, corpus, user.options(), name, split)
    report, hypotheses = report_of(judged, lowercase=lowercase)
    return report["metrics"], by_length(judged, hypotheses, lowercase)


def _same_tokens(found: Sequence[Entry]) -> bool:
    """Whether a token is the same for all, as far as recipes tell; of labelled texts, an answer."""
    first, *others = (
        (recipe.tokenizer, recipe.model.from_)  # type: ignore[attr-defined]
        for recipe in (entry.recipe for entry in found)
    )
    return found[0].recipe.task in LABELLED or all(other == first for other in others)
