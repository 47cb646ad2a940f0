"""Several models of one vocabulary that decide together: the mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


def mean_probability(log_p: Sequence[Tensor]) -> Tensor:
    """log((p_1 + … + p_n) / n) of log-probabilities of one shape, without leaving log space."""
    if len(log_p) == 1:
        return log_p[0]
    return torch.stack(list(log_p)).logsumexp(dim=0) - math.log(len(log_p))


@dataclass(frozen=True)
class States:
    """The members' states, in their order."""

    members: tuple[Any, ...]

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> States:
        """The states of these rows, and of these sentences (default: all)."""
        return States(tuple(member.select(rows, sentences) for member in self.members))


class Ensemble(nn.Module):
    """Models with the same vocabularies as one, which takes steps as any of them does.

    p(y | x) = (p_1(y | x) + … + p_n(y | x)) / n for every next token y: the mean of Hansen and
    Salamon 1990 as translation systems use it (Sutskever et al. 2014, section 3.6).
    """

    def __init__(self, models: Sequence[nn.Module]):
        super().__init__()
        self.models = nn.ModuleList(models)

    def begin(self, source: Tensor, positions: Tensor) -> States:
        """Every member's state of source [B,S] at positions [B,S]."""
        return States(tuple(model.begin(source, positions) for model in self.models))  # type: ignore[operator]

    def step(self, tokens: Tensor, states: States) -> tuple[Tensor, States]:
        """Log-probabilities [R,T,V] of what follows each of tokens [R,T], and the states after."""
        log_p, after = [], []
        for model, state in zip(self.models, states.members, strict=True):
            logits, longer = model.step(tokens, state)  # type: ignore[operator]
            log_p.append(torch.log_softmax(logits.float(), dim=-1))
            after.append(longer)
        return mean_probability(log_p), States(tuple(after))


def members_of(model: nn.Module) -> list[nn.Module]:
    """The models of an ensemble; any other model is its own only member."""
    return list(model.models) if isinstance(model, Ensemble) else [model]
