"""The program as such: help, names, exit codes."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

import pytest
from polyhead_system import check_told, inside, outside, write_recipe

import polyhead
from polyhead.cli.main import app
from polyhead.recipe.reading import load_recipe, shipped_recipes

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
    told = inside("trian")
    check_told(told, 2, "Unknown command \"trian\". Did you mean 'train'?", "polyhead --help")
    assert all(command in told.err for command in COMMANDS)
    check_told(inside("--bogus"), 2, 'Unknown option "--bogus"', "The commands are")


@pytest.mark.parametrize(
    ("line", "phrases"),
    [
        (
            "explain RUN two words --json",
            (
                "`explain` takes RUN TEXT: 'words' is too much",
                "needs quotes: polyhead explain RUN 'two words' --json",
            ),
        ),
        ("inspect RUN a b --out x.png", ("polyhead inspect RUN 'a b' --out x.png",)),
        ("translate RUN a b", ("`translate` takes RUN FILE: 'b' is too much",)),
        ("recipes x", ("`recipes` takes no operand: 'x' is too much", "usage: polyhead recipes")),
        ("translate RUN --bem 3", ("unknown option --bem; did you mean --beam?",)),
        ("train x.yaml --otu=y", ("unknown option --otu; did you mean --out?",)),
        ("score RUN --sorce a --target b", ("unknown option --sorce; did you mean --source?",)),
        ("translate", ("needs RUN: a run folder", "usage: polyhead translate RUN [FILE]")),
        ("explain RUN", ("needs TEXT: a text, in quotes", "usage: polyhead explain RUN TEXT")),
        ("score RUN --source a", ("`score` needs --target TARGET", "--source SOURCE --target")),
        ("translate RUN --beam", ("--beam needs a value after it",)),
        ("finetune r", ("`finetune` needs --from FROM", "RECIPE [OVERRIDES...] --from FROM")),
        ("verify-resume", ("needs RECIPE: a recipe's file, or the name of a shipped one",)),
        ("explain RUN --jsn", ("unknown option --jsn; did you mean --json?", "last, after --")),
        ("inspect RUN --positons --out x.png", ("--positons; did you mean --positions?",)),
        ("generate RUN --prompt --json", ("--prompt needs a value", "write --prompt=--json")),
        ("generate RUN --prompt -n 3", ("--prompt needs a value after it, and -n is an option",)),
        ("generate RUN --stop", ("--stop needs a value after it",)),
        ("score RUN --source --target a", ("--source needs a value after it, and --target",)),
    ],
)
def test_a_wrong_command_line_says_what_to_type(line: str, phrases: tuple[str, ...]) -> None:
    words = line.split()
    check_told(inside(*words), 2, *phrases, f"`polyhead {words[0]} --help`")


class Heard(Exception):
    """What a command was called with, instead of running it."""


@pytest.mark.parametrize(
    ("command", "words", "heard"),
    [
        ("generate", ["RUN", "--prompt", "- item"], {"prompt": "- item"}),
        ("generate", ["RUN", "--prompt=-5", "-n", "3"], {"prompt": "-5", "n": 3}),
        ("generate", ["RUN", "--prompt=--json", "--json"], {"prompt": "--json", "json_": True}),
        ("generate", ["RUN", "--stop", "--", "--stop", "-n 1"], {"stop": ("--", "-n 1")}),
        ("generate", ["RUN", "--stop", "--", "--json"], {"stop": ("--",), "json_": True}),
        ("generate", ["RUN", "--stop", "-"], {"stop": ("-",)}),
        ("translate", ["RUN", "--prefix", "- Hallo", "a"], {"prefix": "- Hallo", "file": "a"}),
        ("translate", ["RUN", "-", "--prefix", ""], {"prefix": "", "file": "-"}),
        ("inspect", ["RUN", "a", "--target", "-5 Grad", "--out", "x"], {"target": "-5 Grad"}),
        ("inspect", ["RUN", "--out", "x", "-a"], {"text": "-a", "out": Path("x")}),
        ("fill", ["RUN", "- [MASK]", "--top", "2"], {"text": "- [MASK]", "top": 2}),
        ("explain", ["RUN", "- a", "--json"], {"text": "- a", "json_": True}),
        ("explain", ["RUN", "--json", "- a"], {"text": "- a", "json_": True}),
        ("explain", ["RUN", "-- so it is"], {"text": "-- so it is"}),
        ("explain", ["RUN", "--", "--json"], {"text": "--json"}),
        ("explain", ["RUN", "--wherefore"], {"text": "--wherefore"}),
    ],
    ids=str,
)
def test_a_text_may_begin_with_a_hyphen(
    monkeypatch: pytest.MonkeyPatch, command: str, words: list[str], heard: dict[str, Any]
) -> None:
    function = app[command].default_command

    @functools.wraps(function)
    def hear(*given: Any, **named: Any) -> None:
        raise Heard(inspect.signature(function).bind(*given, **named).arguments)

    monkeypatch.setattr(app[command], "default_command", hear)
    with pytest.raises(Heard) as found:
        inside(command, *words)
    (arguments,) = found.value.args
    assert {key: arguments.get(key) for key in heard} == heard


def test_verify_resume_needs_steps_to_be_killed_between(corpus: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)
    check_told(inside("verify-resume", recipe, "--steps", 2), 2, "at least 4 steps are needed")
