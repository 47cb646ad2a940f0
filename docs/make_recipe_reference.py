"""Print docs/recipes.md, made from the schemas.

Use: python docs/make_recipe_reference.py > docs/recipes.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from polyhead import registry
from polyhead.config import AtLeastOne, DataPath, Recipe, Section
from polyhead.data.documents import TextSource
from polyhead.data.labelled import ChoiceTable, LabelledTable, QuestionFile, TaggedFile
from polyhead.data.pairs import PairSource

HEAD = """\
# Recipes: every key

A recipe is a YAML file. `polyhead train RECIPE` reads it; so do the other commands that take one.
The name of a shipped recipe (`polyhead recipes` lists them) serves as well.
This page is made from the program's own schemas by `docs/make_recipe_reference.py`; a test keeps it
up to date. [tutorial.md](tutorial.md) explains a whole recipe line by line.

- A key that does not exist is an error. So is a value of the wrong type. All problems are reported
  at once, each with its path and the nearest valid name.
- `key=value` after the recipe on the command line changes a key for one run. Keys are dotted paths
  (`training.max_steps=100`), positions in lists are numbers (`data.train.0.weight=2`), values are
  YAML (`training.clip=null`).
- Paths are relative to the recipe's file. `~` and `${VARIABLE}` are expanded.
- `task: translation` takes models of kind `transformer`, `rnn_seq2seq` and `conv_seq2seq`,
  `language_modeling` takes `gpt`, `masked_lm` takes `bert`, and the tasks about labelled texts take
  `gpt` or `bert`.
- At least one of `max_steps`, `max_minutes`, `max_epochs` and `max_tokens` must be given. Training
  ends at whichever comes first.
- "required" means that there is no default; "theirs" that every key inside has one.
"""

NOTES = {
    "name": "the run folder is `runs/NAME` unless `--out` names another",
    "seed": "of weights, dropout and the order of examples",
    "task": "what is learned; decides what `data` may say",
    "model": "see the model kinds below",
    "data": "see the tasks below",
    "tokenizer": "see `tokenizer` below",
    "training": "see `training` below",
    "decoding": "of translations; see `decoding` below",
    "tokenizer.kind": "how text is cut; [data.md](data.md#tokenizers) compares them",
    "tokenizer.lowercase": "read and write lower case only; scores then ignore case",
    "training.max_steps": "optimiser steps",
    "training.max_minutes": "minutes of training, validations included, over all resumes",
    "training.max_epochs": "times through the training data; fractions are allowed",
    "training.accumulate": "batches whose gradients are added up into one step",
    "training.clip": "largest norm of a gradient; longer ones are scaled down; null: never",
    "training.precision": "`auto` takes bf16 where that is fast here; `fp16` needs a GPU",
    "training.threads": "processor threads; null: as many as torch takes",
    "training.label_smoothing": (
        "share of the target distribution spread over all tokens or labels; 0 by default in all "
        "tasks but translation; regression has none"
    ),
    "training.optimizer": "see `training.optimizer` below",
    "training.schedule": "see `training.schedule` below",
    "training.early_stopping": "see `training.early_stopping` below",
    "training.optimizer.kind": "`adam` or `adamw` (weight decay apart from the gradient)",
    "training.optimizer.betas": "decay of the running means of the gradient and of its square",
    "training.optimizer.eps": "added to the root in Adam's denominator",
    "training.optimizer.weight_decay": "on matrices only, not on biases and norms",
    "training.schedule.kind": (
        "after warm-up: `noam` falls with the root of the step, `cosine` and `linear` fall to 0 at "
        "the end, `constant` stays"
    ),
    "training.schedule.warmup_steps": "steps in which the learning rate rises to its peak",
    "training.early_stopping.metric": (
        "what decides which weights are best, and when to stop (translation has `bleu` and `chrf`, "
        "masked_lm `accuracy`, labelled texts [their own](labelled.md)); `none`: never stop early, "
        "keep the weights of the last validation"
    ),
    "decoding.beam": "hypotheses kept per sentence; 1 is greedy search",
    "transformer.kind": "this model",
    "transformer.preset": "fills in the keys below that you do not give",
    "transformer.d_model": "width of every vector",
    "transformer.num_heads": "attention heads; must divide `d_model`",
    "transformer.d_ff": "width inside the feed-forward layers",
    "transformer.dropout": "share of elements set to zero in training",
    "transformer.norm": "layer norm after each sub-layer (`post`, the paper) or before (`pre`)",
    "transformer.positions": "how order is told; see [attention.md](attention.md)",
    "rnn_seq2seq.kind": "this model; [lineage.md](lineage.md) says which paper each key is of",
    "rnn_seq2seq.preset": "fills in the keys below that you do not give",
    "rnn_seq2seq.cell": "`lstm` or `gru`",
    "rnn_seq2seq.bidirectional": "the encoder reads both ways, half of `d_model` each",
    "rnn_seq2seq.attention": "see `model.attention` below",
    "rnn_seq2seq.attention.score": (
        "how well a source token answers; `none`: one fixed vector is all the decoder has"
    ),
    "rnn_seq2seq.attention.scope": (
        "`global`: all of the source; `local-m`, `local-p`: a window around the own, or a "
        "predicted, position"
    ),
    "rnn_seq2seq.attention.weights": "`soft`: weighted mean; `hard`: one token, drawn in training",
    "conv_seq2seq.kind": "this model; see [lineage.md](lineage.md)",
    "conv_seq2seq.preset": "fills in the keys below that you do not give",
    "conv_seq2seq.dropout": "of embeddings, before each convolution, and before the output",
    "conv_seq2seq.positions": "how order is told; see [attention.md](attention.md)",
    "translation.target_language": "code; also decides how BLEU cuts words",
    "translation.train": "corpora (see below); a single one needs no list",
    "translation.valid": "a corpus to judge the model on while it learns",
    "translation.test": "a corpus to score it on afterwards",
}
"""Meanings of keys whose schema gives no description; a description there comes first."""

CORPORA: dict[Any, str] = {
    PairSource: "list of corpora",
    TextSource: "list of files or texts",
    LabelledTable: "list of tables",
    ChoiceTable: "list of tables",
    TaggedFile: "list of files",
    QuestionFile: "list of files",
}
"""What may stand in lists of `data`, and what such a list is called."""

SOURCES = {
    "corpus": "A corpus of pairs",
    "text": "A text of language models",
    "labelled": "A table of classification or regression",
    "choices": "A table of multiple choice",
    "tagged": "A file of tagging",
    "questions": "A file of question answering",
}


def page() -> str:
    """The whole of docs/recipes.md."""
    return "\n".join([HEAD, *_sections()]).rstrip() + "\n"


def rows() -> Iterator[tuple[str, FieldInfo]]:
    """(path, field) of every key a recipe may hold."""
    for prefix, schema in _schemas():
        for name, field in schema.model_fields.items():
            yield f"{prefix}.{field.alias or name}".removeprefix("."), field


def meaning(path: str, field: FieldInfo) -> str:
    """What a key means: its own description, or the note above."""
    return field.description or NOTES.get(path, "")


def _schemas() -> Iterator[tuple[str, type[BaseModel]]]:
    yield from _inner("", Recipe)
    for kind in registry.names("models"):
        yield from _inner(kind, registry.find("models", kind).Config)
    for task in registry.names("tasks"):
        yield from _inner(task, registry.find("tasks", task).Data)
    yield "corpus", PairSource
    yield "text", TextSource
    yield "labelled", LabelledTable
    yield "choices", ChoiceTable
    yield "tagged", TaggedFile
    yield "questions", QuestionFile


def _inner(prefix: str, schema: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield prefix, schema
    for name, field in schema.model_fields.items():
        (kind,) = [k for k in get_args(field.annotation) if _is_section(k)] or [field.annotation]
        if _is_section(kind) and kind not in (Section, *CORPORA):
            yield from _inner(f"{prefix}.{name}".removeprefix("."), kind)


def _sections() -> Iterator[str]:
    models, tasks = registry.names("models"), registry.names("tasks")
    for prefix, schema in _schemas():
        if prefix == "":
            title = "Top level"
        elif prefix in models:
            title = f"`model` of kind `{prefix}`"
        elif prefix in tasks:
            title = f"`data` of task `{prefix}`"
        elif (kind := prefix.partition(".")[0]) in models:
            title = f"`model{prefix.removeprefix(kind)}` of kind `{kind}`"
        elif prefix in SOURCES:
            title = f"{SOURCES[prefix]} (`data.train`, `data.valid`, `data.test`)"
        else:
            title = f"`{prefix}`"
        yield f"## {title}\n"
        yield "| key | type | default | meaning |"
        yield "|---|---|---|---|"
        for name, field in schema.model_fields.items():
            key = field.alias or name
            path = f"{prefix}.{key}".removeprefix(".")
            yield f"| `{key}` | {_type(field)} | {_default(field)} | {meaning(path, field)} |"
        yield ""
        if prefix in models:
            yield from _presets(getattr(registry.find("models", prefix), "PRESETS", {}))
        if prefix == "corpus":
            yield from (
                "Give either `source` and `target`, or `file` (or `hub` with `split`) with",
                "`source_column` and `target_column`. [data.md](data.md) has examples of each.",
                "",
            )


def _presets(presets: dict[str, dict[str, Any]]) -> Iterator[str]:
    if not presets:
        return
    keys = list(next(iter(presets.values())))
    yield "Presets:\n"
    yield f"| preset | {' | '.join(f'`{key}`' for key in keys)} |"
    yield "|---" * (len(keys) + 1) + "|"
    for name, values in presets.items():
        yield f"| `{name}` | {' | '.join(str(values[key]) for key in keys)} |"
    yield ""


def _type(field: FieldInfo) -> str:
    limits = {Ge: "≥", Gt: ">", Lt: "<", Le: "≤"}
    shown = [f"{limits[type(m)]} {_limit(m)}" for m in field.metadata if type(m) in limits]
    shown += ["not empty" for m in field.metadata if isinstance(m, MinLen) or m is AtLeastOne]
    return ", ".join([_name(field.annotation), *shown])


def _limit(mark: Any) -> str:
    value = getattr(mark, type(mark).__name__.lower())
    return "2^63" if value == 2**63 else str(value)


def _name(kind: Any) -> str:
    """A type as a person writes it."""
    if kind == DataPath:
        return "path"
    origin, inside = get_origin(kind), get_args(kind)
    parts = [part for part in inside if part is not NoneType]
    made: dict[Any, Callable[[], str]] = {
        Literal: lambda: " \\| ".join(f"`{value}`" for value in inside),
        list: lambda: CORPORA.get(parts[0]) or f"list of {_name(parts[0])}",
        tuple: lambda: " and ".join(map(_name, parts)),
        dict: lambda: "column: value or list of values",
    }
    if origin in made:
        return made[origin]()
    if inside:
        return " \\| ".join(map(_name, parts))
    if _is_section(kind):
        return "keys of its own"
    return {int: "integer", float: "number", str: "text", bool: "true or false"}[kind]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, BaseModel):
        return "theirs"
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


if __name__ == "__main__":
    print(page(), end="")
