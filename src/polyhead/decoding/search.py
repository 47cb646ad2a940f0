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
Choose = Callable[[Tensor, Tensor, int], Tensor]
"""log-probabilities [R,V], which rows of the batch these are [R], length -> tokens [R]"""
Restrict = Callable[[Tensor, Tensor], None]
"""log-probabilities [R,V] and tokens so far [R,T]: sets what is not allowed to -inf, in place"""
Stops = Callable[[Tensor, Tensor], Tensor]
"""sentences [R], tokens so far [R,T] -> bool [R]: whether a hypothesis ends with the last token"""


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
    logits: Tensor, never: Tensor, restrict: Restrict | None, so_far: Tensor
) -> Tensor:
    """[R,V] of the whole softmax, then -inf where not allowed; so_far [R,T]."""
    log_p = torch.log_softmax(logits.float(), dim=-1)
    log_p.index_fill_(1, never, float("-inf"))
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
    device = limits.device
    never = torch.tensor(vocabulary.never, dtype=torch.long, device=device)
    stops = set(limits.tolist())
    running = torch.arange(len(limits), device=device)  # which rows still run
    tokens = limits.new_zeros(len(limits), max(stops))
    totals = torch.zeros(len(limits), device=device)
    last = torch.full((len(limits), 1), vocabulary.start, device=device)
    found: list[Hypothesis | None] = [None] * len(limits)
    for length in range(1, max(stops) + 1):
        logits, state = step(last, state)
        log_p = _log_probabilities(logits[:, -1], never, restrict, tokens[:, : length - 1])
        if choose is None:
            values, last = top(log_p, 1)
        else:
            last = choose(log_p, running, length)[:, None]
            values = log_p.gather(1, last)
        totals += values[:, 0]
        tokens[:, length - 1] = last[:, 0]
        ended = last[:, 0] == vocabulary.end
        if length not in stops and not bool(ended.any()):
            continue
        done = ended | (limits[running] == length)
        leaving = done.nonzero()[:, 0]
        scores = totals[leaving] / length_penalty(length, alpha)
        columns = (running, ended, totals, tokens[:, :length])
        rows = (scores, *(column[leaving] for column in columns))
        for score, row, end, total, ids in zip(*(c.tolist() for c in rows), strict=True):
            found[row] = Hypothesis(ids[: length - end], score, total, end)
        kept = (~done).nonzero()[:, 0]
        if len(kept) == 0:
            break
        running, tokens, totals, last = (c[kept] for c in (running, tokens, totals, last))
        state = state.select(kept, kept)
    return [hypothesis for hypothesis in found if hypothesis is not None]


class _Finished:
    """The n best finished hypotheses of each of B sentences."""

    def __init__(self, sentences: int, beam: int, device: torch.device):
        self.best: list[list[Hypothesis]] = [[] for _ in range(sentences)]
        self.beam = beam
        self.full = False  # whether any sentence has n
        self.worst = torch.full((sentences,), float("-inf"), device=device)  # of n, else -inf

    def offer(
        self, sentences: Tensor, tokens: Tensor, totals: Tensor, penalty: float, *, ended: bool
    ) -> None:
        """Offer hypotheses of these sentences [m]: tokens [m,T], log-probabilities [m]."""
        columns = (sentences, tokens, totals / penalty, totals)
        worst = {}
        for index, ids, score, total in zip(*(c.tolist() for c in columns), strict=True):
            if score == float("-inf"):  # forbidden: there were fewer than n ways to go on
                continue
            best = self.best[index]
            best.append(Hypothesis(ids, score, total, ended))
            best.sort(key=lambda hypothesis: -hypothesis.score)
            if len(best) >= self.beam:
                del best[self.beam :]
                worst[index] = best[-1].score
        if worst:
            self.full = True
            places = torch.tensor(list(worst), device=self.worst.device)
            self.worst[places] = torch.tensor(list(worst.values()), device=self.worst.device)


def _continuations(log_p: Tensor, totals: Tensor, beam: int) -> tuple[Tensor, Tensor, Tensor]:
    """A sentence's best 2n continuations: log_p [b*r,V] of rows that stand at totals [b,r].

    Their log-probabilities, the rows they continue and the tokens they add, [b,2n] each. Of 2n at
    most n end, so at least n go on. log_p is used up.
    """
    vocab = log_p.shape[-1]
    candidates = log_p.view(*totals.shape, vocab).add_(totals[:, :, None]).flatten(1)
    best, places = top(candidates, min(2 * beam, candidates.shape[1]))
    return best, places // vocab, places % vocab


def _grown(tokens: Tensor, parents: Tensor, chosen: Tensor) -> Tensor:
    """Tokens [b,r,T] of the rows that are continued [b,n], with the next ones [b,n]: [b,n,T+1]."""
    before = tokens.gather(1, parents[:, :, None].expand(-1, -1, tokens.shape[2]))
    return torch.cat([before, chosen[:, :, None]], dim=2)


def beam_search(
    step: Step,
    state: State,
    limits: Tensor,
    vocabulary: Vocabulary,
    *,
    beam: int,
    alpha: float,
    restrict: Restrict | None = None,
    stops: Stops | None = None,
) -> list[list[Hypothesis]]:
    """The `beam` best hypotheses of each sentence, best first.

    A sentence is finished once `beam` of its hypotheses have ended and none of the running ones,
    scored as if it ended now, is better than the worst of those; or at its limit [B] of tokens.
    A hypothesis ends with the end token, or with a token after which `stops` says so.
    """
    device = limits.device
    never = torch.tensor(vocabulary.never, dtype=torch.long, device=device)
    lengths = set(limits.tolist())
    finished = _Finished(len(limits), beam, device)
    running = torch.arange(len(limits), device=device)
    tokens = limits.new_zeros(len(limits), 1, 0)  # the first step has one row a sentence
    totals = torch.zeros(len(limits), 1, device=device)
    last = torch.full((len(limits), 1), vocabulary.start, device=device)
    for length in range(1, max(lengths) + 1):
        logits, state = step(last, state)
        log_p = _log_probabilities(logits[:, -1], never, restrict, tokens.flatten(0, 1))
        first = torch.arange(0, len(log_p), totals.shape[1], device=device)  # row of each sentence
        totals, parents, chosen = _continuations(log_p, totals, beam)
        penalty = length_penalty(length, alpha)
        gone = ended = chosen == vocabulary.end
        if stops is not None:
            grown = _grown(tokens, parents, chosen)
            of = running.repeat_interleave(grown.shape[1])
            gone = ended | stops(of, grown.flatten(0, 1)).view_as(ended)
            at, place = (gone & ~ended)[:, :beam].nonzero(as_tuple=True)
            finished.offer(running[at], grown[at, place], totals[at, place], penalty, ended=True)
        if bool(gone.any()):
            at, place = ended[:, :beam].nonzero(as_tuple=True)
            bodies = tokens[at, parents[at, place]]
            finished.offer(running[at], bodies, totals[at, place], penalty, ended=True)
            totals = totals.masked_fill(gone, float("-inf"))
            totals, order = totals.topk(min(beam, totals.shape[1]), dim=1)
            parents, chosen = parents.gather(1, order), chosen.gather(1, order)
        else:
            totals, parents, chosen = totals[:, :beam], parents[:, :beam], chosen[:, :beam]
        tokens = _grown(tokens, parents, chosen)
        rows, sentences = first[:, None] + parents, None
        if finished.full or length in lengths:
            enough = finished.worst[running] > totals[:, 0] / penalty
            at_limit = limits[running] == length
            cut = (at_limit & ~enough).nonzero()[:, 0]
            width = totals.shape[1]
            finished.offer(
                running[cut].repeat_interleave(width),
                tokens[cut].flatten(0, 1),
                totals[cut].flatten(),
                penalty,
                ended=False,
            )
            sentences = (~(at_limit | enough)).nonzero()[:, 0]
            if len(sentences) == 0:
                break
            running, rows, tokens, totals, chosen = (
                column[sentences] for column in (running, rows, tokens, totals, chosen)
            )
        state = state.select(rows.flatten(), sentences)
        last = chosen.reshape(-1, 1)
    return finished.best
