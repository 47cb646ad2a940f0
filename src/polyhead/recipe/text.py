"""YAML as recipes use it: plain values only, no key twice, faults told with their line."""

from __future__ import annotations

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """The safe loader, which takes no mapping with a key that stands twice."""


def _refuse_twins(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        line = key.start_mark.line + 1
        if key.value in lines:
            raise ValueError(
                f"the key {key.value!r} stands twice, in line {lines[key.value]} and in line "
                f"{line}; keep one of them"
            )
        lines[key.value] = line


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    _refuse_twins(node)  # before `<<` is expanded: a mapping may override what it merges
    return loader.construct_yaml_map(node)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse(text: str) -> Any:
    """The value of a YAML text; raises ValueError that says what is wrong, and in which line."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_explain(error, text.splitlines())) from None
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {error}") from None


def _explain(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"not valid YAML: {error}"
    number = min(mark.line, len(lines) - 1)
    line = lines[number] if lines else ""
    if (
        "\t" in line[: len(line) - len(line.lstrip())]
        or line[mark.column : mark.column + 1] == "\t"
    ):
        return (
            f"not valid YAML: line {number + 1} has a tab where YAML allows only spaces; "
            f"put spaces in its place: {line.expandtabs(4)!r}"
        )
    about = f" ({error.context})" if error.context else ""
    return f"not valid YAML, line {mark.line + 1}, column {mark.column + 1}: {error.problem}{about}"
