"""Dropout whose random numbers cost a byte an element.

Drawing a float per element costs as much as a small matrix product on a CPU; a byte decides as
well, at a resolution of 1/256: a rate p drops round(256 p)/256 of the elements, and what is kept
is scaled by exactly the inverse of what is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zero elements at rate p while training and scale the rest (Srivastava et al. 2014)."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.dropped = min(round(256 * p), 255)
        self.scale = 256 / (256 - self.dropped)

    def forward(self, x: Tensor) -> Tensor:
        """[…] -> […]."""
        kept = self._kept(x)
        return x if kept is None else x * kept * self.scale

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + dropout(x), in one pass."""
        kept = self._kept(x)
        return residual + x if kept is None else torch.addcmul(residual, x, kept, value=self.scale)

    def factors(self, x: Tensor) -> Tensor | None:
        """What `forward` would multiply x by, 0 or the scale; None where nothing is dropped."""
        kept = self._kept(x)
        return None if kept is None else kept * self.scale

    def _kept(self, x: Tensor) -> Tensor | None:
        """1 where x is kept and 0 where it is dropped; None where nothing is."""
        if not self.training or self.dropped == 0:
            return None
        count = x.numel()
        words = torch.empty((count + 7) // 8, dtype=torch.int64, device=x.device)
        random = words.random_(-(2**63), None).view(torch.uint8)[:count].view(x.shape)
        return torch.ge(random, self.dropped, out=torch.empty_like(x))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class SequenceDropout(nn.Module):
    """Dropout of sequences [B,T,E]; shared: one mask for all steps of a sequence.

    Shared masks are variational dropout's (Gal and Ghahramani 2016), here between layers.
    """

    def __init__(self, p: float, *, shared: bool):
        super().__init__()
        self.dropout = Dropout(p)
        self.shared = shared

    def factors(self, like: Tensor, rows: int, steps: int, width: int) -> Tensor | None:
        """What sequences [rows,steps,width] are multiplied by; None where nothing is dropped."""
        shape = like.new_empty(rows, 1 if self.shared else steps, width)
        factors = self.dropout.factors(shape)
        return None if factors is None else factors.expand(rows, steps, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,E] -> [B,T,E]."""
        factors = self.factors(x, *x.shape)
        return x if factors is None else x * factors
