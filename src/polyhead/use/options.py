"""Decoding options by the names of the command line, checked: none is ignored in silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from polyhead.config import MOST_ALPHA, DecodingConfig
from polyhead.decoding.sampling import Sampler
from polyhead.decoding.translate import Options
from polyhead.errors import UsageError

LEAST = {
    **dict.fromkeys(("beam", "nbest", "n", "copies", "max_length", "max_tokens"), 1),
    **dict.fromkeys(("batch_tokens", "batch_rows"), 1),
    "no_repeat_ngram": 0,
    "alternatives": 0,
}
MOST = 2**31 - 1
OF_SAMPLING = ("temperature", "top_k", "top_p", "seed")
NAMES = (
    *("beam", "alpha", "nbest", "sample", *OF_SAMPLING, "prefix", "alternatives"),
    *("no_repeat_ngram", "max_length", "batch_tokens"),
)


def options_for(
    decoding: DecodingConfig, encode: Callable[[str], list[int]], **named: Any
) -> Options:
    """The recipe's way to decode, changed; None changes nothing, and `prefix` is text.

    The names are NAMES. Raises UsageError for a value out of range, an unknown name, and names that
    do not go together.
    """
    given = {key: value for key, value in named.items() if value is not None}
    _check_values(given)
    _check_together(given)
    values: dict[str, Any] = {
        "beam": decoding.beam,
        "alpha": decoding.alpha,
        "max_length": decoding.max_length,
        "batch_tokens": decoding.batch_tokens,
    }
    nbest = given.pop("nbest", 1)
    if given.pop("sample", False):
        settings = {key: given.pop(key) for key in OF_SAMPLING if key in given}
        values |= {"sampler": Sampler(**settings), "copies": nbest}
    if prefix := given.pop("prefix", ""):
        values["prefix"] = tuple(encode(prefix))
    values |= given
    values["beam"] = max(values["beam"], nbest)
    return Options(**values)


def _shown(name: str) -> str:
    """An option's name on the command line."""
    return "--" + name.replace("_", "-")


def check_least(given: Mapping[str, Any]) -> None:
    """Raise UsageError for a number below the least that its option takes, or beyond all sense."""
    for key, least in LEAST.items():
        if key in given and given[key] < least:
            raise UsageError(f"{key.replace('_', '-')} {given[key]} is not at least {least}")
        if key in given and given[key] > MOST:
            raise UsageError(f"{key.replace('_', '-')} {given[key]} is more than {MOST:,}")


def _check_values(given: dict[str, Any]) -> None:
    if unknown := sorted(given.keys() - set(NAMES)):
        raise UsageError(f"unknown option {unknown[0]!r}; there are {', '.join(NAMES)}")
    check_least(given)
    if not 0 <= given.get("alpha", 0) <= MOST_ALPHA:
        raise UsageError(f"alpha {given['alpha']} is not a number from 0 to {MOST_ALPHA:g}")


def _check_together(given: dict[str, Any]) -> None:
    sampled = bool(given.get("sample"))
    if not sampled and (idle := [_shown(key) for key in OF_SAMPLING if key in given]):
        raise UsageError(
            f"{', '.join(idle)}: about --sample, which is not given (in Python: sample=True)"
        )
    if sampled and "beam" in given:
        raise UsageError("--beam is about searching, --sample draws instead: leave one out")
    if given.get("alternatives") and (sampled or given.get("nbest", 1) > 1):
        raise UsageError("--alternatives goes with neither --sample nor --nbest: it has its own K")
