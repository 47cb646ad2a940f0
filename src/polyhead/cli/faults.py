"""What is wrong with a command line, in a person's words, and what to type instead."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from difflib import get_close_matches

import cyclopts
from cyclopts.argument import Argument

OPERANDS = {
    "RUN": "a run folder, as `polyhead train` leaves one",
    "RECIPE": "a recipe's file, or the name of a shipped one",
    "TEXT": "a text, in quotes",
    "FILE": "a file to read, or - for standard input",
}


def explain(error: cyclopts.CycloptsError, app: cyclopts.App, typed: Sequence[str]) -> str:
    """The message for a command line that cyclopts refused; its last line says where to look."""
    if not error.command_chain:
        return _no_command(app, typed)
    command = error.command_chain[0]
    known = list(app[command].assemble_argument_collection())
    unknown = _unknown_option(known, typed)
    if unknown is not None and not isinstance(error, cyclopts.CoercionError):
        message = unknown
    elif isinstance(error, cyclopts.UnusedCliTokensError):
        message = _left_over(command, known, error.unused_tokens or [], typed)
    elif isinstance(error, cyclopts.MissingArgumentError) and error.argument is not None:
        message = _missing(command, error.argument, typed)
    else:
        message = str(error)
    return f"{message}\n{closing(command, known)}"


def closing(command: str, known: Sequence[Argument]) -> str:
    """How a command is written, and where to look."""
    return f"usage: {_usage(command, known)}\n`polyhead {command} --help` explains it."


def _no_command(app: cyclopts.App, typed: Sequence[str]) -> str:
    names = [name for name in app if not name.startswith("-")]
    wrong = typed[0] if typed else ""
    near = get_close_matches(wrong, names, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    what = "option" if wrong.startswith("-") else "command"
    return (
        f'Unknown {what} "{wrong}".{hint} The commands are {", ".join(names)}.\n'
        "`polyhead --help` and `polyhead COMMAND --help` explain them."
    )


def _unknown_option(known: Sequence[Argument], typed: Sequence[str]) -> str | None:
    names = [name for argument in known for name in argument.names if not _is_operand(argument)]
    words = typed[1 : typed.index("--")] if "--" in typed else typed[1:]
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in [*names, *_operand_names(known)]:
            near = get_close_matches(name, names, 1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
            return f"unknown option {name}{hint}"
    return None


def _left_over(
    command: str, known: Sequence[Argument], rest: Sequence[str], typed: Sequence[str]
) -> str:
    """Too many operands: mostly a text without quotes."""
    shown = " ".join(rest)
    operands = [argument for argument in known if _is_operand(argument)]
    if not operands:
        return f"`{command}` takes no operand: {shown!r} is too much"
    message = f"`{command}` takes {' '.join(map(_name, operands))}: {shown!r} is too much"
    if _name(operands[-1]) == "TEXT" and (place := _place(typed, rest)):
        quoted = [*typed[: place - 1], " ".join([typed[place - 1], *rest])]
        line = shlex.join([*quoted, *typed[place + len(rest) :]])
        return f"{message}. A text of several words needs quotes: polyhead {line}"
    return message


def _place(typed: Sequence[str], rest: Sequence[str]) -> int:
    """Where what is too much stands, one after another; 0 where it does not."""
    width = len(rest)
    places = (i for i in range(2, len(typed)) if list(typed[i : i + width]) == list(rest))
    return next(places, 0)


def _missing(command: str, argument: Argument, typed: Sequence[str]) -> str:
    if any(name in typed for name in argument.names):
        return f"{argument.name} needs a value after it"
    name = _name(argument)
    if not _is_operand(argument):
        return f"`{command}` needs {argument.name} {name}"
    about = f": {OPERANDS[name]}" if name in OPERANDS else ""
    return f"`{command}` needs {name}{about}"


def _usage(command: str, known: Sequence[Argument]) -> str:
    words = ["polyhead", command]
    for argument in known:
        if not _is_operand(argument):
            continue
        name = _name(argument) + (
            "..." if argument.field_info.kind.name == "VAR_POSITIONAL" else ""
        )
        words.append(name if argument.required else f"[{name}]")
    options = [argument for argument in known if not _is_operand(argument)]
    words += [f"{o.name} {_name(o)}" for o in options if o.required]
    return " ".join([*words, *(["[options]"] if any(not o.required for o in options) else [])])


def _is_operand(argument: Argument) -> bool:
    return bool(argument.field_info.is_positional)


def _operand_names(known: Sequence[Argument]) -> list[str]:
    """Operands may be named, too, and help always can be asked for."""
    return ["--help", *(name for a in known if _is_operand(a) for name in a.names)]


def _name(argument: Argument) -> str:
    return argument.name.lstrip("-").replace("-", "_").upper()
