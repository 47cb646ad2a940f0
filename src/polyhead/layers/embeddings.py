"""Token embeddings, and the output head that may share their weight."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """Vectors of tokens times sqrt(d_model) (Vaswani et al. 2017, section 3.4), or as they are.

    Weights start from N(0, 1/d_model), so that what comes out, if scaled, has unit variance.
    """

    def __init__(self, vocab_size: int, d_model: int, *, scaled: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model))
        nn.init.normal_(self.weight, std=d_model**-0.5)
        self.scale = math.sqrt(d_model) if scaled else 1.0

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B,T] -> [B,T,E]."""
        return F.embedding(tokens, self.weight) * self.scale


class OutputHead(nn.Module):
    """Logits over the vocabulary: hidden [..,E] -> [..,V]; the weight may be an embedding's.

    With `bias` each token has a number of its own, zero at first. `packed`, once set, is a faster
    form of the same product for inference.
    """

    def __init__(self, weight: nn.Parameter, *, bias: bool = False):
        super().__init__()
        self.weight = weight
        self.bias = nn.Parameter(torch.zeros(len(weight))) if bias else None
        self.packed: nn.Module | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        if self.packed is not None:
            logits: Tensor = self.packed(hidden)
            return logits
        return F.linear(hidden, self.weight, self.bias)
