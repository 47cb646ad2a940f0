"""Greedy and beam search, and sampling, over anything that can take a step.

Finished rows leave the batch. A hypothesis' score is its log-probability divided by the length
penalty of Wu et al. 2016 (GNMT, equation 14):

    penalty(length) = ((5 + length) / 6) ** alpha

where length counts the end token; alpha 0 is no penalty at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from polyhead.decoding.best import top


class State(Protocol):
    def select(self, rows: Tensor, sentences: Tensor | None = None) -> Any: ...


Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""tokens [R,T], state -> logits [R,T,V], state"""
Choose = Callable[[Tensor], Tensor]
"""log-probabilities [R,V] -> tokens [R]"""
Restrict = Callable[[Tensor, Tensor], None]
"""log-probabilities [R,V] and tokens so far [R,T]: sets what is not allowed to -inf, in place"""


@dataclass(frozen=True)
class Hypothesis:
    """One output: tokens without the end, its score and log-probability, and whether it ended."""

    tokens: list[int]
    score: float
    log_probability: float
    ended: bool


@dataclass(frozen=True)
class Vocabulary:
    """The ids a search must know."""

    start: int
    end: int
    never: tuple[int, ...] = ()


def length_penalty(length: Tensor | int, alpha: float) -> Any:
    """GNMT's: ((5 + length) / 6) ** alpha."""
    return ((5 + length) / 6) ** alpha


def _log_probabilities(
    logits: Tensor, vocabulary: Vocabulary, restrict: Restrict | None, so_far: Tensor
) -> Tensor:
    log_p = torch.log_softmax(logits.float(), dim=-1)
    log_p[:, vocabulary.never] = float("-inf")
    if restrict is not None:
        restrict(log_p, so_far)
    return log_p


def one_by_one(
    step: Step,
    state: State,
    limits: Tensor,
    vocabulary: Vocabulary,
    *,
    choose: Choose | None = None,
    restrict: Restrict | None = None,
    alpha: float = 0.0,
) -> list[Hypothesis]:
    """One hypothesis a row: the most probable token each time, or what `choose` draws.

    limits [B]: the most tokens each row may have, the end included.
    """
    count = len(limits)
    device = limits.device
    running = torch.arange(count, device=device)  # which rows still run
    last = torch.full((count, 1), vocabulary.start, device=device)
    tokens = torch.full((count, int(limits.max())), vocabulary.end, device=device)
    total = torch.zeros(count, device=device)
    lengths = torch.zeros(count, dtype=torch.long, device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    for length in range(tokens.shape[1]):
        logits, state = step(last, state)
        log_p = _log_probabilities(logits[:, -1], vocabulary, restrict, tokens[running, :length])
        chosen = top(log_p, 1)[1][:, 0] if choose is None else choose(log_p)
        total[running] += log_p.gather(1, chosen[:, None])[:, 0]
        tokens[running, length] = chosen
        lengths[running] = length + 1
        is_end = chosen == vocabulary.end
        done = is_end | (limits[running] == length + 1)
        if bool(done.any()):
            ended[running[is_end]] = True
            kept = (~done).nonzero()[:, 0]
            if len(kept) == 0:
                break
            running, chosen = running[kept], chosen[kept]
            state = state.select(kept, kept)
        last = chosen[:, None]
    scores = total / length_penalty(lengths, alpha)
    return [
        Hypothesis(row[: n - e], s, t, e)
        for row, n, s, t, e in zip(
            tokens.tolist(),
            lengths.tolist(),
            scores.tolist(),
            total.tolist(),
            ended.tolist(),
            strict=True,
        )
    ]


class _Finished:
    """The n best finished hypotheses of each of B sentences, as tensors."""

    def __init__(self, sentences: int, beam: int, width: int, device: torch.device):
        self.scores = torch.full((sentences, beam), float("-inf"), device=device)
        self.totals = torch.zeros(sentences, beam, device=device)
        self.lengths = torch.zeros(sentences, beam, dtype=torch.long, device=device)
        self.ended = torch.zeros(sentences, beam, dtype=torch.bool, device=device)
        self.tokens = torch.zeros(sentences, beam, width, dtype=torch.long, device=device)

    def offer(
        self, rows: Tensor, scores: Tensor, totals: Tensor, tokens: Tensor, *, ended: bool
    ) -> None:
        """Offer hypotheses [b,n] (score -inf: none) with tokens [b,n,T] to sentences `rows` [b]."""
        beam, length = self.scores.shape[1], tokens.shape[2]
        best, order = torch.cat([self.scores[rows], scores], dim=1).topk(beam, dim=1)

        def merge(old: Tensor, new: Tensor) -> Tensor:
            return torch.cat([old, new], dim=1).gather(1, order)

        self.scores[rows] = best
        self.totals[rows] = merge(self.totals[rows], totals)
        self.lengths[rows] = merge(
            self.lengths[rows], torch.full_like(order, length)[:, :1].expand_as(scores)
        )
        self.ended[rows] = merge(self.ended[rows], torch.full_like(scores, ended, dtype=torch.bool))
        widened = self.tokens.new_zeros(*tokens.shape[:2], self.tokens.shape[2])
        widened[:, :, :length] = tokens
        both = torch.cat([self.tokens[rows], widened], dim=1)
        self.tokens[rows] = both.gather(1, order[:, :, None].expand(-1, -1, both.shape[2]))

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Best first; fewer than n where fewer exist."""
        columns = (self.tokens, self.lengths, self.scores, self.totals, self.ended)
        return [
            [
                Hypothesis(row[: n - e], s, t, e)
                for row, n, s, t, e in zip(*sentence, strict=True)
                if s > float("-inf")
            ]
            for sentence in zip(*(column.tolist() for column in columns), strict=True)
        ]


def beam_search(
    step: Step,
    state: State,
    limits: Tensor,
    vocabulary: Vocabulary,
    *,
    beam: int,
    alpha: float,
    restrict: Restrict | None = None,
) -> list[list[Hypothesis]]:
    """The `beam` best hypotheses of each sentence, best first.

    A sentence is finished once `beam` of its hypotheses have ended and none of the running ones,
    scored as if it ended now, is better than the worst of those; or at its limit [B] of tokens.
    """
    device = limits.device
    sentences = len(limits)
    width = int(limits.max())
    finished = _Finished(sentences, beam, width, device)
    running = torch.arange(sentences, device=device)
    tokens = torch.empty(sentences, beam, 0, dtype=torch.long, device=device)
    totals = torch.zeros(sentences, 1, device=device)  # the first step has one row a sentence
    last = torch.full((sentences, 1), vocabulary.start, device=device)
    for length in range(1, width + 1):
        logits, state = step(last, state)
        so_far = tokens[:, : totals.shape[1]].flatten(0, 1)
        log_p = _log_probabilities(logits[:, -1], vocabulary, restrict, so_far)
        # of a sentence's best 2n, at most n end, so at least n go on; they are among its rows' 2n
        each = min(2 * beam, log_p.shape[-1])
        values, columns = top(log_p, each)
        candidates = totals[:, :, None] + values.view(*totals.shape, each)
        best, flat = candidates.flatten(1).topk(min(2 * beam, candidates[0].numel()), dim=1)
        parents = flat // each
        chosen = columns.view(len(running), -1).gather(1, flat)
        extended = torch.cat(
            [
                tokens[:, : totals.shape[1]].gather(
                    1, parents[:, :, None].expand(-1, -1, length - 1)
                ),
                chosen[:, :, None],
            ],
            dim=2,
        )
        is_end = chosen == vocabulary.end
        penalty = length_penalty(length, alpha)
        barred = ~is_end[:, :beam]
        if not bool(barred.all()):
            scores = (best[:, :beam] / penalty).masked_fill(barred, float("-inf"))
            finished.offer(running, scores, best[:, :beam], extended[:, :beam], ended=True)
        alive, order = best.masked_fill(is_end, float("-inf")).topk(min(beam, best.shape[1]), dim=1)
        at_limit = limits[running] == length
        enough = finished.scores[running, -1] > alive[:, 0] / penalty
        done = at_limit | enough
        tokens = extended.gather(1, order[:, :, None].expand(-1, -1, length))
        if bool(at_limit.any()):
            cut = at_limit & ~enough
            finished.offer(running[cut], alive[cut] / penalty, alive[cut], tokens[cut], ended=False)
        parents = parents.gather(1, order)
        chosen = chosen.gather(1, order)
        kept = (~done).nonzero()[:, 0]
        if len(kept) == 0:
            break
        rows = (kept[:, None] * totals.shape[1] + parents[kept]).flatten()
        state = state.select(rows, kept if len(kept) < len(running) else None)
        running, tokens, totals = running[kept], tokens[kept], alive[kept]
        last = chosen[kept].view(-1, 1)
    return finished.hypotheses()
