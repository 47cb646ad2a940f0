"""Starting from another run's weights: `model.from`, which `finetune` sets.

Weights are carried over by name, the rows of a vocabulary by token. What the run does not have is
fresh, what the new model does not have is dropped; both are said, and noted in run.json.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from polyhead import registry
from polyhead.config import ModelSection, Recipe, Section
from polyhead.data.tokenizers import Tokenizer
from polyhead.errors import RecipeError, RunError
from polyhead.layers.embeddings import OutputHead, TokenEmbedding
from polyhead.layers.positions import Positions
from polyhead.models.bert import MaskedHead
from polyhead.runs.folder import Run
from polyhead.tasks.shared.supervised import Supervised
from polyhead.training.progress import say

# Keys that may differ from the run's: no weight's meaning depends on them.
FREE = {"from", "preset", "dropout", "max_length"}

ANSWERS = "answers."  # the head of GPT and BERT about labelled texts
POOLERS = ("next_sentence.pooler.", "answers.pooler.")  # BERT's one pooler, by the head it is in


@dataclass
class Carried:
    """What became of a run's weights."""

    run: str
    step: int
    vocabulary: dict[str, dict[str, int]] = field(default_factory=dict)  # rows kept, new, dropped
    carried: int = 0  # weights that took the run's values, whole or in rows
    fresh: list[str] = field(default_factory=list)  # weights that the run does not have
    partly: list[str] = field(default_factory=list)  # weights with rows that it does not have
    dropped: list[str] = field(default_factory=list)  # weights that the new model does not have

    def tell(self) -> None:
        """Say it to a person."""
        say(f"starting from {self.run} (step {self.step:,}): {self.carried} weights carried over")
        for name, rows in self.vocabulary.items():
            counts = ", ".join(f"{count:,} {what}" for what, count in rows.items())
            say(f"  rows of the {name} vocabulary: {counts}")
        for what, names in (("begin fresh", self.fresh), ("are dropped", self.dropped)):
            if names:
                say(f"  {len(names)} weights {what}: {', '.join(names)}")


class Origin:
    """The run that a recipe starts from; `recipe` has what it leaves open filled in from there.

    Raises RecipeError listing every key that does not fit the run's weights.
    """

    def __init__(self, recipe: Recipe, path: str):
        self.run = Run.open(path)
        theirs = self.run.recipe
        kind = registry.find("tasks", theirs.task)
        self.task: Any = kind.Task.load(theirs, self.run.path)
        model, differing = _fill_in(recipe.model, theirs.model)
        faults = [f"model.{key}: {why}" for key, why in differing.items() if key not in FREE]
        tokenizer, changed = _fill_in(recipe.tokenizer, theirs.tokenizer)
        changed.pop("new", None)
        if "shared" in changed:
            faults.append(f"tokenizer.shared: {changed['shared']}")
        wish = recipe.tokenizer.new
        self.keeps_vocabulary = not changed if wish is None else not wish
        if self.keeps_vocabulary:
            faults += [f"tokenizer.{k}: {w}" for k, w in changed.items() if k != "shared"]
        data: Any = recipe.data
        if not faults:
            faults += data.misfits(model, recipe.training.label_smoothing)
        if faults:
            advice = "leave these keys out to take the run's, or train without model.from"
            raise RecipeError(f"{recipe.name} does not fit {path} ({advice})", faults)
        self.recipe = recipe.model_copy(update={"model": model, "tokenizer": tokenizer})
        self.carried: Carried | None = None

    def new_task(self) -> Any:
        """The recipe's task with the run's tokenizers; labels are learned from its own data."""
        task = registry.find("tasks", self.recipe.task).Task.load(self.recipe, self.run.path)
        if isinstance(task, Supervised):
            task.learned = None
        return task

    def begin(self, model: nn.Module, task: Any) -> None:
        """Give a fresh model the run's weights, say and note what became of them."""
        self.carried = carry(model, task, self.run.weights(), self.task, self.run)
        self.carried.tell()

    def notes(self) -> dict[str, Any]:
        """What run.json says about it."""
        return {"finetuned_from": asdict(self.carried)} if self.carried else {}


def origin_of(recipe: Recipe) -> Origin | None:
    """The run a recipe starts from; None where it starts from nothing."""
    path = recipe.model.from_ if isinstance(recipe.model, ModelSection) else None
    return None if path is None else Origin(recipe, path)


def _fill_in(section: Any, theirs: Section) -> tuple[Any, dict[str, str]]:
    """(the section with the keys that were not given taken from the run, how the given differ)."""
    ours, old = (s.model_dump(mode="json", by_alias=True) for s in (section, theirs))
    names = {f.alias or name: name for name, f in type(section).model_fields.items()}
    given = {key for key, name in names.items() if name in section.model_fields_set}
    differing = {
        key: f"{ours[key]!r} here, {old.get(key)!r} in the run"
        for key in names
        if key in given and ours[key] != old.get(key)
    }
    if ours.get("kind") != old.get("kind") and "kind" in given and "from" in names:
        return section, {"kind": differing["kind"]}  # another model: its keys are its own
    left_open = {
        name: getattr(theirs, name)
        for key, name in names.items()
        if key not in given and key in old and key not in ("from", "new")
    }
    return section.model_copy(update=left_open), differing


@torch.no_grad()
def carry(model: nn.Module, task: Any, weights: dict[str, Tensor], old: Any, run: Run) -> Carried:
    """Copy a run's weights into a fresh model by name, rows of a vocabulary by token.

    Of learned positions, a shorter model takes the first. Raises RunError naming every weight of
    another shape, or where none fits.
    """
    parameters = dict(model.named_parameters())
    found = Carried(str(run.path), int(run.info.get("weights_step") or run.info["step"]))
    rows, tables = set(_vocabulary_weights(model)), set(_learned_positions(model))
    taken = _taken(parameters, weights, task, old)
    wrong = []
    for name, theirs in taken.items():
        here, there = parameters[name].shape, weights[theirs].shape
        free = name in rows or name in tables
        if here[free:] != there[free:]:
            wrong.append(f"{theirs}: {tuple(there)} in the run, {tuple(here)} here")
        elif name in tables and here[0] > there[0]:
            wrong.append(
                f"{name}: {there[0]} learned positions in the run, {here[0]} here; set "
                f"model.max_length to at most {there[0]}"
            )
    if wrong:
        raise RunError(
            f"weights of {run.path} have other shapes than the recipe's model:\n  "
            + "\n  ".join(wrong)
        )
    found.dropped = sorted(weights.keys() - taken.values())
    for name, parameter in parameters.items():
        if name not in taken:
            found.fresh.append(name)
            continue
        found.carried += 1
        weight = weights[taken[name]]
        if name in tables and len(weight) > len(parameter):
            found.dropped.append(f"{name}[{len(parameter)}:]")
            weight = weight[: len(parameter)]
        if name not in rows:
            parameter.copy_(weight)
            continue
        label, tokenizer = task.vocabulary(name)
        ours, kept, counts = _rows_by_token(tokenizer, old.vocabulary(name)[1])
        parameter[ours] = weight[kept].to(parameter)
        found.vocabulary[label] = counts
        if counts["new"]:
            found.partly.append(name)
    if not found.carried:
        raise RunError(f"{run.path} has no weight in common with the recipe's model")
    return found


def _taken(
    parameters: Container[str], weights: dict[str, Tensor], task: Any, old: Any
) -> dict[str, str]:
    """The run's weight that each of our parameters takes, by their names.

    What a head says of texts means something only to the same question with the same labels.
    """
    same = isinstance(task, Supervised) and task.answers_as(old)
    found = {}
    for theirs in weights:
        ours = theirs
        for here, there in (POOLERS, POOLERS[::-1]):
            if theirs.startswith(there) and theirs not in parameters:
                ours = here + theirs.removeprefix(there)
        if ours in parameters and (
            same or ours.startswith(POOLERS) or not ours.startswith(ANSWERS)
        ):
            found[ours] = theirs
    return found


def _vocabulary_weights(model: nn.Module) -> Iterator[str]:
    """Names of the parameters that have a row for every token."""
    for place, module in model.named_modules():
        if isinstance(module, TokenEmbedding | OutputHead | MaskedHead):
            for name, _ in module.named_parameters(recurse=False):
                yield f"{place}.{name}" if place else name


def _learned_positions(model: nn.Module) -> Iterator[str]:
    """Names of the parameters that have a row for every position."""
    for place, module in model.named_modules():
        if isinstance(module, Positions) and module.kind == "learned":
            yield f"{place}.table"


def _rows_by_token(new: Tokenizer, old: Tokenizer) -> tuple[list[int], list[int], dict[str, int]]:
    """Rows of the new vocabulary and those of the old one with the same tokens, and counts."""
    ours, theirs = new.inner.get_vocab(), old.inner.get_vocab()
    common = sorted(ours.keys() & theirs.keys(), key=lambda token: ours[token])
    counts = {
        "kept": len(common),
        "new": len(ours) - len(common),
        "dropped": len(theirs) - len(common),
    }
    return [ours[token] for token in common], [theirs[token] for token in common], counts
