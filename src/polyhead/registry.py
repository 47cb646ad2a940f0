"""Models and tasks by name: a module in `polyhead.models` or `polyhead.tasks` is the entry.

Adding a model is adding `models/<kind>.py` with a `Config` (pydantic) and a `build(config, sizes)`.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType

from polyhead.errors import UsageError


def names(room: str) -> list[str]:
    """The kinds in a room ("models" or "tasks"): its public modules' names, sorted."""
    folder = Path(__file__).parent / room
    return sorted(p.stem for p in folder.glob("[a-z]*.py"))


def find(room: str, name: str) -> ModuleType:
    """The module that defines `name`; raises UsageError with the nearest valid name."""
    known = names(room)
    if name not in known:
        near = get_close_matches(str(name), known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{name!r} is not one of {', '.join(known)}{hint}")
    return import_module(f"polyhead.{room}.{name}")
