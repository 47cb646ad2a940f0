"""Words of a command line that begin with -: which are options, and which are texts or files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import cyclopts

from polyhead.cli.faults import closing
from polyhead.errors import UsageError

HELP = ("--help", "-h")
TEXT = "--text"  # how an operand that is a text may be named


def bound(app: cyclopts.App, typed: Sequence[str]) -> list[str]:
    """The command line with each text tied to its option by =, whatever the text begins with.

    So `--stop --` is `--stop=--`, and not the end of options. Raises UsageError for an option where
    an option's text should stand, and for what is nearly an option's name where an operand may.
    """
    if not typed or typed[0].startswith("-") or typed[0] not in app:
        return list(typed)
    command, *words = typed
    known = list(app[command].assemble_argument_collection())
    options = {*HELP, *(name for argument in known for name in argument.names)}
    texts = {name for a in known if a.parameter.allow_leading_hyphen for name in a.names}
    result = [command]
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*result, word, *rest]
        value = next(rest, None) if word in texts else None
        if value is not None and value in options:
            raise UsageError(
                f"{word} needs a value after it, and {value} is an option (for the text {value!r} "
                f"write {word}={value})\n{closing(command, known)}"
            )
        if TEXT in texts and (near := _meant(word, options)):
            raise UsageError(
                f"unknown option {word.partition('=')[0]}; did you mean {near}? (a text that looks "
                f"like an option goes last, after --)\n{closing(command, known)}"
            )
        result.append(word if value is None else f"{word}={value}")
    return result


def _meant(word: str, options: Iterable[str]) -> str | None:
    """The option that a word is a slip of, if it is: one word, like a name but none."""
    name = word.partition("=")[0]
    if not name.startswith("--") or name in options or len(word.split()) != 1:
        return None
    names = {option.lstrip("-"): option for option in options}
    near = get_close_matches(name.lstrip("-"), names, 1)
    return names[near[0]] if near else None
