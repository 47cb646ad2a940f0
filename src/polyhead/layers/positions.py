"""Where a token stands, as a vector added to its embedding."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PositionKind = Literal["sinusoidal", "learned", "integer", "none"]


def sinusoids(length: int, d_model: int) -> Tensor:
    """PE(p, i) = sin(p / 10000^(2i/E)), then the cosines (Vaswani et al. 2017, section 3.5).

    [length, E]; sines fill the first half and cosines the second, as Marian and tensor2tensor lay
    them out: interleaving them is the same up to an order of the dimensions.
    """
    half = d_model // 2
    rates = torch.exp(torch.arange(half) * (-math.log(10000.0) * 2 / d_model))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Positions(nn.Module):
    """Adds to x [B,T,E] what stands for positions [B,T]; empty slots (-1) get position 0's.

    sinusoidal: waves of many lengths, bounded and defined for any length. learned: a vector per
    position, none beyond max_length. integer: the number itself in every dimension, here to show
    why nobody does that: it grows without bound and drowns the embedding. none: no order at all.
    """

    def __init__(self, kind: PositionKind, d_model: int, max_length: int):
        super().__init__()
        self.kind = kind
        if kind == "learned":
            self.table = nn.Parameter(torch.empty(max_length, d_model))
            nn.init.normal_(self.table, std=d_model**-0.5)
        elif kind == "sinusoidal":
            self.register_buffer("table", sinusoids(max_length, d_model), persistent=False)
        elif kind == "integer":
            counts = torch.arange(max_length)[:, None].expand(-1, d_model).float()
            self.register_buffer("table", counts.clone(), persistent=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        if self.kind == "none":
            return x
        return x + F.embedding(positions.clamp(min=0), self.table)
