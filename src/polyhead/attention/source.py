"""Attention of a decoder's states to a source: one head, any score, scope and weighting.

A step of a recurrent decoder is this with one query; a whole sentence whose states are known
already, this with many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.attention import core, tap
from polyhead.attention.evaluations import Attending
from polyhead.attention.masks import EMPTY, Allowed, Near
from polyhead.attention.scores import Score
from polyhead.attention.weightings import Draw, Gaussian, draw, largest, softmax

Scope = Literal["global", "local-m", "local-p"]


@dataclass(frozen=True)
class Source:
    """A source as attention sees it: keys projected once, values [B,1,K,D], positions [B,K]."""

    keys: Tensor
    values: Tensor
    positions: Tensor

    def select(self, sentences: Tensor) -> Source:
        """These sentences, in this order, repeats allowed."""
        keys, values, positions = (
            x.index_select(0, sentences) for x in (self.keys, self.values, self.positions)
        )
        return replace(self, keys=keys, values=values, positions=positions)


class Centre(nn.Module):
    """Where a query looks: p = S sigmoid(v . tanh(W q)) of a source of S tokens (local-p)."""

    def __init__(self, width: int):
        super().__init__()
        self.inner = nn.Linear(width, width, bias=False)
        self.outer = nn.Linear(width, 1, bias=False)
        for linear in (self.inner, self.outer):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, q: Tensor, lengths: Tensor) -> Tensor:
        """q [B,Q,D], lengths [B] -> [B,Q], in fp32 at least: bf16 knows no half of 128."""
        q = q.to(torch.promote_types(q.dtype, torch.float32))
        inner, outer = (linear.weight.to(q.dtype) for linear in (self.inner, self.outer))
        share = torch.sigmoid(F.linear(torch.tanh(F.linear(q, inner)), outer)[..., 0])
        return lengths[:, None] * share


class SourceAttention(Attending):
    """Luong et al. 2015, section 3; Bahdanau et al. 2015; hard: Xu et al. 2015, section 4.1.

    Scopes: global sees all of the source; local-m the window around the query's own position (the
    source's last, where the query is beyond it); local-p the window around a predicted centre,
    times a Gaussian of sigma = window / 2.
    """

    def __init__(
        self,
        *,
        score: Score,
        width: int,
        scope: Scope = "global",
        window: int = 10,
        hard: bool = False,
        name: str = "",
    ):
        super().__init__()
        self.score = score
        self.scope = scope
        self.near = Near(window)
        self.gaussian = Gaussian(window / 2)
        self.hard = hard
        self.name = name
        self.centre = Centre(width) if scope == "local-p" else None

    def remember(self, memory: Tensor, positions: Tensor) -> Source:
        """memory [B,K,E] and its positions [B,K], keys projected."""
        values = memory[:, None]
        keys = self.score.keys(values)
        dtype = self.products or values.dtype
        return Source(keys.to(dtype), values.to(dtype), positions)

    def forward(
        self, q: Tensor, source: Source, positions: Tensor, mean: Tensor | None = None
    ) -> tuple[Tensor, Draw | None]:
        """q [B*n,T,D] at positions [B*n,T], n rows to a sentence -> ([B*n,T,E], what was drawn).

        In training hard attention draws a key, but for the sentences `mean` (bool [B]) marks,
        which take the weighted mean; otherwise it takes the best key.
        """
        sentences = len(source.values)
        rows = q.reshape(sentences, -1, q.shape[-1])
        allowed = self._allowed(rows, positions.reshape(sentences, -1), source.positions)
        gain = self.gaussian if self.scope == "local-p" else None
        q, drawn = rows[:, None].to(source.keys.dtype), None
        if self.hard and self.training:
            chances = core.weigh(q, source.keys, allowed, score=self.score)
            drawn = draw(chances)
            weights = drawn.weights
            if mean is not None:
                weights = torch.where(mean[:, None, None, None], chances, weights)
            if gain is not None:
                factors = gain(allowed.q_positions, allowed.k_positions)
                weights = weights * factors.to(weights.dtype)
            values = torch.matmul(weights, source.values)
        else:
            values, weights = core.attend(
                q,
                source.keys,
                source.values,
                allowed,
                score=self.score,
                weighting=largest if self.hard else softmax,
                gain=gain,
            )
        if tap.listening(self.name):
            tap.hear(self.name, weights)
        return values.to(rows.dtype).reshape(*positions.shape, -1), drawn

    def _allowed(self, q: Tensor, positions: Tensor, k_positions: Tensor) -> Allowed:
        if self.scope == "global":
            return Allowed.keys(k_positions)
        lengths = (k_positions != EMPTY).sum(dim=1)
        if self.centre is not None:
            positions = self.centre(q, lengths)
        else:  # a target may outlast its source: it goes on looking at the end
            positions = torch.minimum(positions, lengths[:, None] - 1)
        return self.near.prepare(positions, k_positions)
