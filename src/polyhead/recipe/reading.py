"""Reading a recipe: a file or a shipped name, with overrides, checked before any data is read."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from polyhead import registry
from polyhead.config import DataSection, Family, ModelSection, Recipe, Section
from polyhead.errors import RecipeError, UsageError
from polyhead.recipe import text as recipe_text
from polyhead.recipe.faults import problems_of
from polyhead.recipe.remaining import rest_of


def load_recipe(
    source: str | Path | Mapping[str, Any],
    overrides: list[str] | None = None,
    *,
    folder: Path | None = None,
    imported: bool = False,
) -> Recipe:
    """Read a recipe (a path, a shipped name or a mapping), apply `key=value` overrides, check it.

    Relative paths start from `folder` (default: the recipe's own). The recipe of a run that was
    `imported` names no data. Raises RecipeError with every problem found.
    """
    if isinstance(source, Mapping):
        raw, home, where = deepcopy(dict(source)), Path(), "recipe"
    else:
        path = find_recipe(source)
        raw, home, where = _read_yaml(path), path.parent, str(path)
    for text in overrides or []:
        _override(raw, text)
    context = {"folder": (folder or home).resolve(), "imported": imported}
    return _check(raw, context, where)


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with Polyhead, by name."""
    here = Path(__file__).parent.parent
    places = (here / "recipes", here.parent.parent / "recipes")  # installed, or a source tree
    return {p.stem: p for place in places if place.is_dir() for p in sorted(place.glob("*.yaml"))}


def find_recipe(source: str | Path) -> Path:
    """The file of a recipe given as a path or a shipped name; raises UsageError with near names."""
    path = Path(source)
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if str(source) in shipped:
        return shipped[str(source)]
    near = get_close_matches(path.stem, shipped, 1)
    hint = f" Did you mean the shipped recipe {near[0]!r}?" if near else ""
    raise UsageError(
        f"no recipe {str(source)!r}: neither a file nor a shipped name "
        f"(`polyhead recipes` lists those).{hint}"
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = recipe_text.parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(str(path), [f"not valid YAML: not UTF-8 text ({error})"]) from None
    except ValueError as error:
        raise RecipeError(str(path), [str(error)]) from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if not isinstance(raw, dict):
        raise RecipeError(str(path), ["a recipe is a mapping (key: value lines)"])
    return raw


def _override(raw: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"{text!r} is not key=value (for example training.max_steps=100)")
    *parents, last = key.strip().split(".")
    place: Any = raw
    for number, part in enumerate(parents):
        if number == 2 and parents[0] == "data" and part == "0" and isinstance(place, dict):
            continue  # data.train.0: one mapping is a list of one
        place = _only(place, part)
        if isinstance(place, list):
            place = place[_index(part, place, key)]
            if not isinstance(place, dict | list):
                raise UsageError(f"{key}: {place!r} at {part!r} has no keys")
        else:
            if not isinstance(place.get(part), dict | list):
                place[part] = {}
            place = place[part]
    try:
        parsed = recipe_text.parse(value) if value else None
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}; perhaps the value needs quotes") from None
    place = _only(place, last)
    if isinstance(place, list):
        place[_index(last, place, key)] = parsed
    else:
        place[last] = parsed


def _only(place: Any, part: str) -> Any:
    """The one mapping of a list, where a key of it follows: a list of one needs no index."""
    one = isinstance(place, list) and len(place) == 1 and isinstance(place[0], dict)
    return place[0] if one and not part.isdecimal() else place


def _index(part: str, place: list[Any], key: str) -> int:
    if part.isdecimal() and int(part) < len(place):
        return int(part)
    raise UsageError(f"{key}: {part!r} is not a position in a list of {len(place)}")


def _check(raw: dict[str, Any], context: dict[str, Any], where: str) -> Recipe:
    """Check each section by its own schema, so that every problem of every section is listed."""
    problems: list[str] = []
    raw = dict(raw)
    right: dict[str, Any] = {}  # what is right of sections with faults
    if "model" in raw:
        raw["model"], problems = _of_its_kind(raw["model"], context)
    kind, task = _kind(raw.get("model")), raw.get("task")
    for key, room, schema, name in (
        ("model", "models", "Config", kind),
        ("data", "tasks", "Data", task),
    ):
        if name is None:
            if isinstance(raw.get(key), dict):  # else the outer schema says that it is missing
                problems += ["model.kind: missing"] if key == "model" and not problems else []
                raw[key] = Section()
            continue
        try:
            section = getattr(registry.find(room, name), schema)
        except UsageError as error:
            problems.append(f"{'model.kind' if key == 'model' else 'task'}: {error}")
            raw[key] = Section()
            continue
        if issubclass(section, DataSection):
            problems += _misfit(kind, task, section)
            if isinstance(raw.get("training"), dict):
                raw["training"] = section.training_defaults | raw["training"]
        given = raw.get(key, {})
        try:
            raw[key] = section.model_validate(given, context=context)
        except ValidationError as error:
            problems += problems_of(error, section, key, given)
            raw[key] = Section()
            if isinstance(given, dict):
                right[key], more = rest_of(section, given, key, context)
                problems += more
    smoothing = 0.0
    try:
        recipe = Recipe.model_validate(raw, context=context)
        smoothing = recipe.training.label_smoothing
    except ValidationError as error:
        problems += problems_of(error, Recipe, "", raw)
    model, data = raw.get("model"), raw.get("data")
    if isinstance(model, ModelSection) and isinstance(data, DataSection) and model.from_ is None:
        problems += data.misfits(model, smoothing)  # else see training/origin.py
    if problems:
        problems += rest_of(Recipe, raw | right, "", context)[1]
        raise RecipeError(where, list(dict.fromkeys(problems)))
    return recipe


def _misfit(kind: Any, task: Any, data: type[DataSection]) -> list[str]:
    """What is wrong where a model of this kind cannot learn the task."""
    known = registry.names("models")
    if kind not in known or _family(kind) in data.families:
        return []
    fitting = [name for name in known if _family(name) in data.families]
    return [f"model.kind: the task {task} needs {' or '.join(fitting)} (found {kind!r})"]


def _family(kind: str) -> Family:
    family: Family = registry.find("models", kind).Config.family
    return family


def _of_its_kind(model: Any, context: dict[str, Any]) -> tuple[Any, list[str]]:
    """A model that says only which run it starts from is of its kind; and what is wrong."""
    if not isinstance(model, dict) or "kind" in model or model.get("from") is None:
        return model, []
    given = {"from": model["from"]}
    try:
        run = ModelSection.model_validate(given, context=context).from_
    except ValidationError as error:
        return model, list(problems_of(error, ModelSection, "model", given))
    path = Path(str(run)) / "recipe.yaml"
    kind = _kind(_read_yaml(path).get("model")) if path.is_file() else None
    return (model if kind is None else {"kind": kind, **model}), []


def _kind(model: Any) -> str | None:
    return model.get("kind") if isinstance(model, dict) else None
