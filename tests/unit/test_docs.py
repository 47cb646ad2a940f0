"""The documentation: up to date with the program, and without dead ends."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from polyhead.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
CODE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_recipe_reference", ROOT / "docs" / "make_recipe_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_recipe_keys_is_what_the_schemas_say(reference: ModuleType) -> None:
    written = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    remedy = "run: python docs/make_recipe_reference.py > docs/recipes.md"
    assert written == reference.page(), remedy


def test_every_recipe_key_has_a_meaning_and_every_note_a_key(reference: ModuleType) -> None:
    fields = dict(reference.rows())
    silent = [path for path, field in fields.items() if not reference.meaning(path, field)]
    assert silent == [], "give them a description= in their schema"
    assert reference.NOTES.keys() - fields.keys() == set()
    covered = {path for path in reference.NOTES if path in fields and fields[path].description}
    assert covered == set(), "the schema has its own description now: delete the note"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(("http:", "https:"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_in_the_text_exist(page: Path) -> None:
    for _, block, inline in CODE.findall(page.read_text(encoding="utf-8")):
        for line in (block or inline).splitlines():
            for command, rest in re.findall(r"\bpolyhead ([a-z][a-z-]*)([^|;`]*)", line):
                known = app[command].assemble_argument_collection()
                names = {name for argument in known for name in argument.names}
                assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= names, line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_yaml_in_the_text_is_valid(page: Path) -> None:
    for language, block, _ in CODE.findall(page.read_text(encoding="utf-8")):
        if language == "yaml":
            assert isinstance(yaml.safe_load(block), dict)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_path_of_somebodys_machine_stands_in_the_text(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.])/(?:home|root|work|tmp|Users)/", text) == []
