"""Beginning a training."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyhead import config, machine, memory, registry
from polyhead.config import Recipe
from polyhead.errors import TrainingError
from polyhead.files import check_all_there
from polyhead.machine import Choices
from polyhead.memory import shown
from polyhead.runs import folder
from polyhead.runs.checkpoints import Checkpoints
from polyhead.runs.folder import Run
from polyhead.training import need
from polyhead.training.build import finish, ignore, left_at, make_trainer, with_training, writing
from polyhead.training.loop import Trainer
from polyhead.training.need import Need
from polyhead.training.origin import origin_of
from polyhead.training.processes import ALONE, Processes, launch_id
from polyhead.training.progress import say
from polyhead.training.resume import check_same, resume
from polyhead.training.signals import stop_at_once

TRIED_FIRST = 4096  # batch_tokens with which auto measures what fits


@dataclass(frozen=True)
class Prepared:
    """A training about to begin: its data is read, its model built, its memory enough."""

    trainer: Trainer
    need: Need
    notes: dict[str, Any]  # for run.json


def train(recipe: Recipe, out: Path, processes: Processes = ALONE) -> Run:
    """Train a recipe into a new run folder; returns the run, complete or stopped by a signal.

    What torchrun starts again after a failure goes on with the run that it began. Raises Stopped
    where a signal comes before the first step.
    """
    begun = processes.share(_begun_by_this_launch(out))
    if processes.first and not begun:
        folder.check_free(out)
    if begun:
        origin = origin_of(recipe)
        return _resume_own(origin.recipe if origin else recipe, out, processes)
    with stop_at_once(lambda: left_at(out)), writing(out, processes) as inside:
        prepared = prepare(recipe, out, processes)
        _begin(prepared)
        with nullcontext() if inside else writing(out, processes):  # now there is a folder to lock
            return finish(prepared.trainer)


def _begin(prepared: Prepared) -> None:
    """Try the largest batch, if memory seems enough for it, and make the run folder."""
    trainer, needed = prepared.trainer, prepared.need
    need.check(needed, trainer)
    need.try_batch(trainer, need.largest_batch(trainer))
    say(
        f"memory: {shown(needed.of(needed.slots))} foretold for the largest batch "
        f"({needed.largest}); {shown(memory.used())} used after trying it"
    )
    state = trainer.state()

    def begin(place: Path) -> None:
        trainer.task.save(place)
        Checkpoints(place, keep=1, average_last=1).save(state)

    if trainer.processes.first:
        notes = prepared.notes if launch_id() is None else {**prepared.notes, "launch": launch_id()}
        folder.create(trainer.run.path, trainer.run.recipe, begin, **notes)


def prepare(recipe: Recipe, out: Path, processes: Processes = ALONE) -> Prepared:
    """All that comes before the first step: data, tokenizers, model, and the memory it needs."""
    origin = origin_of(recipe)
    if origin is not None:
        recipe = origin.recipe
    choices = _choose(recipe, processes)
    check_all_there(config.data_files(recipe).items())
    kind = registry.find("tasks", recipe.task)
    read = kind.Task.read_training(recipe, say)
    if origin is not None and origin.keeps_vocabulary:
        task = origin.new_task()
    else:
        task = _task(recipe, read, processes)
    corpus = task.training_corpus(read, say)
    valid = task.read("valid", say)
    if recipe.data.test:  # type: ignore[attr-defined]
        task.read("test", ignore)  # a fault in it is better known now than after training
    notes: dict[str, Any] = {"choices": choices.as_dict(), "data": task.describe(corpus)}
    auto = recipe.training.batch_tokens == "auto"
    if auto:
        task.recipe = with_training(recipe, batch_tokens=TRIED_FIRST)
    run = Run(out, task.recipe)
    trainer = make_trainer(run, task, corpus, valid, choices, processes, origin)
    if auto:
        chosen = processes.share(need.choose_batch_tokens(trainer))
        say(f"training.batch_tokens: auto is {chosen:,} here")
        notes["batch_tokens"] = f"auto: {chosen}"
        trainer.follow(Run(out, with_training(recipe, batch_tokens=chosen)))
    notes |= origin.notes() if origin is not None else {}
    return Prepared(trainer, need.measure(trainer), notes)


def _begun_by_this_launch(out: Path) -> bool:
    """Whether torchrun, having lost a process, starts again a command that has begun this run."""
    launch = launch_id()
    if launch is None or not folder.is_run(out):
        return False
    return bool(Run.open(out).info.get("launch") == launch)


def _resume_own(recipe: Recipe, out: Path, processes: Processes) -> Run:
    """Go on after a restart; a run that was complete already is."""
    run = Run.open(out)
    if recipe.training.batch_tokens == "auto":
        recipe = with_training(recipe, batch_tokens=run.recipe.training.batch_tokens)
    check_same(out, run.recipe, recipe)
    if run.info["complete"]:
        say(f"{out} is complete")
        return run
    say("torchrun has started the training again: it goes on where its last checkpoint stands")
    return resume(out, [], processes)


def _task(recipe: Recipe, read: Any, processes: Processes) -> Any:
    """The task with its tokenizers: the first process trains them, the others receive the files."""
    kind = registry.find("tasks", recipe.task)
    task = kind.Task.train_tokenizers(recipe, read) if processes.first else None
    with tempfile.TemporaryDirectory(prefix="polyhead-tokenizers-") as name:
        place = Path(name)
        if task is not None and processes.size > 1:
            task.save(place)
        files = {file.name: file.read_text(encoding="utf-8") for file in place.iterdir()}
        for file, text in processes.share(files).items():
            (place / file).write_text(text, encoding="utf-8")
        return task or kind.Task.load(recipe, place)


def _choose(recipe: Recipe, processes: Processes) -> Choices:
    """The first process's choices, for all: speeds that it measures may differ from theirs."""
    choices = machine.choose(recipe.training.precision, recipe.training.threads)
    shared: dict[str, Any] = processes.share(choices.as_dict())
    choices = Choices(**shared)
    if choices.precision == "fp16" and choices.device == "cpu":
        raise TrainingError(
            "training.precision: fp16 needs a GPU; on this machine use auto, fp32 or bf16"
        )
    return choices
