"""Telling of tokens that a tokenizer does not know: scores look better for them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polyhead.tasks.shared.protocol import Say


def tell_unknown(split: str, tokens: NDArray[Any], unknown_id: int, say: Say) -> None:
    """Say how many tokens of a split are unknown, where any is."""
    unknown = int((tokens == unknown_id).sum())
    if unknown:
        say(
            f"{split}: {unknown:,} of {len(tokens):,} tokens are unknown to the tokenizer; the "
            "scores count them as one token that is easy to guess"
        )
