"""How well a key answers a query: small frozen values, called with q and k."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dot:
    """score(q, k) = scale * q . k

    With scale = 1/sqrt(D) this is the Transformer's (Vaswani et al. 2017, section 3.2.1: without
    the scale, large D drives the softmax into regions of tiny gradients); with 1, Luong's dot.
    """

    scale: float = 1.0

    @classmethod
    def scaled(cls, head_width: int) -> Dot:
        return cls(head_width**-0.5)

    def __call__(self, q: Tensor, k: Tensor) -> Tensor:
        """q [B,H,Q,D], k [B,H,K,D] -> [B,H,Q,K]."""
        return torch.matmul(q * self.scale, k.transpose(-2, -1))
