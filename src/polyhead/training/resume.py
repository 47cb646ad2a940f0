"""Going on with a training exactly where it stopped, or further than its recipe said."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from polyhead import config, machine, registry
from polyhead.config import Recipe
from polyhead.errors import RunError
from polyhead.files import check_all_there, write_text
from polyhead.machine import Choices
from polyhead.recipe.reading import load_recipe
from polyhead.runs.checkpoints import Checkpoint, Checkpoints
from polyhead.runs.folder import Run
from polyhead.training import journal, need
from polyhead.training.build import finish, ignore, left_at, make_trainer, with_training, writing
from polyhead.training.processes import ALONE, Processes
from polyhead.training.progress import say
from polyhead.training.signals import stop_at_once


def resume(path: Path, overrides: list[str], processes: Processes = ALONE) -> Run:
    """Go on with a run exactly where its newest whole checkpoint stands.

    Overrides may say where the data files are now, and nothing else. Raises Stopped where a signal
    comes before the first step.
    """
    Run.open(path)
    with going_on(path, processes):
        run = Run.open(path)
        stored = newest(run, processes)
        saved = load_recipe(stored.values["recipe"])
        if extensions := run.info.get("extended"):
            saved = until(saved, extensions[-1]["to_step"])
        wanted = load_recipe(path / "recipe.yaml", overrides, folder=Path())
        check_same(path, saved, wanted)
        if run.info.get("complete"):
            raise RunError(
                f"{path} is complete: it stopped at step {run.info['step']:,} because of "
                f"{run.info['stopped_because']}. There is nothing to resume; "
                f"`polyhead extend {path} --steps N` trains it further, up to step N."
            )
        return go_on(Run(path, wanted), stored, processes)


@contextmanager
def going_on(path: Path, processes: Processes) -> Iterator[None]:
    """Nobody else writes into the run meanwhile, and a signal before the first step is no crash."""
    with stop_at_once(lambda: left_at(path)), writing(path, processes):
        yield


def newest(run: Run, processes: Processes) -> Checkpoint:
    """The run's newest whole checkpoint, which must be the same one for all processes."""
    keep = run.recipe.training.keep
    stored = Checkpoints(run.path, keep=keep, average_last=1).newest(say)
    if processes.share(stored.step) != stored.step:
        raise RunError(
            f"the processes see different checkpoints in {run.path}: to go on, the run must lie in "
            "a folder that all machines share"
        )
    return stored


def check_same(path: Path, saved: Recipe, wanted: Recipe) -> None:
    """Raise RunError where going on would not be the same training; data files may have moved."""
    places = config.data_files(wanted)
    changes = [line for key, line in config.diff(saved, wanted).items() if key not in places]
    if changes:
        raise RunError(
            f"{path} would resume with another recipe than it was trained with:\n  "
            + "\n  ".join(changes)
            + "\nResuming goes on with exactly the same training; undo the changes, or start a "
            "new run with `polyhead train`. Only the places of data files may change."
        )


def until(recipe: Recipe, step: int) -> Recipe:
    """The same recipe, ending at a step and nowhere else."""
    return with_training(recipe, max_steps=step, max_minutes=None, max_epochs=None, max_tokens=None)


def go_on(
    run: Run, stored: Checkpoint, processes: Processes, notes: Mapping[str, Any] | None = None
) -> Run:
    """Train from a checkpoint to the recipe's end; raises RunError where the data has changed.

    `notes` go into run.json once nothing is left that could forbid it.
    """
    path = run.path
    files = config.data_files(run.recipe)
    gone = " ".join(f"{key}=NEW" for key, file in files.items() if not Path(file).exists())
    advice = f"Where they have moved, say so: polyhead train --resume {path} {gone}"
    check_all_there(files.items(), advice if gone else "")
    choices = _choices_again(stored.values["choices"])
    task = registry.find("tasks", run.recipe.task).Task.load(run.recipe, path)
    read = task.read_training(run.recipe, ignore)
    corpus, valid = task.training_corpus(read, ignore), task.read("valid", ignore)
    for part, read, known in (
        ("training", corpus, stored.values["data"]),
        ("validation", valid, stored.values["valid_data"]),
    ):
        if read.fingerprint != known:
            raise RunError(
                f"the {part} data has changed since {path} was begun (its fingerprint differs), so "
                "an exact resume is impossible. Put the old files back, or start a new run."
            )
    trainer = make_trainer(run, task, corpus, valid, choices, processes)
    if processes.size > 1:
        # as at the start: gradients are bundled by what the first backward saw
        need.try_batch(trainer, need.largest_batch(trainer))
    if processes.first:
        before = Run.open(path).recipe
        if run.recipe != before:
            write_text(path / "recipe.yaml", run.recipe.as_yaml())
        if run.recipe.data != before.data:
            say("the data has moved, and is the same: its fingerprint matches")
        if notes:
            run.update(**notes)
        journal.forget_after(path / "metrics.jsonl", stored.step)
        run.clear_leftovers()
        trainer.checkpoints.forget_after(stored.step)
    processes.share(None)  # what the first process wrote, the others read
    trainer.restore(stored)
    if any(e["from_step"] >= stored.step for e in run.info.get("extended", [])):
        trainer.course.waited = 0  # early stopping has waited enough for the old end, not this one
    say(f"resuming {path} at step {stored.step:,}")
    return finish(trainer)


def _choices_again(saved: dict[str, Any]) -> Choices:
    """The choices a run was begun with; where this machine cannot keep one, that is said aloud."""
    kept = Choices(**{f.name: saved[f.name] for f in fields(Choices)})
    here = machine.choose(kept.precision, kept.threads)
    if here.device != kept.device:
        say(
            f"this run computed on {kept.device}, which is not here; going on with {here.device}: "
            "the losses will not be the same to the bit"
        )
        return here
    if kept.precision == "bf16" and kept.device == "cpu" and not machine.has_fast_bf16():
        say("this run computes in bf16, which is slow on this machine; it goes on in bf16")
    if kept.threads > (os.cpu_count() or 1):
        say(f"this run uses {kept.threads} threads; this machine has {os.cpu_count()} cores")
    return kept
