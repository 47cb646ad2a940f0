"""What can still be said of a section that has faults: its checks of several values together.

pydantic leaves those out as soon as one value is wrong, and a recipe's problems are told at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from polyhead.recipe.faults import nearest, section_of, told


def rest_of(
    schema: type[BaseModel], given: Mapping[str, Any], path: str, context: dict[str, Any]
) -> tuple[BaseModel, list[str]]:
    """What is right of a section that stands at `path`, and what its own checks say of that.

    A value that is wrong, missing, or perhaps misspelt is no attribute of the section: a check that
    needs it says nothing, so that no problem is told that only comes from another.
    """
    for name in _checks(schema, "before"):
        given = getattr(schema, name)(given)
    known = [field.alias or name for name, field in schema.model_fields.items()]
    misspelt = {nearest(str(key), known) for key in given if key not in known}
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, field in schema.model_fields.items():
        key = field.alias or name
        if key in given:
            whole = f"{path}.{key}" if path else key
            right, more = _value(field, given[key], whole, context)
            problems += more
            if right:
                values[name] = right[0]
        elif key not in misspelt and not field.is_required():
            values[name] = field.get_default(call_default_factory=True)
    part = schema.model_construct()
    part.__dict__.clear()
    part.__dict__.update(values)
    return part, [*problems, *(told(path, message) for message in _complaints(part))]


def _value(
    field: FieldInfo, given: Any, path: str, context: dict[str, Any]
) -> tuple[list[Any], list[str]]:
    """[the value], or [] where it is wrong; a section counts as far as it is right."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
        return [adapter.validate_python(given, context=context)], []
    except ValidationError:
        inner = section_of(field.annotation)
    if inner is None:
        return [], []
    if isinstance(given, dict):
        part, problems = rest_of(inner, given, path, context)
        kinds = (field.annotation, *get_args(field.annotation))  # it may be X, or X | None
        alone = inner in kinds and get_origin(field.annotation) is not list
        return [part] if alone else [], problems
    several = enumerate(given if isinstance(given, list) else [])
    found = [
        rest_of(inner, one, f"{path}.{i}", context) for i, one in several if isinstance(one, dict)
    ]
    return [], [problem for _, problems in found for problem in problems]


def _complaints(part: BaseModel) -> Iterator[str]:
    for name in _checks(type(part), "after"):
        try:
            getattr(part, name)()
        except ValueError as error:
            yield str(error)
        except AttributeError:
            continue  # it needs what is not right


def _checks(schema: type[BaseModel], mode: str) -> list[str]:
    """The names of a schema's model validators that run before, or after, its fields'."""
    known = schema.__pydantic_decorators__.model_validators.values()
    return [one.cls_var_name for one in known if one.info.mode == mode]
