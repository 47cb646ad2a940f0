"""The position-wise feed-forward network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]
_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.Identity,  # the layer before it has it already
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, "tanh"),
    "silu": nn.SiLU,
}


class RectifiedLinear(nn.Linear):
    """max(0, x W + b): one layer, so that packing can fuse the two."""

    def forward(self, x: Tensor) -> Tensor:
        """[..,E] -> [..,N]."""
        return F.linear(x, self.weight, self.bias).relu_()


class FeedForward(nn.Module):
    """FFN(x) = g(x W_1 + b_1) W_2 + b_2, with g(y) = max(0, y) in Vaswani et al. 2017, section 3.3.

    gelu: g(y) = y P(Y < y), Y normal (Hendrycks and Gimpel 2016; BERT). gelu_tanh: their
    approximation of it, which GPT and GPT-2 use; on a CPU it is the slower of the two. silu, or
    swish: g(y) = y / (1 + exp(-y)) (ibid.; Ramachandran et al. 2017; Marian).
    """

    def __init__(self, d_model: int, d_ff: int, activation: Activation = "relu"):
        super().__init__()
        rectified = activation == "relu"
        self.inner = RectifiedLinear(d_model, d_ff) if rectified else nn.Linear(d_model, d_ff)
        self.activation = _ACTIVATIONS[activation]()
        self.outer = nn.Linear(d_ff, d_model)
        for linear in (self.inner, self.outer):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,E] -> [B,T,E]."""
        hidden: Tensor = self.outer(self.activation(self.inner(x)))
        return hidden
