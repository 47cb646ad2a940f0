"""What the users of runs have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from polyhead.errors import UsageError, WrongTaskError
from polyhead.files import HALF
from polyhead.runs.folder import Run
from polyhead.use.together import run_folders

if TYPE_CHECKING:
    from polyhead.export.verify import Exported

LABELLED = ("classification", "multiple_choice", "question_answering", "regression", "tagging")
"""Tasks whose runs are used alike, by `labelled`."""

METHODS = {
    "translation": (
        "translate",
        "alternatives",
        "score",
        "evaluate",
        "align",
        "attention",
        "export",
    ),
    "language_modeling": ("generate", "evaluate", "attention", "export"),
    "masked_lm": ("fill", "embed", "evaluate", "attention", "export"),
    **dict.fromkeys(LABELLED, ("classify", "evaluate", "attention", "export")),
}
FORMATS = {
    "translation": ("ctranslate2", "huggingface", "onnx"),
    "language_modeling": ("ctranslate2", "huggingface", "onnx"),
    "masked_lm": ("huggingface", "onnx"),
    **dict.fromkeys(LABELLED, ("huggingface", "onnx")),
}
NO_CTRANSLATE2 = {
    "masked_lm": "its BERT gives hidden states, and has no head that predicts masked tokens",
    **dict.fromkeys(LABELLED, "it has no head that answers about texts, of BERT nor of GPT"),
}
"""Why CTranslate2 cannot hold a run of a task."""
HIDDEN = {
    "options": "translate",
    "search": "translate",
    "score_tokens": "score",
    "draw_positions": "attention",
}
"""Further names that a command may ask for, and the method that it is about."""


def no_such_method(name: str, owner: object) -> NoReturn:
    """Raise WrongTaskError for what the owner of a run of another task can do, else AttributeError.

    Copying and pickling ask an owner that has no run yet.
    """
    run = vars(owner).get("run")
    if run and (name in HIDDEN or any(name in methods for methods in METHODS.values())):
        own, name = METHODS.get(run.recipe.task, ()), HIDDEN.get(name, name)
        raise WrongTaskError(
            f"{run.path} is a run of the task {run.recipe.task}: it cannot .{name}(). "
            f"It has {', '.join(f'.{method}' for method in (*own, 'explain'))}"
        )
    raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")


def check_texts(texts: Sequence[str], what: str = "texts") -> None:
    """Raise UsageError unless this is a list of strings."""
    if isinstance(texts, str):
        raise UsageError(f"a list of {what} is needed, not one string: pass [text]")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"text {place} is {text!r}; every text must be a string")
        if not text.isascii() and (half := HALF.search(text)):
            raise UsageError(f"text {place} holds half of a character ({half[0]!r}): no text")


def export_run(run: Run, to: str, out: str | Path, quantization: str = "float32") -> Exported:
    """Write a run in another program's format; what was written is loaded there and compared.

    Raises UsageError where `out` exists or the format cannot hold the model, MissingExtraError
    without the other program, PolyheadError where its outputs are not the run's.
    """
    formats = FORMATS[run.recipe.task]
    if to not in formats:
        why = NO_CTRANSLATE2.get(run.recipe.task) if to == "ctranslate2" else None
        raise UsageError(
            f"no export of a run of {run.recipe.task} to {to!r}{f' ({why})' if why else ''}; "
            f"there is {', '.join(formats)}"
        )
    if quantization not in ("float32", "int8"):
        raise UsageError(f"quantization {quantization!r} is neither float32 nor int8")
    if to != "ctranslate2" and quantization != "float32":
        raise UsageError(f"quantization is about ctranslate2; the weights of {to} are fp32")
    if to == "ctranslate2":
        from polyhead.export.ctranslate2_export import export_ctranslate2

        return export_ctranslate2(run, Path(out), "int8" if quantization == "int8" else "float32")
    if to == "onnx":
        from polyhead.export.onnx_export import export_onnx

        return export_onnx(run, Path(out))
    if run.recipe.task in LABELLED:
        from polyhead.export.huggingface_labelled import export_labelled

        return export_labelled(run, Path(out))
    if run.recipe.task == "translation":
        from polyhead.export.huggingface import export_huggingface

        return export_huggingface(run, Path(out))
    from polyhead.export.huggingface_language import export_language

    return export_language(run, Path(out))


def rival(own: Any, against: Any, **options: Any) -> Any:
    """Another run to compare with, loaded as `own` was, with these options, if need be.

    Raises UsageError, before it is loaded, for one of another task.
    """
    from polyhead.use.load import load

    folder = isinstance(against, str | Path | Run)
    for run in map(Run.open, run_folders(against)) if folder else [against.run]:
        if run.recipe.task != own.run.recipe.task:
            raise UsageError(
                f"{run.path} is a run of the task {run.recipe.task}, {own.run.path} of "
                f"{own.run.recipe.task}; two runs of one task are compared"
            )
    return load(against, own.precision, **options) if folder else against


def settings_of(precision: str, **given: Any) -> dict[str, Any]:
    """The options of an evaluation that are not the default, None being one, for the card."""
    chosen = {"precision": None if precision == "fp32" else precision, **given}
    return {name: value for name, value in chosen.items() if value is not None}


def check_one_text(text: str, target: str | None) -> None:
    """Raise UsageError unless there is one text to look at, and no translation of it."""
    if target is not None:
        raise UsageError("--target is the translation to look at; this run does not translate")
    if not text.strip():
        raise UsageError("there is no text to look at")


def refuse(run: Run, options: dict[str, Any], known: Collection[str]) -> None:
    """Raise UsageError for an option that a task has not."""
    if unknown := sorted(options.keys() - set(known)):
        raise UsageError(
            f"{unknown[0].replace('_', '-')} does not go with a run of the task {run.recipe.task} "
            f"({run.path}); there are {', '.join(known)}"
        )
