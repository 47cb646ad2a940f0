"""From logits to weights: what is not allowed gets none, and the rest sums to one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def softmax(logits: Tensor, allowed: Tensor) -> Tensor:
    """Soft attention: logits [B,H,Q,K], allowed broadcastable bool -> weights; empty rows are 0."""
    weights = torch.softmax(logits.masked_fill(~allowed, float("-inf")), dim=-1)
    return weights.masked_fill(~allowed.any(dim=-1, keepdim=True), 0.0)


def largest(logits: Tensor, allowed: Tensor) -> Tensor:
    """Hard attention without chance: all weight on the best allowed key; empty rows are 0."""
    best = logits.masked_fill(~allowed, float("-inf")).argmax(dim=-1, keepdim=True)
    weights = torch.zeros_like(logits).scatter_(-1, best, 1.0)
    return weights.masked_fill(~allowed.any(dim=-1, keepdim=True), 0.0)


@dataclass(frozen=True)
class Draw:
    """One key drawn for every query: weights one-hot [B,H,Q,K], its log p and the entropy [B,H,Q].

    Only log p and the entropy have gradients: what is drawn has none.
    """

    weights: Tensor
    log_probability: Tensor
    entropy: Tensor


def draw(probabilities: Tensor) -> Draw:
    """Hard attention (Xu et al. 2015, section 4.1): probabilities [B,H,Q,K], empty rows 0."""
    empty = (probabilities == 0).all(dim=-1, keepdim=True)
    filled = probabilities.detach().masked_fill(empty, 1.0)
    chosen = torch.multinomial(filled.flatten(0, -2), 1).view(*filled.shape[:-1], 1)
    weights = torch.zeros_like(filled).scatter_(-1, chosen, 1.0).masked_fill(empty, 0.0)
    least = torch.finfo(probabilities.dtype).tiny  # keeps the logarithm's gradient finite at 0
    logs = probabilities.clamp_min(least).log()
    log_probability = logs.gather(-1, chosen).masked_fill(empty, 0.0)[..., 0]
    return Draw(weights, log_probability, -(probabilities * logs).sum(dim=-1))


@dataclass(frozen=True)
class Gaussian:
    """A gain that falls with the distance from the query's place, its centre:

        exp(-(k_position - q_position)^2 / (2 sigma^2))

    Luong et al. 2015, section 3.2: it multiplies the weights, which are not normalised again.
    """

    sigma: float

    def __call__(self, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        """q_positions [B,Q], k_positions [B,K] -> [B,1,Q,K]."""
        distance = (k_positions[:, None, :] - q_positions[:, :, None]) / self.sigma
        return torch.exp(-0.5 * distance.square())[:, None]
