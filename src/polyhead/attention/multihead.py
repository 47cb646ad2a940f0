"""Multi-head attention (Vaswani et al. 2017, section 3.2.2), of a sequence to itself or another.

MultiHead(Q, K, V) = Concat(head_1, …, head_h) W_O
head_i = Attention(Q W_Q_i, K W_K_i, V W_V_i)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyhead.attention.biases import Relative
from polyhead.attention.evaluations import Attending
from polyhead.attention.masks import Allowed
from polyhead.attention.packing import Packing
from polyhead.attention.state import Encoded, KeyValueCache, Memory


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B,T,E] -> [B,H,T,D], without a copy."""
    rows, length, width = x.shape
    return x.view(rows, length, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[B,H,T,D] -> [B,T,E]."""
    return x.transpose(1, 2).flatten(2)


def fused_projection(width: int, parts: int) -> nn.Linear:
    """[..,E] -> [..,parts*E], each part started Xavier-uniform as if it stood alone."""
    linear = nn.Linear(width, parts * width)
    for weight in linear.weight.split(width):
        nn.init.xavier_uniform_(weight)
    nn.init.zeros_(linear.bias)
    return linear


class SelfAttention(Attending):
    """Attention of a sequence to itself; queries, keys and values come from one product.

    A step's rows may be several to a sentence of the cache (hypotheses, one after another): they
    are further queries and keys of that sentence, and `allowed` says which are a query's past.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        scale_scores: bool = True,
        relative: Relative | None = None,
        name: str = "",
    ):
        super().__init__()
        self.num_heads = num_heads
        self.head_width = d_model // num_heads
        self.relative = relative
        self.scale = self.head_width**-0.5 if scale_scores else 1.0
        self.name = name
        self.query_key_value = fused_projection(d_model, 3)
        self.output = fused_projection(d_model, 1)

    def forward(self, x: Tensor, allowed: Allowed, packing: Packing | None = None) -> Tensor:
        """x [B,T,E] -> [B,T,E], or packed [N,E] -> [N,E]."""
        projected = self.query_key_value(x)
        if packing is not None:
            projected = packing.spread(projected)
        joined = self._attend(*self._heads(projected), allowed)
        return self.output(joined if packing is None else packing.pack(joined))

    def step(
        self, x: Tensor, allowed: Allowed, cache: KeyValueCache
    ) -> tuple[Tensor, KeyValueCache]:
        """x [B*n,T,E], allowed over n*T queries, (cached + n*T) keys.

        Returns ([B*n,T,E], longer cache).
        """
        q, k, v = self._heads(self.query_key_value(x.view(len(cache.keys), -1, x.shape[-1])))
        cache = cache.append(k, v)
        joined = self._attend(q, *cache.filled(), allowed)
        return self.output(joined.view(x.shape)), cache

    def _heads(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B,T,3E] -> queries, keys and values [B,H,T,D]."""
        q, k, v = (split_heads(part, self.num_heads) for part in projected.chunk(3, dim=-1))
        return q, k, v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, allowed: Allowed) -> Tensor:
        relative, name = self.relative, self.name
        values = self.attend(q, k, v, allowed, scale=self.scale, relative=relative, name=name)
        return join_heads(values)

    def empty_cache(self, rows: int, like: Tensor) -> KeyValueCache:
        """A cache without tokens, of the dtype that `like` has."""
        return KeyValueCache.empty(rows, self.num_heads, self.head_width, like)


class CrossAttention(Attending):
    """Attention of a sequence to another, the memory, whose keys and values are projected once.

    Rows may be several to a memory (beams of one sentence, one after another): they are then seen
    as further queries of that memory, which is never copied.
    """

    def __init__(self, d_model: int, num_heads: int, *, scale_scores: bool = True, name: str = ""):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (d_model // num_heads) ** -0.5 if scale_scores else 1.0
        self.name = name
        self.query = fused_projection(d_model, 1)
        self.key_value = fused_projection(d_model, 2)
        self.output = fused_projection(d_model, 1)

    def remember(self, encoded: Encoded) -> Memory:
        """Project what was encoded into keys and values."""
        projected = self.key_value(encoded.output)
        if encoded.packing is not None:
            projected = encoded.packing.spread(projected)
        k, v = (split_heads(part, self.num_heads) for part in projected.chunk(2, dim=-1))
        return Memory(k, v, encoded.allowed)

    def forward(self, x: Tensor, memories: Sequence[Memory]) -> Tensor:
        """x [B*n,T,E], memories of neighbouring sentences, B in all -> [B*n,T,E]."""
        counts = [memory.keys.shape[0] for memory in memories]
        q = split_heads(self.query(x).view(sum(counts), -1, x.shape[-1]), self.num_heads)
        scale, name = self.scale, self.name
        values = [
            join_heads(self.attend(part, m.keys, m.values, m.allowed, scale=scale, name=name))
            for part, m in zip(q.split(counts), memories, strict=True)
        ]
        joined = values[0] if len(values) == 1 else torch.cat(values)
        return self.output(joined.view(x.shape))
