"""Any trained run, ready to use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from polyhead import machine, registry
from polyhead.decoding.ensemble import Ensemble
from polyhead.errors import UsageError
from polyhead.layers.swift import Quick
from polyhead.runs.folder import Run
from polyhead.tasks.translation import Task
from polyhead.use.shared import LABELLED
from polyhead.use.together import as_one, check_same_tokens, run_folders
from polyhead.use.translation import Translator

Precision = Literal["fp32", "bf16", "int8"]
Engine = Literal["torch", "ctranslate2"]


def load(
    run: str | Path | Run,
    precision: Precision = "fp32",
    *,
    batch_tokens: int | None = None,
    engine: Engine = "torch",
    say: Callable[[str], None] = lambda text: None,
) -> Any:
    """A trained run, ready to use; raises RunError with what is wrong with the folder.

    `run` is its folder, or what `polyhead.train` returned.

    A Translator; or what `polyhead.use` has for the run's task, for example a LanguageModel.

    Several runs with commas between, RUN1,RUN2, decide together: each next token gets the mean of
    their probabilities. They need the same tokenizers, and the first one's recipe counts.
    `batch_tokens` is what is computed together, instead of the recipe's decoding.batch_tokens: less
    takes less memory.

    The engine ctranslate2 (extra `ctranslate2`) translates, or generates, with an export of the
    run, in fp32 or int8, which is made at the first use and kept in the run; `say` hears of it.

    >>> import polyhead
    >>> polyhead.load("runs/none")
    Traceback (most recent call last):
    polyhead.errors.UsageError: no run folder runs/none; ...
    """
    for what, given, kinds in (("precision", precision, Precision), ("engine", engine, Engine)):
        if given not in (known := get_args(kinds)):
            raise UsageError(f"{what} {given!r} is not one of {', '.join(known)}")
    runs = [_with_batch(Run.open(path), batch_tokens) for path in run_folders(run)]
    if engine == "ctranslate2":
        return _with_ctranslate2(runs, precision, say)
    choices = machine.choose("fp32")
    machine.apply(choices)
    tasks = [
        registry.find("tasks", one.recipe.task).Task.load(one.recipe, one.path) for one in runs
    ]
    models = []
    for one, task in zip(runs, tasks, strict=True):
        models.append(_in_precision(one.load_model(task.sizes()), precision, choices.device))
    if len(runs) > 1:
        return _together(runs, tasks, models, precision)
    name = runs[0].recipe.task
    user = import_module(f"polyhead.use.{'labelled' if name in LABELLED else name}")
    return user.Model(runs[0], tasks[0], models[0], precision)


def _together(
    runs: list[Run], tasks: list[Any], models: list[nn.Module], precision: Precision
) -> Translator:
    if others := [one for one in runs if one.recipe.task != "translation"]:
        raise UsageError(
            f"only translators can decide together; {others[0].path} is a run of the task "
            f"{others[0].recipe.task}"
        )
    for one, task in zip(runs[1:], tasks[1:], strict=True):
        check_same_tokens(runs[0], tasks[0], one, task)
    together = as_one(runs)
    task = Task.load(together.recipe, runs[0].path)
    return Translator(together, task, Ensemble(models), precision)


def _with_ctranslate2(runs: Sequence[Run], precision: Precision, say: Callable[[str], None]) -> Any:
    from polyhead.export.ctranslate2_engine import CTranslate2Engine
    from polyhead.export.ctranslate2_writer import CTranslate2Writer

    if len(runs) > 1:
        raise UsageError("the engine ctranslate2 takes one run; several decide together in torch")
    if precision == "bf16":
        raise UsageError("the engine ctranslate2 has no bf16 on a CPU; choose fp32 or int8")
    if runs[0].recipe.task not in ("translation", "language_modeling"):
        raise UsageError(
            f"{runs[0].path} is a run of the task {runs[0].recipe.task}; the engine ctranslate2 is "
            "for translators and language models"
        )
    user = load(runs[0].path)
    quantization: Literal["int8", "float32"] = "int8" if precision == "int8" else "float32"
    writes = runs[0].recipe.task == "language_modeling"
    make = CTranslate2Writer if writes else CTranslate2Engine
    user.engine = make(runs[0], user.task, quantization, say)
    return user


def _with_batch(run: Run, batch_tokens: int | None) -> Run:
    if batch_tokens is None:
        return run
    if batch_tokens < 1:
        raise UsageError(f"batch-tokens {batch_tokens} is not at least 1")
    if run.recipe.task != "translation":
        raise UsageError(
            f"batch-tokens is about translating; {run.path} is a run of the task {run.recipe.task}"
        )
    decoding = run.recipe.decoding.model_copy(update={"batch_tokens": batch_tokens})
    return Run(run.path, run.recipe.model_copy(update={"decoding": decoding}))


def _in_precision(model: nn.Module, precision: Precision, device: str) -> nn.Module:
    """On a GPU, where there is one; int8 is packed for the CPU, and stays there."""
    if device != "cpu" and precision != "int8":
        return model.to(device, torch.bfloat16 if precision == "bf16" else torch.float32)
    if precision != "fp32":
        from polyhead.layers.packed import pack

        model = pack(model, precision)
    if precision != "bf16" and isinstance(model, Quick):
        model.quicken()
    return model
