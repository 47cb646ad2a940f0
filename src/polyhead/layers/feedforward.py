"""The position-wise feed-forward network."""

from __future__ import annotations

from torch import Tensor, nn


class RectifiedLinear(nn.Linear):
    """max(0, x W + b): one layer, so that packing can fuse the two."""

    def forward(self, x: Tensor) -> Tensor:
        """[..,E] -> [..,N]."""
        return super().forward(x).relu_()


class FeedForward(nn.Module):
    """FFN(x) = max(0, x W_1 + b_1) W_2 + b_2 (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.inner = RectifiedLinear(d_model, d_ff)
        self.outer = nn.Linear(d_ff, d_model)
        for linear in (self.inner, self.outer):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,E] -> [B,T,E]."""
        hidden: Tensor = self.outer(self.inner(x))
        return hidden
