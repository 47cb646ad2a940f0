"""The one equation, as plainly as it can be computed: the definition every fast path is tested by.

logits  = score(q, k) + sum of bias(q, q_positions, k_positions)
weights = weighting(logits, allowed = mask(q_positions, k_positions))
values  = weights @ v
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from polyhead.attention.masks import Allowed
from polyhead.attention.scores import Dot
from polyhead.attention.weightings import softmax

Score = Callable[[Tensor, Tensor], Tensor]
Bias = Callable[[Tensor, Tensor, Tensor], Tensor]
Weighting = Callable[[Tensor, Tensor], Tensor]


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    allowed: Allowed,
    *,
    score: Score | None = None,
    biases: Sequence[Bias] = (),
    weighting: Weighting = softmax,
) -> tuple[Tensor, Tensor]:
    """Attention by its definition.

    q [B,H,Q,D], k [B,H,K,D], v [B,H,K,D] -> values [B,H,Q,D], weights [B,H,Q,K]. A query row with
    nothing allowed yields zeros. The score is the scaled dot product of Vaswani et al. 2017,
    section 3.2.1, unless another is given; a bias receives the query as it came.
    """
    score = score or Dot.scaled(q.shape[-1])
    logits = score(q, k)
    for bias in biases:
        logits = logits + bias(q, allowed.q_positions, allowed.k_positions)
    weights = weighting(logits, allowed.matrix)
    return torch.matmul(weights, v), weights
