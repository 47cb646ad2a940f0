"""Transformer blocks: sub-layers, each inside a residual connection and a layer norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from polyhead.attention.masks import Allowed
from polyhead.attention.multihead import CrossAttention, SelfAttention
from polyhead.attention.packing import Packing
from polyhead.attention.state import Encoded, KeyValueCache, Memory
from polyhead.layers.dropout import Dropout
from polyhead.layers.feedforward import Activation, FeedForward

NormPlace = Literal["post", "pre"]


class Residual(nn.Module):
    """post: norm(x + dropout(f(x))), the paper's; pre: x + dropout(f(norm(x)))."""

    def __init__(self, d_model: int, dropout: float, norm: NormPlace, norm_eps: float = 1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(d_model, norm_eps)
        self.dropout = Dropout(dropout)
        self.pre = norm == "pre"

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.after(x, sublayer(self.before(x)))

    def before(self, x: Tensor) -> Tensor:
        """What the sub-layer is given."""
        return self.norm(x) if self.pre else x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """x with y, what the sub-layer made of it."""
        total = self.dropout.add(x, y)
        return total if self.pre else self.norm(total)


class EncoderBlock(nn.Module):
    """Self-attention, then feed-forward (Vaswani et al. 2017, section 3.1).

    Under a causal mask, and with a cache, it is the block of decoders without an encoder.
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_ff: int,
        dropout: float,
        norm: NormPlace,
        num_heads: int,
        scale_scores: bool = True,
        activation: Activation = "relu",
        norm_eps: float = 1e-5,
        name: str,
    ):
        super().__init__()
        self.attention = SelfAttention(d_model, num_heads, scale_scores=scale_scores, name=name)
        self.attention_residual = Residual(d_model, dropout, norm, norm_eps)
        self.feedforward = FeedForward(d_model, d_ff, activation)
        self.feedforward_residual = Residual(d_model, dropout, norm, norm_eps)

    def forward(self, x: Tensor, allowed: Allowed, packing: Packing | None = None) -> Tensor:
        """x [B,T,E] -> [B,T,E], or packed [N,E] -> [N,E]."""
        x = self.attention_residual(x, lambda y: self.attention(y, allowed, packing))
        return self.feedforward_residual(x, self.feedforward)

    def step(
        self, x: Tensor, allowed: Allowed, cache: KeyValueCache
    ) -> tuple[Tensor, KeyValueCache]:
        """The tokens x [B,T,E] after those of the cache -> ([B,T,E], longer cache)."""
        residual = self.attention_residual
        values, cache = self.attention.step(residual.before(x), allowed, cache)
        x = residual.after(x, values)
        return self.feedforward_residual(x, self.feedforward), cache


class DecoderBlock(nn.Module):
    """Self-attention, attention to the encoder's memory, then feed-forward."""

    def __init__(
        self,
        *,
        d_model: int,
        d_ff: int,
        dropout: float,
        norm: NormPlace,
        num_heads: int,
        scale_scores: bool,
        activation: Activation = "relu",
        name: str,
    ):
        super().__init__()
        self.attention = SelfAttention(
            d_model, num_heads, scale_scores=scale_scores, name=f"{name}.self"
        )
        self.attention_residual = Residual(d_model, dropout, norm)
        self.cross = CrossAttention(
            d_model, num_heads, scale_scores=scale_scores, name=f"{name}.cross"
        )
        self.cross_residual = Residual(d_model, dropout, norm)
        self.feedforward = FeedForward(d_model, d_ff, activation)
        self.feedforward_residual = Residual(d_model, dropout, norm)

    def forward(self, x: Tensor, allowed: Allowed, encoded: Encoded) -> Tensor:
        """x [B,T,E] and what was encoded -> [B,T,E]."""
        x = self.attention_residual(x, lambda y: self.attention(y, allowed))
        return self._look_back(x, [self.cross.remember(encoded)])

    def step(
        self, x: Tensor, allowed: Allowed, memory: Sequence[Memory], cache: KeyValueCache
    ) -> tuple[Tensor, KeyValueCache]:
        """The tokens x [B,T,E] after those of the cache, and this layer's memory, in parts.

        Returns ([B,T,E], longer cache).
        """
        residual = self.attention_residual
        values, cache = self.attention.step(residual.before(x), allowed, cache)
        return self._look_back(residual.after(x, values), memory), cache

    def _look_back(self, x: Tensor, memory: Sequence[Memory]) -> Tensor:
        x = self.cross_residual(x, lambda y: self.cross(y, memory))
        return self.feedforward_residual(x, self.feedforward)
