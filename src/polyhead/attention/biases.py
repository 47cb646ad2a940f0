"""Biases: what is added to a score because of where query and key stand."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Relative(nn.Module):
    """A learned answer to "how far back?", for every head its own, to be used under a causal mask:

        bias(q, i, j) = q . E[i - j]

    Shaw et al. 2018 (section 3.2, keys only); Huang et al. 2018 (section 3.4), with a vector for
    every distance: softmax((Q K^T + S_rel) / sqrt(D)), so q comes scaled. Distances of `distances`
    and more share the vector of the largest, as Shaw et al. clip them.
    """

    def __init__(self, num_heads: int, head_width: int, distances: int):
        super().__init__()
        # the paper's order, the farthest first: distances-1, …, 1, 0
        self.embeddings = nn.Parameter(torch.empty(num_heads, distances, head_width))
        nn.init.normal_(self.embeddings, std=head_width**-0.5)

    def forward(self, q: Tensor, q_positions: Tensor, k_positions: Tensor) -> Tensor:
        """Scaled q [B,H,Q,D], q_positions [B,Q], k_positions [B,K] -> [B,H,Q,K], the definition."""
        farthest = self.embeddings.shape[1] - 1
        distance = (q_positions[:, :, None] - k_positions[:, None, :]).clamp(0, farthest)
        products = torch.matmul(q, self.embeddings.to(q.dtype).transpose(-2, -1))
        rows = (farthest - distance)[:, None].expand(*q.shape[:3], -1)
        return products.gather(-1, rows)

    def rows(self, span: int) -> Tensor:
        """Vectors of the distances span-1, …, 0 and one row to spare, [H,span+1,D]."""
        known = self.embeddings[:, -span:]
        beyond = self.embeddings[:, :1].expand(-1, span - known.shape[1], -1)
        spare = torch.zeros_like(self.embeddings[:, :1])
        return torch.cat([beyond, known, spare], dim=1)
