"""What an output must begin with, and what it must not repeat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polyhead.decoding.search import Restrict


def no_repeat(size: int) -> Restrict:
    """Forbid a token that would make an n-gram of this size stand twice in one output."""

    def restrict(log_p: Tensor, so_far: Tensor) -> None:
        length = so_far.shape[1]
        if length < size:
            return
        grams = so_far.unfold(1, size, 1)  # [R, length-size+1, size]
        ending = so_far[:, length - size + 1 :]  # the n-1 tokens a new one would follow
        repeats = (grams[:, :, :-1] == ending[:, None]).all(dim=-1)
        rows, places = repeats.nonzero(as_tuple=True)
        log_p[rows, grams[rows, places, -1]] = float("-inf")

    return restrict


def begin_with(prefix: Sequence[int]) -> Restrict:
    """Allow only the prefix's token at each of its places."""

    def restrict(log_p: Tensor, so_far: Tensor) -> None:
        place = so_far.shape[1]
        if place < len(prefix):
            kept = log_p[:, prefix[place]].clone()
            log_p.fill_(float("-inf"))
            log_p[:, prefix[place]] = torch.where(kept == float("-inf"), -1e4, kept)

    return restrict


def all_of(restrictions: Sequence[Restrict]) -> Restrict | None:
    """Every restriction at once; None for none."""
    if not restrictions:
        return None

    def restrict(log_p: Tensor, so_far: Tensor) -> None:
        for one in restrictions:
            one(log_p, so_far)

    return restrict
