"""docs/tutorial.md, followed to the letter: its files saved, its commands run, its outputs seen.

A fenced block ```LANGUAGE NAME is a file to save as NAME. In a ```console block `$ ` begins a
command and the lines below are what it prints (stdout and stderr together), all of it: `…` in a
line stands for any text, a line `…` for any lines, and `^C` is pressed once the line above it has
been printed. A command with nothing below it only has to succeed. Every command exits with 0.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
FENCED = re.compile(r"^```(\S+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIMIT = 300  # seconds for one command, on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tutorial")]


@dataclass
class Command:
    """A command and the lines the tutorial shows below it."""

    text: str
    shown: list[str] = field(default_factory=list)


def commands_in(block: str) -> Iterator[Command]:
    command: Command | None = None
    for line in block.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(line.removeprefix("$ "))
        else:
            assert command is not None, f"a console block begins with a command, not {line!r}"
            command.shown.append(line)
    if command is not None:
        yield command


def pattern_of(lines: list[str]) -> str:
    """A regular expression for output lines: `…` alone is any lines, within a line any text.

    One space stands for any number of them.
    """
    parts = []
    for line in lines:
        if line == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            pieces = [r"[ ]+".join(map(re.escape, p.split(" "))) for p in line.split("…")]
            parts.append(".*".join(pieces) + r"\n")
    return "".join(parts)


def run(command: Command, folder: Path) -> str:
    """Run a command as bash would; returns all that it printed. Fails unless it exits with 0."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command.text}" if "^C" in command.shown else command.text],
        cwd=folder,
        env=os.environ | {"PATH": programs, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,  # so that what the command has started can be ended with it
    )
    awaited = awaited_line(command)
    output = ""
    timer = Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if awaited is not None and re.fullmatch(awaited, line):
            process.send_signal(signal.SIGINT)
            awaited = None
    code = process.wait()
    timer.cancel()
    assert awaited is None, f"$ {command.text}\nnever printed the line before ^C:\n{output}"
    assert code == 0, f"$ {command.text}\nexited with {code}:\n{output}"
    return output


def awaited_line(command: Command) -> str | None:
    if "^C" not in command.shown:
        return None
    return pattern_of([command.shown[command.shown.index("^C") - 1]])


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who has followed the tutorial to its end."""
    folder = tmp_path_factory.mktemp("tutorial")
    for language, name, block in FENCED.findall(TUTORIAL.read_text(encoding="utf-8")):
        if name:
            (folder / name).write_text(block, encoding="utf-8")
        elif language == "console":
            for command in commands_in(block):
                output = run(command, folder)
                shown = [line for line in command.shown if line != "^C"]
                if shown:
                    fault = "\n".join(
                        [f"$ {command.text}", *shown, "was to be printed, but:", output]
                    )
                    assert re.fullmatch(pattern_of(shown), output), fault
    return folder


def test_every_command_of_the_tutorial_does_what_the_text_says(followed: Path) -> None:
    assert (followed / "attention.html").stat().st_size > 10_000
    card = (followed / "run" / "README.md").read_text(encoding="utf-8")
    assert "polyhead evaluate RUN --split test" in card


def test_the_example_of_the_python_interface_runs_on_the_tutorials_model(followed: Path) -> None:
    example = ROOT / "examples" / "translate_api.py"
    output = run(Command(f"{sys.executable} {example} run test.ko"), followed)
    assert len(output.splitlines()) == 3


def test_a_pattern_matches_what_it_shows_and_nothing_else() -> None:
    shown = pattern_of(["step 4  nll …", "…", "done"])
    assert re.fullmatch(shown, "step 4  nll 1.5\nanything\nat all\ndone\n")
    assert re.fullmatch(shown, "step 4  nll 1.5\ndone\n")
    assert not re.fullmatch(shown, "step 4  nll 1.5\ndone\nmore\n")
    assert not re.fullmatch(shown, "step 5  nll 1.5\ndone\n")
