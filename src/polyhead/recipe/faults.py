"""What is wrong with a recipe: every problem with its path and the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from polyhead.config import Recipe, Section


def problems_of(
    error: ValidationError, schema: type[BaseModel], prefix: str, raw: Any
) -> Iterator[str]:
    """A line for each error of a section that stands at `prefix` and was written as `raw`."""
    for item in error.errors():
        location = _as_written(item["loc"], raw)
        path = ".".join(str(p) for p in ([prefix] if prefix else []) + location)
        if item["type"] == "extra_forbidden":
            yield f"{path}: unknown key{_suggest(schema, location)}"
        elif item["type"] == "missing":
            yield f"{path}: missing"
        else:
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "string_type" and isinstance(item["input"], bool):
                message += "; YAML reads no, off, yes and on as true or false: put it in quotes"
            shown = "" if isinstance(item["input"], dict | list) else f" (found {item['input']!r})"
            yield told(path, message + shown)


def told(path: str, message: str) -> str:
    """A problem's line: where it is, and what."""
    message = message[0].lower() + message[1:]
    return f"{path}: {message}" if path else message


def _as_written(location: tuple[int | str, ...], raw: Any) -> list[int | str]:
    """Where in the YAML: without validators' own steps, and those of lists written as one."""
    path: list[int | str] = []
    for part in location:
        if part in ("function-after", "function-before"):
            continue
        if isinstance(raw, dict) and isinstance(part, int):
            continue
        path.append(part)
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            raw = None
    return path


def _suggest(schema: type[BaseModel], location: list[Any]) -> str:
    """The nearest valid key at the same place, else the same key's right place elsewhere."""
    *parents, wrong = [str(p) for p in location]
    here = _fields_at(schema, [p for p in parents if not p.isdecimal()])
    if near := nearest(wrong, here):
        return f"; did you mean {near!r}?"
    elsewhere = [path for path in _all_paths(Recipe) if path.rsplit(".", 1)[-1] == wrong]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    return f"; valid here: {', '.join(here)}" if here else ""


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """The valid key that a wrong one is most like, if it is like any."""
    return next(iter(get_close_matches(wrong, known, 1, cutoff=0.6)), None)


def _fields_at(schema: type[BaseModel], parents: list[str]) -> list[str]:
    for parent in parents:
        field = schema.model_fields.get(parent)
        inner = section_of(field.annotation) if field else None
        if inner is None:
            continue  # a list's or union's own step in the path
        schema = inner
    return [field.alias or name for name, field in schema.model_fields.items()]


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The schema of the section that a field holds, or of each in its list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((s for a in get_args(annotation) if (s := section_of(a))), None)


def _all_paths(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        yield prefix + (field.alias or name)
        inner = section_of(field.annotation)
        if inner is not None and inner is not Section:
            yield from _all_paths(inner, f"{prefix}{name}.")
