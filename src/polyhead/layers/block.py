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
        if self.pre:
            return self.dropout.add(x, sublayer(self.norm(x)))
        return self.norm(self.dropout.add(x, sublayer(x)))


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
        x = self.attention_residual(x, lambda y: self.attention(y, allowed, packing=packing)[0])
        return self.feedforward_residual(x, self.feedforward)

    def step(
        self, x: Tensor, allowed: Allowed, cache: KeyValueCache
    ) -> tuple[Tensor, KeyValueCache]:
        """The tokens x [B,T,E] after those of the cache -> ([B,T,E], longer cache)."""

        def attend(y: Tensor) -> Tensor:
            nonlocal cache
            values, longer = self.attention(y, allowed, cache)
            cache = longer or cache
            return values

        x = self.attention_residual(x, attend)
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

    def forward(
        self,
        x: Tensor,
        allowed: Allowed,
        memory: Encoded | Sequence[Memory],
        cache: KeyValueCache | None = None,
    ) -> tuple[Tensor, KeyValueCache | None]:
        """x [B,T,E] and this layer's memory and cache -> ([B,T,E], longer cache).

        The memory is this layer's own, in parts, or what was encoded, of which it is made.
        """
        own = [self.cross.remember(memory)] if isinstance(memory, Encoded) else memory

        def attend(y: Tensor) -> Tensor:
            nonlocal cache
            values, cache = self.attention(y, allowed, cache)
            return values

        x = self.attention_residual(x, attend)
        x = self.cross_residual(x, lambda y: self.cross(y, own))
        return self.feedforward_residual(x, self.feedforward), cache
