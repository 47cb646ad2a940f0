"""The one equation, as plainly as it can be computed: the definition every fast path is tested by.

logits  = score(q, k) + sum of bias(q, q_positions, k_positions)
weights = weighting(logits, allowed = mask(q_positions, k_positions)) * gain(the same positions)
values  = weights @ v

The gain is 1 but for local attention that follows a predicted centre.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from polyhead.attention.masks import Allowed
from polyhead.attention.scores import Dot, Score
from polyhead.attention.weightings import softmax

Bias = Callable[[Tensor, Tensor, Tensor], Tensor]
Weighting = Callable[[Tensor, Tensor], Tensor]
Gain = Callable[[Tensor, Tensor], Tensor]


def weigh(
    q: Tensor,
    k: Tensor,
    allowed: Allowed,
    *,
    score: Score,
    biases: Sequence[Bias] = (),
    weighting: Weighting = softmax,
    gain: Gain | None = None,
) -> Tensor:
    """The weights [B,H,Q,K] of q [B,H,Q,D] and k [B,H,K,D]."""
    logits = score(q, k)
    for bias in biases:
        logits = logits + bias(q, allowed.q_positions, allowed.k_positions)
    weights = weighting(logits, allowed.matrix)
    if gain is not None:
        weights = weights * gain(allowed.q_positions, allowed.k_positions).to(weights.dtype)
    return weights


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    allowed: Allowed,
    *,
    score: Score | None = None,
    biases: Sequence[Bias] = (),
    weighting: Weighting = softmax,
    gain: Gain | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention by its definition.

    q [B,H,Q,D], k [B,H,K,D], v [B,H,K,D] -> values [B,H,Q,D], weights [B,H,Q,K]. A query row with
    nothing allowed yields zeros. The score is the scaled dot product of Vaswani et al. 2017,
    section 3.2.1, unless another is given; a bias receives the query as it came (where the
    bias depends on it, give q scaled and a score that scales no more).
    """
    score = score or Dot.scaled(q.shape[-1])
    weights = weigh(q, k, allowed, score=score, biases=biases, weighting=weighting, gain=gain)
    return torch.matmul(weights, v), weights
