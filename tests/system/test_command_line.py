"""The program as such: help, names, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from polyhead_system import check_told, inside, outside, write_recipe

import polyhead
from polyhead.config import load_recipe, shipped_recipes

COMMANDS = (
    "quickstart",
    "train",
    "verify-resume",
    "recipes",
    "translate",
    "evaluate",
    "score",
    "inspect",
    "explain",
)


def test_help_lists_every_command_and_needs_no_torch() -> None:
    outcome = outside("--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert outcome.code == 0
    assert all(f" {command} " in outcome.out for command in COMMANDS)
    assert "| torch" not in outcome.err.replace("|   ", "| ")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_explains_its_parameters(command: str) -> None:
    outcome = inside(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"Usage: polyhead {command}")


def test_the_version_is_the_packages() -> None:
    assert inside("--version").out.strip() == polyhead.__version__


def test_recipes_lists_the_shipped_ones_which_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYHEAD_DATA", "/somewhere")
    lines = inside("recipes").lines
    assert [line.split("\t")[0] for line in lines] == list(shipped_recipes())
    assert all(len(line.split("\t")) == 2 for line in lines)
    for name in shipped_recipes():
        assert load_recipe(name).name


def test_an_unknown_command_is_wrong_use() -> None:
    check_told(inside("trian"), 2, 'Unknown command "trian"', "train", "polyhead --help")
    check_told(inside("train", "--baem"), 2, "--baem")
    check_told(inside("translate"), 2, "run", "requires an argument")


def test_verify_resume_needs_steps_to_be_killed_between(corpus: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)
    check_told(inside("verify-resume", recipe, "--steps", 2), 2, "at least 4 steps are needed")
