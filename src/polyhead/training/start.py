"""Beginning a training, and going on with one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polyhead import config, machine, memory, registry
from polyhead.attention.evaluations import use_explicit_below
from polyhead.config import Recipe
from polyhead.errors import DataError, RunError, TrainingError
from polyhead.files import check_all_there, write_text
from polyhead.machine import Choices
from polyhead.memory import shown
from polyhead.recipe.reading import load_recipe
from polyhead.runs import folder
from polyhead.runs.card import write_card
from polyhead.runs.checkpoints import Checkpoint, Checkpoints
from polyhead.runs.folder import Run
from polyhead.runs.lock import only_writer
from polyhead.training import journal, lora, need
from polyhead.training.loop import Trainer
from polyhead.training.need import Need, peak
from polyhead.training.origin import Carried, Origin, origin_of
from polyhead.training.processes import ALONE, Processes, launch_id
from polyhead.training.progress import say
from polyhead.training.recompute import recompute
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
    with stop_at_once(lambda: _left_at(out)), _writing(out, processes) as inside:
        prepared = prepare(recipe, out, processes)
        _begin(prepared)
        with nullcontext() if inside else _writing(out, processes):  # now there is a folder to lock
            return _go(prepared.trainer)


def _writing(path: Path, processes: Processes) -> AbstractContextManager[bool]:
    """Of all processes the first one writes, and no other training meanwhile."""
    return only_writer(path) if processes.first else nullcontext(True)


def _left_at(out: Path) -> str:
    if not folder.is_run(out):
        return f"training had not begun, and {out} was not made"
    return f"what was saved is in {out}. Go on with: polyhead train --resume {out}"


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
        task.read("test", _ignore)  # a fault in it is better known now than after training
    notes: dict[str, Any] = {"choices": choices.as_dict(), "data": task.describe(corpus)}
    auto = recipe.training.batch_tokens == "auto"
    if auto:
        task.recipe = with_training(recipe, batch_tokens=TRIED_FIRST)
    run = Run(out, task.recipe)
    trainer = _trainer(run, task, corpus, valid, choices, processes, origin)
    if auto:
        chosen = processes.share(need.choose_batch_tokens(trainer))
        say(f"training.batch_tokens: auto is {chosen:,} here")
        notes["batch_tokens"] = f"auto: {chosen}"
        trainer.follow(Run(out, with_training(recipe, batch_tokens=chosen)))
    notes |= origin.notes() if origin is not None else {}
    return Prepared(trainer, need.measure(trainer), notes)


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
        wanted = load_recipe(path / "recipe.yaml", overrides)
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
    with stop_at_once(lambda: _left_at(path)), _writing(path, processes):
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


def with_training(recipe: Recipe, **changes: Any) -> Recipe:
    """The same recipe with other values in its `training` section."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})


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
    read = task.read_training(run.recipe, _ignore)
    corpus, valid = task.training_corpus(read, _ignore), task.read("valid", _ignore)
    for part, read, known in (
        ("training", corpus, stored.values["data"]),
        ("validation", valid, stored.values["valid_data"]),
    ):
        if read.fingerprint != known:
            raise RunError(
                f"the {part} data has changed since {path} was begun (its fingerprint differs), so "
                "an exact resume is impossible. Put the old files back, or start a new run."
            )
    trainer = _trainer(run, task, corpus, valid, choices, processes)
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
    return _go(trainer)


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


def _trainer(
    run: Run,
    task: Any,
    corpus: Any,
    valid: Any,
    choices: Choices,
    processes: Processes,
    origin: Origin | None = None,
) -> Trainer:
    if processes.share(corpus.fingerprint) != corpus.fingerprint:
        raise DataError(
            "this process reads other training data than the first one: every machine needs the "
            "same files"
        )
    machine.apply(choices)
    use_explicit_below(choices.explicit_attention_below)
    torch.manual_seed(run.recipe.seed)
    model: nn.Module = run.build_model(task.sizes())
    if origin is not None:
        origin.begin(model, task)
    _as_asked(run, model, origin)
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    model.to(choices.device, kinds[choices.precision])
    parameters = sum(p.numel() for p in model.parameters())
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    processes.diverge(run.recipe.seed)
    many = f"; {processes.size} processes" if processes.size > 1 else ""
    some = f", of which {learning:,} learn" if learning < parameters else ""
    say(f"{parameters:,} parameters{some}; {len(corpus):,} {task.unit}; {choices.describe()}{many}")
    return Trainer(
        run=run,
        task=task,
        model=model,
        train=corpus,
        valid=valid,
        choices=choices,
        processes=processes,
    )


def _as_asked(run: Run, model: nn.Module, origin: Origin | None) -> None:
    """What the recipe says about how the model learns; a run that goes on knows its origin."""
    config = run.recipe.training
    if config.lora is not None:
        known = origin.carried if origin is not None else Carried(**run.info["finetuned_from"])
        if known is None:
            raise TrainingError("training.lora: nothing was carried over from the run before")
        lora.begin(model, config.lora, lora.learning(known))
    if config.recompute:
        recompute(model)


def _ignore(_: object) -> None: ...


def _go(trainer: Trainer) -> Run:
    run = trainer.run
    reason = trainer.go()
    if not trainer.processes.first:
        return run
    complete = not reason.startswith("SIG")
    most = max(run.info.get("peak_bytes", 0), peak(trainer.choices.device == "cuda"))
    run.update(complete=complete, stopped_because=reason, peak_bytes=most)
    write_card(run, trainer.task.describe(trainer.train_corpus))
    if complete:
        say(f"done ({reason}) at step {trainer.course.step:,}: {run.path}")
    else:
        say(
            f"stopped by {reason} at step {trainer.course.step:,}; everything is saved. Go on with:"
        )
        say(f"  polyhead train --resume {run.path}")
    return run
