"""From a recipe, its data and a machine to a trainer, and from a trainer to a finished run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polyhead import machine
from polyhead.attention.evaluations import use_explicit_below
from polyhead.config import Recipe
from polyhead.errors import DataError, TrainingError
from polyhead.machine import Choices
from polyhead.runs import folder
from polyhead.runs.card import write_card
from polyhead.runs.folder import Run
from polyhead.runs.lock import only_writer
from polyhead.training import lora
from polyhead.training.loop import Trainer
from polyhead.training.need import peak
from polyhead.training.origin import Carried, Origin
from polyhead.training.processes import Processes
from polyhead.training.progress import say
from polyhead.training.recompute import recompute


def with_training(recipe: Recipe, **changes: Any) -> Recipe:
    """The same recipe with other values in its `training` section."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})


def writing(path: Path, processes: Processes) -> AbstractContextManager[bool]:
    """Of all processes the first one writes, and no other training meanwhile."""
    return only_writer(path) if processes.first else nullcontext(True)


def left_at(out: Path) -> str:
    """What a signal before the first step leaves."""
    if not folder.is_run(out):
        return f"training had not begun, and {out} was not made"
    return f"what was saved is in {out}. Go on with: polyhead train --resume {out}"


def make_trainer(
    run: Run,
    task: Any,
    corpus: Any,
    valid: Any,
    choices: Choices,
    processes: Processes,
    origin: Origin | None = None,
) -> Trainer:
    """A model as the recipe wants it, on this machine, about to be trained."""
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


def ignore(_: object) -> None: ...


def finish(trainer: Trainer) -> Run:
    """Train to an end, or until a signal; the run says which, and has its card."""
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
