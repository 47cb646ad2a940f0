"""DESIGN section 2: a file imports only from lower floors or its own folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import polyhead

ROOT = Path(polyhead.__file__).parent

FLOORS = {
    0: ("errors", "config", "registry", "files", "machine", "memory"),
    1: ("attention", "recipe"),
    2: ("layers", "data", "metrics"),
    3: ("models", "decoding"),
    4: ("tasks", "runs"),
    5: ("training", "evaluation", "inspection", "export"),
    6: ("use", "complexity"),
    7: ("serving", "api", "comparison", "quickstart"),
    8: ("cluster",),
    9: ("cli",),
    10: ("__main__",),
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")  # it re-exports lazily


def room_of(module: str) -> str:
    """polyhead.models.transformer -> models; polyhead (its version) -> errors, the ground."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "errors"


def module_of(path: Path) -> str:
    return ".".join(["polyhead", *path.relative_to(ROOT).with_suffix("").parts])


def imports_in(source: str) -> Iterator[str]:
    """Every Polyhead module imported anywhere in a source, functions and TYPE_CHECKING included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "polyhead")
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "polyhead.relative"  # no room of this name: relative imports are not ours
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "polyhead":
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if _is_module(name) else str(node.module)


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports_of(path: Path) -> set[str]:
    return set(imports_in(path.read_text(encoding="utf-8")))


def is_lower_or_own(path: Path, module: str) -> bool:
    """Whether a file may import a module: from below, from its room, or beside it in the root."""
    own, other = (FLOOR_OF.get(room_of(name)) for name in (module_of(path), module))
    if other is None or own is None:
        return False
    beside = path.parent == ROOT and ROOT.joinpath(f"{room_of(module)}.py").is_file()
    same_room = room_of(module) == room_of(module_of(path))
    return other < own or same_room or (other == own and beside)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_reader_sees_imports_inside_functions_and_type_checking_blocks() -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "from polyhead import __version__, config\n"
        "if TYPE_CHECKING:\n    import polyhead.files\n"
        "def f():\n    from polyhead.models.transformer import build\n"
    )
    found = set(imports_in(source))
    assert found == {"polyhead", "polyhead.config", "polyhead.files", "polyhead.models.transformer"}


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module_of(path)) for path in FILES}
    assert rooms - FLOOR_OF.keys() == set()
    assert {"attention", "models", "training", "cli"} <= rooms


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_imports_only_from_lower_floors_or_its_own_folder(path: Path) -> None:
    too_high = {module for module in imports_of(path) if not is_lower_or_own(path, module)}
    assert too_high == set()


@pytest.mark.parametrize(
    "path", [p for p in FILES if FLOOR_OF.get(room_of(module_of(p))) == 5], ids=name_of
)
def test_rooms_of_the_fifth_floor_never_import_each_other(path: Path) -> None:
    others = set(FLOORS[5]) - {room_of(module_of(path))}
    assert {m for m in imports_of(path) if room_of(m) in others} == set()


MODELS = [p for p in FILES if room_of(module_of(p)) == "models" and p.stem != "__init__"]


@pytest.mark.parametrize("path", MODELS, ids=name_of)
def test_a_model_imports_no_sibling_and_neither_tasks_nor_tokenizers_nor_files(path: Path) -> None:
    imported = imports_of(path)
    assert {m for m in imported if room_of(m) == "models"} == set()
    barred = ("polyhead.tasks", "polyhead.data", "polyhead.files", "polyhead.runs")
    assert {m for m in imported if m.startswith(barred)} == set()


def test_the_ground_floor_and_the_command_line_do_not_import_torch() -> None:
    modules = [f"polyhead.{name}" for name in (*FLOORS[0], "cli.main", "cli.translate")]
    code = (
        f"import sys, {', '.join(modules)}\n"
        "print([m for m in ('torch', 'transformers', 'sacrebleu') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"
