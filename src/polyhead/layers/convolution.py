"""Convolutions over sequences as plain products, with gated linear units and weight norm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WeightNormed(nn.Module):
    """A weight [N,K] and bias [N]: w = g v / |v|, row by row (Salimans and Kingma 2016).

    v starts from N(0, gain / K) and g from |v|, so that inputs of unit variance give outputs of
    variance `gain`: 1 for a linear map, 4 before a gated unit, each times what dropout leaves
    (Gehring et al. 2017, section 3.5).
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float):
        super().__init__()
        self.v = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.normal_(self.v, std=(gain / inputs) ** 0.5)
        self.g = nn.Parameter(self.v.detach().norm(dim=1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self) -> tuple[Tensor, Tensor]:
        """(w, b): computed once for all the steps that use them."""
        return self.v * (self.g / self.v.norm(dim=1))[:, None], self.bias

    @staticmethod
    def count(inputs: int, outputs: int) -> int:
        """Parameters by formula."""
        return outputs * (inputs + 2)


def gated_convolution(x: Tensor, affine: tuple[Tensor, Tensor], width: int) -> Tensor:
    """[A; B] = conv(x), A * sigmoid(B) (Dauphin et al. 2017), without padding.

    x [B,T+width-1,D], a weight [2D,width*D] and a bias -> [B,T,D]. A window of inputs is one row
    of a product.
    """
    steps = x.shape[1] - width + 1
    windows = torch.cat([x[:, i : i + steps] for i in range(width)], dim=-1)
    return F.glu(F.linear(windows, *affine), dim=-1)
