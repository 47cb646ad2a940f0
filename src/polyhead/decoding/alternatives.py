"""What else could stand at one place: other tokens there, and the best ending after each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polyhead.decoding.constraints import all_of
from polyhead.decoding.search import (
    Hypothesis,
    Restrict,
    State,
    Step,
    Vocabulary,
    beam_search,
    length_penalty,
)


def alternatives(
    step: Step,
    begin: Callable[[], State],
    limits: Tensor,
    vocabulary: Vocabulary,
    *,
    prefix: tuple[int, ...],
    count: int,
    beam: int,
    alpha: float,
    restrict: Restrict | None = None,
) -> list[list[Hypothesis]]:
    """The alternatives of each sentence, best score first: no two have the same token at the place.

    The place is the first after the token ids `prefix`, which every output begins with. The `count`
    most probable tokens there are taken, and a beam search completes each. limits [B] that would
    end before the place are raised to it.
    """
    rows, place = len(limits), len(prefix)
    before = torch.tensor(prefix, dtype=torch.long, device=limits.device).expand(rows, -1)
    start = before.new_full((rows, 1), vocabulary.start)
    logits, _ = step(torch.cat([start, before], dim=1), begin())
    log_p = torch.log_softmax(logits.float(), dim=-1)
    spent = log_p[:, :-1].gather(2, before[:, :, None]).sum(dim=(1, 2))  # by the prefix
    never = torch.tensor(vocabulary.never, dtype=torch.long, device=limits.device)
    here = log_p[:, -1].index_fill(1, never, float("-inf"))
    if restrict is not None:
        restrict(here, before)
    values, tokens = here.topk(min(count, here.shape[-1]), dim=1)
    found: list[list[Hypothesis]] = [[] for _ in range(rows)]
    for row, column in (tokens == vocabulary.end).nonzero().tolist():
        total = float(spent[row] + values[row, column])
        if total > float("-inf"):
            score = total / length_penalty(place + 1, alpha)
            found[row].append(Hypothesis(list(prefix), score, total, True))
    opened = ((tokens != vocabulary.end) & (values > float("-inf"))).nonzero()
    if len(opened):
        sentences = opened[:, 0]
        forced = torch.cat([before[sentences], tokens[tuple(opened.T)][:, None]], dim=1)
        completed = beam_search(
            step,
            begin().select(sentences, sentences),
            limits[sentences].clamp(min=place + 1),
            vocabulary,
            beam=beam,
            alpha=alpha,
            restrict=all_of([*([restrict] if restrict else []), _begin_with_each(forced)]),
        )
        for row, hypotheses in zip(sentences.tolist(), completed, strict=True):
            found[row] += hypotheses[:1]
    return [sorted(group, key=lambda h: -h.score) for group in found]


def _begin_with_each(forced: Tensor) -> Restrict:
    """Allow only a sentence's own token at each of the first places: forced [B,P].

    None of them ends, so no sentence leaves before its last place, and rows are n a sentence.
    """

    def restrict(log_p: Tensor, so_far: Tensor) -> None:
        place = so_far.shape[1]
        if place >= forced.shape[1]:
            return
        each = forced[:, place].repeat_interleave(len(log_p) // len(forced))[:, None]
        kept = log_p.gather(1, each)
        log_p.fill_(float("-inf")).scatter_(1, each, kept.clamp(min=-1e4))

    return restrict
