"""How well a key answers a query: `score(q, score.keys(k))`.

A score projects the keys once (`keys`), however many queries come; what is left is called with q
and the projected keys. A score without weights is a small frozen value, one with weights a module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHUNK = 1 << 20  # elements of tanh(q + k) held at a time: they stay in the processor's cache


class Score(Protocol):
    """What every score is."""

    def keys(self, k: Tensor) -> Tensor:
        """k [B,H,K,D], projected once for all queries."""

    def __call__(self, q: Tensor, k: Tensor) -> Tensor:
        """q [B,H,Q,D] and projected keys -> logits [B,H,Q,K]."""


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

    def keys(self, k: Tensor) -> Tensor:
        """The keys as they are."""
        return k


class General(nn.Module):
    """score(q, k) = q . W k (Luong et al. 2015, section 3.1)."""

    def __init__(self, query_width: int, key_width: int):
        super().__init__()
        self.project = nn.Linear(key_width, query_width, bias=False)
        nn.init.xavier_uniform_(self.project.weight)

    def keys(self, k: Tensor) -> Tensor:
        """W k."""
        return self.project(k)

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """q [B,H,Q,D], W k [B,H,K,D] -> [B,H,Q,K]."""
        return torch.matmul(q, k.transpose(-2, -1))


class Additive(nn.Module):
    """score(q, k) = v . tanh(W q + U k)

    Bahdanau et al. 2015 (appendix A.1.2), asked with the decoder's previous state; and Luong et
    al.'s concat, v . tanh(W' [q; k]) with W' = [W U], asked with the present one.
    """

    def __init__(self, query_width: int, key_width: int, width: int):
        super().__init__()
        self.query = nn.Linear(query_width, width, bias=False)
        self.key = nn.Linear(key_width, width, bias=False)
        self.v = nn.Parameter(torch.empty(width))
        for linear in (self.query, self.key):
            nn.init.xavier_uniform_(linear.weight)
        nn.init.xavier_uniform_(self.v[None])

    def keys(self, k: Tensor) -> Tensor:
        """U k."""
        return self.key(k)

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """q [B,H,Q,D], U k [B,H,K,A] -> [B,H,Q,K]."""
        v = self.v.to(torch.promote_types(self.v.dtype, k.dtype))  # fp64 where keys are
        scores: Tensor = _Tanh.apply(self.query(q).to(k.dtype), k, v)  # type: ignore[no-untyped-call]
        return scores


class _Tanh(torch.autograd.Function):
    """v . tanh(q + k) of every q [..,Q,A] with every k [..,K,A], v [A], in chunks of queries.

    The sums [..,Q,K,A] exist for one chunk at a time, and are computed again for the gradient:
    tanh costs less than writing them to memory and reading them back.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(q, k, v)
        chunks = (torch.tanh(part[..., None, :] + k[..., None, :, :]) for part in _parts(q, k))
        return torch.cat([F.linear(t, v[None])[..., 0] for t in chunks], dim=-2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = ctx.saved_tensors
        dq, dk, dv = [], torch.zeros_like(k), torch.zeros_like(v)
        parts = _parts(q, k)
        for part, g in zip(parts, grad.split(parts[0].shape[-2], dim=-2), strict=True):
            t = torch.tanh(part[..., None, :] + k[..., None, :, :])
            dv += g.reshape(1, -1).mm(t.view(-1, len(v)))[0]
            inner = torch.addcmul(v, t, t * v, value=-1).mul_(g[..., None])
            dq.append(inner.sum(dim=-2))
            dk += inner.sum(dim=-3)
        return torch.cat(dq, dim=-2), dk, dv


def _parts(q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
    each = max(1, CHUNK // max(1, q.shape[-1] * k[..., 0].numel()))
    return q.split(each, dim=-2)
